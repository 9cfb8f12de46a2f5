"""The way to the workflow engine."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from caxton.domain.errors import CaxtonError

if TYPE_CHECKING:
    from temporalio.client import Client

    from caxton.runtime.settings import Settings


async def connect_patiently(settings: "Settings", address: str, codec: Any, *, patient: bool) -> "Client":
    """Connects to the engine.

    Args:
        settings: of the server.
        address: HOST:PORT of the engine.
        codec: encrypts what the engine keeps; None leaves it as it is.
        patient: whether the engine is just being started, and may take its time.

    Raises:
        CaxtonError: there is no way to it.
    """
    from caxton.runtime.temporal import connect

    deadline = time.monotonic() + (20 if patient else 5)
    while True:
        try:
            return await connect(settings.temporal, address, codec)
        except CaxtonError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def engine_version(client: "Client") -> str:
    """The engine's version."""
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return info.server_version
