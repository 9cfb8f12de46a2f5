"""Queries on versions that were replaced and have work in progress."""

from datetime import datetime
from typing import Literal

from sqlalchemy import and_, exists, func, literal, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import OPEN, conversations, executions, steps
from caxton.adapters.store.schema_drains import drains
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.drains import Drain, InHand
from caxton.domain.executions import ExecutionState
from caxton.domain.forks import REHEARSAL
from caxton.domain.ids import DeploymentId, Digest, Scope

MOST_COUNTED = 1_000
"""Of work in progress: more are as many."""


class DrainQueries(Session):
    """Versions that were replaced and have work in progress."""

    def drains(self, scope: Scope, *, deployment_id: DeploymentId | None = None, limit: int = 1000) -> list[Drain]:
        """Those of the workspace, or of one deployment."""
        query = select(drains.c.document).where(in_scope(drains, scope))
        if deployment_id is not None:
            query = query.where(drains.c.deployment_id == deployment_id)
        query = query.order_by(drains.c.kind, drains.c.name, drains.c.digest).limit(limit)
        return [Drain.model_validate_json(row.document) for row in self.connection.execute(query)]

    def drain(self, scope: Scope, kind: Literal["agent", "tool"], name: str, digest: Digest) -> Drain | None:
        """That of one version."""
        key = drains.c.kind == kind, drains.c.name == name, drains.c.digest == digest
        text = self.connection.execute(select(drains.c.document).where(in_scope(drains, scope), *key)).scalar()
        return Drain.model_validate_json(text) if text else None

    def put_drain(self, drain: Drain) -> None:
        """Sets it."""
        self.remove_drain(drain)
        key = {"kind": drain.kind, "name": drain.name, "digest": drain.digest, "deployment_id": drain.deployment_id}
        self.connection.execute(drains.insert(), scoped(drain.scope, **key, document=to_json(drain)))

    def remove_drain(self, drain: Drain) -> bool:
        """Strikes it; False when it is gone."""
        key = drains.c.kind == drain.kind, drains.c.name == drain.name, drains.c.digest == drain.digest
        return bool(self.connection.execute(drains.delete().where(in_scope(drains, drain.scope), *key)).rowcount)

    def agent_in_hand(self, scope: Scope, name: str, digest: Digest, *, with_conversations: bool) -> InHand:
        """What a version of an agent has in progress; `with_conversations` also those that began with it and may go on."""
        self.flush()
        own = in_scope(executions, scope), executions.c.agent == name, executions.c.agent_digest == digest
        running = select(literal(1)).where(*own, executions.c.state == ExecutionState.RUNNING).limit(MOST_COUNTED)
        turns = self.connection.execute(select(func.count()).select_from(running.subquery())).scalar_one()
        return InHand(
            turns=turns, conversations=self._open_conversations(scope, name, digest) if with_conversations else 0
        )

    def _open_conversations(self, scope: Scope, name: str, digest: Digest) -> int:
        first, earlier = executions.alias(), executions.alias()
        of_agent = in_scope(first, scope), first.c.conversation_id == conversations.c.id, first.c.agent == name
        another = exists().where(
            in_scope(earlier, scope),
            earlier.c.conversation_id == first.c.conversation_id,
            earlier.c.agent == name,
            earlier.c.started_at < first.c.started_at,
        )
        began = exists().where(*of_agent, first.c.agent_digest == digest, ~another)
        rehearsed = conversations.c.metadata.like(f'%"{REHEARSAL}"%')
        found = select(literal(1)).where(in_scope(conversations, scope), OPEN, ~rehearsed, began).limit(MOST_COUNTED)
        return self.connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()

    def tool_in_hand(self, scope: Scope, name: str, before: datetime) -> InHand:
        """Calls of a tool that were asked for `before` a moment and have no result, but for those that wait for a person."""
        self.flush()
        is_running = and_(
            in_scope(executions, scope),
            executions.c.id == steps.c.execution_id,
            executions.c.state == ExecutionState.RUNNING,
        )
        asking = (
            select(steps.c.execution_id, steps.c.step, steps.c.payload)
            .join(executions, is_running)
            .where(in_scope(steps, scope), steps.c.call == 0, steps.c.created_at < clock.from_datetime(before))
            .where(steps.c.payload.contains(f'"{name}.', autoescape=True))
            .limit(MOST_COUNTED)
        )
        calls = 0
        for row in self.connection.execute(asking).all():
            done = select(steps.c.call).where(
                in_scope(steps, scope), steps.c.execution_id == row.execution_id, steps.c.step == row.step
            )
            recorded = set(self.connection.execute(done).scalars())
            for number, call in enumerate(from_json(row.payload).get("calls", []), start=1):
                is_own = str(call.get("name", "")).partition(".")[0] == name
                calls += is_own and not call.get("needs_approval") and number not in recorded
        return InHand(calls=calls)
