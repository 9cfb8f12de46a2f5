"""Draining: a version that was replaced finishes what it has in progress, and is gone after that, or after its time."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from caxton.domain.ids import DeploymentId, Digest, ExecutionId, Scope, derived_id

DRAIN_TIME = 7 * 86_400.0
"""Seconds that conversations get to end on the version that they began with, unless the settings say otherwise."""

LONGEST_DRAIN = 365 * 86_400.0
"""Seconds that the settings can give."""

CALL_ENDS_WITHIN = 10.0
"""Seconds after its last attempt in which a tool's call is recorded."""


class InHand(BaseModel):
    """What a version has begun and not ended."""

    turns: int = 0
    """Executions in progress."""
    conversations: int = 0
    """Conversations that began with it and may go on."""
    calls: int = 0
    """Calls of a tool that were asked for and have no result yet."""

    def __bool__(self) -> bool:
        return bool(self.turns or self.conversations or self.calls)


class Drain(BaseModel):
    """A version that is not live any more, and still has work in progress."""

    scope: Scope
    kind: Literal["agent", "tool"]
    name: str
    digest: Digest
    version: str
    deployment_id: DeploymentId | None
    """The deployment that it was live by."""
    began_at: datetime
    longest: float | None = None
    """Seconds after which nothing of it can be at work any more, where that is known; else the settings decide."""
    is_over: bool = False
    """Whether its time has passed: conversations that are left go on with the live version."""

    @property
    def id(self) -> ExecutionId:
        """What its looks are filed under."""
        return ExecutionId(
            derived_id("v", self.scope.customer, self.scope.workspace, self.kind, self.name, self.digest)
        )

    def ends_at(self, longest: float) -> datetime:
        """When it is over at the latest; `longest` are the seconds that the settings give."""
        return self.began_at + timedelta(seconds=longest if self.longest is None else min(longest, self.longest))


def over(drains: Iterable[Drain]) -> frozenset[Digest]:
    """Versions whose time has passed: no conversation stays with them."""
    return frozenset(drain.digest for drain in drains if drain.is_over)
