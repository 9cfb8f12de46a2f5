"""A server over HTTP: to its granted origin only, at an address that was checked, and no more of an answer than it may be."""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator

import httpx2

from caxton.adapters.mcp.meter import Meter
from caxton.adapters.sandbox.addresses import Check, Unreachable, resolve
from caxton.domain.origins import normal_origin

RESOLVE = 5.0
"""Seconds that resolving a name may take."""


class Refused(Exception):
    """A request is not made, or its answer not read; the text says why."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests of one server's client."""

    def __init__(self, origin: str, check: Check, meter: Meter) -> None:
        """Send to `origin` only.

        Args:
            origin: what is granted.
            check: refuses addresses that no grant allows.
            meter: bounds what comes.
        """
        self._origin = origin
        self._check = check
        self._meter = meter
        self._inner = httpx2.AsyncHTTPTransport(verify=_tls() if origin.startswith("https:") else True, trust_env=False)
        self.refused: str | None = None
        """Why the last request was not made, if it was not."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Checks where a request goes, and sends it there."""
        url = request.url
        try:
            if normal_origin(f"{url.scheme}://{url.netloc.decode('ascii')}") != self._origin:
                raise Refused(f"not granted: {url.scheme}://{url.host}")
            port = url.port or (443 if url.scheme == "https" else 80)
            addresses = await asyncio.to_thread(resolve, url.host, port, RESOLVE, self._check)
        except (Refused, Unreachable, ValueError) as error:
            self.refused = str(error)
            raise httpx2.ConnectError(str(error)) from None
        request.headers["Accept-Encoding"] = "identity"
        response = await self._send(request, addresses)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.RemoteProtocolError("the server compressed its answer although it was asked not to")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Metered(response.stream, self._meter),
            extensions=response.extensions,
        )

    async def _send(self, request: httpx2.Request, addresses: list[str]) -> httpx2.Response:
        failure: httpx2.ConnectError | None = None
        for address in addresses:
            sent = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # with the Host of the name
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
            try:
                return await self._inner.handle_async_request(sent)
            except httpx2.ConnectError as error:
                failure = error
        raise failure or httpx2.ConnectError("no address")

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._inner.aclose()


class _Metered(httpx2.AsyncByteStream):
    """The body of an answer, which is cut off where it is too long."""

    def __init__(self, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream, meter: Meter) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._stream = stream
        self._meter = meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._meter.count(len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@functools.lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()
