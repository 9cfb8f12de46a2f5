"""Queries on triggers."""

from typing import Any

from sqlalchemy import ColumnElement, Row, select

from caxton.adapters.store.schema_timers import triggers
from caxton.adapters.store.session import Session, in_scope, scoped, to_json
from caxton.domain.ids import Scope
from caxton.domain.triggers import DeployedTrigger


class TriggerQueries(Session):
    """Triggers."""

    def triggers(self, scope: Scope, agent: str | None = None) -> list[DeployedTrigger]:
        """Triggers of the workspace, or of one agent, by agent and name."""
        query = select(triggers).where(in_scope(triggers, scope), triggers.c.removed.is_(False))
        if agent is not None:
            query = query.where(triggers.c.agent == agent)
        query = query.order_by(triggers.c.agent, triggers.c.name)
        return [_trigger(row) for row in self.connection.execute(query)]

    def trigger(self, scope: Scope, agent: str, name: str) -> DeployedTrigger | None:
        """One trigger, also one that is removed: its address is kept for it."""
        row = self.connection.execute(select(triggers).where(*_key(scope, agent, name))).first()
        return _trigger(row) if row else None

    def put_trigger(self, trigger: DeployedTrigger) -> None:
        """Sets a trigger. Its address never changes."""
        values = {"document": to_json(trigger), "removed": trigger.removed}
        key = _key(trigger.scope, trigger.agent, trigger.name)
        if not self.connection.execute(triggers.update().where(*key).values(values)).rowcount:
            row = scoped(trigger.scope, agent=trigger.agent, name=trigger.name, hook_id=trigger.hook_id, **values)
            self.connection.execute(triggers.insert(), row)

    def trigger_of_hook(self, hook_id: str) -> DeployedTrigger | None:
        """The trigger whose deliveries arrive at an address: the address says whose it is, for nobody else does."""
        query = select(triggers).where(triggers.c.hook_id == hook_id, triggers.c.removed.is_(False))
        row = self.connection.execute(query).first()
        return _trigger(row) if row else None


def _key(scope: Scope, agent: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return in_scope(triggers, scope), triggers.c.agent == agent, triggers.c.name == name


def _trigger(row: Row[tuple[Any, ...]]) -> DeployedTrigger:
    found = DeployedTrigger.model_validate_json(row.document)
    return found.model_copy(update={"hook_id": row.hook_id, "removed": bool(row.removed)})
