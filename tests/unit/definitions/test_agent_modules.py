"""Agents of kind "wasm": what is wrong with them, told before anything is compiled."""

from pathlib import Path

import pytest
from wasmtime import wat2wasm

from caxton.definitions.workspace import Workspace, load_workspace
from tests.support.deploying import write_files
from tests.support.wasm_agents import AGENT, wasm_agent

SOURCE = 'name = "clerk"\nversion = "1.0.0"\ncapabilities = ["clerk"]\n'


def loaded(tmp_path: Path, files: dict[str, str | bytes]) -> Workspace:
    return load_workspace(write_files(tmp_path, files), {})


def component(*, imports: str = "", exports: str = "handle") -> bytes:
    """One that imports an interface without functions, and exports a function of some type."""
    wanted = f'(import "{imports}" (instance))' if imports else ""
    return wat2wasm(
        f"""(component {wanted}
        (core module $m (func (export "f") (result i32) (i32.const 7)))
        (core instance $i (instantiate $m))
        (func (export "{exports}") (result u32) (canon lift (core func $i "f"))))"""
    )


@pytest.mark.requirement("AGT-7")
def test_an_agent_with_its_component_is_one_bundle(tmp_path: Path) -> None:
    workspace = loaded(tmp_path, wasm_agent(wasm='state = "agent"\n[wasm.limits]\nmemory = "8MB"'))
    assert not workspace.problems
    [agent] = workspace.agents
    assert sorted(agent.bundle.files) == ["clerk.toml", "clerk.wasm"]
    assert agent.version.keeps_state
    module = agent.version.module
    assert module is not None
    assert module.manifest.limits.memory == 8 << 20
    assert workspace.content(agent.bundle.files["clerk.wasm"]) == AGENT.read_bytes()


@pytest.mark.requirement("AGT-7", "AGT-2")
@pytest.mark.parametrize(
    ("top", "table", "path", "message", "hint"),
    [
        ('kind = "wasm"', "", "kind", "needs its component", 'module = "clerk.wasm"'),
        ("", '[wasm]\nmodule = "clerk.wasm"', "wasm", 'of the kind "wasm"', 'kind = "wasm"'),
        ('kind = "a2a"', "", "kind", "needs its address", "[a2a]"),
        ("", '[a2a]\nurl = "https://agents.example.com"', "a2a", 'of the kind "a2a"', 'kind = "a2a"'),
        ('kind = "a2a"', '[a2a]\nurl = "agents.example.com"', "a2a.url", "not the URL", ""),
        (
            'kind = "a2a"\ntools = ["csv-tools"]',
            '[a2a]\nurl = "https://agents.example.com"',
            "tools",
            "an agent elsewhere answers here",
            "remove",
        ),
        ('kind = "wasmm"', '[wasm]\nmodule = "clerk.wasm"', "kind", "", "wasm"),
        ('kind = "wasm"\nmodel = "openai:gpt-5"', '[wasm]\nmodule = "clerk.wasm"', "model", "is for models", "remove"),
        ('kind = "wasm"', '[wasm]\nmodule = "clark.wasm"', "wasm.module", "is missing", "clerk.wasm"),
        ('kind = "wasm"', '[wasm]\nmodule = "x/clerk.wasm"', "wasm.module", "file name only", ""),
        ('kind = "wasm"', '[wasm]\nmodule = "clerk.wasm"\nstate = "world"', "wasm.state", "not possible here", ""),
        (
            'kind = "wasm"',
            '[wasm]\nmodule = "clerk.wasm"\n[wasm.permissions]\nfiles = [{ path = "data", at = "/data" }]',
            "wasm.permissions",
            "brings no folders along",
            "",
        ),
        (
            'kind = "wasm"',
            '[wasm]\nmodule = "clerk.wasm"\n[wasm.permissions]\nnetwork = ["https://*.example.com"]',
            "wasm.permissions.network[0]",
            "",
            "",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(
    tmp_path: Path, top: str, table: str, path: str, message: str, hint: str
) -> None:
    files: dict[str, str | bytes] = {
        "agents/clerk.toml": f"{SOURCE}{top}\n{table}\n",
        "agents/clerk.wasm": AGENT.read_bytes(),
    }
    found = {problem.path: problem for problem in loaded(tmp_path, files).errors}
    assert path in found, found
    assert message in found[path].message
    assert hint in (found[path].hint or "")
    assert found[path].line


@pytest.mark.requirement("AGT-7")
@pytest.mark.parametrize(
    ("module", "message", "hint"),
    [
        (b"hello", "is not WebAssembly", "name the .wasm file"),
        (b"\0asm\x01\0\0\0", "is a core module, and an agent is a component", "caxton agent wit"),
        (b"\0asm\x0d\0\x01\0\x0b\xff", "is not WebAssembly", ""),
        (component(exports="run"), "does not export handle: func(message: string)", "caxton agent wit"),
        (component(imports="wasi:cli/environment@0.2.0"), "an agent has no WASI", "--stub-wasi"),
        (component(imports="caxton:tool/host@0.1.0"), "is a tool", "name an agent"),
        (component(imports="caxton:agent/host@0.2.0"), 'and this version of Caxton has "caxton:agent/host@0.1.0"', ""),
        (component(imports="other:thing/api@1.0.0"), "an agent may import", ""),
    ],
)
def test_what_is_no_component_of_the_world_is_refused(tmp_path: Path, module: bytes, message: str, hint: str) -> None:
    [problem] = loaded(tmp_path, {**wasm_agent(), "agents/clerk.wasm": module}).errors
    assert (problem.file, problem.path, problem.line) == ("agents/clerk.toml", "wasm.module", 8)
    assert message in problem.message
    assert hint in (problem.hint or "")


def test_a_later_version_of_the_same_world_is_let_in(tmp_path: Path) -> None:
    files = {**wasm_agent(), "agents/clerk.wasm": component(imports="caxton:agent/host@0.1.3")}
    assert not loaded(tmp_path, files).errors


def test_a_module_that_nobody_names_is_told(tmp_path: Path) -> None:
    [warning] = loaded(tmp_path, {**wasm_agent(), "agents/old.wasm": AGENT.read_bytes()}).problems
    assert (warning.file, warning.severity) == ("agents/old.wasm", "warning")


def test_it_may_not_have_the_name_of_a_tool(tmp_path: Path) -> None:
    workspace = load_workspace(write_files(tmp_path, wasm_agent()), {"clerk": ["run"]})
    assert [(problem.path, problem.message[:23]) for problem in workspace.errors] == [
        ("name", 'there is a tool "clerk"')
    ]
