"""Queries on the event log. There is no update and no delete."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, select, text
from sqlalchemy.sql.elements import ColumnElement

from caxton.adapters.store import clock
from caxton.adapters.store.bulk import insert_values
from caxton.adapters.store.schema import event_heads as heads
from caxton.adapters.store.schema import events as table
from caxton.adapters.store.session import Session, from_json, in_scope
from caxton.domain.events import Event, trusted_event
from caxton.domain.events.chain import EventHead, unplaced
from caxton.domain.governance import ApprovalMode, RiskLevel
from caxton.domain.ids import Scope
from caxton.domain.records import EventFilter
from caxton.domain.sealing import COLUMNS, GENESIS, Unplaced, seal

_HEAD = select(heads).where(heads.c.customer == bindparam("in_customer")).with_for_update()
_MOVE_HEAD = (
    heads.update()
    .where(heads.c.customer == bindparam("in_customer"))
    .values({name: bindparam(f"new_{name}") for name in ("sequence", "timestamp", "hash")})
)

# Times never go back within a log, so its middle tells on which side of it a time is: some twenty look-ups by key for a
# million events, in place of an index that each event would have to enter.
_FIRST_AT = text(
    """
    WITH RECURSIVE search (low, high) AS (
        SELECT CAST(1 AS BIGINT), CAST(:end AS BIGINT)
        UNION ALL
        SELECT
            CASE WHEN events.timestamp < :moment THEN events.sequence + 1 ELSE search.low END,
            CASE WHEN events.timestamp < :moment THEN search.high ELSE events.sequence END
        FROM search
        JOIN events ON events.customer = :customer AND events.sequence = (search.low + search.high) / 2
        WHERE search.low < search.high
    )
    SELECT max(low) FROM search
    """
)

_RISKS = {str(level): level for level in RiskLevel}
_MODES = {str(mode): mode for mode in ApprovalMode}

BY_ID_AT_ONCE = 500
"""Ids in one look-up: far below what SQLite and PostgreSQL allow as parameters."""


class EventQueries(Session):
    """Events."""

    def add_events(self, scope: Scope, events: Iterable[Event]) -> None:
        """Appends events. They belong to the transaction: where the fact is not recorded, neither are they."""
        self.append_events(scope, map(unplaced, events))

    def append_events(self, scope: Scope, events: Iterable[Unplaced]) -> None:
        """Like :meth:`add_events`, for events that are ready to be chained."""
        self.appended[scope.customer].extend(events)

    def add_events_once(self, scope: Scope, events: Sequence[Event]) -> list[Event]:
        """Appends those of the events that are not in the log, and returns them: for facts that only the log keeps."""
        known = {begin[1] for begin, *_ in self.appended[scope.customer]}
        ids = [event.event_id for event in events]
        for start in range(0, len(ids), BY_ID_AT_ONCE):
            query = select(table.c.event_id).where(
                table.c.customer == scope.customer, table.c.event_id.in_(ids[start : start + BY_ID_AT_ONCE])
            )
            known.update(self.connection.execute(query).scalars())
        fresh = [event for event in events if event.event_id not in known]
        self.add_events(scope, fresh)
        return fresh

    def seal(self) -> None:
        """Gives the appended events their place in the chain. The last thing before the transaction commits.

        The head of the customer's log is held from here to the commit only.
        """
        for customer, appended in sorted(self.appended.items()):
            if appended:
                self._append(customer, appended)
        self.appended.clear()

    def _append(self, customer: str, appended: list[Unplaced]) -> None:
        head = self.connection.execute(_HEAD, {"in_customer": customer}).first()
        known = (head.sequence, head.timestamp, head.hash) if head else (0, 0, GENESIS)
        rows, sequence, last, previous = seal(customer, appended, *known)
        # The head first: triggers refuse events beyond it.
        moved = {"sequence": sequence, "timestamp": last, "hash": previous}
        if head:
            self.connection.execute(
                _MOVE_HEAD, {"in_customer": customer, **{f"new_{name}": value for name, value in moved.items()}}
            )
        else:
            self.connection.execute(heads.insert(), {"customer": customer, **moved})
        insert_values(self.connection, table, COLUMNS, rows)

    def event_head(self, customer: str) -> EventHead:
        """The end of the customer's log."""
        query = select(heads).where(heads.c.customer == customer)
        row = self.connection.execute(query).first()
        return EventHead(row.sequence, row.hash) if row else EventHead(0, GENESIS)

    def event(self, customer: str, event_id: str) -> Event | None:
        """The customer's event of that id."""
        query = select(table).where(table.c.customer == customer, table.c.event_id == event_id, _within_head(customer))
        row = self.connection.execute(query).first()
        return _event(row) if row else None

    def events(
        self,
        scope: Scope,
        wanted: EventFilter | None = None,
        *,
        after: int = 0,
        before: int | None = None,
        newest: bool = False,
        limit: int,
    ) -> list[Event]:
        """Events of the workspace behind `after` (and ahead of `before`), in the log's order or the newest first."""
        wanted = wanted or EventFilter()
        # One lower and one upper bound: SQLite takes the first of several, and would read all that the others leave out.
        first, end = after + 1, self.event_head(scope.customer).sequence + 1
        if before is not None:
            end = min(end, before)
        # Times are in the log's order, so a range of time is a range of positions.
        if wanted.since is not None:
            first = max(first, self._position_at(scope.customer, wanted.since, end))
        if wanted.until is not None:
            end = self._position_at(scope.customer, wanted.until, end)
        if first >= end:
            return []
        query = select(table).where(in_scope(table, scope), table.c.sequence >= first, table.c.sequence < end)
        if wanted.types:
            query = query.where(table.c.event_type.in_(sorted(wanted.types)))
        for name in EventFilter.EQUALITIES:
            value = getattr(wanted, name)
            if value is not None:
                query = query.where(table.c[name] == value)
        query = query.order_by(table.c.sequence.desc() if newest else table.c.sequence).limit(limit)
        return [_event(row) for row in self.connection.execute(query)]

    def log(self, customer: str, *, after: int = 0, limit: int) -> list[Event]:
        """The customer's log behind `after`, across workspaces: for verification, projections and exports."""
        query = (
            select(table)
            .where(table.c.customer == customer, table.c.sequence > after, _within_head(customer))
            .order_by(table.c.sequence)
            .limit(limit)
        )
        return [_event(row) for row in self.connection.execute(query)]

    def event_beyond_head(self, customer: str) -> int | None:
        """Position of an event that no head covers: there is none unless somebody wrote past Caxton."""
        # One statement, for other processes write meanwhile.
        head = func.coalesce(select(heads.c.sequence).where(heads.c.customer == customer).scalar_subquery(), 0)
        query = select(table.c.sequence).where(table.c.customer == customer, table.c.sequence > head).limit(1)
        return self.connection.execute(query).scalar()

    def customers_with_events(self) -> dict[str, int]:
        """The last sequence of every customer's log: for work that the server does for each customer in turn."""
        return {row.customer: row.sequence for row in self.connection.execute(select(heads))}

    def _position_at(self, customer: str, moment: datetime, end: int) -> int:
        """Position of the first event ahead of `end` that is of `moment` or later; `end` when there is none."""
        values = {"customer": customer, "moment": clock.from_datetime(moment), "end": end}
        return int(self.connection.execute(_FIRST_AT, values).scalar_one())


