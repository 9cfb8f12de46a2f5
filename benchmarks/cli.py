"""The command line as whole processes: what a person waits for until the first sign of life."""

import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, median_of, print_figures, print_machine

RUNS = 15
TARGET = 100
"""Milliseconds (PRF-3)."""


def figures(runs: int = RUNS) -> list[Figure]:
    """Medians of `runs` processes each; one before them warms the files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "caxton.toml").write_text("")
        (folder / ".caxton").mkdir()
        remembered = {"workspace": "default", "url": "", "fetched_at": "2026-01-01T00:00:00+00:00"}
        (folder / ".caxton/state.json").write_text(json.dumps(remembered))

        def whole(*arguments: str) -> float:
            ended(folder, *arguments)
            return median_of(runs, lambda: ended(folder, *arguments))

        def first(*arguments: str) -> float:
            acknowledged(folder, *arguments)
            return median_of(runs, lambda: acknowledged(folder, *arguments))

        return [
            Figure("caxton --help, whole process", whole("--help"), "ms", TARGET),
            Figure("caxton --version, whole process", whole("--version"), "ms", TARGET),
            Figure(
                "caxton serve, first sign of life on a terminal",
                first("serve", "--data-dir", "/dev/null/x"),
                "ms",
                TARGET,
            ),
            Figure("caxton deploy, first sign of life on a terminal", first("deploy"), "ms", TARGET),
            Figure("caxton ask, first sign of life on a terminal", first("ask", "x", "y"), "ms", TARGET),
            Figure("caxton status, first sign of life on a terminal", first("status"), "ms", TARGET),
            Figure("caxton deploy --help, whole process", whole("deploy", "--help"), "ms"),
            Figure("caxton status, server off, whole process", whole("status"), "ms"),
        ]


def ended(folder: Path, *arguments: str) -> float:
    """Milliseconds from start to end of a command."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "caxton", *arguments],
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return (time.perf_counter() - started) * 1000


def acknowledged(folder: Path, *arguments: str) -> float:
    """Milliseconds from the start of a command until something stands on its terminal."""
    main, side = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "caxton", *arguments],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    os.read(main, 1)
    elapsed = (time.perf_counter() - started) * 1000
    try:
        while os.read(main, 65_536):
            pass
    except OSError:
        pass  # the other side is closed
    process.wait()
    os.close(main)
    return elapsed


def _environment(folder: Path) -> dict[str, str]:
    """Settings of the machine aside; compiled bytecode is kept, as an installed command's is."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CAXTON_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**kept, "TERM": "xterm", "CAXTON_DATA_DIR": str(folder / "data"), "CAXTON_URL": "http://127.0.0.1:1"}


if __name__ == "__main__":
    print_machine()
    print_figures("command line", figures())
