"""Figures beside their targets: `make bench`, which writes `report.md`, `report.json` and `rows.md` to `benchmarks/results`.

It takes half an hour. `--all` takes longer, with the event log and memory, which have commands of their own. `--rounds 3` tells
medians of three runs; `--docs` puts the results into docs/explanation/performance.md, `--markdown` prints them as they are there.
`--short` takes two minutes; with `--check` it fails when a figure is more than a third worse than in `baseline.json`. Both are
compared by their ratio to the calibration loop, not by absolute time. `--write-baseline` takes the present as the baseline.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    at_rest,
    authorization,
    cli,
    deadlines,
    deploy,
    edge,
    events,
    faces,
    flood,
    hostile,
    idle,
    in_flight,
    load,
    long_turn,
    memory,
    model_backed,
    model_call,
    postgres,
    releases,
    routing,
    sandbox,
    scenario,
    side_by_side,
    soak,
    startup,
    turns,
    wasm_agents,
)
from benchmarks.headlines import fill, rows
from benchmarks.report import (
    QUIET,
    Figure,
    Suite,
    calibration,
    measured,
    median_suite,
    print_machine,
    write_report,
)

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BASELINE = HERE / "baseline.json"
"""A call in a sandbox is mostly work of the kernel, which does not follow the calibration loop: the same code took 0.62 ms on one
machine and 1.03 on another, at the speed of a quiet machine. Its baseline is that of the slower kernel."""
PAGE = HERE.parent / "docs" / "explanation" / "performance.md"

TOLERANCE = 4 / 3
"""A figure may be a third worse than the baseline's."""

ROUNDS = 3
"""Of the short form; the best are compared."""

SUITES: dict[str, tuple[str, Callable[[], Sequence[Figure]]]] = {
    "cli": ("Command line", cli.figures),
    "startup": ("Start of the server", startup.figures),
    "at_rest": ("Memory at rest", at_rest.figures),
    "routing": ("Routing decision", routing.figures),
    "authorization": ("Authentication and authorization a message", authorization.figures),
    "sandbox": ("Sandbox: fresh instances", sandbox.figures),
    "deploy": ("Deployment", deploy.figures),
    "releases": (
        "Releases under 500 messages a second, one of 10,000 agents",
        lambda: releases.figures(agents=10_000),
    ),
    "model_call": ("The call of a model alone", model_call.figures),
    "model_backed": ("Turns of an agent with a model over the network", model_backed.figures),
    "faces": ("OpenAI, MCP, A2A and AG-UI beside REST: a request, and open streams", faces.figures),
    "turns": ("Turns at 1, 10 and 100 clients", turns.figures),
    "wasm_agents": ("Agents that are WebAssembly components, beside scripted ones", wasm_agents.figures),
    "load": (
        "Open loop: 1,000 requests a second, overload, conversations, the official client",
        lambda: load.figures(seconds=30, conversations=(500, 1000), clients=2),
    ),
    "scenario": ("Scenario 2: ten agents, five tools, an agent fails", scenario.figures),
    "kills": ("Processes killed under load", scenario.kills),
    "soak": ("Soak: what grows", soak.figures),
    "peers": ("Peers, on the same work", side_by_side.figures),
    "model_backed_peers": (
        "Turns of an agent with a model over the network, beside peers on the same work",
        side_by_side.model_backed,
    ),
    "in_flight": ("2,000 model calls in flight at once", in_flight.figures),
    "long_turn": ("One turn of 1,000 model calls", long_turn.figures),
    "postgres": ("PostgreSQL, two APIs and two workers", postgres.figures),
    "flood": ("One customer's flood, and another customer meanwhile", flood.figures),
    "deadlines": ("Deadlines of which some fail for ever", deadlines.figures),
    "edge": ("What strangers can take: headers, slow connections, uploads", edge.figures),
    "idle": ("Idle agents", lambda: idle.figures((1_000, 10_000))),
    "hostile": ("Hostile definitions, schemas and modules", hostile.figures),
    "events": ("Event log", events.figures),
    "memory": ("Memory", lambda: memory.figures(rounds=1)),
}

OF_OTHER_PARTS = ("events", "memory")
"""Only with `--all`."""

NOTES = """Latencies of open loops count from the time at which a request was due. Durability is the default's: WAL with
`synchronous=normal` in engine and store, which survives a killed process; "full" survives a power cut as well.
What is answered in one transaction, which is most of what scripts answer, does not go through the workflow engine; turns of
agents with a model over the network do."""


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*SUITES], help="Only these suites.")
    parser.add_argument("--all", action="store_true", help="All suites.")
    parser.add_argument("--short", action="store_true", help="A few figures, three times.")
    parser.add_argument(
        "--check", action="store_true", help="Fail when the short form is a third worse than the baseline."
    )
    parser.add_argument("--write-baseline", action="store_true", help="Take the short form's figures as the baseline.")
    parser.add_argument("--rounds", type=int, default=1, help="Medians of so many runs of each suite.")
    parser.add_argument("--markdown", action="store_true", help="Print the results as a table in Markdown, at the end.")
    parser.add_argument("--docs", action="store_true", help="Put the results into docs/explanation/performance.md.")
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
        suites.append(median_suite([measured(*SUITES[name]) for _ in range(given.rounds)]))
        write_report(RESULTS, suites, NOTES)  # each time, for a run that is cut short
        (RESULTS / "rows.md").write_text(rows(suites))
    missed = sum(suite.missed for suite in suites)
    print(
        f"\n{missed} targets missed at the speed of a quiet machine (calibration {calibration():.2f} s, quiet {QUIET:g} s; "
        f"in all {sum(suite.took for suite in suites) / 60:.1f} min)"
    )
    print(f"written: {RESULTS / 'report.md'}, report.json, rows.md")
    if given.docs:
        fill(PAGE, suites, [title for title, _ in SUITES.values()])
    if given.markdown:
        print(f"\n{rows(suites)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
