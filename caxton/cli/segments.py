"""Segments of the event log that have left the database: listed, and verified without a server."""

from pathlib import Path
from typing import TYPE_CHECKING

from caxton.cli.invocation import current
from caxton.cli.output import clock, emit, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.views.event_log import SegmentList, Verification


def show_segments(found: "SegmentList") -> None:
    """Shows them, the first one first."""
    from caxton.domain.quantities import format_size

    if current().json:
        emit(found)
        return
    if not found.segments:
        say("the whole log is in the database")
        remark("Let events leave it when they are old: caxton retention set --events 90d")
        return
    rows = [
        [
            f"{each.first} – {each.last}",
            f"{each.began_at.astimezone():%Y-%m-%d} {clock(each.began_at)}",
            format_size(each.bytes),
            each.root_hash[:12] + "…",
            each.file if each.is_here else style(f"{each.file} (not in the archive)", "yellow"),
        ]
        for each in found.segments
    ]
    for line in table(rows, ["events", "from", "size", "root hash", "file"]):
        say(line)
    if found.archive:
        say(f"in {found.archive}")


def verify_segments(segments: list[Path], rest: Path | None, expect: str | None) -> "Verification":
    """Checks segments, and an export of what follows them, with the same code that the server uses.

    Raises:
        InvalidInput: a file is none, or they do not follow one another.
        UsageError: a file cannot be read.
    """
    from caxton.cli.reading import unreadable
    from caxton.domain.events.chain import read_place
    from caxton.domain.events.segments import LogCheck
    from caxton.views.event_log import Verification

    check = LogCheck(read_place(expect) if expect else None)
    file = segments[0]
    try:
        for file in sorted(segments, key=lambda path: path.name):
            check.read_segment(file)
        if rest is not None:
            file = rest
            check.read_events(rest)
    except OSError as error:
        raise unreadable(str(file), error, "name files of segments") from None
    chain, invariants = check.chain, check.invariants
    assert chain is not None
    assert invariants is not None
    chain.end(None)
    violations = invariants.violations if chain.problem is None else []
    first = check.heads[0]
    return Verification(
        ok=chain.problem is None and not violations,
        checked=chain.checked,
        head_sequence=chain.last.sequence,
        head_hash=chain.last.hash,
        begins_at=first.first,
        broken_at=chain.broken_at,
        problem=chain.problem,
        violations=[{"sequence": v.sequence, "problem": v.problem, "invariant": v.invariant} for v in violations[:100]],
        open_executions=len(invariants.open),
        detached=first.first - 1,
        detached_hash=first.previous_hash if first.first > 1 else None,
    )
