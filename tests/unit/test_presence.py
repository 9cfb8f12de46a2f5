"""Whether a worker of this machine is still there is seen at once, and nothing is said of others."""

import asyncio
import os
import subprocess
import sys

import pytest

from caxton.domain.ids import new_id
from caxton.runtime.presence import has_gone, watch, worker_name

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")
NAME = "from caxton.runtime.presence import worker_name; print(worker_name(), flush=True); input()"


def test_a_worker_is_there_until_its_process_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert name.startswith("w_")
    assert len(name) <= 40
    assert not has_gone(name)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert has_gone(name), "nobody has waited for it yet"
    process.communicate()
    assert has_gone(name)


def test_another_process_of_the_same_number_is_another_worker() -> None:
    own = worker_name()
    assert not has_gone(own)
    assert has_gone(own[: own.rindex("_")] + "_1")


def test_of_others_nothing_is_known() -> None:
    own = worker_name()
    for name in ("", "w_", new_id("w"), "w_0123456789ab_1_1", "x", "w_a_b_c_d", own + "_1", own[:-1] + "g"):
        assert not has_gone(name), name


async def test_that_a_worker_has_gone_is_told_at_once() -> None:
    process = subprocess.Popen([sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    ended, other = asyncio.Event(), asyncio.Event()
    assert watch(name, ended.set) is not None
    leave = watch(name, other.set)
    assert leave is not None
    await asyncio.sleep(0.05)
    assert not ended.is_set()
    leave()
    process.kill()
    await asyncio.wait_for(ended.wait(), 5)
    assert not other.is_set()
    later, another = asyncio.Event(), asyncio.Event()
    assert watch(name, later.set) is not None
    process.communicate()
    assert watch(worker_name()[: worker_name().rindex("_")] + "_1", another.set) is not None
    await asyncio.wait_for(asyncio.gather(later.wait(), another.wait()), 5)
    assert watch(new_id("w"), other.set) is None
