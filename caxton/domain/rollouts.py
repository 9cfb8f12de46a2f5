"""Rollouts: a new version of an agent gets a part of the traffic first, is compared, and goes live or goes away."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from caxton.domain.errors import Hint, InvalidState, NotFound
from caxton.domain.gates import Gate, GateKind, GateResult, GateState, Moment
from caxton.domain.ids import ConversationId, DeploymentId, Digest, ExecutionId, Scope
from caxton.domain.lifecycle import StateMachine
from caxton.domain.quantities import format_duration
from caxton.domain.rollout_metrics import Metric
from caxton.domain.rollout_plans import (
    SHADOW,
    OnBad,
    OnInconclusive,
    RolloutPlan,
    Stage,
    Strategy,
)
from caxton.domain.state_words import in_words
from caxton.domain.verdicts import Comparison, Counted, Verdict

MOST_ROLLOUTS = 20_000
"""Under way at the same time in a workspace: one an agent."""

PAUSED_LOOK = 60.0
"""Seconds between looks at a paused rollout: what its messages came to does not pile up."""

GATE_LOOK = 1.0
"""Seconds between looks at one whose candidate answers recorded turns."""

UNDO_WITHIN = timedelta(hours=1)
"""How long after its promotion a rollout can be undone with one command."""

ALPHA = 0.05
"""How often a candidate that is no worse may be called bad, over the whole of a rollout and all its metrics."""


class RolloutState(StrEnum):
    """States of a rollout."""

    GATING = "Gating"
    """The candidate waits for its gates, and gets no traffic."""
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
        RolloutState.GATING: {
            RolloutState.PROGRESSING,
            RolloutState.PROMOTED,
            RolloutState.ROLLED_BACK,
            RolloutState.SUPERSEDED,
        },
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
        RolloutState.ROLLED_BACK: {RolloutState.GATING, RolloutState.PROGRESSING},
    },
)

LIVE = (RolloutState.GATING, RolloutState.PROGRESSING, RolloutState.PAUSED)
"""Under way."""

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
    comparisons: dict[str, Comparison] = {}
    """Over all stages: a test that may be looked at at any time need not start over."""
    stable_messages: int = 0
    candidate_messages: int = 0
    """Since the stage began."""
    judged: tuple[Counted, Counted] = (Counted(), Counted())
    """What a judge has said of both sides since both were compared last."""
    extended: int = 0
    """How often the stage was given its longest time again."""
    actor: str = ""
    began_at: datetime
    stage_began_at: datetime
    looked_at: datetime | None = None
    ended_at: datetime | None = None
    round: int = 0
    """How often it was begun before."""
    results: list[GateResult] = []
    """How its gates stand, and its shadow."""
    asks: Moment | None = None
    """What it waits for a webhook to confirm, before it goes on."""
    asked_at: datetime | None = None
    confirmed: int = -1
    """The stage behind which a webhook has agreed to go on."""
    shadowed_until: datetime | None = None
    """The end of the last turn that the shadow has taken up."""

    @property
    def is_live(self) -> bool:
        """Whether it is under way."""
        return self.state in LIVE

    @property
    def is_gating(self) -> bool:
        """Whether gates stand before the candidate's traffic."""
        return self.state is RolloutState.GATING

    @property
    def share(self) -> float:
        """Percent of new conversations that the candidate gets, while it is under way."""
        if self.is_gating or self.plan.strategy is Strategy.SHADOW:
            return 0.0
        return self.at_stage.percent

    @property
    def first_state(self) -> RolloutState:
        """The state in which it begins."""
        return RolloutState.GATING if any(gate.is_before for gate in self.plan.gates) else RolloutState.PROGRESSING

    @property
    def next_gate(self) -> Gate | None:
        """The first gate before the candidate's traffic that is not passed."""
        waiting = {result.name for result in self.results if result.state is GateState.WAITING}
        return next((gate for gate in self.plan.gates if gate.is_before and gate.name in waiting), None)

    @property
    def waits_for_checks(self) -> bool:
        """Whether something outside of the store has to be asked."""
        moments = {gate.at for gate in self.plan.gates}
        if self.state is RolloutState.PROGRESSING:
            each_look = moments & {Moment.ROLLOUT, Moment.ROLLBACK}
            others = self.plan.strategy is Strategy.SHADOW or self.plan.judge is not None
            return bool(each_look) or self.asks is not None or others
        if self.state in (RolloutState.PROMOTED, RolloutState.ROLLED_BACK):
            return any(r.at is Moment.POST_ROLLOUT and r.state is GateState.WAITING for r in self.results)
        return self.is_gating

    @property
    def wait(self) -> float:
        """Seconds until somebody looks at it again; a command has it looked at at once."""
        if self.state is RolloutState.PAUSED:
            return max(PAUSED_LOOK, self.plan.look_every)
        replays = self.is_gating and (self.next_gate is None or self.next_gate.kind is GateKind.REPLAY)
        shadows = self.state is RolloutState.PROGRESSING and self.plan.strategy is Strategy.SHADOW
        return min(self.plan.look_every, GATE_LOOK) if replays or shadows else self.plan.look_every

    @property
    def confirms(self) -> Moment | None:
        """What a webhook has to confirm before the next stage, and has not confirmed."""
        is_last = self.stage + 1 >= len(self.plan.steps)
        moment = Moment.CONFIRM_PROMOTION if is_last else Moment.CONFIRM_TRAFFIC_INCREASE
        wanted = any(gate.at is moment for gate in self.plan.gates)
        return moment if wanted and self.confirmed < self.stage else None

    def key_of(self, gate: str) -> str:
        """What rehearsals and questions of a gate are filed under: each time that the rollout begins, another one."""
        return f"{gate}-{self.round}"

    def result(self, name: str) -> GateResult:
        """How a gate, or the shadow, stands."""
        return next(result for result in self.results if result.name == name)

    def with_result(self, result: GateResult) -> "Rollout":
        """With another result of a gate."""
        results = [result if each.name == result.name else each for each in self.results]
        return self.model_copy(update={"results": results})

    def begun(self, moment: datetime) -> "Rollout":
        """At its beginning: before its gates, or at its first stage."""
        results = [GateResult(name=gate.name, kind=gate.kind, at=gate.at) for gate in self.plan.gates]
        if self.plan.strategy is Strategy.SHADOW:
            results.append(GateResult(name=SHADOW, kind=GateKind.REPLAY, began_at=moment))
        news: dict[str, Any] = {"results": results, "state": self.first_state, "asks": None, "confirmed": -1}
        return self.model_copy(update={**news, "asked_at": None, "shadowed_until": None})

    @property
    def at_stage(self) -> Stage:
        """The stage that it is at."""
        return self.plan.steps[min(self.stage, len(self.plan.steps) - 1)]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """What each metric says by now."""
        alpha = ALPHA / len(self.plan.compared)  # so that all of them together keep to it
        enough = min(self.stable_messages, self.candidate_messages) >= self.at_stage.sample
        found: dict[str, Verdict] = {}
        for metric in self.plan.compared:
            known = self.comparisons.get(metric, Comparison())
            # Of some metrics only a part of the messages is known; what is not known is not good.
            seen = min(known.stable.messages, known.candidate.messages) >= self.at_stage.sample
            found[metric] = known.verdict(alpha=alpha, enough=enough and seen, tolerance=self.plan.tolerance)
        return found

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
            for metric in self.plan.compared
        }
        stable, candidate = outcomes.counted[Metric.ERRORS]
        news: dict[str, Any] = {
            "comparisons": comparisons,
            "stable_messages": self.stable_messages + stable.messages,
            "candidate_messages": self.candidate_messages + candidate.messages,
            "looked_at": moment,
        }
        if all(side.messages for side in self.judged):
            news["judged"] = Counted(), Counted()
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
        fresh: dict[str, Any] = {"comparisons": {}, "judged": (Counted(), Counted()), "round": self.round + 1}
        again = self.at(0, moment).model_copy(update=fresh)
        return again.begun(moment)

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
            f'the rollout of "{self.agent}" is {in_words(self.state)}: it cannot be told to {command}',
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
    cost: float = 0.0
    """US dollars."""
    breached: bool = False
    """Whether it came later than its capability promises."""
    execution_id: ExecutionId = ExecutionId("")


