"""Which service a model's name stands for, and whether all that it needs is there.

Nothing here imports pydantic-ai: the question is asked for every agent, the answer may be that a script does the work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import SecretStr

from caxton.adapters.models.settings import ModelsSettings, ProviderSettings
from caxton.adapters.secrets import Secrets
from caxton.domain.errors import Hint, ModelNotConfigured, SecretMissing
from caxton.domain.pasted import clean_key, odd_character
from caxton.domain.secrets import as_reference, one_reference

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
    def key_references(self) -> tuple[str, ...]:
        """References of which one has to lead to a key."""
        configured = one_reference(self.settings.api_key, self.settings.api_key_env)
        if configured:
            return (configured,)
        if self.settings.base_url:
            return ()
        return tuple(f"env:{variable}" for variable in KEY_VARIABLES.get(self.settings.kind, ()))


class Endpoints:
    """All services that agents can name."""

    def __init__(self, settings: ModelsSettings, environment: Mapping[str, str] | None = None) -> None:
        """Create it.

        Args:
            settings: `[models]`.
            environment: where keys are read, the process's environment if not given.
        """
        self._settings = settings
        self._secrets = Secrets(environment)

    def is_at_hand(self, endpoint: Endpoint) -> bool:
        """Whether key and headers of `endpoint` are found without asking anybody: in the environment."""
        headers = map(as_reference, endpoint.settings.headers.values())
        return all(each.startswith("env:") for each in (*endpoint.key_references, *headers))

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
            hint = _did_you_mean(settings.kind, KEY_VARIABLES) or Hint(text=f"kinds: {', '.join(KEY_VARIABLES)}")
            raise ModelNotConfigured(f'provider "{provider}" is of an unknown kind, "{settings.kind}"', hint)
        endpoint = Endpoint(provider, name, settings)
        self._check_secrets(endpoint)
        return endpoint

    def _check_secrets(self, endpoint: Endpoint) -> None:
        missing: list[tuple[str, tuple[str, ...]]] = []
        if endpoint.key_references and self._first(endpoint.key_references) is None:
            missing.append(("its API key", endpoint.key_references))
        else:
            self.key(endpoint)
        missing += [
            (f"header {header}", (as_reference(place),))
            for header, place in endpoint.settings.headers.items()
            if self._secrets.find(as_reference(place)) is None
        ]
        if missing:
            raise self._missing(endpoint, *missing[0])

    def _missing(self, endpoint: Endpoint, what: str, references: tuple[str, ...]) -> ModelNotConfigured:
        message = f"model {endpoint.name} cannot be used: {what} is not set"
        if all(each.startswith("env:") for each in references):
            variables = [each.removeprefix("env:") for each in references]
            named = " or ".join(variables)
            hint = Hint(text=f"set {named} in the environment of the server", command=f"export {variables[0]}=…")
            return ModelNotConfigured(message, hint, details={"model": endpoint.name, "environment": named})
        reason = "it is empty"
        try:
            self._secrets.get(references[0])
        except SecretMissing as error:
            reason = error.message
        details = {"model": endpoint.name, "reference": references[0]}
        return ModelNotConfigured(
            message, Hint(text=f"put it where {references[0]} leads"), reason=reason, details=details
        )

    def _unknown(self, model: str, provider: str, name: str) -> ModelNotConfigured:
        known = sorted({*self._settings.providers, *KEY_VARIABLES})
        hints = [Hint(text=f"providers: {', '.join(known)}"), Hint(text=f"or configure [models.providers.{provider}]")]
        if guess := _did_you_mean(provider, known, f":{name}"):
            hints.insert(0, guess)
        return ModelNotConfigured(
            f'model {model} is of an unknown provider, "{provider}"', *hints, details={"model": model}
        )

    def _first(self, references: Iterable[str]) -> SecretStr | None:
        return next((value for each in references if (value := self._secrets.find(each)) is not None), None)

    def key(self, endpoint: Endpoint) -> SecretStr:
        """The API key as its source has it now, without what was pasted along with it; empty if there is none.

        Raises:
            ModelNotConfigured: it has a character that no key has.
        """
        found = self._first(each for each in endpoint.key_references if not each.endswith("_URL"))
        key = clean_key(found.get_secret_value()) if found else ""
        if odd := odd_character(key):
            raise ModelNotConfigured(
                f"model {endpoint.name} cannot be used: its API key has a character that no key has, {odd}",
                f"copy the key again to {' or '.join(endpoint.key_references)}",
                details={"model": endpoint.name},
            )
        return SecretStr(key)

    def headers(self, endpoint: Endpoint) -> dict[str, SecretStr]:
        """The configured headers with the values that their sources have now.

        Raises:
            SecretMissing: one no longer has it.
        """
        return {name: self._secrets.get(as_reference(place)) for name, place in endpoint.settings.headers.items()}


def _nameless(model: str) -> ModelNotConfigured:
    return ModelNotConfigured(
        f'model "{model}" names no provider',
        'write "provider:model", such as "openai:gpt-5", or "scripted" or "auto"',
        details={"model": model},
    )


def _did_you_mean(word: str, known: Iterable[str], ending: str = "") -> Hint | None:
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return Hint(text=f'did you mean "{close[0]}{ending}"?') if close else None
