"""Providers and models of pydantic-ai, made for one call.

Imports pydantic-ai, so it is itself imported only when a provider is called.
"""

import inspect
from functools import cache
from typing import Any

import httpx2
from pydantic_ai.models import Model, infer_model
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider_class

from caxton.domain.errors import ModelNotConfigured

OPENAI_CHAT_KINDS = frozenset({"openai", "openai-chat"})
OPENAI_KINDS = OPENAI_CHAT_KINDS | {"openai-responses"}
OWN_CLIENT_KINDS = OPENAI_KINDS | {"anthropic"}
"""Providers that send all they send through a client of ours, so that a model can be used again and again."""

_NO_TAG = "\0no tag\0"

_NO_KEY = "none"
"""Sent to servers that want no key; the SDKs insist on one."""


def provider(kind: str, name: str, base_url: str | None, key: str, client: httpx2.AsyncClient) -> Provider[Any]:
    """A provider that speaks as `kind` does.

    Args:
        kind: a key of :data:`caxton.adapters.models.endpoints.KEY_VARIABLES`.
        name: what Caxton's settings call it.
        base_url: where it is, if not at its own address.
        key: its API key; empty for none, or for a provider that finds credentials itself.
        client: for its requests.

    Raises:
        ModelNotConfigured: it takes no base URL or key, or its package is not installed.
    """
    if kind in OPENAI_KINDS:
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        from caxton.adapters.models.openai_client import OpenAIClient

        openai = OpenAIClient(api_key=key or _NO_KEY, base_url=base_url, http_client=client)
        if base_url is None:
            return OpenAIProvider(openai_client=openai)
        return OpenAICompatibleProvider(name, openai_client=openai)
    if kind == "anthropic":
        from anthropic import AsyncAnthropic
        from pydantic_ai.providers.anthropic import AnthropicProvider

        anthropic = AsyncAnthropic(api_key=key or _NO_KEY, base_url=base_url, http_client=client)
        return AnthropicProvider(anthropic_client=anthropic)
    return _other_provider(kind, base_url, key, client)


@cache
def is_chat(kind: str) -> bool:
    """Whether providers of `kind` speak Chat Completions, through a client of ours."""
    if kind in OWN_CLIENT_KINDS:
        return kind in OPENAI_CHAT_KINDS
    try:
        takes = inspect.signature(infer_provider_class(kind).__init__).parameters
    except ImportError:
        return False
    return "openai_client" in takes and "http_client" in takes


def _other_provider(kind: str, base_url: str | None, key: str, client: httpx2.AsyncClient) -> Provider[Any]:
    try:
        provider_class = infer_provider_class(kind)
    except ImportError as error:
        raise ModelNotConfigured(
            f'provider kind "{kind}" needs a package that is not installed',
            'install it, or use the provider\'s OpenAI-compatible address with kind = "openai" and a base_url',
            reason=str(error),
        ) from error
    takes = inspect.signature(provider_class.__init__).parameters
    options: dict[str, Any] = {}
    for option, value in (("base_url", base_url), ("api_key", key)):
        if value:
            if option not in takes:
                raise ModelNotConfigured(f'provider kind "{kind}" takes no {option}', 'use kind = "openai"')
            options[option] = value
    if "openai_client" in takes and "http_client" in takes:  # others have HTTP libraries of their own
        options["http_client"] = client
    return provider_class(**options)


def model(kind: str, name: str, provider: Provider[Any]) -> Model:
    """The model `name` at `provider`, which speaks as `kind` does."""
    if kind in OPENAI_CHAT_KINDS:
        from pydantic_ai.models.openai import OpenAIChatModel

        # Its answers come whole and without thoughts (`ChatAnswer`): a tag that is left is part of the text
        profile = OpenAIModelProfile(thinking_tags=(_NO_TAG, _NO_TAG))
        return OpenAIChatModel(name, provider=provider, profile=profile)
    return infer_model(f"{kind}:{name}", lambda _: provider)


def warm_up(kind: str) -> None:
    """Imports all that calls to providers of `kind` need, which for some is a second's work."""
    if kind in OWN_CLIENT_KINDS:
        model(
            kind,
            "none",
            provider(kind, "none", "http://127.0.0.1", "", httpx2.AsyncClient(trust_env=False, verify=False)),
        )
