"""Calls to providers through pydantic-ai."""

import asyncio
import importlib
import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from caxton.adapters.models.endpoints import Endpoint, Endpoints
from caxton.domain.errors import ModelError
from caxton.domain.ports import DeltaSink, ModelReply, ModelRequest

if TYPE_CHECKING:  # 1.75 s to import: only when a provider is called
    import httpx2
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

_QUIET_LOGGERS = ("openai", "anthropic", "httpx2", "httpcore2")
"""At DEBUG these log requests with their contents."""


class Providers:
    """Calls models at their providers."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Create it; nothing is imported or opened before the first call.

        Args:
            endpoints: gives keys and headers, at each call anew.
        """
        self._endpoints = endpoints
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._loaded: set[str] = set()

    async def respond(self, endpoint: Endpoint, request: ModelRequest, on_delta: DeltaSink) -> ModelReply:
        """Calls a model once.

        Raises:
            ModelError: a subclass for each thing that can go wrong.
        """
        if endpoint.settings.kind not in self._loaded:
            await asyncio.to_thread(_load, endpoint.settings.kind)  # here it would hold up everything for seconds
            self._loaded.add(endpoint.settings.kind)
        from caxton.adapters.models import conversion, failures, prices

        key, headers = self._endpoints.key(endpoint), self._endpoints.headers(endpoint)
        try:
            response = await self._stream(endpoint, request, key, headers, on_delta)
            text = conversion.to_text(response)
            conversion.check_complete(response, text)
            calls = conversion.to_calls(response, request.functions)
        except ModelError as error:
            error.details.setdefault("model", endpoint.name)
            raise
        except Exception as error:
            private = [key, *headers.values(), request.system_prompt, *_contents(request)]
            # Without its cause, which holds what the provider said: causes end up in logs and in workflow history
            raise failures.translate(error, endpoint.name, private) from None
        return ModelReply(
            text=text,
            calls=calls,
            model=endpoint.name,
            usage=prices.usage_of(response, endpoint.model, endpoint.settings),
            metadata=_metadata(endpoint, response),
        )

    async def _stream(
        self, endpoint: Endpoint, request: ModelRequest, key: str, headers: Mapping[str, str], on_delta: DeltaSink
    ) -> "ModelResponse":
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

        from caxton.adapters.models import conversion

        model, provider = self._model(endpoint, key)
        call = model_request_stream(
            model,
            conversion.to_messages(request),
            model_settings=conversion.to_settings(request.settings, headers, model),
            model_request_parameters=conversion.to_parameters(request.functions),
            instrument=False,  # its spans carry provider messages, which may quote the prompt
        )
        async with provider, call as stream:
            async for event in stream:
                match event:
                    case PartStartEvent(part=TextPart(content=text)) if text:
                        on_delta(text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                        on_delta(text)
                    case _:
                        pass
            return stream.get()

    def _model(self, endpoint: Endpoint, key: str) -> tuple["Model", AbstractAsyncContextManager[Any]]:
        """The model, with a client made for this call: so a key is never kept, and a changed one counts at once."""
        from caxton.adapters.models import dialects

        settings = endpoint.settings
        client = self._client(settings.base_url or f"kind:{settings.kind}")
        provider = dialects.provider(settings.kind, endpoint.provider, settings.base_url, key, client)
        return dialects.model(settings.kind, endpoint.model, provider), provider

    def _client(self, service: str) -> "httpx2.AsyncClient":
        """One HTTP client a service, so that connections are used again."""
        from pydantic_ai.models import create_async_httpx2_client

        client = self._clients.get(service)
        if client is None or client.is_closed:
            client = self._clients[service] = create_async_httpx2_client()
        return client

    async def aclose(self) -> None:
        """Closes all connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()


def _load(kind: str) -> None:
    """Imports what calls to providers of `kind` need."""
    from caxton.adapters.models import dialects

    for name in ("conversion", "failures"):
        importlib.import_module(f"caxton.adapters.models.{name}")
    dialects.warm_up(kind)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _metadata(endpoint: Endpoint, response: "ModelResponse") -> dict[str, Any]:
    return {
        "scripted": False,
        "provider": endpoint.provider,
        "provider_model": response.model_name,
        "finish_reason": response.finish_reason,
    }


def _contents(request: ModelRequest) -> Iterable[str]:
    for part in request.parts:
        yield part.text
        yield from (result.text for result in part.results)
