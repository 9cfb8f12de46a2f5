"""Circuit breakers, and quarantine.

`sync_resources/breakers.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from caxton.client.async_resources.calls import AsyncCalls, segment
from caxton.views.breakers import BreakerView
from caxton.views.tools import ToolView


class AsyncBreakerCalls(AsyncCalls):
    """Circuit breakers, and quarantine."""

    async def breakers(self) -> list[BreakerView]:
        """Circuit breakers of the workspace that are not closed, or have failures to remember."""
        return [BreakerView.model_validate(each) for each in (await self._get("/v1/breakers"))["breakers"]]

    async def reset_breaker(self, kind: str, name: str) -> BreakerView:
        """Closes a circuit breaker and forgets its failures. Returns it as it was.

        Args:
            kind: "agent", "tool", or "model" for a provider of models.
            name: which.
        """
        return BreakerView.model_validate(await self._post(f"/v1/breakers/{segment(kind)}/{segment(name)}/reset", None))

    async def release_tool(self, name: str, reason: str = "") -> ToolView:
        """Lets a quarantined tool take calls again; `reason` is for the log."""
        return ToolView.model_validate(await self._post(f"/v1/tools/{segment(name)}/release", {"reason": reason}))