def _within_head(customer: str) -> ColumnElement[bool]:
    """Rows that the head does not cover are not part of the log, whoever wrote them."""
    return table.c.sequence <= select(heads.c.sequence).where(heads.c.customer == customer).scalar_subquery()


def _time(value: Any) -> datetime:
    """The time of an event; of one that somebody damaged, the epoch: the chain then names it."""
    return clock.to_datetime(value if isinstance(value, int) else 0)


def _payload(text: Any) -> dict[str, Any]:
    try:
        found = from_json(text, {})
    except (TypeError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"unreadable": True}  # pyright: ignore[reportUnknownVariableType]


def _event(row: Row[tuple[object, ...]]) -> Event:
    return trusted_event(
        sequence=row.sequence,
        event_id=row.event_id,
        event_type=row.event_type,
        schema_version=row.schema_version,
        timestamp=_time(row.timestamp),
        customer_id=row.customer,
        workspace=row.workspace,
        deployment_id=row.deployment_id,
        skill_id=row.skill_id,
        skill_version=row.skill_version,
        execution_id=row.execution_id,
        agent=row.agent,
        risk_level=_RISKS.get(row.risk_level),
        approval_mode=_MODES.get(row.approval_mode),
        actor=row.actor,
        payload=_payload(row.payload),
        correlation_id=row.correlation_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        channel_type=row.channel_type,
        error_code=row.error_code,
        latency_ms=row.latency_ms,
        trace_id=row.trace_id,
        hash=row.hash,
    )
