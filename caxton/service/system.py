"""The state of the system: each component checked on demand and every 30 seconds."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from caxton.domain.errors import CaxtonError
from caxton.observability.metrics import METRICS
from caxton.service.shared_look import SharedLook
from caxton.views.system import ComponentHealth, Readiness

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0
"""Seconds between checks of the whole system (event model 2.0, SystemHealthCheck)."""

CHECK_TIMEOUT = 5.0
"""Seconds after which a component that does not answer counts as failed."""

BETWEEN_CHECKS = 0.25
"""Seconds between two checks at the least: whoever asks needs no key, and all who ask meanwhile are told by the same one."""

Check = Callable[[], Awaitable[str]]
"""Returns a detail such as "temporal 1.32"; raises when the component does not work."""


class HealthChecks:
    """Checks components."""

    def __init__(self) -> None:
        """Start with nothing to check."""
        self._checks: dict[str, Check] = {}
        self._optional: set[str] = set()
        self.latest: Readiness | None = None
        self._looks = SharedLook(self._look, BETWEEN_CHECKS)

    def add(self, name: str, check: Check, *, optional: bool = False) -> None:
        """Checks `name` from now on; what is `optional` does not keep the system from being ready."""
        self._checks[name] = check
        if optional:
            self._optional.add(name)

    async def check(self) -> Readiness:
        """How all components do; none of them was looked at before this was asked."""
        await self._looks.seen(self._looks.changed())
        assert self.latest is not None, "a look leaves what it has found"
        return self.latest

    async def _look(self) -> None:
        """Checks all components now, side by side."""
        names = list(self._checks)
        results = await asyncio.gather(*(_run(self._checks[name]) for name in names))
        components = dict(zip(names, results, strict=True))
        for name in self._optional:
            if components[name].status == "failed":
                components[name] = components[name].model_copy(update={"status": "degraded"})
        failed = any(result.status == "failed" for result in components.values())
        for name, result in components.items():
            METRICS.component_health(name, result.status == "ok")
        before = self.latest
        self.latest = Readiness(
            status="degraded" if failed else "ready", components=components, checked_at=datetime.now(UTC)
        )
        _log_changes(before.components if before else {}, components)

    async def watch(self) -> None:
        """Checks every 30 seconds, forever."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            await self.check()


def _log_changes(before: Mapping[str, ComponentHealth], now: Mapping[str, ComponentHealth]) -> None:
    """Logs each component once when it fails, when the reason becomes another one, and when it works again."""
    for name, result in now.items():
        known = before.get(name)
        if result.status != "ok" and (known is None or _kind(known) != _kind(result)):
            log.warning("component %s is %s: %s", name, result.status, result.detail)
        elif result.status == "ok" and known is not None and known.status != "ok":
            log.warning("component %s works again", name)


def _kind(health: ComponentHealth) -> tuple[str, str]:
    """Status and reason, without the numbers in it, which differ each time."""
    return health.status, re.sub(r"[\d.,]+", "0", health.detail or "")


async def _run(check: Check) -> ComponentHealth:
    started = time.perf_counter()

    def took() -> float:
        return round((time.perf_counter() - started) * 1000, 3)

    try:
        detail = await asyncio.wait_for(check(), CHECK_TIMEOUT)
    except TimeoutError:
        return ComponentHealth(status="failed", detail=f"no answer within {CHECK_TIMEOUT:g} s", latency_ms=took())
    except CaxtonError as error:
        hint = f" ({error.hints[0].text})" if error.hints else ""
        return ComponentHealth(status="failed", detail=f"{error.message}{hint}", latency_ms=took())
    except Exception as error:
        return ComponentHealth(status="failed", detail=type(error).__name__, latency_ms=took())
    return ComponentHealth(status="ok", detail=detail, latency_ms=took())
