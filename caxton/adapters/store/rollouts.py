"""Queries on rollouts."""

from sqlalchemy import delete, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema_rollouts import rollout_outcomes, rollouts
from caxton.adapters.store.session import Session, in_scope, scoped, to_json
from caxton.domain.ids import ExecutionId, Scope
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

    def add_outcome(self, scope: Scope, execution_id: ExecutionId, outcome: Outcome) -> None:
        """Notes how a message ended, for the next look."""
        self.insert(rollout_outcomes, scoped(scope, execution_id=execution_id, **outcome.model_dump()))

    def take_outcomes(self, scope: Scope, rollout_id: str) -> list[Outcome]:
        """What has been noted since the last look. It is counted once: it is gone with the transaction."""
        self.flush()
        own = in_scope(rollout_outcomes, scope), rollout_outcomes.c.rollout_id == rollout_id
        taken = self.connection.execute(delete(rollout_outcomes).where(*own).returning(*rollout_outcomes.c))
        return [Outcome.model_validate(row, from_attributes=True) for row in taken]
