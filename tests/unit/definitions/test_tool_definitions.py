"""Limits on the size of tools, and the two forms of module. Other mistakes: wrong_workspaces/tools."""

import pytest
from small_workspaces import COMPONENT, CORE_MODULE, TOOL

from caxton.definitions.reading import Reading
from caxton.definitions.toml_source import TomlSource
from caxton.definitions.tools import BUNDLE_LIMIT, MODULE_LIMIT, ToolFile, ToolSource, read_manifest, read_tool
from caxton.domain.ids import Digest

GRANT = '[[permissions.files]]\npath = "data"\nat = "/data"\n'
ANY = Digest("0" * 64)


def read(text: str, files: dict[str, ToolFile]) -> Reading[ToolSource]:
    manifest = read_manifest("tools/t/tool.toml", text.encode())
    assert isinstance(manifest, TomlSource)
    return read_tool(manifest, {"tool.toml": ToolFile(ANY, len(text), b"name = "), **files})


def module(head: bytes = COMPONENT, size: int = 100) -> ToolFile:
    return ToolFile(ANY, size, head)


@pytest.mark.parametrize(("form", "head"), [("component", COMPONENT), ("command", CORE_MODULE)])
def test_the_form_is_that_of_the_module(form: str, head: bytes) -> None:
    assert read(TOOL.format(name="t") + f'form = "{form}"\n', {"t.wasm": module(head)}).problems == []
    other = CORE_MODULE if form == "component" else COMPONENT
    assert len(read(TOOL.format(name="t") + f'form = "{form}"\n', {"t.wasm": module(other)}).errors) == 1


def test_a_module_of_an_unknown_version_is_refused() -> None:
    [problem] = read(TOOL.format(name="t"), {"t.wasm": module(b"\0asm\x02\x00\x00\x00")}).problems
    assert problem.message == '"t.wasm" is of a version of WebAssembly that Caxton does not know'


def test_a_module_may_have_64_megabytes() -> None:
    assert read(TOOL.format(name="t"), {"t.wasm": module(size=MODULE_LIMIT)}).problems == []
    [problem] = read(TOOL.format(name="t"), {"t.wasm": module(size=MODULE_LIMIT + 1)}).problems
    assert problem.message == '"t.wasm" has 64.0 MB, more than 64 MB'
    assert (problem.line, problem.column) == (3, 10)


def test_all_files_together_may_have_100_megabytes() -> None:
    files = {"t.wasm": module(), "data/a": ToolFile(ANY, BUNDLE_LIMIT, b"")}
    [problem] = read(TOOL.format(name="t") + GRANT, files).problems
    assert problem.message == "the tool's files have 100.0 MB, more than 100 MB"
    assert problem.path == "permissions.files[0].path"


def test_there_may_be_500_files() -> None:
    files = {"t.wasm": module(), **{f"data/{number}": ToolFile(ANY, 1, b"") for number in range(499)}}
    [problem] = read(TOOL.format(name="t") + GRANT, files).problems
    assert problem.message == "the tool has 501 files, more than 500"


def test_folders_on_the_server_are_not_looked_for() -> None:
    text = TOOL.format(name="t") + '[[permissions.files]]\npath = "/srv/data"\nat = "/data"\n'
    assert read(text, {"t.wasm": module()}).problems == []


def test_a_tool_cannot_take_the_name_of_the_built_in_one() -> None:
    from caxton.definitions.tools import read_manifest, read_tool

    manifest = read_manifest("tools/memory/tool.toml", b'name = "memory"\nversion = "1.0.0"\nmodule = "m.wasm"\n')
    reading = read_tool(manifest, {})  # type: ignore[arg-type]
    assert any('"memory" is a built-in tool' in problem.message for problem in reading.problems)
