"""The gateway to all models: what "auto" stands for, and falling back along an agent's list."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from caxton.adapters.models.endpoints import Endpoints
from caxton.adapters.models.providers import Providers
from caxton.adapters.models.scripted import MODEL as SCRIPTED
from caxton.adapters.models.scripted import ScriptedModel
from caxton.adapters.models.settings import ModelsSettings
from caxton.domain.agents import AgentVersion
from caxton.domain.errors import (
    Hint,
    ModelError,
    ModelNotConfigured,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelTimeout,
    ModelUnavailable,
)
from caxton.domain.ports import DeltaSink, ModelReply, ModelRequest, TemplateEngine

AUTO = "auto"

FALLBACK_ON = (ModelUnavailable, ModelTimeout, ModelRateLimited, ModelRefusedRequest, ModelNotConfigured)
"""Failures that another model may not have. An answer that makes no sense is rather asked for again."""

Failure = tuple[str, ModelError]
"""A model, and why it did not answer."""


class Models:
    """Scripts and providers behind one door: the port :class:`caxton.domain.ports.ModelGateway`."""

    def __init__(
        self,
        settings: ModelsSettings,
        templates: TemplateEngine,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Create the gateway; it opens nothing before the first call of a provider.

        Args:
            settings: `[models]` of the server's settings.
            templates: renders the texts of scripts.
            environment: where keys are read at each call, the process's environment if not given.
        """
        self._settings = settings
        self._endpoints = Endpoints(settings, environment)
        self._providers = Providers(self._endpoints)
        self._scripted = ScriptedModel(templates)

    def resolve(self, agent: AgentVersion) -> Sequence[str]:
        """The models that would be tried for `agent`, in order: those that can be used.

        Raises:
            ModelNotConfigured: none of them can.
        """
        usable: list[str] = []
        failures: list[Failure] = []
        for model in agent.spec.models:
            try:
                usable.append(self._usable(model, agent))
            except ModelNotConfigured as error:
                failures.append((model, error))
        if not usable:
            raise verdict(failures)
        return list(dict.fromkeys(usable))

    def is_scripted(self, agent: AgentVersion) -> bool:
        """Whether the first model tried is a script; no when there is none to try."""
        try:
            return self.resolve(agent)[0] == SCRIPTED
        except ModelNotConfigured:
            return False

    async def respond(self, request: ModelRequest, on_delta: DeltaSink) -> ModelReply:
        """Calls the first model that answers.

        Raises:
            ModelError: none answered. It is the first failure that another try may mend, else the last one;
                `details["models"]` lists all.
            ExecutionFailed: a script's step failed.
        """
        failures: list[Failure] = []
        for model in request.agent.spec.models:
            try:
                model = self._usable(model, request.agent)  # noqa: PLW2901 - what it stands for is what failures name
                reply = await self._ask(model, request, on_delta)
            except FALLBACK_ON as error:
                failures.append((model, error))
                continue
            if not failures:
                return reply
            passed = [{"model": failed, "code": error.code} for failed, error in failures]
            return replace(reply, metadata={**reply.metadata, "fallback_from": passed})
        raise verdict(failures)

    async def aclose(self) -> None:
        """Closes all connections to providers."""
        await self._providers.aclose()

    async def _ask(self, model: str, request: ModelRequest, on_delta: DeltaSink) -> ModelReply:
        if model == SCRIPTED:
            return await self._scripted.respond(request, on_delta)
        return await self._providers.respond(self._endpoints.find(model), request, on_delta)

    def _usable(self, model: str, agent: AgentVersion) -> str:
        """What `model` stands for, if that can be used.

        Raises:
            ModelNotConfigured: it cannot.
        """
        if model == AUTO:
            return self._automatic(agent)
        if model == SCRIPTED:
            if agent.script is None:
                raise ModelNotConfigured(
                    f'Agent "{agent.name}" has no script',
                    'Name a file with rules in the agent\'s "script", or a provider\'s model in its "model"',
                    details={"model": SCRIPTED},
                )
            return SCRIPTED
        return self._endpoints.find(model).name

    def _automatic(self, agent: AgentVersion) -> str:
        default, refusal = self._settings.default, None
        if default is not None:
            try:
                return self._endpoints.find(default).name
            except ModelNotConfigured as error:
                refusal = error
        if agent.script is not None:
            return SCRIPTED
        hints = [
            *(refusal.hints if refusal else []),
            Hint(text='Choose a model for all agents that say "auto": default = "openai:gpt-5" under [models]'),
            Hint(text='Or give the agent a script: script = "NAME.script.toml"'),
        ]
        reason = refusal.message if refusal else "no default model is set"
        raise ModelNotConfigured(
            f'Agent "{agent.name}" has the model "auto", but {reason}, and the agent has no script',
            *hints,
            details={"model": AUTO, "agent": agent.name},
        )


def verdict(failures: Sequence[Failure]) -> ModelError:
    """The one error that stands for all of `failures`: the first that another try may mend, else the last."""
    retryable = [error for _, error in failures if error.retryable]
    chosen = retryable[0] if retryable else failures[-1][1]
    chosen.details["models"] = [{"model": model, "code": error.code} for model, error in failures]
    if len(failures) > 1:
        waits = [error.retry_after for error in retryable if error.retry_after is not None]
        chosen.retry_after = max(waits, default=None)
        others = ", ".join(f"{model} ({error.code})" for model, error in failures if error is not chosen)
        chosen.hints.append(Hint(text=f"The agent's other models did not answer either: {others}"))
    return chosen
