"""The event log for people and programs: lists, single events, live tail, export, verification, trace and replay."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from caxton.domain.audit import event_line
from caxton.domain.errors import CaxtonError, EventsDetached, Hint, InvalidInput, NotFound
from caxton.domain.events import CATALOGUE, Event
from caxton.domain.events.chain import ChainCheck, EventHead
from caxton.domain.events.invariants import InvariantChecker, Violation
from caxton.domain.events.retention import SegmentDetached
from caxton.domain.events.segments import SegmentHead
from caxton.domain.events.system import ErrorOccurred, EventsExported, SystemInspected
from caxton.domain.executions import Execution
from caxton.domain.fair_lock import FairLock
from caxton.domain.ids import ExecutionId, Scope, new_id
from caxton.domain.messages import Message
from caxton.domain.permissions import Permission
from caxton.domain.records import EventFilter, Records, Segment, Transaction
from caxton.domain.replay import Replay, compare, replay
from caxton.domain.sealing import GENESIS
from caxton.recording.contents import content_hash
from caxton.recording.journal import note
from caxton.routing.similar import similar_names
from caxton.service.at_once import AtOnce
from caxton.service.context import Caller
from caxton.service.cursors import read_cursor, write_cursor
from caxton.service.log_feed import LogFeeds
from caxton.views.event_log import Verification

BATCH = 500
"""Events read at once, by exports and verification: some ten milliseconds of a thread, which wants the interpreter."""

LONG_PAGE = 100
"""Events of a page above which it is read like an export, when no other one is."""

TRACE_LIMIT = 20_000
"""Events of one turn that a trace shows."""

MOST_VIOLATIONS = 100

MOST_EXPORTS = 8
"""Exports of the log that a customer may have in progress; each holds a batch while it is sent."""

MOST_VERIFICATIONS = 2
"""Verifications of the log that a customer may have in progress: each reads all of it."""

APPLIED = 50
"""Of the latest deletions by a period, those that are looked through for why a turn is gone: periods hardly ever change."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, and where to go on."""

    events: list[Event]
    next: str | None
    """Cursor of the next page; None at the end of the list."""


