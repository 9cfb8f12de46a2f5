"""Queries on the event log. There is no update and no delete."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Row,
    Select,
    and_,
    bindparam,
    func,
    intersect,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ColumnElement

from caxton.adapters.store import clock, event_blocks
from caxton.adapters.store.bulk import has_bulk, insert_values
from caxton.adapters.store.event_blocks import BLOCK, block_of
from caxton.adapters.store.schema import event_blocks as blocks
from caxton.adapters.store.schema import event_heads as heads
from caxton.adapters.store.schema import events as table
from caxton.adapters.store.schema_retention import event_segments as segments
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
        SELECT CAST(:begin AS BIGINT), CAST(:end AS BIGINT)
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

_position = table.c.sequence + 0
"""A sequence that no index is to be looked up by: SQLite takes the first of several bounds."""

_RISKS = {str(level): level for level in RiskLevel}
_MODES = {str(mode): mode for mode in ApprovalMode}

FIRST_STEP = 16
"""Blocks in which a value is looked for first, and blocks that are read first."""

LONGEST_STEP = 8_192
"""Blocks in which a value is looked for at once, at most: half a million events."""

STEP_GROWS = 8
"""Each further step is so many times as long: a million events, 15,625 blocks, are five steps."""

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
        self.grown = frozenset(customer for customer, appended in self.appended.items() if appended)
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
        if has_bulk(self.connection):  # PostgreSQL does it by a trigger, for any version of Caxton that writes to it
            entries = event_blocks.entries(rows)
            insert_values(self.connection, blocks, event_blocks.COLUMNS, entries, "INSERT OR IGNORE")

    def hold_log(self, customer: str) -> None:
        """Has others who write to the customer's log wait until this transaction ends."""
        self.connection.execute(_HEAD, {"in_customer": customer})

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
        values = _values(wanted)
        if values and all(name in event_blocks.FIELDS for name in values):
            return self._in_blocks(scope, values, first, end, newest=newest, limit=limit)
        query = select(table).where(*_matching(scope, values), table.c.sequence >= first, table.c.sequence < end)
        query = query.order_by(*(_newest_first if newest else _in_order)(table.c.sequence)).limit(limit)
        return [_event(row) for row in self.connection.execute(query)]

    def _in_blocks(
        self,
        scope: Scope,
        values: dict[str, list[str]],
        first: int,
        end: int,
        *,
        newest: bool,
        limit: int,
    ) -> list[Event]:
        """Reads only blocks in which `values` occur. It looks for them in steps that grow, for common ones are found soon."""
        found: list[Event] = []
        low, high, step = block_of(first), block_of(end - 1) + 1, FIRST_STEP
        while low < high and len(found) < limit:
            begin, stop = (max(low, high - step), high) if newest else (low, min(high, low + step))
            near = [row.block for row in self.connection.execute(_blocks_with(scope, values, begin, stop))]
            of_block = [*_matching(scope, values), _position >= first, _position < end]
            for part in _in_parts(sorted(near, reverse=newest)):
                query = self._of_blocks(part, of_block, newest=newest).limit(limit - len(found))
                found += [_event(row) for row in self.connection.execute(query)]
                if len(found) >= limit:
                    break
            low, high = (low, begin) if newest else (stop, high)
            step = min(step * STEP_GROWS, LONGEST_STEP)
        return found

    def unindexed(self, customer: str, events: Sequence[Event]) -> tuple[int, str] | None:
        """Position of the first of `events`, which follow each other, that a filter would not find, and the filter's field.

        None if all are found.
        """
        numbers = [block_of(event.sequence or 0) for event in events]
        if not numbers:
            return None
        query = select(blocks.c.workspace, blocks.c.field, blocks.c.value, blocks.c.block).where(
            blocks.c.customer == customer, blocks.c.block >= numbers[0], blocks.c.block <= numbers[-1]
        )
        known = {tuple(row) for row in self.connection.execute(query)}
        for event, number in zip(events, numbers, strict=True):
            for field in event_blocks.FIELDS:
                value = getattr(event, field)
                if value is not None and (event.workspace, field, value, number) not in known:
                    return event.sequence or 0, field
        return None

    def _of_blocks(
        self, numbers: Sequence[int], conditions: Sequence[ColumnElement[bool]], *, newest: bool
    ) -> Select[tuple[object, ...]]:
        """Events of these blocks that meet `conditions`, in the log's order or the newest first.

        It has to begin with the blocks, whatever the planner takes the conditions to be worth.
        """
        order = _newest_first if newest else _in_order
        if self.connection.dialect.name == "sqlite":
            listed = func.json_each(json.dumps(list(numbers))).table_valued("value")
            query = select(table).select_from(listed.join(table, and_(*conditions, *_within(listed.c.value))))
            return query.order_by(*order(listed.c.value, table.c.sequence))
        listed = literal(list(numbers), postgresql.ARRAY(BigInteger))
        near = select(func.unnest(listed).label("block")).subquery("near")
        of_block = select(table).where(*conditions, *_within(near.c.block))
        each = of_block.order_by(*order(table.c.sequence)).limit(BLOCK).lateral("each")
        return select(each).select_from(near.join(each, true())).order_by(*order(near.c.block, each.c.sequence))

    def log(self, customer: str, *, after: int = 0, limit: int) -> list[Event]:
        """The customer's log behind `after` and behind what is detached, across workspaces: for all who read all of it."""
        begin = max(after, self.detached_to(customer))
        query = (
            select(table)
            .where(table.c.customer == customer, table.c.sequence > begin, _within_head(customer))
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

    def latest_event_time(self) -> datetime | None:
        """The time of the latest event of all customers."""
        return clock.optional_datetime(self.connection.execute(select(func.max(heads.c.timestamp))).scalar())

    def events_kept(self) -> dict[str, int]:
        """How many events of each customer are in the database."""
        left = select(segments.c.customer, func.max(segments.c.last_sequence)).group_by(segments.c.customer)
        detached: dict[str, int] = {row[0]: row[1] for row in self.connection.execute(left)}
        return {customer: last - detached.get(customer, 0) for customer, last in self.customers_with_events().items()}

    def _position_at(self, customer: str, moment: datetime, end: int) -> int:
        """Position of the first event ahead of `end` that is of `moment` or later; `end` when there is none."""
        begin = min(self.detached_to(customer) + 1, end)
        values = {"customer": customer, "moment": clock.from_datetime(moment), "begin": begin, "end": end}
        return int(self.connection.execute(_FIRST_AT, values).scalar_one())

    def detached_to(self, customer: str) -> int:
        """The last event that has left the database in a segment; 0 if none has."""
        query = select(func.max(segments.c.last_sequence)).where(segments.c.customer == customer)
        return self.connection.execute(query).scalar() or 0


def _in_parts(numbers: list[int]) -> Iterator[list[int]]:
    """`numbers` in parts that grow: where they have what is wanted, few are enough."""
    start, size = 0, FIRST_STEP
    while start < len(numbers):
        yield numbers[start : start + size]
        start, size = start + size, size * STEP_GROWS


def _values(wanted: EventFilter) -> dict[str, list[str]]:
    """The columns that matter, and the values that each may have."""
    equal = {name: [getattr(wanted, name)] for name in EventFilter.EQUALITIES if getattr(wanted, name) is not None}
    return {"event_type": sorted(wanted.types), **equal} if wanted.types else equal


def _blocks_with(
    scope: Scope, values: Mapping[str, Sequence[str]], begin: int, stop: int
) -> Select[tuple[int]] | CompoundSelect[tuple[int]]:
    """Blocks from `begin` to `stop` in which there is one of the values of each field (not always of the same event)."""
    of_fields = [
        select(blocks.c.block)
        .where(
            in_scope(blocks, scope),
            blocks.c.field == field,
            blocks.c.value.in_(given),
            blocks.c.block >= begin,
            blocks.c.block < stop,
        )
        .distinct()
        for field, given in values.items()
    ]
    return intersect(*of_fields) if len(of_fields) > 1 else of_fields[0]


def _within(block: ColumnElement[int]) -> list[ColumnElement[bool]]:
    return [table.c.sequence >= block * BLOCK, table.c.sequence < (block + 1) * BLOCK]


def _matching(scope: Scope, values: Mapping[str, Sequence[str]]) -> list[ColumnElement[bool]]:
    return [in_scope(table, scope), *(table.c[name].in_(given) for name, given in values.items())]


def _in_order(*columns: ColumnElement[int]) -> list[ColumnElement[int]]:
    return [column.asc() for column in columns]


def _newest_first(*columns: ColumnElement[int]) -> list[ColumnElement[int]]:
    return [column.desc() for column in columns]


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
