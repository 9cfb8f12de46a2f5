"""The checks of `/ready`."""

import asyncio
from functools import partial

from temporalio.client import Client

from caxton.api.services import Services
from caxton.domain.errors import StartFailed
from caxton.domain.ports import ModelGateway
from caxton.observability.metrics import METRICS
from caxton.runtime.parts import Parts
from caxton.runtime.settings import Settings
from caxton.service.deadline_worker import check_deadlines


def add_checks(settings: Settings, parts: Parts, client: Client, services: Services, version: str) -> None:
    """Adds the checks of engine, store, disk, deadlines, audit sinks, model and memory to `services.health`."""

    async def engine() -> str:
        if not await client.service_client.check_health():
            raise StartFailed("the engine says that it is not healthy")
        return f"temporal {version}"

    async def store() -> str:
        await asyncio.to_thread(parts.database.ping)
        METRICS.breakers(await parts.database.read(lambda transaction: transaction.count_breakers()))
        METRICS.component_counts(await parts.database.read(lambda transaction: transaction.count_components()))
        return "sqlite" if parts.database.is_sqlite else "postgresql"

    async def disk() -> str:
        return parts.disk.check()

    services.health.add("engine", engine)
    services.health.add("disk", disk)
    services.health.add("store", store)
    services.health.add("deadlines", partial(check_deadlines, parts.database), optional=True)
    for name, rule in services.audit_lag.rules.items():
        services.health.add(f"audit {name}", partial(services.audit_lag.check, name), optional=not rule.required)
    if settings.models.default is not None:  # without it scripts answer, and say so
        services.health.add("model", partial(_check_model, parts.models), optional=True)
    if parts.memories is not None:  # without it turns go on, and say so
        services.health.add("memory", parts.memories.check, optional=True)
    elif settings.memory.enabled:
        services.health.add("memory", _no_memory, optional=True)


async def _no_memory() -> str:
    return "not installed"


async def _check_model(models: ModelGateway) -> str:
    return f"default {models.default()}"
