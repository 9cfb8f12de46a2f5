"""The client, one method an operation of the API.

Generated from `async_client.py` by `python -m caxton.client.unasync`.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from caxton.client.discovery import Connection, discover
from caxton.client.sync_resources.access import AccessCalls
from caxton.client.sync_resources.breakers import BreakerCalls
from caxton.client.sync_resources.event_log import EventLogCalls
from caxton.client.sync_resources.governance import GovernanceCalls
from caxton.client.sync_resources.memory import MemoryCalls
from caxton.client.sync_resources.retention import RetentionCalls
from caxton.client.sync_resources.server import ServerCalls
from caxton.client.sync_resources.timers import TimerCalls
from caxton.client.sync_resources.work import WorkCalls
from caxton.client.transport_sync import Transport


class Caxton(
    ServerCalls,
    WorkCalls,
    TimerCalls,
    EventLogCalls,
    MemoryCalls,
    GovernanceCalls,
    BreakerCalls,
    AccessCalls,
    RetentionCalls,
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
        transport: Transport | None = None,
    ) -> None:
        """Find the server and prepare to talk to it.

        Args:
            url: the server; without it from `CAXTON_URL`, `caxton.toml` or the data folder of a server on this machine.
            api_key: without it from `CAXTON_API_KEY`, or the admin key of a server on this machine.
            workspace: without it from `CAXTON_WORKSPACE` or `caxton.toml`; else "default".
            data_dir: data folder of a server on this machine, to find its address and key.
            transport: use this one and ignore all else.
        """
        self._transport = transport or Transport(discover(url, api_key, workspace, data_dir))

    @property
    def connection(self) -> Connection:
        """Where this client connects to."""
        return self._transport.connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._transport.close()
