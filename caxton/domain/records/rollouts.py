"""The records port: rollouts."""

from typing import Protocol

from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.rollouts import Outcome, Rollout


class RolloutRecords(Protocol):
    """Rollouts, and how messages of agents in one ended."""

    def rollouts(
        self, scope: Scope, agent: str | None = None, *, live: bool | None = None, limit: int = 100
    ) -> list[Rollout]: ...
    def rollout(self, scope: Scope, rollout_id: str, *, hold: bool = False) -> Rollout | None: ...
    def put_rollout(self, rollout: Rollout) -> None: ...
    def add_outcome(self, scope: Scope, execution_id: ExecutionId, outcome: Outcome) -> None: ...
    def take_outcomes(self, scope: Scope, rollout_id: str) -> list[Outcome]: ...
