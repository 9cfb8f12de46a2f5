"""What is odd about the settings of models, and no error: limits of a provider that no model has, a default without its key."""

from collections.abc import Iterator, Mapping

from caxton.adapters.models.endpoints import KEY_VARIABLES
from caxton.definitions.suggestions import did_you_mean
from caxton.domain.errors import CaxtonError
from caxton.domain.ports import ModelGateway
from caxton.domain.problems import Problem
from caxton.runtime.settings import Settings


def idle_flow_limits(settings: Settings, origins: Mapping[str, str] | None = None) -> list[Problem]:
    """A warning for each limit under `[flow]` whose provider is unknown.

    Args:
        settings: with `[flow]` and the providers of `[models]`.
        origins: where each setting comes from, by its dotted name.
    """
    known = sorted({*settings.models.providers, *KEY_VARIABLES})
    return [
        _warning(path, provider, known, origins or {}) for path, provider in _named(settings) if provider not in known
    ]


def start_warnings(settings: Settings, models: ModelGateway) -> list[str]:
    """What whoever starts a server should know of its models: the default one that cannot be used, limits of none."""
    found = [f"{problem.message} ({problem.hint})" for problem in idle_flow_limits(settings)]
    try:
        models.default()
    except CaxtonError as error:
        hint = f" ({error.hints[0].text})" if error.hints else ""
        found.append(f"{error.message}{hint}; scripts answer instead")  # agents that have a script answer by that
    return found


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    """Limits by dotted name, with the provider that each is for."""
    for provider in settings.flow.providers:
        yield f"flow.providers.{provider}", provider
    for model in settings.flow.models:
        yield f"flow.models.{model}", model.partition(":")[0]


def _warning(path: str, provider: str, known: list[str], origins: Mapping[str, str]) -> Problem:
    origin = next((found for name, found in origins.items() if name.startswith(f"{path}.")), "settings")
    return Problem(
        file=origin,
        width=0,
        message=f'the limit {path} holds for nothing: no provider is called "{provider}"',
        hint=did_you_mean(provider, known) or f"configure [models.providers.{provider}], or take the limit out",
        severity="warning",
        path=path,
    )
