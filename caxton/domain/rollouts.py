"""Rollouts: a new version of an agent gets a part of the traffic first, is compared, and goes live or goes away."""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.errors import Hint, InvalidState, NotFound
from caxton.domain.ids import ConversationId, DeploymentId, Digest, Scope
from caxton.domain.lifecycle import StateMachine
from caxton.domain.quantities import Seconds, format_duration, one_of
from caxton.domain.verdicts import Comparison, Counted, Verdict

MOST_STAGES = 20

MOST_ROLLOUTS = 20_000
"""Under way at the same time in a workspace: one an agent."""

LONGEST_STAGE = 30 * 86_400.0
"""Seconds."""

UNDO_WITHIN = timedelta(hours=1)
"""How long after its promotion a rollout can be undone with one command."""

ALPHA = 0.05
"""How often a candidate that is no worse may be called bad, over the whole of a rollout and all its metrics."""


class Strategy(StrEnum):
    """How a new version gets its traffic."""

    DIRECT = "direct"
    """All of it, at once."""
    BLUE_GREEN = "blue_green"
    """All new conversations at once; the old version is kept, and is back with one command."""
    CANARY = "canary"
    """In stages."""


class Metric(StrEnum):
    """Which bad events are counted."""

    ERRORS = "errors"
    """Failures for reasons of the agent's own."""
    SLOW = "slow"
    """Replies later than `slow_after`."""
    TOKENS = "tokens"
    """Replies that used more than `tokens_above`."""


class OnBad(StrEnum):
    """What happens to a candidate that is worse."""

    ROLLBACK = "rollback"
    PAUSE = "pause"


class OnInconclusive(StrEnum):
    """What happens when a stage has had its longest time and there is not enough to tell."""

    PAUSE = "pause"
    EXTEND = "extend"
    PROMOTE = "promote"


class AfterAbort(StrEnum):
    """What becomes of conversations that began with a candidate that was rolled back."""

    FINISH = "finish"
    """They stay with it to their end."""
    MOVE = "move"
    """Their next message goes to the version that is live."""


class Stage(BaseModel):
    """One stage of a canary."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    percent: float = Field(gt=0, le=100, description="Share of new conversations that the candidate gets.")
    duration: Seconds = Field(
        default=0.0, ge=0, le=LONGEST_STAGE, description='How long the stage lasts at least, such as "10m".'
    )
    sample: int = Field(
        default=20, ge=1, le=1_000_000, description="Messages that each version must have had before it goes on."
    )


STAGES = (
    Stage(percent=5, duration=600, sample=20),
    Stage(percent=25, duration=600, sample=50),
    Stage(percent=50, duration=600, sample=100),
)


class RolloutPlan(BaseModel):
    """`[rollout]`: how a new version of the agent goes live."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Annotated[Strategy, one_of(Strategy)] = Field(
        default=Strategy.CANARY, description="direct, blue_green or canary."
    )
    stages: list[Stage] = Field(
        default=list(STAGES), min_length=1, max_length=MOST_STAGES, description="Of a canary; shares rise."
    )
    slow_after: Seconds | None = Field(
        default=None, gt=0, description="Compares how many replies come later than this; left out: not compared."
    )
    tokens_above: int | None = Field(
        default=None, gt=0, description="Compares how many replies use more tokens than this; left out: not compared."
    )
    tolerance: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="By how much the candidate's share of bad replies may lie above the stable version's, to go on.",
    )
    longest: Seconds = Field(
        default=86_400.0,
        gt=0,
        le=LONGEST_STAGE,
        description="How long a stage may stay without enough messages to tell.",
    )
    look_every: Seconds = Field(
        default=10.0, ge=0.2, le=600, description="How often the versions are compared, and something is done about it."
    )
    on_bad: Annotated[OnBad, one_of(OnBad)] = Field(
        default=OnBad.ROLLBACK, description="When the candidate is worse: rollback or pause."
    )
    on_inconclusive: Annotated[OnInconclusive, one_of(OnInconclusive)] = Field(
        default=OnInconclusive.PAUSE, description="After `longest` without enough to tell: pause, extend or promote."
    )
    after_abort: Annotated[AfterAbort, one_of(AfterAbort)] = Field(
        default=AfterAbort.FINISH,
        description="Conversations of a candidate that was rolled back: finish (with it) or move (to the live version).",
    )
    keep: Seconds = Field(
        default=3_600.0,
        ge=0,
        le=LONGEST_STAGE,
        description="blue_green: how long the old version is kept for a way back.",
    )

    @model_validator(mode="after")
    def _shares_rise(self) -> Self:
        shares = [stage.percent for stage in self.stages]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError("each stage needs a larger `percent` than the one before it")
        if shares[-1] == 100 and self.strategy is Strategy.CANARY:
            raise ValueError(
                "the last stage ends with all of the traffic by itself: give it less than 100, so that there is "
                "something to compare with"
            )
        if any(stage.duration > self.longest for stage in self.stages):
            raise ValueError("`longest` is shorter than a stage lasts, so the stage could never be told good")
        return self

    @property
    def metrics(self) -> list[Metric]:
        """What is compared."""
        found = [Metric.ERRORS]
        if self.slow_after is not None:
            found.append(Metric.SLOW)
        if self.tokens_above is not None:
            found.append(Metric.TOKENS)
        return found

    @property
    def steps(self) -> list[Stage]:
        """Its stages; a switch is one of all traffic."""
        if self.strategy is Strategy.BLUE_GREEN:
            return [Stage(percent=100, duration=min(self.keep, self.longest), sample=1)]
        return self.stages


