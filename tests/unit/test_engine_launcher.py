"""What becomes the engine: it ends with its server, and naps longer."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caxton.runtime.engine import LAUNCHER
from caxton.runtime.engine_launcher import CANNOT_RUN, TIMER_SLACK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for these things")

KILLED_PARENT = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([*sys.argv[2:], str(os.getpid()), "/bin/sleep", "60"])
while "sleep" not in pathlib.Path(f"/proc/{child.pid}/comm").read_text():
    time.sleep(0.01)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
os.kill(os.getpid(), 9)
"""


def launch(parent: int, *program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LAUNCHER, str(parent), *program], capture_output=True, text=True, check=False)


def test_it_becomes_the_program_with_longer_naps() -> None:
    done = launch(os.getpid(), "/bin/cat", "/proc/self/timerslack_ns")
    assert done.stdout.strip() == str(TIMER_SLACK)
    assert done.returncode == 0


def test_no_engine_begins_whose_server_has_ended() -> None:
    done = launch(0, "/bin/echo", "begun")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "has ended" in done.stderr


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    program = tmp_path / "engine"
    program.write_bytes(b"\x7fELF of another world")
    program.chmod(0o755)
    done = launch(os.getpid(), str(program))
    assert done.returncode == CANNOT_RUN
    assert done.stderr.startswith(f"{program} cannot be run: ")


def test_the_program_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    subprocess.run([sys.executable, "-c", KILLED_PARENT, str(pid_file), *LAUNCHER], check=False, timeout=30)
    stat = Path(f"/proc/{pid_file.read_text()}/stat")
    until = time.monotonic() + 10
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until, "the program outlived its parent"
        time.sleep(0.01)
