"""How much memory `caxton serve` holds while it has nothing to do: on a fresh folder, and after the tour's agents answered."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import Server, processes_of, server

TARGET = 350
"""MiB that all processes may hold."""

SETTLED = 8.0
"""Seconds after which a server that has just started, or answered, is at rest."""

CHILDREN_END = 95.0
"""Seconds after which the processes that read definitions have ended, for want of work."""


def figures(*, patient: bool = True) -> list[Figure]:
    """Resident memory of all processes; shared pages count once in each of them, and once in all as "proportional".

    Args:
        patient: whether to wait until the processes that were only needed for a moment have ended.
    """
    found: list[Figure] = []
    with server(CAXTON_ENGINE__UI_PORT="") as running:
        time.sleep(SETTLED)
        found += _held(running, "fresh folder", TARGET)
    with server(CAXTON_ENGINE__UI_PORT="", CAXTON_MEMORY__ENABLED="false") as running:
        _tour(running)
        time.sleep(CHILDREN_END if patient else SETTLED)
        found += _held(running, "after the tour, without memory", TARGET)
    with server(CAXTON_ENGINE__UI_PORT="") as running:
        _tour(running)
        time.sleep(CHILDREN_END if patient else SETTLED)
        found += _held(running, "after the tour, with the model and LanceDB in use", None)
    return found


def _held(running: Server, when: str, target: float | None) -> list[Figure]:
    resident: dict[str, float] = {}
    proportional = 0.0
    for role, process in processes_of(running.pid).items():
        try:
            held = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        resident[role] = held.rss / 2**20
        proportional += getattr(held, "pss", held.rss) / 2**20
    parts = [Figure(f"{when}: {role}", size, "MiB") for role, size in resident.items()]
    return [
        Figure(f"{when}: resident memory of all processes", sum(resident.values()), "MiB", target),
        Figure(f"{when}: of that, counted once where it is shared", proportional, "MiB"),
        *parts,
    ]


def _tour(running: Server) -> None:
    """Two agents from templates, deployed, and one request."""
    folder = Path(running.folder) / "shop"
    folder.mkdir()
    environment = {**os.environ, "CAXTON_URL": running.url, "CAXTON_API_KEY": running.key}
    for arguments in (
        ["init", "data-fetcher", "--template", "data-fetcher", "--yes"],
        ["init", "data-analyzer", "--template", "data-analyzer", "--yes"],
        ["deploy"],
        ["ask", "fetch-data", "How did sales develop this year?"],
    ):
        command = [sys.executable, "-m", "caxton", *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="Do not wait for short-lived processes to end.")
    given = parser.parse_args()
    print_machine()
    print_figures("memory at rest", figures(patient=not given.quick))
