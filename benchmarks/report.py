"""Figures beside their targets, with what is needed to compare them between machines."""

import os
import platform
import statistics
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass


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
        """Whether the target is met."""
        if self.target is None:
            return None
        return self.value >= self.target if self.higher_is_better else self.value <= self.target

    def line(self) -> str:
        """The figure as a row of a table."""
        if self.target is None:
            target, verdict = "", ""
        else:
            target = f"{'≥' if self.higher_is_better else '≤'} {self.target:g} {self.unit}"
            verdict = "met" if self.met else "MISSED"
        return f"  {self.name:58} {self.value:10.3f} {self.unit:6} {target:>16}  {verdict}"


def calibration() -> float:
    """Seconds for ten million additions in Python: about 0.7 on the quiet two-core machine that the targets are for."""
    return timeit.timeit("for i in range(10_000_000): x = i + 1", number=1)


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """Prints `figures` under `title`."""
    print(f"\n{title}")
    for figure in figures:
        print(figure.line())


def print_machine() -> None:
    """Prints what the figures were taken on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"Python {platform.python_version()} · {os.cpu_count()} cores · load {load} · calibration {calibration():.2f} s"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median_of(runs: int, measure: Callable[[], float]) -> float:
    """The median of `runs` measurements."""
    return statistics.median(measure() for _ in range(runs))
