"""The few figures that docs/explanation/performance.md shows, as rows of its table of results."""

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Figure, Suite, machine

PROMISED = (
    r"(200|500) clients in conversations: (turns|CPU a turn)",
    r"50 clients in conversations: added to the model's time, p50",
    r"50 clients in conversations that listen: CPU a turn",
    r"a scripted request, p99",
    r"model calls at once: (most in flight|memory in all|refused)",
    r"last by first|longest history",
    r"clients: (caxton|langgraph|pydantic-ai-temporal), (turns \(|CPU a turn$|added)",
    r"Caxton against",
    r"x\d+: (caxton|langgraph|dbos|pydantic-ai-temporal|caxton-full)$",
    r"^1000 messages a second.*: (p50|p99|CPU of Caxton|resident memory at the end|neither)",
    r"^3000 messages a second: answered",
    r"each to a conversation of its own: p99",
    r"^(turn in a conversation|one-shot request): p50",
    r"killed: (messages without|longest)",
    r"memory of in all, growth",
    r"^PostgreSQL",
    r"^decisions a second",
    r"^authentication and authorization a message",
    r"^csv-tools.summarize: call",
    r"^caxton --help",
    r"^ready, median",
    r"^deploy 50 agents",
    r"^CPU of a model call",
    r"agents: (memory of the server, each|start of one)",
    r"^releases at .*: (messages lost|answered|conversations|undo|abort|verdict|breaker|start)",
    r"^ask for an agent, all is well",
    r"CPU beyond that of REST|open streams: (memory|that did not)",
    r"^turns lost to the log",
    r"^(list|filter) 100",
    r"^search by vector|^embed |^one hop|^import with|^recall|^the process with",
)
"""A figure that one of these matches is shown. All others are in `report.md`."""


BEGIN, END = "<!-- results: python -m benchmarks --docs -->\n", "<!-- end of results -->\n"
HEAD = ["| figure | target | measured | |", "|---|---:|---:|---|"]
SECTION = re.compile(r"\| \*\*(.+?)\*\* \|")


def rows(suites: Sequence[Suite]) -> str:
    """A line on the machine, and a table in Markdown. Whether a target is met is judged by what was measured."""
    return "\n".join([_machine(), "", *HEAD, *(line for suite in suites for line in _section(suite))]) + "\n"


def fill(page: Path, suites: Sequence[Suite], order: Sequence[str]) -> None:
    """Puts the results into the page's table. Suites that were not run keep their rows.

    Args:
        page: holds the table between two comments.
        suites: were run.
        order: titles of all suites there are; rows of others go.
    """
    before, _, rest = page.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    sections: dict[str, list[str]] = {}
    title = ""
    for line in table.splitlines():
        found = SECTION.match(line)
        title = found[1] if found else title
        if title and line:
            sections.setdefault(title, []).append(line)
    sections |= {suite.title: _section(suite) for suite in suites}
    lines = [line for each in order for line in sections.get(each, [])]
    page.write_text(before + BEGIN + "\n".join([_machine(), "", *HEAD, *lines]) + "\n" + END + after)


def _machine() -> str:
    facts = machine()
    return (
        f"{facts['system']}, {facts['cores']} cores, Python {facts['python']}; each part with its date and calibration."
    )


def _section(suite: Suite) -> list[str]:
    shown = [figure for figure in suite.figures if any(re.search(each, figure.name) for each in PROMISED)]
    when = f"{time.strftime('%Y-%m-%d', time.gmtime())}, {suite.calibrated:.2f} s"
    return [f"| **{suite.title}** | | | {when} |", *map(_row, shown)] if shown else []


def _row(figure: Figure) -> str:
    target = "" if figure.target is None else f"{figure.sign} {number(figure.target)} {figure.unit}".rstrip()
    verdict = {None: "", True: "met", False: "**missed**"}[figure.met]
    return f"| {figure.name} | {target} | {number(figure.value)} {figure.unit}".rstrip() + f" | {verdict} |"


def number(value: float) -> str:
    """A figure as people write it: three digits that count, or all of a whole number."""
    if math.isnan(value):  # nothing was measured
        return "–"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
