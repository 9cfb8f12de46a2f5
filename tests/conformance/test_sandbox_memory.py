"""Everything that a tool makes the server hold counts against `limits.memory`, not its linear memory alone."""

import pytest

from caxton.domain.errors import InvalidModule
from tests.support import modules
from tests.support.bench import Bench

MEGABYTE = 1 << 20


async def answer(bench: Bench, module: bytes, memory: int = MEGABYTE) -> int:
    """The number that the function `run` of a module answers with."""
    tool = await bench.tool(module, limits={"memory": memory})
    return int((await bench.call(tool, "run")).text())


@pytest.mark.requirement("TOL-3")
@pytest.mark.parametrize("kind", ["func", "extern"])
@pytest.mark.parametrize("count", [1, 100])
async def test_tables_count(bench: Bench, count: int, kind: str) -> None:
    assert 8 * await answer(bench, modules.component(*modules.grow_tables(count, kind))) <= MEGABYTE


@pytest.mark.requirement("TOL-3")
async def test_all_memories_count_together(bench: Bench) -> None:
    pages = await answer(bench, modules.component(*modules.grow_memories(3)))
    assert 4 < pages * 65_536 / MEGABYTE * 16 <= 16


@pytest.mark.requirement("TOL-3")
async def test_memories_and_tables_count_together(bench: Bench) -> None:
    memories, fields = modules.grow_memories(1)
    tables, more = modules.grow_tables(20)
    pages = memories.removesuffix("(local.get $n)") + "(local.set $n (i32.mul (local.get $n) (i32.const 8192)))"
    entries = await answer(bench, modules.component(pages + tables, fields + more), 8 * MEGABYTE)
    assert 6 * MEGABYTE < 8 * entries <= 8 * MEGABYTE


@pytest.mark.requirement("TOL-3")
async def test_a_module_with_one_memory_gets_nearly_all_of_the_limit(bench: Bench) -> None:
    body, _ = modules.grow_memories(0)
    assert await answer(bench, modules.component(body, "(table 100 100 funcref)"), 16 * MEGABYTE) == 255


@pytest.mark.requirement("TOL-3")
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(40_000 * "(global (mut i64) (i64.const 7))", id="globals"),
        pytest.param("(func $f)" + f"(elem func {70_000 * '$f '})", id="segments"),
        pytest.param("(table 500000 funcref)", id="table"),
        pytest.param("(memory 17)", id="memory"),
    ],
)
@pytest.mark.parametrize("form", ["component", "command"])
async def test_what_does_not_fit_before_it_runs_is_refused_as_too_large(bench: Bench, form: str, fields: str) -> None:
    module = modules.component("i32.const 0", fields) if form == "component" else modules.command("", fields)
    with pytest.raises(InvalidModule) as caught:
        await bench.tool(module, form, limits={"memory": MEGABYTE})
    assert caught.value.details["cause"] == "tool_memory_exceeded"


@pytest.mark.requirement("TOL-3")
@pytest.mark.parametrize(("what", "fields"), [("memories", 5 * "(memory 1)"), ("tables", 201 * "(table 1 funcref)")])
async def test_a_module_that_makes_too_many_of_something_is_refused(bench: Bench, what: str, fields: str) -> None:
    with pytest.raises(InvalidModule) as caught:
        await bench.tool(modules.component("i32.const 0", fields))
    assert what in caught.value.message or "multiple" in caught.value.message
