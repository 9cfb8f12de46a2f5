"""Gates: what has to be so before a candidate takes traffic, and rules that tell whether its answers differ."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.given import ID_PATTERN
from caxton.domain.governance import ApprovalMode
from caxton.domain.ids import ExecutionId, Name
from caxton.domain.quantities import Seconds, one_of

ROLLOUT = "rollout"
"""The type of the action that a person approves for a gate."""

MOST_GATES = 20

MOST_TURNS = 200
"""Recorded turns that one gate replays."""

MOST_TOLD = 50
"""Differences that are kept of a gate or a shadow; further ones are counted."""


class RuleName(StrEnum):
    """What is compared between a recorded turn and the candidate's."""

    EXACT = "exact"
    """The replies are the same text."""
    SIMILAR = "similar"
    """The replies mean about the same: the cosine of their embeddings is `at_least`."""
    SAME_CALLS = "same_calls"
    """The same tools and capabilities were called, in the same order."""
    RECORDED_CALLS = "recorded_calls"
    """Each call is in the record, with the same arguments: none was answered by a dry run."""
    NO_NEW_ERRORS = "no_new_errors"
    """A turn that was completed is completed."""
    LATENCY = "latency"
    """The models took, in all turns together, `at_most` times as long."""
    TOKENS = "tokens"
    """They used, in all turns together, `at_most` times as many tokens."""
    COST = "cost"
    """They cost, in all turns together, `at_most` times as much."""


IN_ALL = (RuleName.LATENCY, RuleName.TOKENS, RuleName.COST)
"""Rules that compare all turns together: single ones vary."""

AT_LEAST = 0.8
AT_MOST = 1.5


class Rule(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Annotated[RuleName, one_of(RuleName)] = Field(description="What is compared.")
    at_least: float | None = Field(default=None, gt=0, le=1, description="similar: the least cosine; 0.8 if left out.")
    at_most: float | None = Field(
        default=None, gt=0, le=1_000, description="latency, tokens, cost: how many times as much; 1.5 if left out."
    )

    @model_validator(mode="after")
    def _has_its_own(self) -> Self:
        if self.at_least is not None and self.rule is not RuleName.SIMILAR:
            raise ValueError('`at_least` goes with the rule "similar"')
        if self.at_most is not None and self.rule not in IN_ALL:
            raise ValueError("`at_most` goes with the rules latency, tokens and cost")
        return self

    @property
    def least(self) -> float:
        """The cosine that is enough."""
        return AT_LEAST if self.at_least is None else self.at_least

    @property
    def most(self) -> float:
        """How many times as much is allowed."""
        return AT_MOST if self.at_most is None else self.at_most


RULES = (Rule(rule=RuleName.NO_NEW_ERRORS), Rule(rule=RuleName.SAME_CALLS), Rule(rule=RuleName.SIMILAR))
"""Where none are given."""


def default_rules() -> list[Rule]:
    """The rules where none are given."""
    return list(RULES)


class GateKind(StrEnum):
    """Kinds of gates."""

    REPLAY = "replay"
    """Recorded turns are replayed against the candidate."""
    WEBHOOK = "webhook"
    """A system outside is asked."""
    PERSON = "person"
    """A person approves."""


class Moment(StrEnum):
    """When a webhook is asked: the moments that Flagger has."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    """Before anything else, until it agrees."""
    PRE_ROLLOUT = "pre-rollout"
    """Before the candidate takes traffic; a refusal rolls it back."""
    ROLLOUT = "rollout"
    """At every look; a refusal counts as a bad candidate."""
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    """Before each further stage, until it agrees."""
    CONFIRM_PROMOTION = "confirm-promotion"
    """Before the candidate goes live, until it agrees."""
    POST_ROLLOUT = "post-rollout"
    """After the end, whichever it was; the answer does not matter."""
    ROLLBACK = "rollback"
    """At every look; an agreement rolls the candidate back."""


BEFORE = (Moment.CONFIRM_ROLLOUT, Moment.PRE_ROLLOUT)
"""Moments before the candidate takes traffic."""


class Gate(BaseModel):
    """`[[rollout.gates]]`: one gate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="For reports and the log; each gate has its own.")
    kind: Annotated[GateKind, one_of(GateKind)] = Field(
        default=GateKind.REPLAY, description="replay, webhook or person."
    )
    last: int = Field(default=20, ge=1, le=MOST_TURNS, description="replay: so many of the agent's latest turns.")
    conversations: list[Annotated[str, Field(pattern=ID_PATTERN)]] = Field(
        default=[], max_length=50, description="replay: the turns of these conversations, in place of the latest."
    )
    rules: list[Rule] = Field(
        default_factory=default_rules, min_length=1, max_length=20, description="replay: what must be so."
    )
    tolerance: float = Field(default=0.0, ge=0, le=1, description="replay: the share of turns that may differ.")
    on_empty: Literal["fail", "pass"] = Field(
        default="fail", description="replay: what it comes to where there is nothing to replay."
    )
    at: Annotated[Moment, one_of(Moment)] | None = Field(default=None, description="webhook: when it is asked.")
    channel: Name | None = Field(default=None, description="webhook: a channel of the server's settings.")
    approval_mode: Literal["operator", "founder"] = Field(default="operator", description="person: who decides.")
    timeout: Seconds | None = Field(
        default=None, gt=0, le=30 * 86_400.0, description="How long it may take; 10 minutes, for a person a day."
    )

    @model_validator(mode="after")
    def _has_its_own(self) -> Self:
        webhook = self.kind is GateKind.WEBHOOK
        if webhook and (self.at is None or self.channel is None):
            raise ValueError("a webhook needs `at`, the moment when it is asked, and `channel`")
        if not webhook and (self.at is not None or self.channel is not None):
            raise ValueError("`at` and `channel` go with a webhook")
        if self.approval_mode != "operator" and self.kind is not GateKind.PERSON:
            raise ValueError("`approval_mode` goes with a person")
        return self

    @property
    def is_before(self) -> bool:
        """Whether it is passed before the candidate takes traffic."""
        return self.kind is not GateKind.WEBHOOK or self.at in BEFORE

    @property
    def patience(self) -> float:
        """Seconds that it may take."""
        if self.timeout is not None:
            return self.timeout
        return 86_400.0 if self.kind is GateKind.PERSON else 600.0

    @property
    def mode(self) -> ApprovalMode:
        """Who decides."""
        return ApprovalMode(self.approval_mode)


