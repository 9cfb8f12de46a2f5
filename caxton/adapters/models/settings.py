"""`[models]` of the server's settings: which providers there are and where their keys are.

Keys themselves never stand in settings, only references to them.
"""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from caxton.domain.breakers import ProviderBreakerSettings
from caxton.domain.files import FileKind
from caxton.domain.ids import Name
from caxton.domain.quantities import Duration, one_of
from caxton.domain.secrets import EnvironmentName, SecretOrVariable, SecretReference

RESERVED_PROVIDERS = frozenset({"auto", "scripted", "wasm"})
"""What an agent's `model` says for something other than a provider."""

_CONFIG = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # someone may have pasted a key


class ModelPrice(BaseModel):
    """What a model costs, in US dollars for a million tokens."""

    model_config = _CONFIG

    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(ge=0)


class ProviderSettings(BaseModel):
    """`[models.providers.NAME]`: a service that agents name as "NAME:model"."""

    model_config = _CONFIG

    kind: str = Field(
        default="openai",
        description='The dialect it speaks: "openai" (Chat Completions), "openai-responses", "anthropic", or another '
        "provider that pydantic-ai knows.",
    )
    base_url: str | None = Field(default=None, description='Where it is, such as "http://127.0.0.1:11434/v1".')
    api_key: SecretReference | None = Field(
        default=None, description='Reference to its key, such as "env:OPENAI_API_KEY" or "file:/run/secrets/openai".'
    )
    api_key_env: EnvironmentName | None = Field(
        default=None, description='Name of the environment variable that holds its key, such as "OPENAI_API_KEY".'
    )
    headers: dict[str, SecretOrVariable] = Field(
        default={},
        description="Headers to send, each with a reference to its value, or the name of an environment variable.",
    )
    breaker: ProviderBreakerSettings | None = Field(
        default=None, description="When its circuit breaker opens; without it as [breaker] says."
    )
    takes: dict[str, list[Annotated[FileKind, one_of(FileKind)]]] = Field(
        default={},
        description="Kinds of files that models take, by model, `*` for all others: `images`, `audio`, `documents` (PDF). "
        "Without it what is known of the provider; of one at a `base_url` nothing is known. Any model takes texts.",
    )
    prices: dict[str, ModelPrice] = Field(
        default={}, description="Prices by model, where the known ones are not yours."
    )

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, base_url: str | None) -> str | None:
        if base_url is None:
            return None
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError('a base URL begins with "http://" or "https://"')
        if parts.username or parts.password:
            raise ValueError("a base URL holds no key; put it in an environment variable and name that in api_key")
        return base_url

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key and self.api_key_env:
            raise ValueError("api_key and api_key_env say the same; give one of them")
        return self


class ModelsSettings(BaseModel):
    """`[models]`."""

    model_config = _CONFIG

    default: str | None = Field(
        default=None,
        description='The model of agents that say "auto", such as "openai:gpt-5". By default their script answers.',
    )
    providers: dict[Name, ProviderSettings] = Field(
        default={}, description="Providers in addition to the well-known ones, or in place of them."
    )
    rate_limit_wait: Duration = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="How long a call waits when the provider's rate limit, as its last answers tell it, is used up, such as "
        '"20s". A call that would wait longer fails as if the provider had refused it.',
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        if self.default is not None and not all(self.default.partition(":")):
            raise ValueError('default is "provider:model", such as "openai:gpt-5"')
        if taken := sorted(RESERVED_PROVIDERS & set(self.providers)):
            raise ValueError(f'no provider can be called "{taken[0]}"')
        return self
