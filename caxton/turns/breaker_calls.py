"""The calls of turns, as circuit breakers see them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

from caxton.domain.breakers import BreakerKind
from caxton.domain.errors import Hint, ModelBreakerOpen, ToolBreakerOpen, ToolError, ToolQuarantined
from caxton.domain.executions import StepInput
from caxton.domain.ids import Scope
from caxton.domain.quantities import format_duration
from caxton.domain.refusals import Refusals
from caxton.domain.tools import ToolManifest
from caxton.governance.breakers import CircuitBreakers
from caxton.governance.faults import is_providers_fault, is_tools_fault, violation

MOST_ALTERNATIVES = 10

WHAT_FAILS = Hint(text="see what fails", command="caxton breaker list")


def model_breaker(
    breakers: CircuitBreakers, step: StepInput, attempt: int, provider: str, model: str
) -> AbstractAsyncContextManager[None]:
    """Around a call of a model: refuses it while its provider keeps failing, so that the next of the agent's list is asked.

    Raises:
        ModelBreakerOpen: so it is.
    """
    if not provider:
        return nullcontext()  # a script
    return breakers.guard(
        step.scope,
        BreakerKind.MODEL,
        provider,
        breakers.of_provider(provider),
        f"{step.execution_id}/{step.step}/{attempt}",
        refuse=partial(_provider_rests, provider, model),
        own_fault=is_providers_fault,
    )


def tool_breaker(
    breakers: CircuitBreakers,
    scope: Scope,
    manifest: ToolManifest,
    by: str,
    *,
    alternatives: Sequence[str] = (),
    own_time: bool = True,
) -> AbstractAsyncContextManager[None]:
    """Around a call of a tool: refuses it while the tool keeps failing.

    Args:
        breakers: the breakers.
        scope: whose.
        manifest: of the tool.
        by: the call's name.
        alternatives: other tools that may be called instead.
        own_time: whether the tool has the time that its manifest gives it; where it has less, to be late is no fault of its own.

    Raises:
        ToolBreakerOpen: so it is.
    """
    return breakers.guard(
        scope,
        BreakerKind.TOOL,
        manifest.name,
        manifest.breaker,
        by,
        refuse=partial(_tool_rests, manifest.name, list(alternatives)),
        own_fault=partial(is_tools_fault, own_time=own_time),
    )


def count_violations(
    breakers: CircuitBreakers,
    scope: Scope,
    manifest: ToolManifest,
    by: str,
    error: ToolError | None,
    refused: Refusals | None,
    *,
    own_time: bool = True,
) -> None:
    """Counts a call of a tool towards its quarantine: did it reach a limit, or ask for what its manifest does not name?"""
    code = violation(error, refused or Refusals(), own_time=own_time)
    settings = manifest.quarantine.as_breaker
    breakers.tell(scope, BreakerKind.VIOLATIONS, manifest.name, settings, by, code is None, code)


def tool_quarantined(tool: str, why: str, alternatives: Sequence[str] = ()) -> ToolQuarantined:
    """The refusal of a call of a tool in quarantine."""
    others = list(alternatives)[:MOST_ALTERNATIVES]
    hints = [Hint(text=f"use another tool: {', '.join(others)}")] if others else []
    return ToolQuarantined(
        f'the tool "{tool}" is quarantined: {why}',
        *hints,
        Hint(text="an administrator can release it", command=f"caxton tool release {tool}"),
        details={"tool": tool, "alternatives": others},
    )


def _provider_rests(provider: str, model: str, seconds: float) -> ModelBreakerOpen:
    after = max(0.1, seconds)
    return ModelBreakerOpen(
        f'the provider "{provider}" keeps failing and rests; retrying in {format_duration(after)}',
        Hint(text="name a model of another provider behind it: model is a list that is tried in order"),
        WHAT_FAILS,
        details={"model": model, "provider": provider},
        retry_after=round(after, 3),
    )


def _tool_rests(tool: str, alternatives: Sequence[str], seconds: float) -> ToolBreakerOpen:
    after = max(0.1, seconds)
    others = list(alternatives)[:MOST_ALTERNATIVES]
    hints = [Hint(text=f"use another tool: {', '.join(others)}")] if others else []
    return ToolBreakerOpen(
        f'the tool "{tool}" keeps failing and rests; retrying in {format_duration(after)}',
        *hints,
        WHAT_FAILS,
        details={"tool": tool, "alternatives": others},
        retry_after=round(after, 3),
    )
