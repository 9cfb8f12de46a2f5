"""The event log for people and programs: lists, single events, live tail, export, verification, trace and replay."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from caxton.activities.contents import content_hash
from caxton.activities.journal import note
from caxton.domain.errors import CaxtonError, Hint, InvalidInput, NotFound
from caxton.domain.events import CATALOGUE, Event
from caxton.domain.events.chain import ChainCheck, EventHead
from caxton.domain.events.invariants import InvariantChecker, Violation
from caxton.domain.events.replay import Replay, compare, replay
from caxton.domain.events.system import ChangeRefused, ErrorOccurred, EventsExported, SystemInspected
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.ids import ExecutionId, Scope, new_id
from caxton.domain.messages import Message
from caxton.domain.records import EventFilter, Records, Transaction
from caxton.routing.similar import similar_names
from caxton.service.context import Caller, Role
from caxton.service.cursors import read_cursor, write_cursor

TAIL_POLL = 0.1
"""Seconds between looks at the end of the log while somebody follows it: an event is seen within twice that."""

BATCH = 2_000
"""Events read at once, by exports and verification."""

TRACE_LIMIT = 20_000
"""Events of one turn that a trace shows."""

MOST_VIOLATIONS = 100


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, and where to go on."""

    events: list[Event]
    next: str | None
    """Cursor of the next page; None at the end of the list."""


class Verification(BaseModel):
    """Whether the log is what was written."""

    ok: bool
    checked: int
    """Events whose place in the chain was recomputed."""
    head_sequence: int
    head_hash: str
    broken_at: int | None = None
    """Position of the first broken link."""
    problem: str | None = None
    violations: list[dict[str, Any]] = []
    """Broken invariants (the first 100)."""
    open_executions: int = 0


