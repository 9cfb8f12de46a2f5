"""Caxton beside its peers, on the same work in the same run (benchmarks/peers/README.md says what each of them does).

Peers need environments of their own, which the first run makes; where that fails, the figures of the others are told.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import Figure
from benchmarks.stand_in import stand_in

HERE = Path(__file__).parent
SYSTEMS = ("caxton", "caxton-full", "pydantic-ai-temporal", "langgraph", "dbos")
TIMES_OF = {"pydantic-ai-temporal": 8.0, "langgraph": 1.0, "dbos": 1.0}
"""How many times as many turns a second as each of these Caxton is to do."""

MODEL_BACKED = ("caxton", "langgraph", "pydantic-ai-temporal")
TIMES_OF_MODEL_BACKED = {"langgraph": 1.0, "pydantic-ai-temporal": 2.0}
"""The same, where the model is a service over the network."""

PIECES = 40
"""Of an answer of the stand-in, where somebody asks for a stream. No system here does."""


def figures(seconds: float = 5.0, rounds: int = 1, systems: tuple[str, ...] = SYSTEMS) -> list[Figure]:
    """Turns of conversations a second: ten conversations at once, and a hundred.

    Args:
        seconds: of each measurement, besides its warm-up.
        rounds: medians of so many are told.
        systems: which.
    """
    rows = _rows(systems, "--seconds", str(seconds), "--rounds", str(rounds))
    found: list[Figure] = []
    for case in dict.fromkeys(row["case"] for row in rows):
        of_case = _of_case(rows, case)
        found += [Figure(f"{case}: {name}", row["turns_per_s"], "turns/s") for name, row in of_case.items()]
        found += _ratios(of_case, TIMES_OF, case)
    return found


def model_backed(
    clients: tuple[int, ...] = (200,),
    seconds: float = 20.0,
    rounds: int = 1,
    latency: float = 2.0,
    systems: tuple[str, ...] = MODEL_BACKED,
) -> list[Figure]:
    """Turns whose model takes `latency` seconds over HTTP: clients in a closed loop, each in a conversation of its own.

    One stand-in and one load generator (peers/common.py) serve all systems.

    Args:
        clients: how many at a time, one measurement after the other.
        seconds: of each measurement, besides its warm-up.
        rounds: medians of so many are told.
        latency: of the model, in seconds.
        systems: which.
    """
    cases = ",".join(f"{count}x{count}" for count in clients)
    more = ["--cases", cases, "--stagger", str(latency), "--warmup", str(2 * latency + 2)]
    with stand_in(latency, PIECES) as address:
        rows = _rows(systems, "--seconds", str(seconds), "--rounds", str(rounds), "--model", address, *more)
    found: list[Figure] = []
    for count in clients:
        of_case, ceiling = _of_case(rows, f"{count}x{count}"), count / latency
        for name, row in of_case.items():
            label = f"{count} clients: {name}"
            found += [
                Figure(f"{label}, turns (ceiling {ceiling:g})", row["turns_per_s"], "turns/s"),
                Figure(f"{label}, CPU a turn", row["cpu_ms"], "ms"),
                Figure(f"{label}, CPU a turn with its client", row["cpu_with_client_ms"], "ms"),
                Figure(f"{label}, added to the model's time, p50", row["p50_ms"] - 1000 * latency, "ms"),
                Figure(f"{label}, turns that failed or had a wrong reply", row["errors"] + row["bad"], "", 0),
            ]
        found += _ratios(of_case, TIMES_OF_MODEL_BACKED, f"{count} clients")
    return found


def _rows(systems: tuple[str, ...], *arguments: str) -> list[dict[str, Any]]:
    """Runs the systems one after another; a row for each and each case."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peers.json"
        command = [sys.executable, str(HERE / "peers" / "run_peers.py"), "--only", *systems, "--out", str(out)]
        uv = HERE.parent / ".uv" / "bin" / "uv"
        subprocess.run([*command, *arguments, *(["--uv", str(uv)] if uv.exists() else [])], check=False)
        return json.loads(out.read_text())["rows"] if out.exists() else []


def _of_case(rows: list[dict[str, Any]], case: str) -> dict[str, dict[str, Any]]:
    """The rows of systems that ran, by system."""
    return {row["name"]: row for row in rows if row["case"] == case and row["turns_per_s"]}


def _ratios(rows: dict[str, dict[str, Any]], times_of: dict[str, float], label: str) -> list[Figure]:
    """How many times as many turns as each of its peers Caxton did."""
    found: list[Figure] = []
    for name, times in times_of.items():
        if "caxton" in rows and name in rows:
            ratio = rows["caxton"]["turns_per_s"] / rows[name]["turns_per_s"]
            found.append(Figure(f"{label}: Caxton against {name}", ratio, "times", times, higher_is_better=True))
    return found
