"""Views of rollouts."""

from datetime import datetime

from caxton.domain.gates import GateResult
from caxton.domain.rollouts import RolloutState, Strategy
from caxton.domain.verdicts import Verdict
from caxton.views.view import View


class StageView(View):
    """A stage of a rollout."""

    percent: float
    duration: float
    """Seconds that it lasts at least."""
    sample: int
    """Messages that each version must have had before it goes on."""


class MetricView(View):
    """One metric of a rollout, over all its stages."""

    metric: str
    """errors, slow, breaches, tokens, cost, judge, or one that the agent's file defines."""
    verdict: Verdict | str
    stable_messages: int
    stable_bad: int
    candidate_messages: int
    candidate_bad: int
    evidence: float
    """How strongly the candidate seems worse (an e-value): 1 is no sign of it, and it is called bad from 20 on, or as many times
    as much as there are metrics."""


class RolloutView(View):
    """A rollout of an agent."""

    id: str
    agent: str
    deployment_id: str
    strategy: Strategy | str
    state: RolloutState | str
    reason: str = ""
    """Why it is paused, or has ended so."""
    stable: str
    """Digest of the version that it began beside."""
    stable_version: str
    candidate: str
    candidate_version: str
    stage: int
    """Counts from 0."""
    stages: list[StageView]
    percent: float | None = None
    """Share of new conversations that the candidate gets; None when it gets none any more, or all."""
    stable_messages: int
    candidate_messages: int
    """Since the stage began."""
    verdict: Verdict | str
    metrics: list[MetricView]
    gates: list[GateResult] = []
    """How its gates stand, in their order, and its shadow."""
    asks: str | None = None
    """The moment at which a webhook has to agree before it goes on."""
    actor: str = ""
    began_at: datetime
    stage_began_at: datetime
    looked_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is under way."""
        return self.percent is not None
