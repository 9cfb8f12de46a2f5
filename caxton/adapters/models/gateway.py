"""The gateway to all models: what "auto" stands for, and falling back along an agent's list."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial

from caxton.adapters.models.endpoints import Endpoint, Endpoints
from caxton.adapters.models.providers import Providers
from caxton.adapters.models.scripted import MODEL as SCRIPTED
from caxton.adapters.models.scripted import ScriptedModel
from caxton.adapters.models.settings import ModelsSettings
from caxton.domain.agents import AgentVersion, takes_time
from caxton.domain.errors import (
    Hint,
    ModelAnswerCut,
    ModelAnswerInvalid,
    ModelError,
    ModelInputUnsupported,
    ModelNotConfigured,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelTimeout,
    ModelUnavailable,
)
from caxton.domain.ports import DeltaSink, FailedAttempt, FailureSink, ModelReply, ModelRequest, TemplateEngine
from caxton.domain.usage import Usage

AUTO = "auto"

FALLBACK_ON = (
    ModelUnavailable,
    ModelTimeout,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelInputUnsupported,
    ModelNotConfigured,
    ModelAnswerInvalid,
    ModelAnswerCut,
)
"""Failures that another model may not have."""

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
        self._providers = Providers(self._endpoints, settings.rate_limit_wait)
        self._scripted = ScriptedModel(templates)

    def resolve(self, agent: AgentVersion) -> Sequence[str]:
        """The models that would be tried for `agent`, in order: those that can be used.

        Raises:
            ModelNotConfigured: none of them can.
        """
        if not agent.spec.has_model:
            return agent.spec.models  # something else answers in their place
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

    def unusable(self, agent: AgentVersion) -> Sequence[tuple[str, str]]:
        """Models that the agent should have used and cannot, each with why; "auto" stands for the default."""
        found: list[tuple[str, str]] = []
        for model in agent.spec.models if agent.spec.has_model else ():
            named = self._settings.default if model == AUTO else model
            if named is None:
                continue
            try:
                self._usable(named, agent)
            except ModelNotConfigured as error:
                hint = f" ({error.hints[0].text})" if error.hints else ""
                found.append((named, f"{error.message}{hint}"))
        return found

    def default(self) -> str | None:
        """The default model, None if there is none.

        Raises:
            ModelNotConfigured: it cannot be used.
        """
        return None if self._settings.default is None else self._endpoints.find(self._settings.default).name

    def is_scripted(self, agent: AgentVersion) -> bool:
        """Whether the first model tried is a script; no when there is none to try."""
        try:
            return self.resolve(agent)[0] == SCRIPTED
        except ModelNotConfigured:
            return False

    async def respond(
        self, request: ModelRequest, on_delta: DeltaSink | None = None, on_failure: FailureSink | None = None
    ) -> ModelReply:
        """Calls the first model that answers; with `on_delta` its text comes as it is made.

        Raises:
            ModelError: none answered. It is the first failure that another try may fix, else the last one;
                `details["models"]` lists all.
            ExecutionFailed: a script's step failed.
            CallQueued: it is not the first model's turn yet.
            PlaceLost: the call was given up, to be made again.
        """
        failures: list[Failure] = []
        for named in request.agent.spec.models:
            model = named
            try:
                model = self._usable(named, request.agent)
                if model == SCRIPTED and named == AUTO:
                    failures += self._default_failure()
                reply = await self._ask(model, request, on_delta, on_failure, may_queue=not failures)
            except FALLBACK_ON as error:
                failures.append((model, error))
                continue
            if not failures:
                return reply
            passed = [{"model": failed, "code": error.code, "reason": error.message} for failed, error in failures]
            return replace(reply, metadata={**reply.metadata, "fallback_from": passed})
        raise verdict(failures)

    async def aclose(self) -> None:
        """Closes all connections to providers."""
        await self._providers.aclose()

    async def _ask(
        self,
        model: str,
        request: ModelRequest,
        on_delta: DeltaSink | None,
        on_failure: FailureSink | None,
        *,
        may_queue: bool,
    ) -> ModelReply:
        """Calls one model, when it is its turn. One that falls back has its answer begun, and does not queue behind others."""
        if model == SCRIPTED:
            if not takes_time(request.agent):
                return await self._scripted.respond(request, on_delta)
            async with _place(request, "", SCRIPTED, may_queue) as waited:
                reply = await self._scripted.respond(request, on_delta)
        else:
            endpoint = self._endpoints.find(model)
            async with _place(request, endpoint.provider, endpoint.name, may_queue) as waited:
                reply = await self._call(endpoint, request, on_delta, on_failure)
        return replace(reply, waited=reply.waited + waited) if waited else reply

    async def _call(
        self, endpoint: Endpoint, request: ModelRequest, on_delta: DeltaSink | None, on_failure: FailureSink | None
    ) -> ModelReply:
        model, started = endpoint.name, time.perf_counter()
        failed = partial(_tell_failure, on_failure, model, started)
        try:
            return await self._providers.respond(endpoint, request, on_delta)
        except (ModelNotConfigured, ModelInputUnsupported):
            raise  # nobody was called
        except ModelError as error:
            failed(error.code, error.usage)
            raise
        except asyncio.CancelledError:
            failed("cancelled", None)
            raise

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
                    f'agent "{agent.name}" has no script',
                    'name a file with rules in the agent\'s "script", or a provider\'s model in its "model"',
                    details={"model": SCRIPTED},
                )
            return SCRIPTED
        return self._endpoints.find(model).name

    def _default_failure(self) -> list[Failure]:
        """Why the default model cannot be used, where it cannot: its place is taken in the open."""
        try:
            self.default()
        except ModelNotConfigured as error:
            return [(str(self._settings.default), error)]
        return []

    def _automatic(self, agent: AgentVersion) -> str:
        refusal = None
        try:
            if (default := self.default()) is not None:
                return default
        except ModelNotConfigured as error:
            refusal = error
        if agent.script is not None:
            return SCRIPTED
        hints = [
            *(refusal.hints if refusal else []),
            Hint(text='choose a model for all agents that say "auto": default = "openai:gpt-5" under [models]'),
            Hint(text='or give the agent a script: script = "NAME.script.toml"'),
        ]
        reason = refusal.message if refusal else "no default model is set"
        raise ModelNotConfigured(
            f'agent "{agent.name}" has the model "auto", but {reason}, and the agent has no script',
            *hints,
            details={"model": AUTO, "agent": agent.name},
        )


def _place(request: ModelRequest, provider: str, model: str, may_queue: bool) -> AbstractAsyncContextManager[float]:
    return nullcontext(0.0) if request.place is None else request.place(provider, model, may_queue)


def _tell_failure(on_failure: FailureSink | None, model: str, started: float, code: str, usage: Usage | None) -> None:
    if on_failure is not None:
        on_failure(FailedAttempt(model, code, time.perf_counter() - started, usage))


def verdict(failures: Sequence[Failure]) -> ModelError:
    """The one error that stands for all of `failures`: the first that another try may fix, else the last."""
    retryable = [error for _, error in failures if error.retryable]
    chosen = retryable[0] if retryable else failures[-1][1]
    chosen.details["models"] = [{"model": model, "code": error.code} for model, error in failures]
    if len(failures) > 1:
        waits = [error.retry_after for error in retryable if error.retry_after is not None]
        chosen.retry_after = max(waits, default=None)
        others = ", ".join(f"{model} ({error.code})" for model, error in failures if error is not chosen)
        chosen.hints.append(Hint(text=f"the agent's other models did not answer either: {others}"))
    return chosen
