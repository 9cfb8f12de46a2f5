"""Calls to providers through pydantic-ai."""

import asyncio
import importlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from caxton.adapters.models.attachments import attach
from caxton.adapters.models.endpoints import Endpoint, Endpoints
from caxton.adapters.models.governor import Governor
from caxton.adapters.models.structures import Structure, Structures
from caxton.domain.agents import ModelSettings
from caxton.domain.errors import (
    InvalidSettings,
    ModelError,
    ModelNotConfigured,
    ModelSilent,
    ModelStalled,
    ModelTimeout,
)
from caxton.domain.ports import DeltaSink, ModelReply, ModelRequest
from caxton.domain.usage import Usage

if TYPE_CHECKING:  # 1.75 s to import: only when a provider is called
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

    from caxton.adapters.models.clients import Clients, ProviderClient
    from caxton.adapters.models.conversion import Call

_QUIET_LOGGERS = ("openai", "anthropic", "httpx2", "httpcore2")
"""At DEBUG these log requests with their contents."""


class Providers:
    """Calls models at their providers."""

    def __init__(self, endpoints: Endpoints, rate_limit_wait: float = 20.0) -> None:
        """Create it; nothing is imported or opened before the first call.

        Args:
            endpoints: gives keys and headers, freshly for each call.
            rate_limit_wait: seconds that a call waits at most until its provider has room.
        """
        self._endpoints = endpoints
        self._patience = rate_limit_wait
        self._governors: dict[str, Governor] = {}
        self._clients: Clients | None = None
        self._models: dict[tuple[str, int], tuple[str, Model]] = {}
        """Models by endpoint and client, each with the key that it was made with."""
        self._loaded: set[str] = set()
        self._structures = Structures()

    async def respond(self, endpoint: Endpoint, request: ModelRequest, on_delta: DeltaSink | None) -> ModelReply:
        """Calls a model once; with `on_delta` the answer is streamed.

        Raises:
            ModelError: a subclass for each thing that can go wrong.
        """
        if endpoint.settings.kind not in self._loaded:
            await asyncio.to_thread(_load, endpoint.settings.kind)  # here it would hold up everything for seconds
            self._loaded.add(endpoint.settings.kind)
        from caxton.adapters.models import conversion, dialects, failures, prices
        from caxton.adapters.models.calls import to_calls
        from caxton.adapters.models.clients import EXCHANGE, Exchange
        from caxton.adapters.models.giving_back import to_give_back

        if self._endpoints.is_at_hand(endpoint):
            key, headers = self._private(endpoint)
        else:
            key, headers = await asyncio.to_thread(self._private, endpoint)  # a file, a keyring: it may take a while
        request = await attach(request, endpoint)
        # Answers of this kind are streamed by the client itself, at a third of the cost: see `ProviderClient`.
        by_client = dialects.is_chat(endpoint.settings.kind)
        governor = self._governors.setdefault(endpoint.name, Governor(endpoint.name, self._patience))
        number, waited = await governor.admit()
        clock = _Clock(request.settings if on_delta is not None else None)
        exchange = Exchange(
            on_delta if by_client else None,
            clock.heard,
            compatible=endpoint.settings.base_url is not None,
            plain=endpoint.settings.kind in dialects.OPENAI_CHAT_KINDS,
        )
        token = EXCHANGE.set(exchange)
        usage: Usage | None = None
        try:
            async with clock.timeout:
                heard = None if by_client else clock.heard
                response = await self._ask(endpoint, request, (key, headers), None if by_client else on_delta, heard)
            usage = prices.usage_of(response, endpoint.model, endpoint.settings)
            text = conversion.to_text(response) if exchange.text is None else exchange.text
            calls = to_calls(response, request.functions)
            conversion.check_complete(response, text, calls)
        except ModelError as error:
            error.details.setdefault("model", endpoint.name)
            error.usage = usage
            raise
        except InvalidSettings as error:
            raise ModelNotConfigured(error.message, *error.hints, details=error.details) from None
        except Exception as error:
            if clock.timeout.expired():
                raise clock.verdict(endpoint.name) from None
            if exchange.failure is not None:
                exchange.failure.details["model"] = endpoint.name
                raise exchange.failure from None
            private = [key, *headers.values(), request.system_prompt, *_contents(request)]
            # Without its cause, which holds what the provider said: causes end up in logs and in workflow history
            raise failures.translate(error, endpoint.name, private) from None
        finally:
            EXCHANGE.reset(token)
            if exchange.headers is not None:
                governor.heard(number, exchange.status, exchange.headers, usage and usage.tokens)
        assert usage is not None, "an answer has been counted"
        return ModelReply(
            text=text,
            calls=calls,
            model=endpoint.name,
            usage=usage,
            metadata=_metadata(endpoint, response),
            waited=waited,
            given=to_give_back(response, exchange.to_give_back),
        )

    def _private(self, endpoint: Endpoint) -> tuple[str, dict[str, str]]:
        """The key and the headers, in plain text: for one call."""
        headers = self._endpoints.headers(endpoint)
        key = self._endpoints.key(endpoint).get_secret_value()
        return key, {name: value.get_secret_value() for name, value in headers.items()}

    async def _ask(
        self,
        endpoint: Endpoint,
        request: ModelRequest,
        private: tuple[str, Mapping[str, str]],
        on_delta: DeltaSink | None,
        on_piece: Callable[[], None] | None,
    ) -> "ModelResponse":
        from pydantic_ai.exceptions import ModelHTTPError

        from caxton.adapters.models import conversion, dialects
        from caxton.adapters.models.clients import Clients

        if self._clients is None:
            self._clients = Clients()
        settings, (key, headers) = endpoint.settings, private
        with self._clients.borrow(settings.base_url or f"kind:{settings.kind}") as client:
            if settings.kind not in dialects.OWN_CLIENT_KINDS:
                # It may have a client of its own, which lives as long as this call.
                provider = dialects.provider(settings.kind, endpoint.provider, settings.base_url, key, client)
                model = dialects.model(settings.kind, endpoint.model, provider)
                async with provider:
                    call = conversion.to_call(request, headers, model, endpoint.name)
                    return await _call(model, call, on_delta, on_piece)
            model = self._model(endpoint, key, client)
            structure = self._structures.of(endpoint, model.profile)
            call = conversion.to_call(request, headers, model, endpoint.name, structure)
            try:
                return await _call(model, call, on_delta, on_piece)
            except ModelHTTPError as error:
                asked = request.output is not None and structure is not Structure.TOLD
                if not asked or not self._structures.refused(endpoint, error.status_code, str(error.body)):
                    raise
            call = conversion.to_call(request, headers, model, endpoint.name)
            return await _call(model, call, on_delta, on_piece)

    def _model(self, endpoint: Endpoint, key: str, client: "ProviderClient") -> "Model":
        """The model over `client`, made again when its key has changed: a changed one counts at once."""
        from caxton.adapters.models import dialects

        known = self._models.get((endpoint.name, id(client)))
        if known is not None and known[0] == key:
            return known[1]
        settings = endpoint.settings
        provider = dialects.provider(settings.kind, endpoint.provider, settings.base_url, key, client)
        model = dialects.model(settings.kind, endpoint.model, provider)
        self._models[endpoint.name, id(client)] = (key, model)
        return model

    async def aclose(self) -> None:
        """Closes all connections."""
        self._models.clear()
        if self._clients is not None:
            await self._clients.aclose()


