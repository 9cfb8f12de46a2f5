"""Benchmarks: the driver beside peers and the stand-in model go together, and results come into the documentation."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks import cli, deadlines, deploy, faces, idle, memory, routing, sandbox, scenario
from benchmarks.headlines import BEGIN, END, fill
from benchmarks.report import Figure, Suite
from benchmarks.stand_in import stand_in

PEER = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "peer_caxton.py"


def test_turns_of_the_driver_are_answered_by_the_stand_in(tmp_path: Path) -> None:
    """Each turn has the reply to its own message, with the messages before it, and costs CPU."""
    command = [sys.executable, str(PEER), "--conversations", "3", "--clients", "3", "--data", str(tmp_path)]
    with stand_in(0.2, 40) as address:
        run = subprocess.run(
            [*command, "--seconds", "6", "--warmup", "0", "--stagger", "0.2"],
            env={**os.environ, "PEERS_MODEL": address},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    told = json.loads(run.stdout.splitlines()[-1])
    assert (told["errors"], told["bad"], told["unfinished"]) == (0, 0, 0), told["first_error"]
    assert told["turns_total"] >= 3
    assert told["cpu_with_client_ms"] >= told["cpu_ms"] > 0


def small_scenario() -> Sequence[Figure]:
    """In a process of its own, for it has an event loop of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(scenario.figures, rate=50, seconds=3, warm_up=1).result()


SMALL: dict[str, tuple[tuple[str, ...], Callable[[], Sequence[Figure]], int]] = {
    "cli": (("PRF-3",), lambda: cli.figures(runs=1), 2),
    "deadlines": (("AGT-6",), lambda: deadlines.figures(count=300, seconds=3.0), 1),
    "deploy": (("DEP-8",), lambda: deploy.figures(runs=1), 3),
    "idle": (("AGT-8",), lambda: idle.figures((20,), rest=0.5), 3),
    "memory": (("MEM-9",), lambda: memory.figures(entities=300, rounds=1), 3),
    "faces": (
        ("FAC-1", "FAC-2", "FAC-3", "FAC-7"),
        lambda: faces.figures(requests=3, rounds=1, count=8, latency=2.0),
        9,
    ),
    "routing": (("RTE-7",), routing.figures, 1),
    "sandbox": (("TOL-10",), sandbox.figures, 2),
    "scenario": (("OPS-6",), small_scenario, 1),
}
"""Suites of `benchmarks/` in small: the checklist's rows that they measure, and how many figures have a target in any size."""


@pytest.mark.parametrize(
    ("figures", "targets"),
    [
        pytest.param(figures, targets, id=name, marks=[pytest.mark.requirement(row) for row in checked])
        for name, (checked, figures, targets) in SMALL.items()
    ],
)
def test_a_benchmark_prints_its_figures_beside_their_targets(
    figures: Callable[[], Sequence[Figure]], targets: int
) -> None:
    """It is not a test of the machine's speed: that is what the benchmark itself is for."""
    found = figures()
    assert len({figure.name for figure in found}) == len(found)
    aimed = [figure for figure in found if figure.target is not None]
    assert len(aimed) >= targets
    assert all(figure.wanted in figure.line() for figure in aimed)


def test_results_replace_the_rows_of_their_own_suites_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}{END}after\n")
    kills, turns = "Kills", "Turns"
    order = [turns, kills]
    gap = "server killed: longest time without any answer"
    fill(page, [Suite(kills, [Figure(gap, 1.1, "s", 5)], 0.4, 1.0)], order)
    for p50 in (10.3, 3.25):
        fill(page, [Suite(turns, [Figure("turn in a conversation: p50", p50, "ms", 4)], 0.4, 1.0)], order)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}after\n")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "**Turns**" not in line]
    assert rows[1] == "| turn in a conversation: p50 | ≤ 4 ms | 3.25 ms | met |"
    assert rows[3] == f"| {gap} | ≤ 5 s | 1.1 s | met |"
    assert "10.3" not in text