class RolloutState(StrEnum):
    """States of a rollout."""

    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    """Another deployment changed or removed the agent."""


ROLLOUT_LIFECYCLE = StateMachine(
    "rollout",
    RolloutState,
    {
        RolloutState.PROGRESSING: {
            RolloutState.PAUSED,
            RolloutState.PROMOTED,
            RolloutState.ROLLED_BACK,
            RolloutState.SUPERSEDED,
        },
        RolloutState.PAUSED: {
            RolloutState.PROGRESSING,
            RolloutState.PROMOTED,
            RolloutState.ROLLED_BACK,
            RolloutState.SUPERSEDED,
        },
        RolloutState.PROMOTED: {RolloutState.ROLLED_BACK},
        RolloutState.ROLLED_BACK: {RolloutState.PROGRESSING},
    },
)

LIVE = (RolloutState.PROGRESSING, RolloutState.PAUSED)

Command = Literal["pause", "resume", "promote", "abort", "retry", "undo"]

LEGAL: dict[Command, tuple[RolloutState, ...]] = {
    "pause": (RolloutState.PROGRESSING,),
    "resume": (RolloutState.PAUSED,),
    "promote": LIVE,
    "abort": LIVE,
    "retry": (RolloutState.ROLLED_BACK,),
    "undo": (RolloutState.PROMOTED,),
}
"""In which states a command is legal; abort always wins, for it is legal wherever a candidate has traffic."""