class _Clock:
    """How long a streamed answer may be silent."""

    def __init__(self, settings: ModelSettings | None) -> None:
        """Begin to wait as `settings` say; None waits forever."""
        self._settings = settings
        self._has_begun = False
        self.timeout = asyncio.timeout(settings.first_token_timeout if settings else None)

    def heard(self) -> None:
        """Something came: from now on the next piece is waited for."""
        self._has_begun = True
        if self._settings is not None:
            self.timeout.reschedule(asyncio.get_running_loop().time() + self._settings.chunk_timeout)

    def verdict(self, model: str) -> ModelTimeout:
        """What the silence means."""
        assert self._settings is not None
        if self._has_begun:
            name, limit, kind = "chunk_timeout", self._settings.chunk_timeout, ModelStalled
            message = f"model {model} said nothing for {limit:g} s in the middle of its answer"
        else:
            name, limit, kind = "first_token_timeout", self._settings.first_token_timeout, ModelSilent
            message = f"model {model} did not begin to answer within {limit:g} s"
        hint = f"Give it longer with {name} in the agent's [model_settings]"
        return kind(message, hint, details={"model": model, "limit": name, "value": limit})


async def _call(
    model: "Model", call: "Call", on_delta: DeltaSink | None, on_piece: Callable[[], None] | None
) -> "ModelResponse":
    """Asks `model`, in pieces where somebody wants them."""
    from pydantic_ai.direct import model_request, model_request_stream
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

    from caxton.adapters.models.clients import EXCHANGE

    if (exchange := EXCHANGE.get()) is not None:
        exchange.given = call.given
    # Without instruments: their spans carry provider messages, which may quote the prompt
    if on_delta is None:
        return await model_request(
            model,
            call.messages,
            model_settings=call.settings,
            model_request_parameters=call.parameters,
            instrument=False,
        )
    asked = model_request_stream(
        model, call.messages, model_settings=call.settings, model_request_parameters=call.parameters, instrument=False
    )
    async with asked as stream:
        async for event in stream:
            if on_piece is not None:
                on_piece()
            match event:
                case PartStartEvent(part=TextPart(content=text)) if text:
                    on_delta(text)
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                    on_delta(text)
                case _:
                    pass
        return stream.get()


def _load(kind: str) -> None:
    """Imports what calls to providers of `kind` need."""
    from caxton.adapters.models import dialects

    for name in ("calls", "clients", "conversion", "failures", "giving_back"):
        importlib.import_module(f"caxton.adapters.models.{name}")
    dialects.warm_up(kind)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _metadata(endpoint: Endpoint, response: "ModelResponse") -> dict[str, Any]:
    from caxton.adapters.models.conversion import cut_by

    cut = cut_by(response)
    return {
        **({"cut_by": cut} if cut else {}),
        "scripted": False,
        "provider": endpoint.provider,
        "provider_model": response.model_name,
        "finish_reason": response.finish_reason,
    }


def _contents(request: ModelRequest) -> Iterable[str]:
    for part in request.parts:
        yield part.text
        yield from (result.text for result in part.results)
