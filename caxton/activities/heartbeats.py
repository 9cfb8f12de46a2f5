"""Signs of life of activities: without them, the engine waits for a dead worker's attempt as long as one may take."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import activity

from caxton.workflows.policies import HEARTBEAT_EVERY

T = TypeVar("T")


async def with_heartbeats(work: Awaitable[T]) -> T:
    """Awaits `work`, and tells the engine meanwhile that it goes on."""

    def beat() -> None:
        nonlocal beating
        activity.heartbeat()
        beating = loop.call_later(HEARTBEAT_EVERY, beat)

    loop = asyncio.get_running_loop()
    beating = loop.call_later(HEARTBEAT_EVERY, beat)
    try:
        return await work
    finally:
        beating.cancel()
