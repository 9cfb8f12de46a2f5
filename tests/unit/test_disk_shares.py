"""Room is bounded for each customer, and one that fills the disk leaves some for the others."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from caxton.domain.errors import DiskFull
from caxton.service.disk_guard import DiskGuard

MB = 1 << 20


def put(folder: Path, place: str, megabytes: int) -> None:
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as handle:
        handle.truncate(megabytes * MB)


def refused(disk: DiskGuard, customers: str) -> set[str]:
    found: set[str] = set()
    for customer in customers:
        try:
            disk.require(customer)
        except DiskFull:
            found.add(customer)
    return found


def guard(folder: Path, events: Mapping[str, int] | None = None, **limits: int) -> DiskGuard:
    disk = DiskGuard(folder, 0, **limits)
    disk.events = events or {}
    disk.measure()
    return disk


@pytest.mark.requirement("SEC-3")
def test_a_customer_has_what_lies_in_its_folders_and_its_part_of_the_database(tmp_path: Path) -> None:
    put(tmp_path, "blobs/a/00/x", 3)
    put(tmp_path, "memory/a/w/x", 2)
    put(tmp_path, "archive/b/x", 1)
    put(tmp_path, "caxton.db", 6)
    put(tmp_path, "caxton.db-wal", 2)
    put(tmp_path, "temporal.db", 10)
    disk = guard(tmp_path, {"a": 10, "b": 10, "c": 20})
    assert disk.used == 24 * MB
    assert disk.used_by == {"a": 7 * MB, "b": 3 * MB, "c": 4 * MB}
    assert refused(disk, "abcd") == set(), "nothing is limited"


@pytest.mark.requirement("SEC-3")
def test_the_last_part_is_for_those_who_have_less_than_their_share(tmp_path: Path) -> None:
    put(tmp_path, "blobs/a/x", 70)
    put(tmp_path, "blobs/b/x", 5)
    assert refused(guard(tmp_path, most=100 * MB), "abc") == set()
    put(tmp_path, "blobs/a/y", 5)
    disk = guard(tmp_path, most=100 * MB)
    assert refused(disk, "abc") == {"a"}
    with pytest.raises(DiskFull, match="equal share of it would be 40 MB"):
        disk.check("a")
    assert disk.check(), "the server itself is well"
    put(tmp_path, "blobs/b/y", 20)
    full = guard(tmp_path, most=100 * MB)
    for customer in "abc":
        with pytest.raises(DiskFull, match="new work is accepted while it has less"):
            full.require(customer)


def test_who_is_alone_may_fill_it(tmp_path: Path) -> None:
    put(tmp_path, "blobs/a/x", 90)
    assert refused(guard(tmp_path, most=100 * MB), "a") == set()


@pytest.mark.requirement("SEC-3")
def test_a_customer_may_have_only_so_much(tmp_path: Path) -> None:
    put(tmp_path, "blobs/a/x", 20)
    put(tmp_path, "blobs/b/x", 10)
    disk = guard(tmp_path, most_of_customer=16 * MB)
    assert refused(disk, "abc") == {"a"}
    with pytest.raises(DiskFull, match=r"limits\.customer_size"):
        disk.require("a")
