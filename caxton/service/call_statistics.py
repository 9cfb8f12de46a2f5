"""Statistics of agents, capabilities and tools, from the views of the log; reading them counts nothing."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from caxton.domain.errors import EventsDetached
from caxton.domain.ids import Scope
from caxton.domain.records import Records, Transaction
from caxton.projections.projection import Projection
from caxton.projections.statistics import summary
from caxton.projections.views import AGENTS, CAPABILITIES, TOOLS
from caxton.service.projections import Projections
from caxton.views.statistics import Statistics


class CallStatistics:
    """Reads them, once the views have caught up with the log."""

    def __init__(self, records: Records, projections: Projections) -> None:
        """Read from `records` what `projections` keep there."""
        self.records = records
        self.projections = projections

    async def of_agents(
        self, scope: Scope, names: Sequence[str] | None = None, *, follow: bool = True
    ) -> dict[str, Statistics]:
        """By agent, of all or of those of some names; an agent that has not been called has none.

        Without `follow` as far as the view has got, which under load is some seconds behind the log.
        """
        found = await self._documents(scope, AGENTS, names, follow=follow)
        return {name: _of_agent(document) for name, document in found.items()}

    async def of_capabilities(self, scope: Scope) -> dict[str, Statistics]:
        """By capability."""
        return {name: _of_capability(found) for name, found in (await self._documents(scope, CAPABILITIES)).items()}

    async def of_tools(self, scope: Scope, names: Sequence[str] | None = None) -> dict[str, Statistics]:
        """By tool, of all or of those of some names, calls by hand among them."""
        return {name: _of_tool(found) for name, found in (await self._documents(scope, TOOLS, names)).items()}

    async def _documents(
        self, scope: Scope, projection: Projection, names: Sequence[str] | None = None, *, follow: bool = True
    ) -> dict[str, Any]:
        if follow:
            with suppress(EventsDetached):  # then the view is as old as it is: a list does not fail for that
                await self.projections.follow(scope.customer, projection)

        def read(transaction: Transaction) -> dict[str, Any]:
            found = transaction.documents(scope, projection.name, names)
            return {name: document for name, document in found.items() if _last_used(document)}

        return await self.records.read(read)


def _last_used(document: Mapping[str, Any]) -> str | None:
    return document.get("last_used") or document.get("messages", {}).get("last")


def _of_agent(document: Mapping[str, Any]) -> Statistics:
    messages = document["messages"]
    return _statistics(document, messages["handled"] + messages["failed"], messages["handled"], messages.get("times"))


def _of_capability(document: Mapping[str, Any]) -> Statistics:
    return _statistics(document, document["requests"], document["succeeded"], document.get("times"))


def _of_tool(document: Mapping[str, Any]) -> Statistics:
    calls = document["calls"]
    found = _statistics(document, calls, document["succeeded"], document.get("times"))
    memory = document.get("peak_memory_mb")
    return found.model_copy(
        update={
            "mean_cpu_ms": round(document.get("cpu_ms", 0.0) / calls, 3),
            "peak_memory": round(memory * (1 << 20)) if memory else None,
        }
    )


def _statistics(document: Mapping[str, Any], calls: int, succeeded: int, times: dict[str, Any] | None) -> Statistics:
    told = summary(times)
    return Statistics.model_validate(
        {
            "calls": calls,
            "succeeded": succeeded,
            "mean_ms": told["mean_ms"],
            "p95_ms": told["p95_ms"],
            "last_used": _last_used(document),
        }
    )