class Rollout(BaseModel):
    """A rollout as it is kept."""

    id: str
    scope: Scope
    agent: str
    deployment_id: DeploymentId
    plan: RolloutPlan
    stable: Digest
    stable_version: str
    candidate: Digest
    candidate_version: str
    state: RolloutState = RolloutState.PROGRESSING
    reason: str = ""
    """Why it is paused, or has ended so."""
    stage: int = 0
    """Counts from 0."""
    comparisons: dict[Metric, Comparison] = {}
    """Over all stages: a test that may be looked at at any time need not start over."""
    stable_messages: int = 0
    candidate_messages: int = 0
    """Since the stage began."""
    extended: int = 0
    """How often the stage was given its longest time again."""
    actor: str = ""
    began_at: datetime
    stage_began_at: datetime
    looked_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether the candidate gets traffic."""
        return self.state in LIVE

    @property
    def at_stage(self) -> Stage:
        """The stage that it is at."""
        return self.plan.steps[min(self.stage, len(self.plan.steps) - 1)]

    @property
    def verdicts(self) -> dict[Metric, Verdict]:
        """What each metric says by now."""
        alpha = ALPHA / len(self.plan.metrics)  # so that all of them together keep to it
        enough = min(self.stable_messages, self.candidate_messages) >= self.at_stage.sample
        return {
            metric: self.comparisons.get(metric, Comparison()).verdict(
                alpha=alpha, enough=enough, tolerance=self.plan.tolerance
            )
            for metric in self.plan.metrics
        }

    @property
    def verdict(self) -> Verdict:
        """What they say together: bad if one is, good if all are."""
        found = set(self.verdicts.values())
        if Verdict.BAD in found:
            return Verdict.BAD
        return Verdict.GOOD if found == {Verdict.GOOD} else Verdict.INCONCLUSIVE

    def after(self, outcomes: "Outcomes", moment: datetime) -> "Rollout":
        """With what a look found."""
        comparisons = {
            metric: self.comparisons.get(metric, Comparison()).after(*outcomes.counted[metric])
            for metric in self.plan.metrics
        }
        stable, candidate = outcomes.counted[Metric.ERRORS]
        news = {
            "comparisons": comparisons,
            "stable_messages": self.stable_messages + stable.messages,
            "candidate_messages": self.candidate_messages + candidate.messages,
            "looked_at": moment,
        }
        return self.model_copy(update=news)

    def at(self, stage: int, moment: datetime) -> "Rollout":
        """At the beginning of a stage."""
        news: dict[str, Any] = {
            "stage": stage,
            "stage_began_at": moment,
            "stable_messages": 0,
            "candidate_messages": 0,
            "extended": 0,
            "state": RolloutState.PROGRESSING,
            "reason": "",
            "ended_at": None,
        }
        return self.model_copy(update=news)

    def retried(self, moment: datetime) -> "Rollout":
        """From its first stage on, with nothing compared yet."""
        return self.at(0, moment).model_copy(update={"comparisons": {}})

    def changed(self, state: RolloutState, reason: str, moment: datetime) -> "Rollout":
        """In another state.

        Raises:
            InvalidState: that state may not follow the present one.
        """
        ROLLOUT_LIFECYCLE.change(self.state, state, name=self.agent)
        ended = None if state in LIVE else moment
        return self.model_copy(update={"state": state, "reason": reason, "ended_at": ended})

    def check(self, command: Command) -> None:
        """Checks that `command` is legal now.

        Raises:
            InvalidState: it is not; the message names those that are.
        """
        if self.state in LEGAL[command]:
            return
        legal = [name for name, states in LEGAL.items() if self.state in states]
        hints = [Hint(text=f"what can be done now: {', '.join(legal)}")] if legal else []
        if self.state is RolloutState.SUPERSEDED:
            hints = [Hint(text="another deployment came after it; deploy again what you want", command="caxton deploy")]
        raise InvalidState(
            f'the rollout of "{self.agent}" is {self.state}: it cannot be told to {command}',
            *hints,
            Hint(text="see how it stands", command=f"caxton rollout status {self.agent}"),
            details={"rollout": self.id, "agent": self.agent, "state": self.state, "legal": legal},
        )


class Outcome(BaseModel):
    """How one message of an agent in a rollout ended."""

    model_config = ConfigDict(frozen=True)

    rollout_id: str
    digest: Digest
    failed: bool
    took: float
    """Seconds."""
    tokens: int


class Outcomes(BaseModel):
    """What a look found: for each metric what the stable version had and what the candidate had."""

    counted: dict[Metric, tuple[Counted, Counted]]


def count(rollout: Rollout, outcomes: list[Outcome]) -> Outcomes:
    """Counts bad events of both sides."""
    plan = rollout.plan

    def is_bad(metric: Metric, outcome: Outcome) -> bool:
        if metric is Metric.ERRORS:
            return outcome.failed
        if metric is Metric.SLOW:
            return plan.slow_after is not None and outcome.took > plan.slow_after
        return plan.tokens_above is not None and outcome.tokens > plan.tokens_above

    def side(metric: Metric, digest: Digest) -> Counted:
        own = [outcome for outcome in outcomes if outcome.digest == digest]
        return Counted(messages=len(own), bad=sum(is_bad(metric, outcome) for outcome in own))

    found = {metric: (side(metric, rollout.stable), side(metric, rollout.candidate)) for metric in plan.metrics}
    return Outcomes(counted=found)


NOT_ITS_OWN = frozenset(
    {
        "approval_rejected",
        "approval_timeout",
        "audit_sink_behind",
        "budget_exceeded",
        "conversation_closed",
        "disk_full",
        "engine_unavailable",
        "execution_cancelled",
        "execution_interrupted",
        "execution_replaced",
        "invalid_input",
        "no_worker",
        "overloaded",
        "payload_too_large",
        "rate_limited",
        "store_unavailable",
    }
)
"""Errors that say nothing of the version at work: the caller, an operator or the machine is their reason."""


class Decision(StrEnum):
    """What a look leads to."""

    WAIT = "wait"
    GO_ON = "go on"
    """To the next stage; after the last one, the candidate is promoted."""
    ROLLBACK = "rollback"
    PAUSE = "pause"
    EXTEND = "extend"


def decide(rollout: Rollout, moment: datetime) -> tuple[Decision, str]:
    """What is to be done at `moment`, and why."""
    if rollout.state is not RolloutState.PROGRESSING:
        return Decision.WAIT, ""
    plan, verdict = rollout.plan, rollout.verdict
    elapsed = (moment - rollout.stage_began_at).total_seconds()
    if verdict is Verdict.BAD:
        return (Decision.ROLLBACK if plan.on_bad is OnBad.ROLLBACK else Decision.PAUSE), why_bad(rollout)
    if plan.strategy is Strategy.BLUE_GREEN:
        return (Decision.GO_ON, "the old version was kept as long as it was to be") if elapsed >= plan.keep else _WAIT
    if verdict is Verdict.GOOD and elapsed >= rollout.at_stage.duration:
        return Decision.GO_ON, "the candidate is no worse"
    if elapsed < plan.longest * (rollout.extended + 1):
        return _WAIT
    told = f"after {format_duration(elapsed)} there is not enough to tell"
    match plan.on_inconclusive:
        case OnInconclusive.PAUSE:
            return Decision.PAUSE, told
        case OnInconclusive.EXTEND:
            return Decision.EXTEND, told
        case OnInconclusive.PROMOTE:
            return Decision.GO_ON, told


_WAIT = (Decision.WAIT, "")

_BAD_WORDS = {Metric.ERRORS: "failed", Metric.SLOW: "were slow", Metric.TOKENS: "used too many tokens"}


def why_bad(rollout: Rollout) -> str:
    """What made the verdict bad, for people."""
    found: list[str] = []
    for metric, verdict in rollout.verdicts.items():
        if verdict is Verdict.BAD:
            each = rollout.comparisons[metric]
            found.append(
                f"{each.candidate.bad} of {each.candidate.messages} messages {_BAD_WORDS[metric]}, "
                f"and {each.stable.bad} of {each.stable.messages} of the stable version"
            )
    return "; ".join(found)


def gets(conversation: ConversationId, candidate: Digest, percent: float) -> bool:
    """Whether a conversation is of the candidate's share.

    The hash is of both, so a conversation stays on its side while the share grows, and the next candidate gets others.
    """
    mark = int.from_bytes(hashlib.blake2b(f"{conversation} {candidate}".encode(), digest_size=8).digest(), "big")
    return mark < percent / 100 * 2**64


def unknown_rollout(name: str) -> NotFound:
    """The error for a rollout that is not there."""
    return NotFound(
        f'there is no rollout of "{name}"',
        Hint(text="see which there are", command="caxton rollout status"),
        Hint(text="begin one: deploy a new version", command="caxton deploy --strategy canary"),
        details={"rollout": name},
    )
