"""Schemas are a stranger's: whatever they are, they end with an error of their own, and disturb nobody meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from caxton.domain.errors import InvalidModule, ToolAnswerInvalid, ToolError, ToolInputInvalid
from tests.support import hostile, modules
from tests.support.bench import Bench

LATE = 2.0
"""Seconds that the event loop may be late, on a busy machine. Compiling such schemas on it took half a minute."""

GROWTH = 100 << 20
"""Bytes that the process may grow."""


def resident() -> int:
    """Bytes of this process in memory; 0 where nobody knows."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * 4096 if path.exists() else 0


@asynccontextmanager
async def undisturbed() -> AsyncIterator[Callable[[], float]]:
    """Checks that the loop goes on turning within the block, and that no memory stays behind."""
    worst, before = 0.0, resident()

    async def beat() -> None:
        nonlocal worst
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - begun)

    beating = asyncio.create_task(beat())
    try:
        yield lambda: worst
    finally:
        beating.cancel()
    assert worst < LATE
    assert resident() - before < GROWTH


@pytest.mark.requirement("SEC-3")
@pytest.mark.requirement("TOL-6")
@pytest.mark.parametrize("name", hostile.REFUSED_SCHEMAS)
async def test_a_schema_that_costs_too_much_is_refused_when_it_is_deployed(bench: Bench, name: str) -> None:
    module = modules.component(schemas=[hostile.REFUSED_SCHEMAS[name]])
    async with undisturbed():
        with pytest.raises(InvalidModule) as caught:
            await bench.tool(module)
    assert caught.value.details == {"function": "run", "schema": "inputSchema"} | (
        {"limit": "schema"} if "more than" in caught.value.message and "takes" in caught.value.message else {}
    )


@pytest.mark.requirement("SEC-3")
@pytest.mark.requirement("TOL-6")
@pytest.mark.parametrize("name", hostile.COSTLY_SCHEMAS)
async def test_arguments_that_take_long_to_check_disturb_nobody(bench: Bench, name: str) -> None:
    schema, arguments = hostile.COSTLY_SCHEMAS[name]
    tool = await bench.tool(modules.component(schemas=[schema]), limits={"message_size": 4 << 20})
    async with undisturbed():
        with suppress(ToolError):
            await bench.sandbox.call("test", tool, "run", arguments)


@pytest.mark.requirement("SEC-3")
async def test_a_check_that_takes_too_long_says_so(bench: Bench) -> None:
    schema, arguments = hostile.COSTLY_SCHEMAS["a long list of values"]
    tool = await bench.tool(modules.component(schemas=[schema]), limits={"message_size": 4 << 20})
    with pytest.raises(ToolInputInvalid) as caught:
        await bench.sandbox.call("test", tool, "run", arguments)
    assert "too large" in caught.value.message
    with pytest.raises(ToolInputInvalid) as caught:
        await bench.sandbox.call("test", tool, "run", {"a": [7, "x"]})
    assert [violation["path"] for violation in caught.value.details["violations"]] == ["/a/1"]


@pytest.mark.requirement("SEC-3")
async def test_many_schemas_leave_nothing_behind(bench: Bench) -> None:
    async with undisturbed():
        tool = await bench.tool(modules.component(schemas=hostile.many_schemas(60)), limits={"message_size": 4 << 20})
        for function in tool.functions:
            with suppress(ToolError):
                await bench.sandbox.call("test", tool, function.name, {"property-1": "b"})


@pytest.mark.requirement("TOL-6")
async def test_patterns_are_checked(bench: Bench) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^(?!\.)[a-z.]+$"}}}
    tool = await bench.tool(modules.component(schemas=[schema]))
    assert (await bench.call(tool, "run", a="a.b")).text() == "0000000000"
    with pytest.raises(ToolInputInvalid) as caught:
        await bench.call(tool, "run", a=".a")
    assert caught.value.details["violations"][0]["path"] == "/a"


@pytest.mark.requirement("TOL-6")
async def test_structured_content_is_checked_and_the_error_has_what_the_call_used(bench: Bench) -> None:
    tool = await bench.tool(modules.component())
    function = tool.functions[0].model_copy(update={"outputSchema": {"type": "object"}})
    tool = tool.model_copy(update={"functions": [function]})
    with pytest.raises(ToolAnswerInvalid) as caught:
        await bench.call(tool, "run")
    assert caught.value.usage is not None
