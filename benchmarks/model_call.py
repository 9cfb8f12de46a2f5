"""The call of a model alone: CPU of a call through the gateway, whole and streamed, many at a time."""

import asyncio
import resource
import time
from collections.abc import Sequence

from benchmarks.report import Figure, print_figures, print_machine
from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.domain.agents import AgentSpec, AgentVersion, ModelSettings
from caxton.domain.ids import ExecutionId, Scope, digest_of
from caxton.domain.ports import DeltaSink, ModelRequest, PromptPart
from tests.support.stand_in import Answer, running

CHUNKS = 40
"""Pieces in which a streamed answer comes."""

CALLS = 400


def request(model: str) -> ModelRequest:
    """What an agent with a short prompt asks."""
    spec = AgentSpec.model_validate({"name": "thinker", "version": "1.0.0", "capabilities": ["think"], "model": model})
    return ModelRequest(
        agent=AgentVersion(spec=spec, script=None, digest=digest_of(model.encode())),
        scope=Scope(),
        execution_id=ExecutionId("x_1"),
        step=1,
        request="go on",
        system_prompt="You think.",
        parts=[PromptPart("user", "go on")],
        functions=[],
        settings=ModelSettings(timeout=600),
    )


def cpu() -> float:
    """Seconds of this process's CPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def cost_of_a_call(models: Models, at_once: int, listener: DeltaSink | None, calls: int = CALLS) -> float:
    """Milliseconds of CPU a call, with `at_once` under way."""
    left = calls

    async def one_after_another() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await models.respond(request("stand-in:stand-in"), listener)

    before = cpu()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return 1000 * (cpu() - before) / calls


async def in_flight(models: Models, calls: int) -> tuple[float, float]:
    """Seconds until `calls` that are begun together are all answered, and megabytes that they take."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    await asyncio.gather(*(models.respond(request("stand-in:stand-in"), None) for _ in range(calls)))
    took = time.perf_counter() - started
    return took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


async def measure() -> list[Figure]:
    """All figures."""
    found: list[Figure] = []
    with running(Answer(chunks=CHUNKS, took=0.2), remembers=False) as url:
        provider = ProviderSettings(base_url=f"{url}/v1")
        models = Models(ModelsSettings(providers={"stand-in": provider}), templates)
        await cost_of_a_call(models, 50, None, 100)
        for name, listener, target in (("whole reply", None, 2.5), (f"streamed, {CHUNKS} pieces", _drop, 15.0)):
            runs = [await cost_of_a_call(models, 100, listener) for _ in range(3)]
            found.append(Figure(f"CPU of a model call, {name}", sorted(runs)[1], "ms", target))
        await models.aclose()
    with running(Answer(chunks=CHUNKS, took=10.0), remembers=False) as url:
        provider = ProviderSettings(base_url=f"{url}/v1")
        models = Models(ModelsSettings(providers={"stand-in": provider}), templates)
        took, memory = await in_flight(models, 2_000)
        found.append(Figure("2,000 calls of 10 s at once", took, "s", 20.0))
        found.append(Figure("2,000 calls at once, memory a call", 1000 * memory / 2_000, "kB", 200.0))
        await models.aclose()
    return found


def _drop(_text: str) -> None:
    """A listener that looks away."""


def figures() -> Sequence[Figure]:
    """CPU of a call, and many in flight."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print_machine()
    print_figures("The call of a model alone", figures())
