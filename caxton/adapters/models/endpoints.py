"""Which service a model's name stands for, and whether all that it needs is there.

Nothing here imports pydantic-ai: the question is asked for every agent, the answer may be that a script does the work.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from caxton.adapters.models.settings import ModelsSettings, ProviderSettings
from caxton.domain.errors import Hint, ModelNotConfigured

KEY_VARIABLES: dict[str, tuple[str, ...]] = {
    "alibaba": ("ALIBABA_API_KEY", "DASHSCOPE_API_KEY"),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_OPENAI_API_KEY",),
    "bedrock": (),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("CO_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks": ("FIREWORKS_API_KEY",),
    "github": ("GITHUB_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "google-cloud": (),
    "groq": ("GROQ_API_KEY",),
    "heroku": ("HEROKU_INFERENCE_KEY",),
    "huggingface": ("HF_TOKEN",),
    "litellm": (),
    "mistral": ("MISTRAL_API_KEY",),
    "moonshotai": ("MOONSHOTAI_API_KEY",),
    "nebius": ("NEBIUS_API_KEY",),
    "ollama": ("OLLAMA_BASE_URL",),
    "openai": ("OPENAI_API_KEY",),
    "openai-chat": ("OPENAI_API_KEY",),
    "openai-responses": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "ovhcloud": ("OVHCLOUD_API_KEY",),
    "sambanova": ("SAMBANOVA_API_KEY",),
    "together": ("TOGETHER_API_KEY",),
    "vercel": ("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    "vllm": ("VLLM_BASE_URL",),
    "xai": ("XAI_API_KEY",),
    "zai": ("ZAI_API_KEY",),
}
"""Providers of pydantic-ai, each with the environment variables of which it needs one.

Those with none find their credentials in ways of their own.
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider as it is configured, and the model at it."""

    provider: str
    """Its name in agents' `model`."""
    model: str
    settings: ProviderSettings

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Environment variables of which one has to be set."""
        if self.settings.api_key_env:
            return (self.settings.api_key_env,)
        if self.settings.base_url:
            return ()
        return KEY_VARIABLES.get(self.settings.kind, ())


class Endpoints:
    """All services that agents can name."""

    def __init__(self, settings: ModelsSettings, environment: Mapping[str, str] | None = None) -> None:
        """Create it.

        Args:
            settings: `[models]`.
            environment: where keys are read, the process's environment if not given.
        """
        self._settings = settings
        self._environment = os.environ if environment is None else environment

    def find(self, model: str) -> Endpoint:
        """What `model`, such as "openai:gpt-5", stands for, when everything that it needs is there.

        Raises:
            ModelNotConfigured: it names no provider or an unknown one, or a key is missing.
        """
        provider, _, name = model.partition(":")
        if not provider or not name:
            raise _nameless(model)
        settings = self._settings.providers.get(provider)
        if settings is None and provider in KEY_VARIABLES:
            settings = ProviderSettings(kind=provider)
        if settings is None:
            raise self._unknown(model, provider, name)
        if settings.kind not in KEY_VARIABLES:
            hint = _did_you_mean(settings.kind, KEY_VARIABLES) or Hint(text=f"Kinds: {', '.join(KEY_VARIABLES)}")
            raise ModelNotConfigured(f'Provider "{provider}" is of an unknown kind, "{settings.kind}"', hint)
        endpoint = Endpoint(provider, name, settings)
        self._check_environment(endpoint)
        return endpoint

    def _check_environment(self, endpoint: Endpoint) -> None:
        missing: list[tuple[str, str]] = []
        if endpoint.key_variables and not self._first(endpoint.key_variables):
            missing.append(("its API key", " or ".join(endpoint.key_variables)))
        missing += [
            (f"header {header}", variable)
            for header, variable in endpoint.settings.headers.items()
            if not self._environment.get(variable)
        ]
        if missing:
            what, variable = missing[0]
            raise ModelNotConfigured(
                f"Model {endpoint.name} cannot be used: {what} is not set",
                Hint(
                    text=f"Set {variable} in the environment of the server", command=f"export {variable.split()[0]}=…"
                ),
                details={"model": endpoint.name, "environment": variable},
            )

    def _unknown(self, model: str, provider: str, name: str) -> ModelNotConfigured:
        known = sorted({*self._settings.providers, *KEY_VARIABLES})
        hints = [Hint(text=f"Providers: {', '.join(known)}"), Hint(text=f"Or configure [models.providers.{provider}]")]
        if guess := _did_you_mean(provider, known, f":{name}"):
            hints.insert(0, guess)
        return ModelNotConfigured(
            f'Model {model} is of an unknown provider, "{provider}"', *hints, details={"model": model}
        )

    def _first(self, variables: Iterable[str]) -> str | None:
        return next((value for variable in variables if (value := self._environment.get(variable))), None)

    def key(self, endpoint: Endpoint) -> str:
        """The API key as the environment has it now, empty if there is none."""
        return self._first(name for name in endpoint.key_variables if not name.endswith("_URL")) or ""

    def headers(self, endpoint: Endpoint) -> dict[str, str]:
        """The configured headers with the values that the environment has now."""
        return {name: self._environment[variable] for name, variable in endpoint.settings.headers.items()}


def _nameless(model: str) -> ModelNotConfigured:
    return ModelNotConfigured(
        f'Model "{model}" names no provider',
        'Write "provider:model", such as "openai:gpt-5", or "scripted" or "auto"',
        details={"model": model},
    )


def _did_you_mean(word: str, known: Iterable[str], ending: str = "") -> Hint | None:
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return Hint(text=f'Did you mean "{close[0]}{ending}"?') if close else None
