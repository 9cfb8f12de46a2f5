"""The archive of the event log: parts of it that are older than its period leave the database as sealed segments.

A segment is written to a file, flushed, read again from the disk and verified there; only then one transaction records it and
tells it in the log. What the database lets go are the events of a segment that is recorded so, a batch at a time. A crash in
between leaves a file that nobody knows, which the next attempt replaces, or events that the next look takes out.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from caxton.domain.audit import event_line
from caxton.domain.errors import CaxtonError
from caxton.domain.events import Event
from caxton.domain.events.chain import ChainCheck, EventHead
from caxton.domain.events.invariants import InvariantChecker
from caxton.domain.events.retention import EventsPeriodSet, SegmentDetached
from caxton.domain.events.segments import SegmentHead
from caxton.domain.ids import DEFAULT_WORKSPACE, ExecutionId, Scope, new_id
from caxton.domain.records import Deadline, Records, Segment, Transaction
from caxton.domain.retention import applied_again_after
from caxton.domain.sealing import GENESIS
from caxton.observability.metrics import METRICS
from caxton.recording import journal
from caxton.service.context import Caller
from caxton.views.event_log import SegmentList, SegmentView

SEGMENT = 10_000
"""Events of a segment: some 7 MB."""

SMALLEST_AFTER = timedelta(days=1)
"""When there are fewer: how late the first of them may leave, or a quarter of the period, if that is less."""

BATCH = 500
"""Events that are read, or taken out, at once."""

A_PART = 10.0
"""Seconds after which the rest waits for the next look."""

LOG = ExecutionId("event-log")
"""The name of the deadline that applies the period of a customer's log."""


class ArchiveFiles(Protocol):
    """Where segments are written to."""

    root: Path

    def write(self, head: SegmentHead, lines: Sequence[bytes], *, known: Sequence[str]) -> tuple[str, str, int]: ...
    def missing(self, customer: str, files: Sequence[str]) -> list[str]: ...
    def read(self, customer: str, file: str, after: int, limit: int) -> list[Event]: ...