class EventLog:
    """Use cases on the event log."""

    def __init__(self, records: Records) -> None:
        """Read from `records`."""
        self.records = records
        self._feeds = LogFeeds(records)
        self._long_reads = FairLock()
        """Long reads take turns, a batch each: together their threads would leave the interpreter to nobody else."""
        self._exports = AtOnce(MOST_EXPORTS, "exports of the log")
        self._verifications = AtOnce(MOST_VERIFICATIONS, "verifications of the log")

    async def _read_long(self, customer: str, work: Callable[[Transaction], T]) -> T:
        async with self._long_reads.turn(customer):
            return await self.records.read(work)

    async def do_long(self, customer: str, work: Callable[[], T]) -> T:
        """Does what takes long with many events, such as to write them as JSON: in a thread, in turn with long reads."""
        async with self._long_reads.turn(customer):
            return await asyncio.to_thread(work)

    async def page(
        self, caller: Caller, wanted: EventFilter, *, cursor: str | None, newest: bool, limit: int
    ) -> EventPage:
        """Events of the workspace, in the log's order or the newest first.

        Raises:
            InvalidInput: the filter names a type that does not exist.
            CursorInvalid: the cursor is not one of this list.
        """
        check_types(wanted)
        scope, described = caller.scope, f"{_described(wanted)} {newest}"
        place = read_cursor(scope, cursor, described) if cursor else None

        def read(transaction: Transaction) -> list[Event]:
            after = 0 if newest or place is None else place
            before = place if newest else None
            return transaction.events(scope, wanted, after=after, before=before, newest=newest, limit=limit + 1)

        found = await (self._read_long(scope.customer, read) if limit > LONG_PAGE else self.records.read(read))
        more = len(found) > limit
        found = found[:limit]
        following = write_cursor(scope, found[-1].sequence or 0, described) if more else None
        return EventPage(found, following)

    async def root_of(self, caller: Caller, execution_id: str) -> str:
        """The turn that an execution belongs to; the id itself where the store has no such execution."""
        identity = ExecutionId(execution_id)
        found = await self.records.read(lambda transaction: transaction.executions(caller.scope, [identity]))
        return found[identity].execution.root_id if found else execution_id

    async def failed(self, caller: Caller, error_id: str, context: str, reason: str) -> None:
        """Tells a fault of Caxton itself; `reason` is the error's type, never its text."""
        told = ErrorOccurred(
            error_id=error_id,
            context=context,
            technical_reason=reason,
            user_message="something went wrong inside Caxton",
            suggested_actions=["look into the server's log for the request id"],
        )
        event = note(caller.scope, told, error_id, actor=caller.actor, error_code="internal")
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))

    async def show(self, caller: Caller, event_id: str) -> Event:
        """One event of the workspace.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self.records.read(lambda transaction: transaction.event(caller.scope.customer, event_id))
        if found is None or found.workspace != caller.scope.workspace:
            raise NotFound(f'there is no event "{event_id[:64]}"', details={"event": event_id[:64]})
        return found

    async def tail(
        self, caller: Caller, wanted: EventFilter, *, cursor: str | None, last_event_id: str | None
    ) -> AsyncIterator[tuple[str, Event] | None]:
        """Events as they are written, with their cursors; None now and then, to show that the line is alive.

        Without a cursor it begins at the end of the log. It never ends by itself.

        Raises:
            InvalidInput: the filter names a type that does not exist.
            CursorInvalid: the cursor is not one of this log.
        """
        check_types(wanted)
        scope = caller.scope
        described = f"{_described(wanted)} tail"
        place = last_event_id or cursor
        if place is not None:
            position = read_cursor(scope, place, described)
        else:
            position = (await self.records.read(lambda transaction: transaction.event_head(scope.customer))).sequence
        return self._follow(scope, wanted, position, described)

    async def _follow(
        self, scope: Scope, wanted: EventFilter, position: int, described: str
    ) -> AsyncIterator[tuple[str, Event] | None]:
        yield None
        async with contextlib.aclosing(self._feeds.follow(scope, wanted, position)) as found:
            async for events in found:
                for event in events:
                    yield write_cursor(scope, event.sequence or 0, described), event
                if not events:
                    yield None

    async def export(
        self, caller: Caller, wanted: EventFilter, *, after: int, everything: bool
    ) -> AsyncIterator[bytes]:
        """The log as JSON lines, up to its end as of now.

        Args:
            caller: who asks; each part of the export is an event, which is told before the part is sent.
            wanted: which events of the workspace.
            after: begin behind this position.
            everything: the customer's whole log over all workspaces, unfiltered, so that the chain can be verified offline.

        Raises:
            NotPermitted: the caller may not have the whole log.
            InvalidInput: the filter does not fit.
            Overloaded: the customer has too many exports in progress.
        """
        if everything:
            caller.require(Permission.EVENTS_AUDIT)
        check_types(wanted)
        if everything and wanted != EventFilter():
            raise InvalidInput("the whole log is exported without filters", "leave out either")
        scope = caller.scope
        end = (await self.records.read(lambda transaction: transaction.event_head(scope.customer))).sequence
        parts = self._export(caller, wanted, after, end, everything=everything)
        return self._exports.counted(scope.customer, parts)

    async def _export(
        self, caller: Caller, wanted: EventFilter, after: int, end: int, *, everything: bool
    ) -> AsyncGenerator[bytes]:
        scope, position = caller.scope, after

        def read(transaction: Transaction) -> tuple[list[Event], bytes]:
            if everything:
                log = transaction.log(scope.customer, after=position, limit=BATCH)
                found = [event for event in log if (event.sequence or 0) <= end]
            else:
                found = transaction.events(scope, wanted, after=position, before=end + 1, limit=BATCH)
            return found, b"".join(map(event_line, found))  # in the store's thread, for it takes longer than reading

        while True:
            batch, lines = await self._read_long(scope.customer, read)
            if batch or position == after:
                # First: what a client takes and then closes the connection is a copy, too.
                await self._exported(caller, batch)
            if batch:
                position = batch[-1].sequence or end
                yield lines
            if len(batch) < BATCH:
                return

    async def _exported(self, caller: Caller, batch: list[Event]) -> None:
        """Tells that a part of the log is about to be copied."""
        first, last = (batch[0].sequence, batch[-1].sequence) if batch else (None, None)
        exported = EventsExported(count=len(batch), first_sequence=first, last_sequence=last)
        event = note(caller.scope, exported, new_id("export"), actor=caller.actor)
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))

    async def verify(self, caller: Caller, expected: EventHead | None) -> Verification:
        """Recomputes the chain of the customer's whole log, and checks its invariants and that filters find every event.

        Args:
            caller: who asks.
            expected: a position and its hash that were written down earlier.

        Raises:
            Overloaded: the customer has too many verifications in progress.
        """
        with self._verifications.one(caller.scope.customer):
            return await self._verify(caller, expected)

    async def _verify(self, caller: Caller, expected: EventHead | None) -> Verification:
        customer = caller.scope.customer
        head, detached, untold = await self.records.read(lambda transaction: _beginning(transaction, customer))
        behind = detached[-1].head if detached else None
        chain = ChainCheck(customer, expected, behind=behind.place if behind else None)
        invariants = InvariantChecker(customer, behind.open_executions if behind else ())
        position = behind.last if behind else 0
        hidden: tuple[int, str] | None = None

        def step(transaction: Transaction) -> bool:
            nonlocal position, hidden
            batch = transaction.log(customer, after=position, limit=min(BATCH, head.sequence - position))
            for event in batch:
                chain.read(event)
            invariants.read(batch)
            hidden = hidden or transaction.unindexed(customer, batch)
            if batch:
                position = batch[-1].sequence or position
            return bool(batch) and position < head.sequence and chain.problem is None

        while await self._read_long(customer, step):
            pass
        chain.end(head)
        _check_segments(chain, detached, untold, expected)
        beyond = await self.records.read(lambda transaction: transaction.event_beyond_head(customer))
        if beyond is not None:
            chain.fail(
                beyond, f"event {beyond} lies beyond the head of the log ({head.sequence}): nobody wrote it here"
            )
        if head.sequence == 0:
            chain.fail(1, "the log is empty, although this customer has a key: it was taken away")
        if hidden is not None:  # last, for it can be repaired, and what is wrong with the log itself cannot
            place, field = hidden
            chain.fail(place, f"event {place} is missing in the index of the log: a filter by {field} does not find it")
        found = _verification(chain, invariants, head, behind)
        inspected = SystemInspected(
            component="event log",
            state="whole" if found.ok else "broken",
            issues_found=[found.problem] if found.problem else [v.problem for v in invariants.violations[:10]],
        )
        event = note(caller.scope, inspected, new_id("verify"), actor=caller.actor)
        with contextlib.suppress(CaxtonError):  # a log that is broken at its end cannot be written to
            await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))
        return found

    async def trace(self, caller: Caller, execution_id: ExecutionId) -> list[Event]:
        """The events of the turn that an execution belongs to, in the log's order.

        Raises:
            NotFound: there is no execution of that id.
        """
        return (await self._turn(caller.scope, execution_id))[1]

    async def replay(self, caller: Caller, execution_id: ExecutionId) -> Replay:
        """Rebuilds a turn's outcome from events alone, and compares it with what was recorded.

        Raises:
            NotFound: there is no execution of that id.
        """

        def read(
            transaction: Transaction,
        ) -> tuple[ExecutionId, list[Event], list[tuple[Execution, Message | None]], str | None]:
            root, events = _turn(transaction, caller.scope, execution_id)
            recorded = [
                (
                    record.execution,
                    transaction.message(caller.scope, record.reply_id) if record.reply_id else None,
                )
                for record in transaction.executions_of_turn(caller.scope, root)
            ]
            return root, events, recorded, None if recorded else why_gone(transaction, caller.scope, events)

        # In one transaction: what is recorded and what the log tells are of the same moment, also of a turn that goes on.
        root, events, recorded, gone = await self.records.read(read)
        rebuilt = replay(root, events)
        if gone is not None:
            return rebuilt.model_copy(update={"not_compared": gone})
        hashes = {message.id: content_hash(message.content) for _, message in recorded if message is not None}
        differences = compare(rebuilt, recorded, hashes)
        return rebuilt.model_copy(update={"differences": differences})

    async def _turn(self, scope: Scope, execution_id: ExecutionId) -> tuple[ExecutionId, list[Event]]:
        return await self.records.read(lambda transaction: _turn(transaction, scope, execution_id))


def _turn(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> tuple[ExecutionId, list[Event]]:
    """The root of an execution's turn, and the turn's events."""
    record = transaction.executions(scope, [execution_id]).get(execution_id)
    root = record.execution.root_id if record else execution_id
    found = transaction.events(scope, EventFilter(correlation_id=root), limit=TRACE_LIMIT)
    if not any(event.execution_id == root and event.event_type == "execution_triggered" for event in found):
        _check_detached(transaction, scope, record.execution if record else None, found)
    if not found:
        raise NotFound(
            f'there is no execution "{execution_id[:64]}"',
            Hint(text="see the latest", command="caxton events list --type execution_triggered"),
            details={"execution": execution_id[:64]},
        )
    return root, found


def _check_detached(transaction: Transaction, scope: Scope, execution: Execution | None, found: list[Event]) -> None:
    """Says where the beginning of a turn is that is not in the database.

    Raises:
        EventsDetached: in a segment.
    """
    moment = execution.started_at if execution else found[0].timestamp if found else None
    segment = transaction.segment_of(scope.customer, moment) if moment else None
    if segment is not None:
        raise EventsDetached(
            f"the events of this turn, or the first of them, left the database with {segment.file}",
            Hint(text="verify the file", command=f"caxton events verify --archive {segment.file}"),
            details={"file": segment.file, "first": segment.head.first, "last": segment.head.last},
        )


def why_gone(transaction: Transaction, scope: Scope, events: list[Event]) -> str | None:
    """Why nothing is recorded of a turn of which there are `events`; None if nobody deleted it."""
    conversation = next((event.conversation_id for event in events if event.conversation_id), None)
    wanted = EventFilter(conversation_id=conversation, types=frozenset({"conversation_deleted"}))
    if conversation is not None and transaction.events(scope, wanted, limit=1):
        return "its conversation was deleted"
    applied = EventFilter(types=frozenset({"retention_applied"}))
    ended = max((event.timestamp for event in events), default=None)
    for event in transaction.events(scope, applied, newest=True, limit=APPLIED):
        whole = event.payload["kind"] in ("conversations", "executions")
        if whole and ended is not None and datetime.fromisoformat(event.payload["before"]) > ended:
            return "its period of retention was over"
    return None


def check_types(wanted: EventFilter) -> None:
    """Refuses event types that do not exist.

    Raises:
        InvalidInput: with what was probably meant.
    """
    for name in sorted(wanted.types):
        if name not in CATALOGUE:
            similar = similar_names(name, CATALOGUE)
            hints = [f'did you mean "{similar[0]}"?'] if similar else []
            raise InvalidInput(
                f'there is no event type "{name[:64]}"',
                *hints,
                Hint(text="see all of them", command="caxton events types"),
                details={"type": name[:64], "similar": similar},
            )


def _described(wanted: EventFilter) -> str:
    return repr(replace(wanted, types=frozenset())) + repr(sorted(wanted.types))


def _beginning(transaction: Transaction, customer: str) -> tuple[EventHead, list[Segment], list[Segment]]:
    """The head of a log, its segments, and those of which no event tells."""
    segments = transaction.segments(customer)
    told = {segment.event_id: transaction.event(customer, segment.event_id) for segment in segments}
    untold = [segment for segment in segments if not _tells(told[segment.event_id], segment)]
    return transaction.event_head(customer), segments, untold


def _tells(event: Event | None, segment: Segment) -> bool:
    if event is None or event.event_type != SegmentDetached.event_type:
        return False
    return event.payload.get("root_hash") == segment.head.root_hash


def _check_segments(
    chain: ChainCheck, detached: list[Segment], untold: list[Segment], expected: EventHead | None
) -> None:
    """Checks that segments follow one another, as the database follows the last one, and that the log tells of them."""
    for segment in untold:
        first, last = segment.head.first, segment.head.last
        chain.fail(first, f"events {first} to {last} are hidden by a segment of which no event tells")
    place = EventHead(0, GENESIS)
    for segment in detached:
        if segment.head.behind != place:
            chain.fail(segment.head.first, f"the segment that begins with event {segment.head.first} does not follow")
        place = segment.head.place
        if expected is not None and place.sequence == expected.sequence and place != expected:
            chain.fail(place.sequence, f"event {place.sequence} has another hash than the one written down: rewritten")


def _verification(
    chain: ChainCheck, invariants: InvariantChecker, head: EventHead, behind: SegmentHead | None
) -> Verification:
    def told(violation: Violation) -> dict[str, Any]:
        return {
            "invariant": violation.invariant,
            "sequence": violation.sequence,
            "execution_id": violation.execution_id,
            "problem": violation.problem,
        }

    violations = invariants.violations
    return Verification(
        ok=chain.problem is None and not violations,
        checked=chain.checked,
        head_sequence=head.sequence,
        head_hash=head.hash,
        broken_at=chain.broken_at,
        problem=chain.problem,
        violations=[told(violation) for violation in violations[:MOST_VIOLATIONS]],
        open_executions=len(invariants.open),
        detached=behind.last if behind else 0,
        detached_hash=behind.root_hash if behind else None,
    )