DEFAULT_GATE = Gate(name="recorded-turns")
"""What `caxton deploy --gate` asks for where an agent's file says nothing."""


class Difference(BaseModel):
    """Where a candidate's turn is not what the recorded one was. It names both, and quotes neither."""

    source: ExecutionId
    execution: ExecutionId | None = None
    rule: str
    text: str


class Totals(BaseModel):
    """What all compared turns took together."""

    latency_ms: float = 0.0
    """Of models' answers."""
    tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: "Totals") -> "Totals":
        """Both together."""
        return Totals(
            latency_ms=self.latency_ms + other.latency_ms,
            tokens=self.tokens + other.tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class GateState(StrEnum):
    """States of a gate."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


class GateResult(BaseModel):
    """How a gate stands."""

    name: str
    kind: GateKind
    at: Moment | None = None
    state: GateState = GateState.WAITING
    reason: str = ""
    turns: int = 0
    """Recorded turns that are to be replayed."""
    compared: int = 0
    differ: int = 0
    """Of those that were compared."""
    differences: list[Difference] = []
    recorded: Totals = Totals()
    candidate: Totals = Totals()
    approval_id: str | None = None
    attempts: int = 0
    """How often a webhook was asked."""
    began_at: datetime | None = None

    @property
    def share(self) -> float:
        """Which part of the compared turns differs."""
        return self.differ / self.compared if self.compared else 0.0


class Answered(BaseModel):
    """What a turn came to."""

    text: str = ""
    error_code: str | None = None
    calls: list[str] = []
    """Functions and capabilities that were called, in order."""
    dry: int = 0
    """Calls that are not in the record."""
    totals: Totals = Totals()


def differences(
    rules: Sequence[Rule], recorded: Answered, candidate: Answered, cosine: float | None
) -> list[tuple[RuleName, str]]:
    """The rules that one turn breaks, and how. `cosine` is that of the two replies, where a rule wants it."""
    found: list[tuple[RuleName, str]] = []
    failed = candidate.error_code is not None
    for rule in rules:
        text: str | None = None
        match rule.rule:
            case RuleName.NO_NEW_ERRORS if failed and recorded.error_code is None:
                text = f"it failed: {candidate.error_code}"
            case RuleName.EXACT if recorded.text != candidate.text:
                text = "the reply is another one"
            case RuleName.SIMILAR if cosine is None:
                text = "there are no two replies to compare"
            case RuleName.SIMILAR if cosine is not None and cosine < rule.least:
                text = f"the replies are similar by {cosine:.2f}; at least {rule.least:g} is wanted"
            case RuleName.SAME_CALLS if recorded.calls != candidate.calls:
                text = f"calls: {_listed(recorded.calls)}; the candidate's: {_listed(candidate.calls)}"
            case RuleName.RECORDED_CALLS if candidate.dry:
                text = f"{candidate.dry} of its calls are not in the record"
            case _:
                pass
        if text is not None:
            found.append((rule.rule, text))
    return found


def exceeded(rules: Sequence[Rule], recorded: Totals, candidate: Totals) -> str | None:
    """Which rule on all turns together is broken, and how; None if none is."""
    for rule in rules:
        pair = {
            RuleName.LATENCY: (recorded.latency_ms, candidate.latency_ms, "ms of models"),
            RuleName.TOKENS: (recorded.tokens, candidate.tokens, "tokens"),
            RuleName.COST: (recorded.cost_usd, candidate.cost_usd, "$"),
        }.get(rule.rule)
        if pair is not None and pair[1] > pair[0] * rule.most:
            before, after, unit = pair
            return f"{rule.rule}: {after:,.6g} {unit} in place of {before:,.6g}, more than {rule.most:g} times as much"
    return None


def wants_embeddings(rules: Sequence[Rule]) -> bool:
    """Whether a rule compares what replies mean."""
    return any(rule.rule is RuleName.SIMILAR for rule in rules)


def _listed(calls: Sequence[str]) -> str:
    shown = ", ".join(calls[:8]) or "none"
    return f"{shown}, …" if len(calls) > 8 else shown


class Rehearsal(BaseModel):
    """One recorded turn that is replayed for a gate or a shadow."""

    rollout_id: str
    gate: str
    """Name of the gate, and how often the rollout was begun before."""
    source: ExecutionId
    execution_id: ExecutionId
    state: Literal["waiting", "started", "done"] = "waiting"
