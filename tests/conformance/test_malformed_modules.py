"""Malformed modules of the WebAssembly specification's test suite (WebAssembly/testsuite, Apache-2.0) are refused in words."""

import json
from contextlib import suppress

import pytest

from caxton.adapters.sandbox.engine import new_engine
from caxton.adapters.sandbox.shape import TooComplex, Unreadable, shape_of
from caxton.domain.errors import InvalidModule
from tests.support.bench import WASM, Bench

MALFORMED: list[tuple[str, str]] = json.loads((WASM / "malformed.json").read_text())


@pytest.mark.requirement("TOL-3")
def test_every_malformed_module_is_refused_before_it_is_compiled_or_by_the_compiler() -> None:
    import wasmtime

    engine = new_engine()
    for content, reason in MALFORMED:
        module = bytes.fromhex(content)
        with suppress(Unreadable, TooComplex):
            shape_of(module)
        with pytest.raises(wasmtime.WasmtimeError):
            wasmtime.Module(engine, module)
        assert reason


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize(("content", "reason"), MALFORMED[:: len(MALFORMED) // 8])
async def test_a_malformed_module_is_refused_in_words_when_it_is_deployed(
    bench: Bench, content: str, reason: str
) -> None:
    with pytest.raises(InvalidModule) as caught:
        await bench.tool(bytes.fromhex(content), "command")
    assert "module" in caught.value.message, reason
