"""Children that read what strangers made end when nobody needs them."""

import os
import time

import pytest

from caxton.adapters import confined
from caxton.adapters.confined import ConfinedChildren


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_ends_after_it_had_nothing_to_do_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "IDLE", 0.2)
    children = ConfinedChildren("tests.unit.adapters.a_confined_child")
    try:
        first = children.ask({})["pid"]
        assert children.ask({})["pid"] == first
        deadline = time.monotonic() + 10
        while alive(first):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert children.ask({})["pid"] != first
    finally:
        children.close()
