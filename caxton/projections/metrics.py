"""Metrics that derive from events: a count of events, or the ratio of two counts, perhaps by some dimension."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.projections.views import DIMENSIONS
from caxton.views.event_log import MetricValue

Text = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]


class Selector(BaseModel):
    """Which events are counted; all that is given must fit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Text
    agent: Text | None = None
    capability: Text | None = None
    action_type: Text | None = None
    tool: Text | None = None
    error_code: Text | None = None

    def selects(self, values: Mapping[str, str]) -> bool:
        """Whether events of these dimensions count."""
        return all(values[name] == wanted for name in DIMENSIONS if (wanted := getattr(self, name)) is not None)


class MetricDefinition(BaseModel):
    """`count`, or `count` divided by `per`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: Selector
    per: Selector | None = None
    by: Literal["agent", "capability", "action_type", "tool", "error_code"] | None = None
    """Also for each value of this dimension."""
    description: str = Field(default="", max_length=500)


BUILT_IN: dict[str, MetricDefinition] = {
    "error-rate": MetricDefinition(
        count=Selector(type="execution_failed"),
        per=Selector(type="execution_triggered"),
        by="agent",
        description="Executions that failed, of all that were triggered.",
    ),
    "sla-breach-rate": MetricDefinition(
        count=Selector(type="sla_breached"),
        per=Selector(type="execution_completed"),
        by="capability",
        description="Promises that were broken, of all executions that completed.",
    ),
    "actions": MetricDefinition(
        count=Selector(type="action_dispatched"), by="action_type", description="Actions that were done, by type."
    ),
}
"""The examples of the Aximo event model, section 8."""


def evaluate(name: str, definition: MetricDefinition, hours: Iterable[Mapping[str, int]]) -> MetricValue:
    """The metric over `hours`: the counts of the activity projection."""
    counted: dict[str, int] = {}
    divided: dict[str, int] = {}
    for counts in hours:
        for key, number in counts.items():
            values: dict[str, str] = dict(zip(DIMENSIONS, key.split("\x1f"), strict=True))
            group = values[definition.by] if definition.by else ""
            if definition.count.selects(values):
                counted[group] = counted.get(group, 0) + number
            if definition.per is not None and definition.per.selects(values):
                divided[group] = divided.get(group, 0) + number
    total, per = sum(counted.values()), sum(divided.values()) if definition.per else None
    by: dict[str, float | None] = {}
    if definition.by:
        for group in sorted({*counted, *divided} - {""}):
            by[group] = _value(counted.get(group, 0), divided.get(group, 0) if definition.per else None)
    return MetricValue(
        name=name, description=definition.description, value=_value(total, per), count=total, per=per, by=by
    )


def _value(count: int, per: int | None) -> float | None:
    if per is None:
        return float(count)
    return round(count / per, 6) if per else None
