"""The client, one method an operation of the API.

`sync_client.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from caxton.client.async_resources.access import AsyncAccessCalls
from caxton.client.async_resources.breakers import AsyncBreakerCalls
from caxton.client.async_resources.event_log import AsyncEventLogCalls
from caxton.client.async_resources.governance import AsyncGovernanceCalls
from caxton.client.async_resources.memory import AsyncMemoryCalls
from caxton.client.async_resources.retention import AsyncRetentionCalls
from caxton.client.async_resources.server import AsyncServerCalls
from caxton.client.async_resources.timers import AsyncTimerCalls
from caxton.client.async_resources.work import AsyncWorkCalls
from caxton.client.discovery import Connection, discover
from caxton.client.transport_async import AsyncTransport


class AsyncCaxton(
    AsyncServerCalls,
    AsyncWorkCalls,
    AsyncTimerCalls,
    AsyncEventLogCalls,
    AsyncMemoryCalls,
    AsyncGovernanceCalls,
    AsyncBreakerCalls,
    AsyncAccessCalls,
    AsyncRetentionCalls,
):
    """Talks to a Caxton server.

    Every method raises :class:`caxton.domain.errors.ServerUnreachable` when there is no server, and the error that the
    server answered with as the class of its code, such as :class:`caxton.domain.errors.NoCapableAgent`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        workspace: str | None = None,
        data_dir: Path | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        """Find the server and prepare to talk to it.

        Args:
            url: the server; without it from `CAXTON_URL`, `caxton.toml` or the data folder of a server on this machine.
            api_key: without it from `CAXTON_API_KEY`, or the admin key of a server on this machine.
            workspace: without it from `CAXTON_WORKSPACE` or `caxton.toml`; else "default".
            data_dir: data folder of a server on this machine, to find its address and key.
            transport: use this one and ignore all else.
        """
        self._transport = transport or AsyncTransport(discover(url, api_key, workspace, data_dir))

    @property
    def connection(self) -> Connection:
        """Where this client connects to."""
        return self._transport.connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._transport.close()
