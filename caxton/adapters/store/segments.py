"""Segments of the log: recorded once, and then the only events that the database lets go."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, and_, select, tuple_

from caxton.adapters.store import clock
from caxton.adapters.store.event_blocks import BLOCK
from caxton.adapters.store.events import EventQueries
from caxton.adapters.store.schema import document_positions, event_blocks, events
from caxton.adapters.store.schema_retention import event_segments as table
from caxton.adapters.store.schema_retention import retention_periods
from caxton.domain.events.chain import EventHead
from caxton.domain.events.segments import STANDING, SegmentHead
from caxton.domain.records.segments import Segment

EVENTS_PLACE = ".events"
"""In the place of a workspace: the period of the customer's log, which all workspaces share. No workspace can have that name."""


class SegmentQueries(EventQueries):
    """Segments, and taking their events out."""

    def segments(self, customer: str) -> list[Segment]:
        """All segments of a customer's log, in their order."""
        query = select(table).where(table.c.customer == customer).order_by(table.c.last_sequence)
        return [_segment(row) for row in self.connection.execute(query)]

    def last_segment(self, customer: str) -> Segment | None:
        """The latest one."""
        query = select(table).where(table.c.customer == customer).order_by(table.c.last_sequence.desc()).limit(1)
        row = self.connection.execute(query).first()
        return _segment(row) if row else None

    def segment_of(self, customer: str, moment: datetime) -> Segment | None:
        """The first one that has events of a moment or later."""
        query = (
            select(table)
            .where(table.c.customer == customer, table.c.ended_at >= clock.from_datetime(moment))
            .order_by(table.c.last_sequence)
            .limit(1)
        )
        row = self.connection.execute(query).first()
        return _segment(row) if row else None

    def add_segment(self, segment: Segment) -> None:
        """Records one. The database refuses it unless it follows the last one, and is what the log has."""
        head = segment.head
        row = {
            "customer": head.customer,
            "last_sequence": head.last,
            "first_sequence": head.first,
            "count": head.count,
            "previous_hash": head.previous_hash,
            "root_hash": head.root_hash,
            "began_at": clock.from_datetime(head.began_at),
            "ended_at": clock.from_datetime(head.ended_at),
            "open_executions": json.dumps(head.open_executions),
            "file": segment.file,
            "file_hash": segment.file_hash,
            "bytes": segment.bytes,
            "event_id": segment.event_id,
            "detached_at": clock.from_datetime(segment.detached_at),
        }
        self.connection.execute(table.insert(), row)

    def position_before(self, customer: str, moment: datetime) -> int:
        """The last event that is older than a moment."""
        end = self.event_head(customer).sequence + 1
        return self._position_at(customer, moment, end) - 1

    def first_that_leaves(self, customer: str, after: int) -> tuple[EventHead, datetime] | None:
        """The first event behind `after` that would not stay in the database, and its time."""
        query = (
            select(events.c.sequence, events.c.hash, events.c.timestamp)
            .where(
                events.c.customer == customer, events.c.sequence > after, events.c.event_type.not_in(sorted(STANDING))
            )
            .order_by(events.c.sequence)
            .limit(1)
        )
        row = self.connection.execute(query).first()
        return (EventHead(row.sequence, row.hash), clock.to_datetime(row.timestamp)) if row else None

    def remove_detached(self, customer: str, limit: int) -> int:
        """Takes events of detached segments out, the first ones. Returns how many positions were looked at; 0 at the end."""
        detached = self.detached_to(customer)
        first = self.first_that_leaves(customer, 0) if detached else None
        if first is None or first[0].sequence > detached:
            return 0
        begin = first[0].sequence
        end = min(detached, begin + limit - 1)
        self.connection.execute(
            events.delete().where(
                events.c.customer == customer,
                events.c.sequence >= begin,
                events.c.sequence <= end,
                events.c.event_type.not_in(sorted(STANDING)),
            )
        )
        return end - begin + 1

    def forget_blocks(self, customer: str) -> None:
        """Takes blocks out of the index whose events are gone."""
        full = (self.detached_to(customer) + 1) // BLOCK
        query = select(events.c.sequence).where(events.c.customer == customer, events.c.sequence < full * BLOCK)
        standing = sorted({sequence // BLOCK for sequence in self.connection.execute(query).scalars()})
        key = tuple_(event_blocks.c.workspace, event_blocks.c.field, event_blocks.c.value)
        names = (event_blocks.c.workspace, event_blocks.c.field, event_blocks.c.value)
        of_customer = event_blocks.c.customer == customer
        place = self.connection.execute(select(*names).where(of_customer).order_by(*names).limit(1)).first()
        while place is not None:
            same = and_(*(name == value for name, value in zip(names, place, strict=True)))
            gone = event_blocks.delete().where(of_customer, same, event_blocks.c.block < full)
            self.connection.execute(gone.where(event_blocks.c.block.not_in(standing)) if standing else gone)
            following = select(*names).where(of_customer, key > tuple_(*place)).order_by(*names).limit(1)
            place = self.connection.execute(following).first()

    def events_period(self, customer: str) -> float | str | None:
        """How long the customer's log is kept in the database: seconds, "forever", or None as the settings say."""
        query = select(retention_periods.c.periods).where(*_of_log(customer))
        text = self.connection.execute(query).scalar()
        return None if text is None else json.loads(text)["events"]

    def put_events_period(self, customer: str, period: float | str | None) -> None:
        """Sets that."""
        self.connection.execute(retention_periods.delete().where(*_of_log(customer)))
        if period is not None:
            row = {"customer": customer, "workspace": EVENTS_PLACE, "periods": json.dumps({"events": period})}
            self.connection.execute(retention_periods.insert(), row | {"updated_at": clock.now()})

    def positions_of(self, customer: str, views: Sequence[str]) -> int | None:
        """How far the slowest of some readers of the log is; None where there is none."""
        query = select(document_positions.c.view, document_positions.c.sequence).where(
            document_positions.c.customer == customer, document_positions.c.view.in_(views)
        )
        known = {row.view: row.sequence for row in self.connection.execute(query)}
        return min((known.get(view, 0) for view in views), default=None)


def _of_log(customer: str):
    return (retention_periods.c.customer == customer, retention_periods.c.workspace == EVENTS_PLACE)


def _segment(row: Row[tuple[object, ...]]) -> Segment:
    head = SegmentHead(
        customer=row.customer,
        first=row.first_sequence,
        last=row.last_sequence,
        count=row.last_sequence - row.first_sequence + 1,
        previous_hash=row.previous_hash,
        root_hash=row.root_hash,
        began_at=clock.to_datetime(row.began_at),
        ended_at=clock.to_datetime(row.ended_at),
        open_executions=json.loads(row.open_executions),
    )
    detached_at = clock.to_datetime(row.detached_at)
    return Segment(head, row.file, row.file_hash, row.bytes, row.event_id, detached_at)
