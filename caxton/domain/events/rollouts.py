"""Rollouts: a candidate begins, goes on from stage to stage, goes live or goes away."""

from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class RolloutEvent(Payload):
    """What happened to a rollout of an agent."""

    category: ClassVar[Category] = "deployment"
    rollout: str
    candidate: str
    """The candidate's version."""


class RolloutStarted(RolloutEvent):
    """A new version gets a part of the traffic."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate} began ({strategy}): {percent} % of new conversations"
    strategy: str
    stable: str
    """The version that is live."""
    percent: float
    candidate_digest: str
    stable_digest: str


class RolloutAdvanced(RolloutEvent):
    """A stage was good, or somebody had it go on."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate} went on to {percent} %: {reason}"
    stage: int
    """Counts from 1."""
    percent: float
    reason: str


class RolloutGateDecided(RolloutEvent):
    """A gate was passed, or failed."""

    sentence: ClassVar[str] = "gate {gate} of the rollout of {agent} {candidate}: {state}; {reason}"
    gate: str
    kind: str
    state: str
    """passed or failed."""
    reason: str = ""
    compared: int = 0
    """Recorded turns that were replayed."""
    differ: int = 0


class RolloutPaused(RolloutEvent):
    """It stays as it is until somebody says what is to be done."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate} was paused: {reason}"
    reason: str


class RolloutResumed(RolloutEvent):
    """Its stage began again."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate} was resumed"


class RolloutExtended(RolloutEvent):
    """A stage got its longest time once more, for there was not enough to tell."""

    sentence: ClassVar[str] = "a stage of the rollout of {agent} {candidate} was extended: {reason}"
    reason: str


class RolloutPromoted(RolloutEvent):
    """The candidate is live."""

    sentence: ClassVar[str] = "{agent} {candidate} is live after its rollout: {reason}"
    reason: str


class RolloutRolledBack(RolloutEvent):
    """The candidate gets no more new conversations; the version before it is live."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate} was rolled back: {reason}"
    reason: str


class RolloutSuperseded(RolloutEvent):
    """Another deployment changed or removed the agent."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate} ended: {reason}"
    reason: str


class RolloutJudged(RolloutEvent):
    """The verdict on a candidate changed."""

    sentence: ClassVar[str] = "rollout of {agent} {candidate}: {verdict}"
    verdict: str
    """good, bad or inconclusive."""
    metrics: dict[str, str] = {}
    """The verdict of each metric."""
    candidate_messages: int
    stable_messages: int
    candidate_bad: int
    """Of errors."""
    stable_bad: int
