"""The health of agents: one that cannot load, or whose last turns all failed for reasons of its own, is restarted, then stopped.

Pure: what becomes of an agent, given what is wrong with it. Times are seconds since the epoch.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["wait", "restart", "stop", "healed"]

HEALED_AFTER = 60.0
"""Seconds without anything wrong after which the restarts of an agent are forgotten."""


class Trouble(BaseModel):
    """What is wrong with an agent."""

    model_config = ConfigDict(frozen=True)

    code: str
    """Of the error."""
    message: str
    since: float = 0.0
    """When it was found; 0 for what is found again at each look, such as a model that is not configured."""


class AgentHealth(BaseModel):
    """What was done for an agent that is not well. Nothing is kept of those that are."""

    model_config = ConfigDict(frozen=True)

    agent: str
    restarts: int = 0
    seen: float = 0.0
    """`since` of the trouble that was dealt with last."""
    not_before: float = 0.0
    """When something may be done again."""
    code: str = ""

    def verdict(self, trouble: Trouble | None, now: float, restarts: int) -> Verdict:
        """What is to be done.

        Args:
            trouble: what is wrong, if anything is.
            now: the time.
            restarts: how many times an agent is restarted before it is stopped.
        """
        if trouble is None or (trouble.since and trouble.since <= self.seen):
            return "healed" if now >= self.not_before + HEALED_AFTER else "wait"
        if now < self.not_before:
            return "wait"
        return "restart" if self.restarts < restarts else "stop"

    def restarted(self, trouble: Trouble, now: float, backoff: float) -> "AgentHealth":
        """With one restart more; the next one has to wait for twice as long."""
        return self.model_copy(
            update={
                "restarts": self.restarts + 1,
                "seen": max(trouble.since, self.seen),
                "not_before": now + backoff * 2.0 ** min(self.restarts, 20),
                "code": trouble.code,
            }
        )
