"""Queries on rollouts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, exists, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import executions
from caxton.adapters.store.schema_rollouts import rehearsals, rollout_outcomes, rollouts
from caxton.adapters.store.session import Session, in_scope, scoped, to_json
from caxton.domain.executions import ExecutionState
from caxton.domain.gates import Rehearsal
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope
from caxton.domain.rollouts import Outcome, Rollout


class RolloutQueries(Session):
    """Rollouts, and how messages of agents in one ended."""

    def rollouts(
        self, scope: Scope, agent: str | None = None, *, live: bool | None = None, limit: int = 100
    ) -> list[Rollout]:
        """Rollouts of the workspace, or of one agent, the latest first; only those that are `live` or not, if it is given."""
        query = select(rollouts.c.document).where(in_scope(rollouts, scope))
        if agent is not None:
            query = query.where(rollouts.c.agent == agent)
        if live is not None:
            query = query.where(rollouts.c.live.is_(live))
        query = query.order_by(rollouts.c.began_at.desc(), rollouts.c.id.desc()).limit(limit)
        return [Rollout.model_validate_json(row.document) for row in self.connection.execute(query)]

    def live_rollouts(self, customer: str) -> list[Rollout]:
        """Rollouts of the customer in all workspaces that have not ended."""
        query = select(rollouts.c.document).where(rollouts.c.customer == customer, rollouts.c.live.is_(True))
        return [Rollout.model_validate_json(text) for text in self.connection.execute(query).scalars()]

    def rollout(self, scope: Scope, rollout_id: str, *, hold: bool = False) -> Rollout | None:
        """One rollout; with `hold` nobody else changes it before the transaction ends."""
        query = select(rollouts.c.document).where(in_scope(rollouts, scope), rollouts.c.id == rollout_id)
        if hold:
            query = query.with_for_update()
        row = self.connection.execute(query).first()
        return Rollout.model_validate_json(row.document) if row else None

    def put_rollout(self, rollout: Rollout) -> None:
        """Sets a rollout."""
        values = {"document": to_json(rollout), "live": rollout.is_live}
        key = in_scope(rollouts, rollout.scope), rollouts.c.id == rollout.id
        if not self.connection.execute(rollouts.update().where(*key).values(values)).rowcount:
            began = clock.from_datetime(rollout.began_at)
            row = scoped(rollout.scope, id=rollout.id, agent=rollout.agent, began_at=began, **values)
            self.connection.execute(rollouts.insert(), row)

    def add_outcome(self, scope: Scope, outcome: Outcome) -> None:
        """Notes how a message ended, for the next look."""
        self.insert(rollout_outcomes, scoped(scope, **outcome.model_dump()))

    def take_outcomes(self, scope: Scope, rollout_id: str) -> list[Outcome]:
        """What has been noted since the last look. It is counted once: it is gone with the transaction."""
        self.flush()
        own = in_scope(rollout_outcomes, scope), rollout_outcomes.c.rollout_id == rollout_id
        taken = self.connection.execute(delete(rollout_outcomes).where(*own).returning(*rollout_outcomes.c))
        return [Outcome.model_validate(row, from_attributes=True) for row in taken]

    def recorded_turns(
        self, scope: Scope, agent: str, *, without: Digest, conversations: Sequence[ConversationId], limit: int
    ) -> list[ExecutionId]:
        """An agent's latest completed executions, or those of some conversations; none of version `without`, no rehearsals."""
        query = self._turns(scope, agent).where(executions.c.agent_digest != without)
        if conversations:
            query = query.where(executions.c.conversation_id.in_(conversations))
        query = query.order_by(executions.c.started_at.desc()).limit(limit)
        return [ExecutionId(row.id) for row in self.connection.execute(query)]

    def turns_ended(
        self, scope: Scope, agent: str, digest: Digest, since: datetime, limit: int
    ) -> list[tuple[ExecutionId, datetime]]:
        """Executions of a version that were completed after `since`, with their ends, the first ones first."""
        after = clock.from_datetime(since)
        query = self._turns(scope, agent).where(executions.c.agent_digest == digest, executions.c.finished_at > after)
        query = query.order_by(executions.c.finished_at).limit(limit)
        return [(ExecutionId(row.id), clock.to_datetime(row.finished_at)) for row in self.connection.execute(query)]

    def _turns(self, scope: Scope, agent: str) -> Select[Any, Any]:
        rehearsed = exists().where(in_scope(rehearsals, scope), rehearsals.c.execution_id == executions.c.id)
        return select(executions.c.id, executions.c.finished_at).where(
            in_scope(executions, scope),
            executions.c.state == ExecutionState.COMPLETED,
            executions.c.agent == agent,
            ~rehearsed,
        )

    def rehearsals(self, scope: Scope, rollout_id: str, gate: str, *, limit: int = 100) -> list[Rehearsal]:
        """Rehearsals of a gate that are not done, those at work first."""
        query = (
            select(rehearsals)
            .where(in_scope(rehearsals, scope), rehearsals.c.rollout_id == rollout_id, rehearsals.c.gate == gate)
            .where(rehearsals.c.state != "done")
            .order_by(rehearsals.c.state, rehearsals.c.source)
            .limit(limit)
        )
        return [Rehearsal.model_validate(row, from_attributes=True) for row in self.connection.execute(query)]

    def drop_rehearsals(self, scope: Scope, rollout_id: str) -> None:
        """Strikes those of a rollout that nobody will begin, or that came to nothing. Others go with their executions, for by
        them those are known to be rehearsals."""
        begun = exists().where(in_scope(executions, scope), executions.c.id == rehearsals.c.execution_id)
        own = in_scope(rehearsals, scope), rehearsals.c.rollout_id == rollout_id
        self.connection.execute(rehearsals.delete().where(*own, rehearsals.c.state != "started", ~begun))

    def put_rehearsal(self, scope: Scope, rehearsal: Rehearsal) -> bool:
        """Keeps a rehearsal; False if it is done already, which stays so."""
        row = scoped(scope, **rehearsal.model_dump())
        key = (
            in_scope(rehearsals, scope),
            *(rehearsals.c[name] == row[name] for name in ("rollout_id", "gate", "source")),
        )
        known = self.connection.execute(select(rehearsals.c.state).where(*key)).scalar()
        if known is None:
            self.connection.execute(rehearsals.insert(), row)
            return True
        if known == "done":
            return False
        self.connection.execute(rehearsals.update().where(*key).values(state=rehearsal.state))
        return True
