"""Figures beside their targets: `make bench`, which writes `benchmarks/results/report.md` and `report.json`.

It takes a quarter of an hour. `--all` takes twice as long, with the event log and memory, which have commands of their own.
`--short` takes two minutes; with `--check` it fails when a figure is more than a third worse than in `baseline.json`. Both are
compared by their ratio to the calibration loop, not by absolute time. `--write-baseline` takes the present as the baseline.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    cli,
    deploy,
    events,
    idle,
    load,
    memory,
    routing,
    sandbox,
    scenario,
    side_by_side,
    soak,
    startup,
    turns,
)
from benchmarks.report import QUIET, Figure, Suite, calibration, measured, print_machine, write_report

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BASELINE = HERE / "baseline.json"

TOLERANCE = 4 / 3
"""A figure may be a third worse than the baseline's."""

ROUNDS = 3
"""Of the short form; the best are compared."""

SUITES: dict[str, tuple[str, Callable[[], Sequence[Figure]]]] = {
    "cli": ("Command line", cli.figures),
    "startup": ("Start of the server", startup.figures),
    "routing": ("Routing decision", routing.figures),
    "sandbox": ("Sandbox: fresh instances", sandbox.figures),
    "deploy": ("Deployment", deploy.figures),
    "turns": ("Turns at 1, 10 and 100 clients", turns.figures),
    "load": (
        "Open loop: 1,000 requests a second, overload, and 500 conversations",
        lambda: load.figures(seconds=30, conversations=500),
    ),
    "scenario": ("Scenario 2: ten agents, five tools, an agent fails", scenario.figures),
    "kills": ("Processes killed under load", scenario.kills),
    "soak": ("Soak: what grows", soak.figures),
    "peers": ("Peers, on the same work", side_by_side.figures),
    "idle": ("Idle agents", lambda: idle.figures((1_000, 10_000))),
    "events": ("Event log", events.figures),
    "memory": ("Memory", lambda: memory.figures(rounds=1)),
}

OF_OTHER_PARTS = ("events", "memory")
"""Only with `--all`."""

NOTES = """Latencies of open loops count from the time at which a request was due. Durability is the default's: WAL with
`synchronous=normal` in engine and store, which survives a killed process; "full" survives a power cut as well.
Requests that stand alone and are answered in one transaction do not go through the workflow engine; messages of conversations
do, also those beside peers."""


def short() -> list[Figure]:
    """A few figures that stand for the paths that matter, and that others' work on the machine disturbs least."""
    found = [figure for figure in routing.figures() if figure.unit == "1/s"][:1]
    found += [figure for figure in sandbox.figures() if "csv-tools" in figure.name and "p50" in figure.name]
    return [*found, *load.costs_of_a_message()]


def ratios(suites: Sequence[Suite]) -> dict[str, float]:
    """For each figure, its best value of all rounds at the speed of a quiet machine (rates as seconds each).

    The best, for what disturbs a measurement only makes it worse.
    """
    values: dict[str, list[float]] = {}
    for suite in suites:
        for figure in suite.figures:
            value = figure.scaled(suite.calibrated)
            values.setdefault(figure.name, []).append(1 / value if figure.unit == "1/s" else value)
    return {name: min(found) for name, found in values.items()}


def check(found: dict[str, float]) -> int:
    """Compares with the baseline; returns how many figures are more than a third worse."""
    known: dict[str, float] = json.loads(BASELINE.read_text())
    worse = 0
    print(f"\n{'compared with the baseline, at the speed of a quiet machine':60} ratio")
    for name, value in found.items():
        ratio = value / known[name] if name in known else 1.0
        bad = ratio > TOLERANCE
        worse += bad
        print(f"  {name:58} {ratio:5.2f}  {'WORSE' if bad else ''}")
    return worse


def main() -> int:
    """Runs what was asked for; the exit code tells of regressions only."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*SUITES], help="Only these suites.")
    parser.add_argument("--all", action="store_true", help="All suites.")
    parser.add_argument("--short", action="store_true", help="A few figures, three times.")
    parser.add_argument(
        "--check", action="store_true", help="Fail when the short form is a third worse than the baseline."
    )
    parser.add_argument("--write-baseline", action="store_true", help="Take the short form's figures as the baseline.")
    given = parser.parse_args()
    print_machine()
    if given.short or given.check or given.write_baseline:
        rounds = [measured(f"short form, round {number + 1}", short) for number in range(ROUNDS)]
        found = ratios(rounds)
        if given.write_baseline:
            BASELINE.write_text(
                json.dumps({name: float(f"{value:.4g}") for name, value in found.items()}, indent=1) + "\n"
            )
        return bool(given.check and check(found))
    wanted = given.only or [name for name in SUITES if given.all or name not in OF_OTHER_PARTS]
    suites: list[Suite] = []
    for name in wanted:
        suites.append(measured(*SUITES[name]))
        write_report(RESULTS, suites, NOTES)  # each time, for a run that is cut short
    missed = sum(suite.missed for suite in suites)
    print(
        f"\n{missed} targets missed at the speed of a quiet machine (calibration {calibration():.2f} s, quiet {QUIET:g} s; "
        f"in all {sum(suite.took for suite in suites) / 60:.1f} min)"
    )
    print(f"written: {RESULTS / 'report.md'}, report.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
