"""HTTP clients for providers: enough connections for thousands of calls in flight, and a look at what comes back.

Imports the HTTP library, so it is itself imported only when a provider is called.
"""

import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx2

from caxton.adapters.models.chat_answers import ChatAnswer, as_refusal, is_chat
from caxton.adapters.models.chat_requests import ChatRequest
from caxton.adapters.models.completion import AnswerFailedError
from caxton.domain.errors import InvalidSettings, ModelError, ModelNotConfigured
from caxton.domain.ports import DeltaSink
from caxton.domain.surroundings import check_certificates, proxy_for

CALLS_A_CLIENT = 100
"""Calls in flight of one client; the next one goes through another. A pool looks at all its connections for each request,
so many small pools cost less than a large one."""

_MAY_REFUSE_FIELDS = (400, 422)
"""Statuses by which services refuse a field that they do not know."""

TIMEOUT = httpx2.Timeout(3600.0, connect=30.0)
"""Calls have time limits of their own; what counts of this one is the time to connect. While thousands of calls begin at the same
moment, a connection may be there for seconds before anybody looks."""


@dataclass
class Exchange:
    """One call of a provider: what goes with it, and what is to happen with its answer."""

    on_delta: DeltaSink | None = None
    """Gets the text of a Chat Completions answer as it is made, which is then streamed; None asks for the whole."""
    on_piece: Callable[[], None] | None = None
    """Hears of each piece of a streamed answer."""
    compatible: bool = False
    """Whether the service is another one than the provider's own."""
    plain: bool = True
    """Whether to leave out of an answer what OpenAI does not have; the models of some providers read it."""
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """What came with earlier answers and goes back with their calls, by the id of each answer's first call."""
    text: str | None = None
    """Of a Chat Completions answer: what its listener heard."""
    to_give_back: dict[str, Any] = field(default_factory=dict[str, Any])
    """What came with this answer, and the provider may want back with its calls."""
    failure: ModelError | None = None
    """What was wrong with an answer, where the provider's SDK would not tell."""
    status: int | None = None
    headers: httpx2.Headers | None = None
    """Of the answer."""


EXCHANGE: ContextVar[Exchange | None] = ContextVar("caxton_model_exchange", default=None)
"""The call that requests belong to."""


class SurroundedTransport(httpx2.AsyncBaseTransport):
    """Sends each request through the proxy that the environment names for its host, or straight there."""

    def __init__(self, limits: httpx2.Limits, tls: Callable[[], ssl.SSLContext]) -> None:
        """Open nothing yet; `tls` gives the certificates to trust, and is asked for them with the first encrypted request."""
        self._limits, self._tls = limits, tls
        self._transports: dict[tuple[str | None, bool], httpx2.AsyncHTTPTransport] = {}

    def transport_for(self, url: httpx2.URL) -> httpx2.AsyncHTTPTransport:
        """The connections for `url`.

        Raises:
            InvalidSettings: the environment names a proxy or certificates that cannot be used.
        """
        proxy = proxy_for(str(url))
        encrypted = url.scheme == "https" or (proxy or "").startswith("https:")
        known = self._transports.get((proxy, encrypted))
        if known is None:
            verify = self._tls() if encrypted else False
            known = httpx2.AsyncHTTPTransport(verify=verify, limits=self._limits, proxy=proxy, trust_env=False)
            self._transports[proxy, encrypted] = known
        return known

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request."""
        return await self.transport_for(request.url).handle_async_request(request)

    async def aclose(self) -> None:
        """Closes all connections."""
        for transport in self._transports.values():
            await transport.aclose()


class ProviderClient(httpx2.AsyncClient):
    """Sends what providers' SDKs ask for.

    A Chat Completions request whose call has a listener goes out as a streamed one, and comes back whole: reading the stream
    here takes a third of the CPU that the SDK's models of each piece take. Its answer comes back as OpenAI would have given it,
    whatever habits its service has.
    """

    def __init__(self, transport: SurroundedTransport) -> None:
        """Send over `transport`."""
        super().__init__(timeout=TIMEOUT, transport=transport, trust_env=False)
        self._surroundings = transport

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Sends one request."""
        exchange = EXCHANGE.get()
        if exchange is None:
            return await super().send(request, **options)
        try:
            self._surroundings.transport_for(request.url)  # here, for SDKs make failed connections of all errors
        except InvalidSettings as error:
            exchange.failure = ModelNotConfigured(error.message, *error.hints, details=error.details)
            raise
        streamed = bool(options.pop("stream", False))
        if is_chat(request) and not streamed:
            return await self._chat(request, exchange, options)
        response = await super().send(request, stream=True, **options)
        exchange.status, exchange.headers = response.status_code, response.headers
        if not streamed:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response

    async def _chat(self, request: httpx2.Request, exchange: Exchange, options: dict[str, Any]) -> httpx2.Response:
        """Sends a Chat Completions request; its answer comes back whole."""
        chat = ChatRequest(
            request, stream=exchange.on_delta is not None, given=exchange.given, compatible=exchange.compatible
        )
        response, refusal = await self._ask(chat.full(), exchange, options)
        if refusal is not None and response.status_code in _MAY_REFUSE_FIELDS:
            plainer = chat.plainer(refusal.decode(errors="replace"))
            if plainer is not None:
                response, refusal = await self._ask(plainer, exchange, options)
        return response if refusal is None else as_refusal(response, refusal)

    async def _ask(
        self, request: httpx2.Request, exchange: Exchange, options: dict[str, Any]
    ) -> tuple[httpx2.Response, bytes | None]:
        """Sends `request`; returns the answer, and its content where its status tells of an error."""
        response = await super().send(request, stream=True, **options)
        exchange.status, exchange.headers = response.status_code, response.headers
        try:
            if not response.is_success:
                return response, await response.aread()
            answer = ChatAnswer(exchange.on_delta, exchange.on_piece, plain=exchange.plain)
            found = await answer.read(response)
            exchange.status, exchange.to_give_back, exchange.text = found.status_code, answer.given, answer.text
            return found, None
        except AnswerFailedError as error:
            exchange.failure = error.failure
            raise
        finally:
            await response.aclose()


@dataclass
class _Pool:
    client: ProviderClient
    calls: int = 0


class Clients:
    """HTTP clients by service. A call borrows the first that has room, so that connections are used again."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._pools: dict[str, list[_Pool]] = {}
        self._ssl: ssl.SSLContext | None = None

    @contextmanager
    def borrow(self, service: str) -> Generator[ProviderClient]:
        """A client for one call of `service`."""
        pools = self._pools.setdefault(service, [])
        pool = next((pool for pool in pools if pool.calls < CALLS_A_CLIENT), None)
        if pool is None:
            pool = _Pool(self._new())
            pools.append(pool)
        pool.calls += 1
        try:
            yield pool.client
        finally:
            pool.calls -= 1

    def _new(self) -> ProviderClient:
        # Twice as many connections as calls: those that break off are not free again at once.
        limits = httpx2.Limits(max_connections=2 * CALLS_A_CLIENT, max_keepalive_connections=CALLS_A_CLIENT)
        return ProviderClient(SurroundedTransport(limits, self._tls))

    def _tls(self) -> ssl.SSLContext:
        if self._ssl is None:
            check_certificates()
            self._ssl = httpx2.create_ssl_context()  # takes as long as twenty calls do
        return self._ssl

    async def aclose(self) -> None:
        """Closes all connections."""
        pools, self._pools = self._pools, {}
        for pool in (pool for found in pools.values() for pool in found):
            await pool.client.aclose()
