"""Limits on the size of tools, and the two forms of module. Other mistakes: wrong_workspaces/tools."""

import pytest
from small_workspaces import COMPONENT, CORE_MODULE, TOOL

from caxton.definitions.reading import Reading
from caxton.definitions.toml_source import TomlSource
from caxton.definitions.tools import BUNDLE_LIMIT, MODULE_LIMIT, ToolFile, ToolSource, read_manifest, read_tool
from caxton.domain.grants import NOTHING, missing
from caxton.domain.ids import Digest
from caxton.domain.origins import checked_origin
from caxton.domain.tools import BASE_LIMITS, ToolManifest

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
    [problem] = read('name = "memory"\nversion = "1.0.0"\n[mcp_server]\nurl = "https://a.example/mcp"\n', {}).problems
    assert problem.message == '"memory" is a built-in tool'
    assert 'such as "memory-server"' in str(problem.hint)


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("https://*.example.com", "has a wildcard, and origins match exactly; name each host"),
        ("https://*", "has a wildcard"),
        ("https://api.example.com:*", "has a wildcard"),
        ("https://münchen.example", 'write the host in its ASCII form, "xn--mnchen-3ya.example"'),
        ("https://api..example.com", '"api..example.com" is not the name of a host'),
        ("https://api.example.com.", "is not the name of a host"),
        ("https://user@example.com", "is not an origin"),
        ("https://example.com?x", "is not an origin"),
        ("example.com", "is not an origin"),
    ],
)
def test_an_origin_that_no_call_would_match_is_refused(origin: str, told: str) -> None:
    text = TOOL.format(name="t") + f'[permissions]\nnetwork = ["https://a.example", "{origin}"]\n'
    [problem] = read(text, {"t.wasm": module()}).errors
    assert told in f"{problem.message}; {problem.hint}"
    with pytest.raises(ValueError, match=r"origin|ASCII"):
        checked_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://api.example.com",
        "http://127.0.0.1:8099/",
        "http://[::1]:80",
        "HTTPS://Example.COM",
        "http://a_b:1",
        "http://127.1",
    ],
)
def test_origins_that_calls_match(origin: str) -> None:
    text = TOOL.format(name="t") + f'[permissions]\nnetwork = ["{origin}"]\n'
    assert read(text, {"t.wasm": module()}).problems == []


def test_a_wildcard_that_an_older_version_let_in_does_no_harm() -> None:
    manifest = ToolManifest.model_validate(
        {"name": "t", "version": "1.0.0", "module": "t.wasm", "permissions": {"network": ["https://*.example.com"]}}
    )
    assert missing(manifest, NOTHING, BASE_LIMITS).network == ()
