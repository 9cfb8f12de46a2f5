"""Retention periods."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FOREVER = "forever"

LONGEST_PERIOD = 100 * 365 * 86_400

Period = Annotated[float, Field(ge=1, le=LONGEST_PERIOD)] | Literal["forever"] | None
"""Seconds; "forever" whatever the server's settings say; None as they say."""

KINDS = ("conversations", "messages", "executions", "steps", "contents")
"""What has a period of its own in each workspace, in the order in which the periods are applied."""

WITHOUT = {
    "conversations": "nothing is deleted",
}


class Periods(BaseModel):
    """For how long a workspace keeps what. Whatever is at work is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conversations: Period = Field(
        default=None, description="Conversations that have ended, with all that they left: since their last message."
    )
    messages: Period = Field(default=None, description="What was said: since it was.")
    executions: Period = Field(
        default=None, description="Executions with their steps, approvals and usage: since they ended."
    )
    steps: Period = Field(
        default=None, description="Answers of models, arguments and results of calls: since their execution ended."
    )
    contents: Period = Field(
        default=None, description="Files that were uploaded and are of no version, or that calls by hand made."
    )

    def seconds(self, kind: str) -> float | None:
        """The period of `kind`; None forever."""
        value = getattr(self, kind)
        return None if value in (None, FOREVER) else float(value)

    def over(self, defaults: "Periods") -> "Periods":
        """These, with those of `defaults` where nothing is said."""
        own = {kind: getattr(self, kind) for kind in KINDS}
        return Periods(**{kind: getattr(defaults, kind) if value is None else value for kind, value in own.items()})

    @property
    def problem(self) -> str | None:
        """Why these cannot be applied together; None if they can."""
        executions = self.seconds("executions")
        if executions is None:
            return None
        for kind in ("messages", "steps"):
            seconds = self.seconds(kind)
            if kind == "messages" and (seconds is None or seconds > executions):
                return "messages are shown with their executions, so executions cannot go before messages"
            if kind == "steps" and seconds is not None and seconds > executions:
                return "steps are part of their executions, so they cannot be kept longer"
        return None


def applied_again_after(shortest: float) -> timedelta:
    """Time until periods are applied again: a minute, or the shortest of them (in seconds) where that is less."""
    return timedelta(seconds=min(60.0, max(5.0, shortest)))
