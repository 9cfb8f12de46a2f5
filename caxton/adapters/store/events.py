"""Queries on the event log. There is no update and no delete."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, select

from caxton.adapters.store import clock, schema
from caxton.adapters.store.session import Session, from_json, in_scope, to_json
from caxton.domain.events import Event
from caxton.domain.ids import Scope


class EventQueries(Session):
    """Events."""

    def add_events(self, scope: Scope, events: Iterable[Event]) -> None:
        """Appends events. They belong to the transaction: where the fact is not recorded, neither are they."""
        for event in events:
            row: dict[str, Any] = event.model_dump(exclude={"timestamp", "payload", "customer_id", "workspace"})
            row["timestamp"] = clock.from_datetime(event.timestamp)
            row["payload"] = to_json(event.payload)
            row["customer"] = scope.customer
            row["workspace"] = scope.workspace
            self.insert(schema.events, row)

    def events(
        self,
        scope: Scope,
        *,
        correlation_id: str | None = None,
        event_type: str | None = None,
        after: int = 0,
        limit: int,
    ) -> list[tuple[int, Event]]:
        """Events with their positions, oldest first, from behind position `after`."""
        table = schema.events
        query = select(table).where(in_scope(table, scope), table.c.position > after)
        if correlation_id is not None:
            query = query.where(table.c.correlation_id == correlation_id)
        if event_type is not None:
            query = query.where(table.c.event_type == event_type)
        query = query.order_by(table.c.position).limit(limit)
        return [(row.position, _event(row)) for row in self.connection.execute(query)]


def _event(row: Row[tuple[object, ...]]) -> Event:
    return Event(
        event_id=row.event_id,
        event_type=row.event_type,
        timestamp=clock.to_datetime(row.timestamp),
        customer_id=row.customer,
        workspace=row.workspace,
        deployment_id=row.deployment_id,
        skill_id=row.skill_id,
        skill_version=row.skill_version,
        execution_id=row.execution_id,
        actor=row.actor,
        payload=from_json(row.payload, {}),
        correlation_id=row.correlation_id,
        conversation_id=row.conversation_id,
        risk_level=row.risk_level,
        approval_mode=row.approval_mode,
        channel_type=row.channel_type,
        error_code=row.error_code,
        latency_ms=row.latency_ms,
        trace_id=row.trace_id,
    )
