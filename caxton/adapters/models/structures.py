"""How an answer is asked for that has to be an object: by the provider's own means, in words, or both."""

from enum import StrEnum
from typing import Any

from caxton.adapters.models.endpoints import Endpoint

_NATIVE_KINDS = frozenset({"openai", "openai-chat", "openai-responses", "anthropic"})
"""Providers that see to it themselves, also where the model may call functions besides."""

_MAY_REFUSE = (400, 404, 415, 422)
"""Statuses by which services refuse what they do not know."""

_NAMES = ("response_format", "json_schema", "text.format", "output_config", "output_format", "structured")
"""What a refusal speaks of that is about the object."""


class Structure(StrEnum):
    """A way to ask for an object."""

    NATIVE = "native"
    """The provider is given the schema, and sees to it."""
    BOTH = "both"
    """It is given the schema, and so is the model: services that speak like OpenAI's may pass over what they do not know."""
    TOLD = "told"
    """The model is told in words."""


class Structures:
    """Which way goes with which endpoint, as far as it has been found out."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    def of(self, endpoint: Endpoint, profile: Any) -> Structure:
        """How to ask at `endpoint`, for a model that pydantic-ai knows by `profile`."""
        kind = endpoint.settings.kind
        if kind not in _NATIVE_KINDS or endpoint.name in self._refused:
            return Structure.TOLD
        if not profile.get("supports_json_schema_output", False):
            return Structure.TOLD
        return Structure.NATIVE if endpoint.settings.base_url is None else Structure.BOTH

    def refused(self, endpoint: Endpoint, status: int, said: str) -> bool:
        """Whether a refusal is one of the schema: then it is not sent there again."""
        if status not in _MAY_REFUSE or not any(name in said for name in _NAMES):
            return False
        self._refused.add(endpoint.name)
        return True
