"""HTTP to a Caxton server: retries, errors, streams.

`transport_sync.py` is generated from this file by `python -m caxton.client.unasync`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from caxton.client.discovery import Connection
from caxton.client.failures import Attempts, error_of, unreachable
from caxton.client.lines import LineSplitter
from caxton.client.sse import EventParser, StreamEvent
from caxton.domain.surroundings import client_options

READ_TIMEOUT = 30.0
"""Seconds to wait for an ordinary answer."""
STREAM_SILENCE = 60.0
"""Seconds without a byte after which a stream is taken for dead and opened again."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
"""The server has limits of its own, and says when they are reached. With fewer connections than requests in progress, requests
would wait here without a word, and fewer kept than used would open new ones for each request."""


class AsyncTransport:
    """One connection pool to one server."""

    def __init__(
        self,
        connection: Connection,
        *,
        patience: float = 15.0,
        channel: str = "api",
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            connection: where to and as whom.
            patience: seconds for which a request that may be repeated is tried again after the connection was lost.
            channel: how the log calls the way that requests come by, such as "cli".
            http: the HTTP client to use instead of one of our own.

        Raises:
            InvalidSettings: the environment names a proxy or certificates that cannot be used.
        """
        self.connection = connection
        self.patience = patience
        self.channel = channel
        self._http = http or httpx.AsyncClient(limits=_LIMITS, **client_options(connection.url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | None = None,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = READ_TIMEOUT,
        accept: tuple[int, ...] = (),
    ) -> httpx.Response:
        """Sends a request and returns the answer, if it is a good one.

        A request that may be repeated without harm (all but POST, and POST with an idempotency key) is repeated when
        the connection is lost, and when the server asks to come again later.

        Args:
            method: HTTP method.
            path: below the server's URL.
            params: query parameters; None leaves one out.
            json: body as data.
            content: body as bytes.
            content_type: what `content` is.
            headers: further ones.
            idempotency_key: makes a POST repeatable.
            timeout: seconds to wait for the answer; None waits forever.
            accept: statuses of failure to return like an answer.

        Raises:
            ServerUnreachable: there is no server, or the connection was lost for good.
            CaxtonError: what the server answered, as the class of its code.
        """
        sent = self._headers({"Idempotency-Key": idempotency_key} if idempotency_key else {}) | dict(headers or {})
        if content is not None:
            sent["Content-Type"] = content_type
        repeatable = method != "POST" or idempotency_key is not None
        attempts = Attempts(self.patience)
        while True:
            try:
                response = await self._http.request(
                    method,
                    self.connection.url + path,
                    params=given(params),
                    json=json,
                    content=content,
                    headers=sent,
                    timeout=httpx.Timeout(timeout, connect=5.0),
                )
            except httpx.HTTPError as error:
                pause = attempts.after_loss(error) if repeatable else None
                if pause is None:
                    raise unreachable(self.connection, error) from error
            else:
                if response.is_success or response.status_code in accept:
                    return response
                pause = attempts.after_refusal(response) if repeatable else None
                if pause is None:
                    raise error_of(response, self.connection)
            await asyncio.sleep(pause)

    async def lines(self, path: str, *, params: Mapping[str, Any] | None = None) -> AsyncIterator[str]:
        """The lines of a long answer, as they come.

        Raises:
            ServerUnreachable: there is no server, or the connection was lost: what has come is not all.
            CaxtonError: what the server answered, as the class of its code.
        """
        try:
            async with self._http.stream(
                "GET",
                self.connection.url + path,
                params=given(params),
                headers=self._headers({}),
                timeout=httpx.Timeout(STREAM_SILENCE, connect=5.0),
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise error_of(response, self.connection)
                splitter = LineSplitter()
                async for block in response.aiter_bytes():
                    for line in splitter.feed(block):
                        yield line
                if rest := splitter.rest():
                    yield rest
        except httpx.HTTPError as error:
            raise unreachable(self.connection, error) from error

    async def stream(
        self, path: str, *, params: Mapping[str, Any] | None = None, last_event_id: str | None = None
    ) -> AsyncIterator[StreamEvent]:
        """Events of a stream until its last one; a lost connection is opened again where it broke off.

        Raises:
            ServerUnreachable: there is no server, or it did not come back.
            CaxtonError: what the server answered, as the class of its code.
        """
        parser = EventParser()
        parser.last_id = last_event_id or ""
        attempts = Attempts(self.patience)
        while True:
            try:
                async for event in self._events(path, given(params), parser):
                    attempts.succeeded()
                    if event.is_refusal:
                        raise event.error()
                    yield event
                    if event.is_last:
                        return
                pause = attempts.after_loss(None)
            except httpx.HTTPError as error:
                pause = attempts.after_loss(error)
                if pause is None:
                    raise unreachable(self.connection, error) from error
            if pause is None:
                raise unreachable(self.connection, None)
            await asyncio.sleep(parser.retry or pause)

    async def _events(self, path: str, params: Mapping[str, Any], parser: EventParser) -> AsyncIterator[StreamEvent]:
        headers = self._headers({"Accept": "text/event-stream"})
        if parser.last_id:
            headers["Last-Event-ID"] = parser.last_id
        async with self._http.stream(
            "GET",
            self.connection.url + path,
            params=params,
            headers=headers,
            timeout=httpx.Timeout(STREAM_SILENCE, connect=5.0),
        ) as response:
            if not response.is_success:
                await response.aread()
                raise error_of(response, self.connection)
            splitter = LineSplitter(events=True)
            async for block in response.aiter_bytes():
                for line in splitter.feed(block):
                    event = parser.feed(line)
                    if event:
                        yield event

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"X-Caxton-Workspace": self.connection.workspace, "X-Caxton-Channel": self.channel, **more}
        if self.connection.api_key:
            headers["Authorization"] = f"Bearer {self.connection.api_key}"
        return headers


def given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """`params` without None values."""
    return {name: value for name, value in (params or {}).items() if value is not None}