class Outcomes(BaseModel):
    """What a look found: for each metric what the stable version had and what the candidate had."""

    counted: dict[str, tuple[Counted, Counted]]


Marked = Mapping[str, Mapping[ExecutionId, bool]]
"""Of metrics by events: turns that were examined, and whether each is bad."""


def count(rollout: Rollout, outcomes: Sequence[Outcome], marked: Marked | None = None) -> Outcomes:
    """Counts bad events of both sides."""
    plan = rollout.plan

    def is_bad(metric: str, outcome: Outcome) -> bool:
        match metric:
            case Metric.SLOW:
                return plan.slow_after is not None and outcome.took > plan.slow_after
            case Metric.BREACHES:
                return outcome.breached
            case Metric.TOKENS:
                return plan.tokens_above is not None and outcome.tokens > plan.tokens_above
            case Metric.COST:
                return plan.cost_above is not None and outcome.cost > plan.cost_above
            case _:
                return outcome.failed

    def side(metric: str, digest: Digest) -> Counted:
        own = [outcome for outcome in outcomes if outcome.digest == digest]
        known = (marked or {}).get(metric)
        if known is not None:
            bad = [known[outcome.execution_id] for outcome in own if outcome.execution_id in known]
            return Counted(messages=len(bad), bad=sum(bad))
        return Counted(messages=len(own), bad=sum(is_bad(metric, outcome) for outcome in own))

    found = {metric: (side(metric, rollout.stable), side(metric, rollout.candidate)) for metric in plan.compared}
    if plan.judge is not None:
        # The test compares what both sides did in the same time, so a verdict on one side waits for one on the other.
        found[Metric.JUDGE] = (
            rollout.judged if all(each.messages for each in rollout.judged) else (Counted(), Counted())
        )
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

