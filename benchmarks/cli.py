"""How soon the command line answers: the whole process, from its start to the first byte and to its end."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, median_of, print_figures, print_machine


def figures(runs: int = 15) -> list[Figure]:
    """Medians of `runs` processes each, bytecode compiled."""
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder))
        _whole(["version"], folder, environment)  # compiles what is not compiled yet

        def whole(*arguments: str) -> float:
            return median_of(runs, lambda: _whole([*arguments], folder, environment)) * 1000

        def first(*arguments: str) -> float:
            return median_of(runs, lambda: _first_byte([*arguments], folder, environment)) * 1000

        bare = median_of(runs, lambda: _timed([sys.executable, "-c", "pass"], folder, environment)) * 1000
        return [
            Figure("an empty Python, to compare with", bare, "ms"),
            Figure("caxton --help", whole("--help"), "ms", 100),
            Figure("caxton --version", whole("--version"), "ms", 100),
            Figure("acknowledgement of caxton serve", first("serve"), "ms", 100),
            Figure(
                "acknowledgement of caxton deploy (terminal)", _first_on_terminal("deploy", runs, folder), "ms", 100
            ),
            Figure("caxton agent --help", whole("agent", "--help"), "ms"),
            Figure("caxton version (asks for a server)", whole("version"), "ms"),
            Figure("caxton init --yes", _init(folder, environment), "ms", 2000),
        ]


def _environment(folder: Path) -> dict[str, str]:
    """Without settings of this machine; a bad one lets `serve` end right after it has acknowledged."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **kept,
        "CAXTON_DATA_DIR": str(folder / "data"),
        "CAXTON_ENGINE__BINARY": "/no/such/engine",
        "CAXTON_PORT": "0",
    }


def _timed(command: list[str], folder: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return time.perf_counter() - started


def _whole(arguments: list[str], folder: str, environment: dict[str, str]) -> float:
    return _timed([sys.executable, "-m", "caxton", *arguments], folder, environment)


def _first_byte(arguments: list[str], folder: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "caxton", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.communicate()
    return seconds


def _first_on_terminal(command: str, runs: int, folder: str) -> float:
    """Milliseconds to the first byte on a terminal, where other commands than the servers acknowledge."""
    import pty

    environment = {**_environment(Path(folder)), "TERM": "xterm"}

    def once() -> float:
        main, side = pty.openpty()
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "caxton", command], cwd=folder, env=environment, stdin=side, stdout=side, stderr=side
        )
        os.close(side)
        os.read(main, 1)
        seconds = time.perf_counter() - started
        process.kill()
        process.wait()
        os.close(main)
        return seconds

    return median_of(runs, once) * 1000


def _init(folder: str, environment: dict[str, str]) -> float:
    target = Path(folder) / "workspace"
    target.mkdir()
    return _whole(["init", "my-agent", "--yes"], str(target), environment) * 1000


if __name__ == "__main__":
    print_machine()
    print_figures("command line", figures())