@dataclass
class Archive:
    """Detaches segments."""

    records: Records
    files: ArchiveFiles
    default: float | None
    """Seconds that a customer's log stays in the database, where nobody has decided otherwise; None forever."""
    readers: Sequence[str]
    """Views of the log, and sinks, that must have read an event before it leaves."""
    now: Callable[[], datetime] = field(default=journal.now)

    async def period(self, customer: str) -> tuple[float | None, bool]:
        """How long the customer's log stays in the database, in seconds; and whether that is the server's default."""
        own = await self.records.read(lambda transaction: transaction.events_period(customer))
        if own is None:
            return self.default, True
        return (None if isinstance(own, str) else own), False

    async def set(self, caller: Caller, period: float | str | None) -> None:
        """Decides how long the customer's log stays in the database; None: as the server's settings say."""
        customer = caller.scope.customer

        def put(transaction: Transaction) -> None:
            told = EventsPeriodSet(period=period, before=transaction.events_period(customer))
            transaction.put_events_period(customer, period)
            transaction.add_events(
                caller.scope, [journal.note(caller.scope, told, new_id("retention"), actor=caller.actor)]
            )
            transaction.apply_retention_at(_home(customer), journal.now() + timedelta(seconds=1), LOG, sooner=True)

        await self.records.write(put)

    async def older(self, customer: str, seconds: float | None) -> int:
        """How many events are older than that, and still in the database."""
        if seconds is None:
            return 0
        before = self.now() - timedelta(seconds=seconds)
        return await self.records.read(
            lambda transaction: max(
                0, transaction.position_before(customer, before) - transaction.detached_to(customer)
            )
        )

    async def segments(self, customer: str) -> list[Segment]:
        """All segments of the customer's log."""
        return await self.records.read(lambda transaction: transaction.segments(customer))

    async def list_segments(self, customer: str, *, with_folder: bool) -> SegmentList:
        """The same for people, with whether their files are here; `with_folder`: also where on the server that is."""
        found = await self.segments(customer)
        missing = set(self.files.missing(customer, [each.file for each in found]))
        views = [
            SegmentView(
                **each.head.model_dump(include=set(SegmentView.model_fields) & set(SegmentHead.model_fields)),
                detached_at=each.detached_at,
                file=each.file,
                file_hash=each.file_hash,
                bytes=each.bytes,
                is_here=each.file not in missing,
            )
            for each in found
        ]
        return SegmentList(segments=views, archive=str(self.files.root / customer) if with_folder else None)

    async def ensure(self) -> None:
        """Has the server's own period applied to all logs, also to new ones."""
        if self.default is None:
            return

        def note(transaction: Transaction) -> None:
            for customer in transaction.customers_with_events():
                transaction.apply_retention_at(_home(customer), journal.now(), LOG, sooner=False)

        await self.records.write(note)

    async def apply(self, deadline: Deadline) -> datetime | None:
        """Detaches what is older than the log's period, for some seconds. Returns when to go on; None if it has no period."""
        customer = deadline.scope.customer
        seconds, _ = await self.period(customer)
        await self._take_out(customer)
        if seconds is None:
            return None
        until = time.monotonic() + A_PART
        while await self.detach(customer, seconds):
            if time.monotonic() > until:
                return journal.now()
        return journal.now() + applied_again_after(seconds)

    async def detach(self, customer: str, seconds: float) -> bool:
        """Detaches the next segment. False if there is none to detach yet.

        Raises:
            DiskFull: there is no room for its file.
            CaxtonError: the log is broken, or its file is; then nothing leaves the database.
        """
        before = self.now() - timedelta(seconds=seconds)
        slack = min(SMALLEST_AFTER, timedelta(seconds=seconds / 4))

        def look(transaction: Transaction) -> tuple[Segment | None, int]:
            latest = transaction.last_segment(customer)
            behind = latest.head.last if latest else 0
            last = transaction.position_before(customer, before)
            read = transaction.positions_of(customer, self.readers)
            last = last if read is None else min(last, read)
            first = transaction.first_that_leaves(customer, behind)
            if first is None or first[0].sequence > last:
                return latest, 0
            few = last - behind < SEGMENT and first[1] >= before - slack
            return latest, 0 if few else min(last, behind + SEGMENT)

        latest, last = await self.records.read(look)
        if not last:
            return False
        head, lines = await self._read(customer, latest, last)
        known = [each.file for each in await self.segments(customer)]
        file, digest, size = await asyncio.to_thread(self.files.write, head, lines, known=known)
        await self._record(head, file, digest, size)
        METRICS.retention_removed("events", head.count)
        await self._take_out(customer)
        return True

    async def _read(self, customer: str, latest: Segment | None, last: int) -> tuple[SegmentHead, list[bytes]]:
        """The events of a segment as lines, with its head; verified on the way."""
        behind = latest.head.place if latest else EventHead(0, GENESIS)
        chain = ChainCheck(customer, behind=behind)
        invariants = InvariantChecker(customer, latest.head.open_executions if latest else ())
        lines: list[bytes] = []
        began: datetime | None = None
        ended = self.now()
        while chain.last.sequence < last and chain.problem is None:
            after, limit = chain.last.sequence, min(BATCH, last - chain.last.sequence)
            batch = await self.records.read(
                lambda transaction, after=after, limit=limit: transaction.log(customer, after=after, limit=limit)
            )
            for event in batch:
                chain.read(event)
            invariants.read(batch)
            lines += map(event_line, batch)
            if not batch:
                break
            began, ended = began or batch[0].timestamp, batch[-1].timestamp
        chain.end(EventHead(last, chain.last.hash) if chain.last.sequence == last else EventHead(last, ""))
        if chain.problem is not None or began is None:
            raise CaxtonError(f"the event log is broken, and nothing of it is detached: {chain.problem}")
        head = SegmentHead(
            customer=customer,
            first=behind.sequence + 1,
            last=last,
            count=last - behind.sequence,
            previous_hash=behind.hash,
            root_hash=chain.last.hash,
            began_at=began,
            ended_at=ended,
            open_executions=sorted(invariants.open),
        )
        return head, lines

    async def _record(self, head: SegmentHead, file: str, digest: str, size: int) -> None:
        scope = _home(head.customer)
        told = SegmentDetached(
            first=head.first,
            last=head.last,
            count=head.count,
            previous_hash=head.previous_hash,
            root_hash=head.root_hash,
            file=file,
            file_hash=digest,
            bytes=size,
        )
        event = journal.note(scope, told, head.root_hash)
        segment = Segment(head, file, digest, size, event.event_id, event.timestamp)

        def record(transaction: Transaction) -> None:
            transaction.add_segment(segment)
            transaction.add_events(scope, [event])

        await self.records.write(record)

    async def _take_out(self, customer: str) -> None:
        """Takes events of detached segments out of the database; others may write between two batches."""
        some = False
        while True:
            began = time.monotonic()
            if not await self.records.write(lambda transaction: transaction.remove_detached(customer, BATCH)):
                break
            some = True
            await asyncio.sleep(time.monotonic() - began)
        if some:
            await self.records.write(lambda transaction: transaction.forget_blocks(customer))


def _home(customer: str) -> Scope:
    """Events belong to a workspace; those of a customer's log to the first one."""
    return Scope(customer=customer, workspace=DEFAULT_WORKSPACE)