class EventLog:
    """Use cases on the event log."""

    def __init__(self, records: Records) -> None:
        """Read from `records`."""
        self.records = records

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

        found = await self.records.read(read)
        more = len(found) > limit
        found = found[:limit]
        following = write_cursor(scope, found[-1].sequence or 0, described) if more else None
        return EventPage(found, following)

    async def root_of(self, caller: Caller, execution_id: str) -> str:
        """The turn that an execution belongs to; the id itself where the store has no such execution."""
        identity = ExecutionId(execution_id)
        found = await self.records.read(lambda transaction: transaction.executions(caller.scope, [identity]))
        return found[identity].execution.root_id if found else execution_id

    async def refused(self, caller: Caller, operation: str, needed: str) -> None:
        """Tells that a key asked for what its role does not allow."""
        told = ChangeRefused(operation=operation, needed=needed, role=caller.role)
        event = note(caller.scope, told, new_id("refused"), actor=caller.actor, error_code="not_permitted")
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))

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
        silent = 0.0
        seen = position

        def read(transaction: Transaction) -> tuple[int, list[Event]]:
            end = transaction.event_head(scope.customer).sequence
            if end <= seen:
                return end, []
            found = transaction.events(scope, wanted, after=position, before=end + 1, limit=BATCH)
            return (end if len(found) < BATCH else found[-1].sequence or end), found

        yield None
        while True:
            seen, found = await self.records.read(read)
            for event in found:
                yield write_cursor(scope, event.sequence or 0, described), event
            position = seen
            if found:
                silent = 0.0
                continue
            await asyncio.sleep(TAIL_POLL)
            silent += TAIL_POLL
            if silent >= 15.0:
                silent = 0.0
                yield None

    async def export(
        self, caller: Caller, wanted: EventFilter, *, after: int, everything: bool
    ) -> AsyncIterator[bytes]:
        """The log as lines of JSON, up to its end as of now.

        Args:
            caller: an operator; the export itself is an event.
            wanted: which events of the workspace.
            after: begin behind this position.
            everything: the customer's whole log over all workspaces, unfiltered, so that the chain can be verified offline.

        Raises:
            NotPermitted: the caller is no operator.
            InvalidInput: the filter does not fit.
        """
        caller.require(Role.OPERATOR)
        check_types(wanted)
        if everything and wanted != EventFilter():
            raise InvalidInput("the whole log is exported without filters", "leave out either")
        scope = caller.scope
        end = (await self.records.read(lambda transaction: transaction.event_head(scope.customer))).sequence
        return self._export(caller, wanted, after, end, everything=everything)

    async def _export(
        self, caller: Caller, wanted: EventFilter, after: int, end: int, *, everything: bool
    ) -> AsyncIterator[bytes]:
        scope, position, count, first = caller.scope, after, 0, None

        def read(transaction: Transaction) -> list[Event]:
            if everything:
                found = transaction.log(scope.customer, after=position, limit=BATCH)
                return [event for event in found if (event.sequence or 0) <= end]
            return transaction.events(scope, wanted, after=position, before=end + 1, limit=BATCH)

        while batch := await self.records.read(read):
            first = first or batch[0].sequence
            position, count = batch[-1].sequence or end, count + len(batch)
            yield b"".join(export_line(event) for event in batch)
            if len(batch) < BATCH:
                break
        exported = EventsExported(count=count, first_sequence=first, last_sequence=position if count else None)
        event = note(scope, exported, new_id("export"), actor=caller.actor)
        await self.records.write(lambda transaction: transaction.add_events(scope, [event]))

    async def verify(self, caller: Caller, expected: EventHead | None) -> Verification:
        """Recomputes the chain of the customer's whole log, and checks its invariants and that filters find every event.

        Args:
            caller: an operator.
            expected: a position and its hash that were written down earlier.

        Raises:
            NotPermitted: the caller is no operator.
        """
        caller.require(Role.OPERATOR)
        customer = caller.scope.customer
        head = await self.records.read(lambda transaction: transaction.event_head(customer))
        chain, invariants = ChainCheck(customer, expected), InvariantChecker(customer)
        position = 0
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

        while await self.records.read(step):
            pass
        chain.end(head)
        beyond = await self.records.read(lambda transaction: transaction.event_beyond_head(customer))
        if beyond is not None:
            chain.fail(
                beyond, f"event {beyond} lies beyond the head of the log ({head.sequence}): nobody wrote it here"
            )
        if head.sequence == 0:
            chain.fail(1, "the log is empty, although this customer has a key: it was taken away")
        if hidden is not None:  # last, for it can be mended, and what is wrong with the log itself cannot
            place, field = hidden
            chain.fail(place, f"event {place} is missing in the index of the log: a filter by {field} does not find it")
        found = _verification(chain, invariants, head)
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
        root, events = await self._turn(caller.scope, execution_id)
        rebuilt = replay(root, events)

        def read(transaction: Transaction) -> list[tuple[Execution, Message | None]]:
            return [
                (
                    record.execution,
                    transaction.message(caller.scope, record.reply_id) if record.reply_id else None,
                )
                for record in transaction.executions_of_turn(caller.scope, root)
            ]

        recorded = await self.records.read(read)
        if any(execution.state is ExecutionState.RUNNING for execution, _ in recorded):
            # It went on between the two reads: what the log lacks is not missing.
            recorded = await self.records.read(read)
            rebuilt = replay(root, (await self._turn(caller.scope, execution_id))[1])
        hashes = {message.id: content_hash(message.content) for _, message in recorded if message is not None}
        differences = compare(rebuilt, recorded, hashes)
        return rebuilt.model_copy(update={"differences": differences})

    async def _turn(self, scope: Scope, execution_id: ExecutionId) -> tuple[ExecutionId, list[Event]]:
        def read(transaction: Transaction) -> tuple[ExecutionId, list[Event]]:
            record = transaction.executions(scope, [execution_id]).get(execution_id)
            root = record.execution.root_id if record else execution_id
            found = transaction.events(scope, EventFilter(correlation_id=root), limit=TRACE_LIMIT)
            if not found:
                raise NotFound(
                    f'there is no execution "{execution_id[:64]}"',
                    Hint(text="see the latest", command="caxton events list --type execution_triggered"),
                    details={"execution": execution_id[:64]},
                )
            return root, found

        return await self.records.read(read)


def export_line(event: Event) -> bytes:
    """An event as one line of an export."""
    return json.dumps(event.model_dump(mode="json"), ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


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


def _verification(chain: ChainCheck, invariants: InvariantChecker, head: EventHead) -> Verification:
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
    )
