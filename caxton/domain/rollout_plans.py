"""Plans of rollouts: how a new version of an agent gets its traffic, as its file says."""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.gates import MOST_GATES, Gate, Rule, Totals, default_rules
from caxton.domain.problems import WrongAt
from caxton.domain.quantities import Seconds, format_duration, one_of
from caxton.domain.rollout_metrics import MOST_METRICS, EventMetric, Judge, Metric

MOST_STAGES = 20

AMPLE = 1_000
"""Rehearsals that there is room for where they use nothing."""

SHADOW = "shadow"
"""What the report of a shadow is called among those of gates."""

LONGEST_STAGE = 30 * 86_400.0
"""Seconds."""


class Strategy(StrEnum):
    """How a new version gets its traffic."""

    DIRECT = "direct"
    """All of it, at once."""
    BLUE_GREEN = "blue_green"
    """All new conversations at once; the old version is kept, and is back with one command."""
    CANARY = "canary"
    """In stages."""
    SHADOW = "shadow"
    """None: it gets the same requests, and answers nobody."""


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


class ShadowBudget(BaseModel):
    """What a shadow may use of its own: nothing of it counts against other budgets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(default=1_000_000, gt=0, description="Tokens of all rehearsals together.")
    cost_usd: float | None = Field(default=None, gt=0, description="Likewise, their cost; left out: not limited.")

    def room(self, used: Totals, rehearsals: int) -> int:
        """For how many further rehearsals there is room, if they use what the `rehearsals` so far did on the average."""
        if not rehearsals:
            return 1  # so that it is known what one uses
        left = [(self.tokens - used.tokens, used.tokens)]
        left += [] if self.cost_usd is None else [(self.cost_usd - used.cost_usd, used.cost_usd)]
        return min(AMPLE if spent == 0 else max(0, int(rest * rehearsals / spent)) for rest, spent in left)


class Shadow(BaseModel):
    """`[rollout.shadow]`: how long the candidate gets the same requests, and what its answers are compared by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    percent: float = Field(
        default=100.0, gt=0, le=100, description="Share of the turns that the candidate gets as well."
    )
    sample: int = Field(default=20, ge=1, le=10_000, description="Turns that must have been compared before it ends.")
    duration: Seconds = Field(default=0.0, ge=0, le=LONGEST_STAGE, description="How long it lasts at least.")
    rules: list[Rule] = Field(
        default_factory=default_rules, min_length=1, max_length=20, description="What must be so."
    )
    tolerance: float = Field(default=0.1, ge=0, le=1, description="The share of turns that may differ.")
    budget: ShadowBudget = Field(default_factory=ShadowBudget, description="What it may use.")
    on_good: Literal["pause", "promote"] = Field(
        default="pause", description="When no more differ: pause, so that a person reads the report, or promote."
    )


class RolloutPlan(BaseModel):
    """`[rollout]`: how a new version of the agent goes live."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Annotated[Strategy, one_of(Strategy)] = Field(
        default=Strategy.CANARY, description="direct, blue_green, canary or shadow."
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
    breaches: bool = Field(
        default=False, description="Compares how many replies come later than their capability's `sla` promises."
    )
    cost_above: float | None = Field(
        default=None,
        gt=0,
        description="Compares how many replies cost more US dollars than this; left out: not compared.",
    )
    metrics: list[EventMetric] = Field(
        default=[], max_length=MOST_METRICS, description="Further metrics: in how many turns an event happens."
    )
    judge: Judge | None = Field(
        default=None, description="Who gives replies a score; left out: nobody does, and none is compared."
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

    gates: list[Gate] = Field(
        default=[],
        max_length=MOST_GATES,
        description="What has to be so before the candidate takes traffic, in this order; webhooks also later.",
    )
    shadow: Shadow = Field(default_factory=Shadow, description="Of the strategy shadow.")

    @model_validator(mode="after")
    def _gates_fit(self) -> Self:
        names = [gate.name for gate in self.gates]
        if len(set(names)) < len(names):
            twice = next(number for number, name in enumerate(names) if name in names[:number])
            raise WrongAt("two gates have the same name", "gates", twice, "name", fix="give one of them another name")
        if SHADOW in names:
            place = ("gates", names.index(SHADOW), "name")
            raise WrongAt(
                f'a gate cannot be called "{SHADOW}": that is the report of a shadow', *place, fix="rename it"
            )
        late = [gate.name for gate in self.gates if not gate.is_before]
        if self.strategy is Strategy.DIRECT and late:
            raise WrongAt(
                f'"{late[0]}" is asked while the candidate gets a part of the traffic, and "direct" has no such time',
                *("gates", names.index(late[0]), "at"),
                fix='ask it "pre-rollout", or take the strategy "canary"',
            )
        return self

    @model_validator(mode="after")
    def _shares_rise(self) -> Self:
        shares = [stage.percent for stage in self.stages]
        for number, (earlier, later) in enumerate(pairwise(shares), start=1):
            if later <= earlier:
                raise WrongAt(
                    f"each stage needs a larger `percent` than the one before it, which has {earlier:g}",
                    *("stages", number, "percent"),
                    fix="put the stages in the order in which the share grows",
                )
        if shares[-1] == 100 and self.strategy is Strategy.CANARY:
            raise WrongAt(
                "the last stage ends with all of the traffic by itself, and at 100 there is nothing to compare with",
                *("stages", len(shares) - 1, "percent"),
                fix="remove it, or give it less than 100",
            )
        for number, stage in enumerate(self.stages):
            if stage.duration > self.longest:
                raise WrongAt(
                    f"`longest` ({format_duration(self.longest)}) ends the stage before it has lasted for its `duration`",
                    *("stages", number, "duration"),
                    fix=f'set longest = "{format_duration(stage.duration).replace(" ", "")}" or more, or a shorter duration',
                )
        return self

    @model_validator(mode="after")
    def _names_of_metrics(self) -> Self:
        names = [metric.name for metric in self.metrics]
        for number, name in enumerate(names):
            if name in set(Metric) or name in names[:number]:
                whose = "every rollout has" if name in set(Metric) else "another one has already"
                raise WrongAt(
                    f'"{name}" is the name of a metric that {whose}',
                    *("metrics", number, "name"),
                    fix="give it another name",
                )
        return self

    @property
    def compared(self) -> list[str]:
        """Names of the metrics that are compared."""
        wanted = {
            Metric.ERRORS: True,
            Metric.SLOW: self.slow_after is not None,
            Metric.BREACHES: self.breaches,
            Metric.TOKENS: self.tokens_above is not None,
            Metric.COST: self.cost_above is not None,
            Metric.JUDGE: self.judge is not None,
        }
        own = [metric.name for metric in self.metrics]
        return [*(str(metric) for metric, is_wanted in wanted.items() if is_wanted), *own]

    @property
    def steps(self) -> list[Stage]:
        """Its stages; a switch is one of all traffic."""
        if self.strategy in (Strategy.SHADOW, Strategy.DIRECT):
            return [Stage(percent=100, duration=self.shadow.duration, sample=self.shadow.sample)]
        if self.strategy is Strategy.BLUE_GREEN:
            return [Stage(percent=100, duration=min(self.keep, self.longest), sample=1)]
        return self.stages