_BAD_WORDS: dict[str, str] = {
    Metric.ERRORS: "failed",
    Metric.SLOW: "were slow",
    Metric.BREACHES: "came later than was promised",
    Metric.TOKENS: "used too many tokens",
    Metric.COST: "cost too much",
    Metric.JUDGE: "got a low score",
}


def why_bad(rollout: Rollout) -> str:
    """What made the verdict bad, for people."""
    found: list[str] = []
    for metric, verdict in rollout.verdicts.items():
        if verdict is Verdict.BAD:
            each = rollout.comparisons[metric]
            found.append(
                f"{each.candidate.bad} of {each.candidate.messages} messages {_BAD_WORDS.get(metric) or f'had {metric}'}, "
                f"and {each.stable.bad} of {each.stable.messages} of the stable version"
            )
    return "; ".join(found)


def gets(conversation: ConversationId, candidate: Digest, percent: float) -> bool:
    """Whether a conversation is of the candidate's share.

    The hash is of both, so a conversation stays on its side while the share grows, and the next candidate gets others.
    """
    mark = int.from_bytes(hashlib.blake2b(f"{conversation} {candidate}".encode(), digest_size=8).digest(), "big")
    return mark < percent / 100 * 2**64


def unknown_rollout(name: str, similar: Sequence[str] = ()) -> NotFound:
    """The error for a rollout that is not there; `similar` are agents with names like it."""
    return NotFound(
        f'there is no rollout of "{name}"',
        *(Hint(text=f'did you mean "{each}"?', command=f"caxton rollout status {each}") for each in similar[:1]),
        Hint(text="see which there are", command="caxton rollout status"),
        Hint(text="begin one: deploy a new version", command="caxton deploy --strategy canary"),
        details={"rollout": name},
    )
