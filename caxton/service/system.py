"""The state of the system: each component checked on demand and every 30 seconds."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from caxton.domain.errors import CaxtonError
from caxton.observability.metrics import METRICS

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0
"""Seconds between checks of the whole system (event model 2.0, SystemHealthCheck)."""

CHECK_TIMEOUT = 5.0
"""Seconds after which a component that does not answer counts as failed."""

Check = Callable[[], Awaitable[str]]
"""Returns a detail such as "temporal 1.32"; raises when the component does not work."""


class ComponentHealth(BaseModel):
    """How a component does."""

    status: Literal["ok", "degraded", "failed"]
    """Degraded: it does not work, but the server goes on without it."""
    detail: str = ""
    latency_ms: float = 0.0


class Readiness(BaseModel):
    """How the whole system does."""

    status: Literal["ready", "degraded"]
    components: dict[str, ComponentHealth]
    checked_at: datetime


class Health:
    """Checks components."""

    def __init__(self) -> None:
        """Start with nothing to check."""
        self._checks: dict[str, Check] = {}
        self._optional: set[str] = set()
        self.latest: Readiness | None = None

    def add(self, name: str, check: Check, *, optional: bool = False) -> None:
        """Checks `name` from now on; what is `optional` does not keep the system from being ready."""
        self._checks[name] = check
        if optional:
            self._optional.add(name)

    async def check(self) -> Readiness:
        """Checks all components now, side by side."""
        names = list(self._checks)
        results = await asyncio.gather(*(_run(self._checks[name]) for name in names))
        components = dict(zip(names, results, strict=True))
        for name in self._optional:
            if components[name].status == "failed":
                components[name] = components[name].model_copy(update={"status": "degraded"})
        unwell = [name for name, result in components.items() if result.status != "ok"]
        failed = any(result.status == "failed" for result in components.values())
        for name, result in components.items():
            METRICS.component_health(name, result.status == "ok")
        before = self.latest
        self.latest = Readiness(
            status="degraded" if failed else "ready", components=components, checked_at=datetime.now(UTC)
        )
        if unwell:
            log.warning("components do not work: %s", ", ".join(unwell))
        elif before is not None and any(result.status != "ok" for result in before.components.values()):
            log.info("all components work again")
        return self.latest

    async def watch(self) -> None:
        """Checks every 30 seconds, for ever."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            await self.check()


async def _run(check: Check) -> ComponentHealth:
    started = time.perf_counter()

    def took() -> float:
        return round((time.perf_counter() - started) * 1000, 3)

    try:
        detail = await asyncio.wait_for(check(), CHECK_TIMEOUT)
    except TimeoutError:
        return ComponentHealth(status="failed", detail=f"no answer within {CHECK_TIMEOUT:g} s", latency_ms=took())
    except CaxtonError as error:
        return ComponentHealth(status="failed", detail=error.message, latency_ms=took())
    except Exception as error:
        return ComponentHealth(status="failed", detail=type(error).__name__, latency_ms=took())
    return ComponentHealth(status="ok", detail=detail, latency_ms=took())
