"""Circuit breakers, and quarantine.

Generated from `async_resources/breakers.py` by `python -m caxton.client.unasync`.
"""

from caxton.client.sync_resources.calls import Calls, segment
from caxton.views.breakers import BreakerView
from caxton.views.tools import ToolView


class BreakerCalls(Calls):
    """Circuit breakers, and quarantine."""

    def breakers(self) -> list[BreakerView]:
        """Circuit breakers of the workspace that are not closed, or have failures to remember."""
        return [BreakerView.model_validate(each) for each in self._get("/v1/breakers")["breakers"]]

    def reset_breaker(self, kind: str, name: str) -> BreakerView:
        """Closes a circuit breaker and forgets its failures. Returns it as it was.

        Args:
            kind: "agent", "tool", or "model" for a provider of models.
            name: which.
        """
        return BreakerView.model_validate(self._post(f"/v1/breakers/{segment(kind)}/{segment(name)}/reset", None))

    def release_tool(self, name: str, reason: str = "") -> ToolView:
        """Lets a quarantined tool take calls again; `reason` is for the log."""
        return ToolView.model_validate(self._post(f"/v1/tools/{segment(name)}/release", {"reason": reason}))
