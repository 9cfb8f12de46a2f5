"""What a rollout compares: which replies are bad, by figures of a turn, by its events, or by a judge."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.ids import Name

MOST_METRICS = 10
"""Metrics of one rollout that its owner defines."""

MOST_EXAMINED = 50
"""Turns of each version in one look of which events are read; others count for the other metrics only."""

MOST_JUDGED = 20
"""Turns of each version that a judge is given at one look."""


class Metric(StrEnum):
    """Which bad events are counted."""

    ERRORS = "errors"
    """Failures for reasons of the agent's own."""
    SLOW = "slow"
    """Replies later than `slow_after`."""
    BREACHES = "breaches"
    """Replies later than their capability's `sla` promises."""
    TOKENS = "tokens"
    """Replies that used more than `tokens_above`."""
    COST = "cost"
    """Replies that cost more than `cost_above`."""
    JUDGE = "judge"
    """Replies that a judge gave a score below `at_least`."""


OF_TURNS = frozenset({"execution", "action", "approval", "governance", "routing", "tool", "message", "memory"})
"""Categories of events that belong to turns."""

JUDGED = "judge"
"""What turns that a judge is given are filed under, among those of gates."""


class EventMetric(BaseModel):
    """One of `[[rollout.metrics]]`: turns are bad in which an event happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="What the metric is called where it is shown.")
    event: str = Field(
        max_length=64, description='Type of the event that makes a turn bad, such as "tool_execution_failed".'
    )
    tool: Name | None = Field(default=None, description="Only events of this tool.")
    error_code: str | None = Field(default=None, max_length=64, description="Only events with this error.")
    at_least: Annotated[int, Field(ge=1, le=1_000)] = Field(default=1, description="How many of them make a turn bad.")


class Judge(BaseModel):
    """`[rollout.judge]`: a capability that gives replies of both versions a score from 0 to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capability: Name = Field(
        description="Who judges: it gets `request` and `reply` as JSON, and replies with a number or { score = … }."
    )
    at_least: float = Field(default=0.5, gt=0, le=1, description="A reply with a lower score is a bad one.")
    percent: float = Field(default=100.0, gt=0, le=100, description="Share of the turns that are judged.")
