"""A workspace folder becomes bundles; whatever is odd about its files is a problem and not an exception."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from small_workspaces import COMPONENT, DATA_GRANT, TOOL, agent_text, complete, write

from caxton.definitions.agents import AgentSource
from caxton.definitions.bundles import compile_bundle
from caxton.definitions.tools import ToolSource
from caxton.definitions.workspace import find_workspace, load_workspace
from caxton.domain.deployments import Bundle
from caxton.domain.errors import InvalidState, NotFound
from caxton.domain.ids import digest_of


def problems_of(folder: Path) -> list[tuple[str, str]]:
    return [(problem.file, problem.message) for problem in load_workspace(folder, {}).problems]


@pytest.mark.requirement("AGT-1")
def test_a_workspace_is_its_name_its_bundles_and_their_contents(tmp_path: Path) -> None:
    workspace = load_workspace(complete(tmp_path))
    assert workspace.problems == []
    assert workspace.name == "shop"
    assert [(bundle.kind, bundle.name, sorted(bundle.files)) for bundle in workspace.bundles] == [
        ("agent", "buyer", ["buyer.toml"]),
        ("agent", "seller", ["seller.script.toml", "seller.toml"]),
        ("tool", "till", ["data/deep/more.csv", "data/prices.csv", "till.wasm", "tool.toml"]),
    ]
    for bundle in workspace.bundles:
        for digest in bundle.files.values():
            assert digest_of(workspace.content(digest)) == digest


def test_what_the_client_read_is_what_the_server_compiles(tmp_path: Path) -> None:
    workspace = load_workspace(complete(tmp_path))
    for bundle in workspace.bundles:
        contents = {path: workspace.content(digest) for path, digest in bundle.files.items()}
        reading = compile_bundle(bundle, contents)
        assert reading.problems == []
        assert reading.value is not None
        assert reading.value.version.digest == bundle.digest
        found = {source.name: source.version for source in [*workspace.agents, *workspace.tools]}
        assert reading.value.version == found[bundle.name]


def test_a_tool_has_its_files_but_not_yet_its_functions(tmp_path: Path) -> None:
    [tool] = load_workspace(complete(tmp_path)).tools
    assert isinstance(tool, ToolSource)
    assert tool.version.functions == []
    assert tool.version.module_digest == digest_of(COMPONENT)
    assert set(tool.version.files) == set(tool.bundle.files)


@pytest.mark.parametrize("start", ["", "agents", "tools/till/data"])
def test_a_workspace_is_found_from_any_folder_in_it(tmp_path: Path, start: str) -> None:
    assert find_workspace(complete(tmp_path) / start) == tmp_path


@pytest.mark.parametrize("find", [find_workspace, load_workspace], ids=["find", "load"])
def test_a_folder_without_caxton_toml_is_no_workspace(tmp_path: Path, find: Callable[[Path], object]) -> None:
    with pytest.raises(NotFound, match=r"is not a workspace: it has no caxton\.toml") as error:
        find(tmp_path)
    assert [hint.command for hint in error.value.hints] == ["caxton init --empty", "caxton init my-agent"]
    with pytest.raises(NotFound, match="there is no folder"):
        find(tmp_path / "nowhere")


def test_an_empty_workspace_has_no_problems(tmp_path: Path) -> None:
    workspace = load_workspace(write(tmp_path, {}))
    assert (workspace.problems, workspace.bundles, workspace.name) == ([], [], "default")


def test_a_file_that_changes_after_it_was_read_is_not_sent(tmp_path: Path) -> None:
    workspace = load_workspace(complete(tmp_path))
    [buyer] = [agent for agent in workspace.agents if agent.name == "buyer"]
    write(tmp_path, {"agents/buyer.toml": agent_text("buyer")})
    with pytest.raises(InvalidState, match=r"agents/buyer\.toml was changed while it was being read"):
        workspace.content(buyer.bundle.files["buyer.toml"])


def test_a_symbolic_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.toml"
    secret.write_text(agent_text("secret"))
    folder = complete(tmp_path / "workspace")
    (folder / "agents" / "link.toml").symlink_to(secret)
    (folder / "tools" / "till" / "data" / "link.csv").symlink_to(secret)
    message = "the file is a symbolic link that leads out of the workspace"
    assert problems_of(folder) == [("agents/link.toml", message), ("tools/till/data/link.csv", message)]


def test_a_symbolic_link_inside_the_workspace_is_followed(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    (folder / "tools" / "till" / "data" / "again.csv").symlink_to("prices.csv")
    workspace = load_workspace(folder, {})
    assert workspace.problems == []
    assert workspace.tools[0].bundle.files["data/again.csv"] == digest_of(b"a,1\n")


def test_a_symbolic_link_to_a_folder_does_not_travel(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    (folder / "tools" / "till" / "data" / "loop").symlink_to(folder / "tools" / "till" / "data")
    message = "a symbolic link to a folder does not travel with a tool"
    assert problems_of(folder) == [("tools/till/data/loop", message)]


def test_what_is_no_readable_file_is_a_problem(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    agents = folder / "agents"
    (agents / "folder.toml").mkdir()
    (agents / "nowhere.toml").symlink_to("missing.toml")
    (agents / "circle.toml").symlink_to("circle.toml")
    os.mkfifo(agents / "pipe.toml")
    (agents / "large.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    (agents / "latin.toml").write_bytes(b'name = "caf\xe9"')
    found = dict(problems_of(folder))
    assert found["agents/folder.toml"] == "this is not a file"
    assert found["agents/pipe.toml"] == "this is not a file"
    assert found["agents/nowhere.toml"] == "the file cannot be read: no such file or directory"
    assert found["agents/circle.toml"].startswith("the file cannot be read: ")
    assert found["agents/large.toml"] == "the file is larger than 1 MB"
    assert found["agents/latin.toml"] == "the file is not UTF-8 text"
    assert len(found) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_problem(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    (folder / "agents" / "buyer.toml").chmod(0)
    assert problems_of(folder) == [("agents/buyer.toml", "the file cannot be read: permission denied")]


def test_hidden_files_and_other_files_are_left_alone(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    write(folder, {"agents/.#buyer.toml": "broken", "agents/readme.md": "x", "tools/readme.md": "x", "notes.toml": "["})
    assert problems_of(folder) == []


def test_a_missing_tool_is_a_warning_when_the_server_could_not_be_asked(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"agents/a.toml": agent_text("a", 'tools = ["tlil"]'), "tools/till/tool.toml": TOOL.format(name="till")},
    )
    write(tmp_path, {"tools/till/till.wasm": COMPONENT})
    offline, online = load_workspace(tmp_path), load_workspace(tmp_path, {"hammer": ["hit"]})
    assert [(problem.severity, problem.hint) for problem in offline.problems] == [("warning", 'did you mean "till"?')]
    assert [problem.severity for problem in online.problems] == ["error"]


def test_a_broken_tool_is_not_called_missing_as_well(tmp_path: Path) -> None:
    files = {"agents/a.toml": agent_text("a", 'tools = ["till"]'), "tools/x/tool.toml": 'name = "till"\n'}
    found = problems_of(write(tmp_path, files))
    assert {file for file, _ in found} == {"tools/x/tool.toml"}


def test_the_tables_of_other_settings_are_not_the_workspaces_business(tmp_path: Path) -> None:
    write(
        tmp_path, {"caxton.toml": 'port = 1\n[workspace]\nname = "x"\nserver = "http://127.0.0.1:1"\n[models]\na = 1\n'}
    )
    assert load_workspace(tmp_path).name == "x"
    assert load_workspace(tmp_path).problems == []


# --- compiling on the server ---


def bundle_of(name: str, files: dict[str, bytes], kind: str = "agent") -> Bundle:
    return Bundle.model_validate(
        {"kind": kind, "name": name, "files": {path: digest_of(content) for path, content in files.items()}}
    )


def test_a_bundle_is_refused_when_a_file_did_not_arrive() -> None:
    files = {"a.toml": agent_text("a").encode()}
    reading = compile_bundle(bundle_of("a", {**files, "a.script.toml": b""}), files)
    assert [problem.message for problem in reading.problems] == ['the file "a.script.toml" did not arrive']


def test_a_bundle_is_refused_when_it_defines_something_else() -> None:
    files = {"a.toml": agent_text("a").encode()}
    reading = compile_bundle(bundle_of("b", files), files)
    assert reading.value is None
    assert reading.problems[0].message == 'the file defines "a", but was sent as "b"'


def test_a_bundle_is_refused_when_its_content_is_another() -> None:
    files = {"a.toml": agent_text("a").encode()}
    reading = compile_bundle(bundle_of("a", files), {"a.toml": agent_text("a", "description = 'x'").encode()})
    assert reading.value is None


def test_a_bundle_is_refused_when_it_has_files_that_nothing_names() -> None:
    files = {"a.toml": agent_text("a").encode(), "b.script.toml": b"x = 1"}
    assert compile_bundle(bundle_of("a", files), files).value is None
    tool = {"tool.toml": TOOL.format(name="t").encode(), "t.wasm": COMPONENT, "virus.exe": b"x"}
    assert compile_bundle(bundle_of("t", tool, "tool"), tool).value is None


@pytest.mark.parametrize(
    "files", [{}, {"a.toml": b"", "b.toml": b""}, {"a.script.toml": b""}], ids=["none", "two", "script"]
)
def test_an_agent_is_one_file(files: dict[str, bytes]) -> None:
    [problem] = compile_bundle(bundle_of("a", files), files).problems
    assert problem.message.startswith("an agent is one TOML file, not")


def test_the_problems_of_a_bundle_name_the_file_as_the_client_has_it() -> None:
    files = {"my file.toml": agent_text("a", "colour = 1").encode()}
    [problem] = compile_bundle(bundle_of("a", files), files).problems
    assert (problem.file, problem.line, problem.message) == ("agents/my file.toml", 4, 'unknown key "colour"')


def test_a_tool_needs_its_manifest() -> None:
    [problem] = compile_bundle(bundle_of("t", {"t.wasm": COMPONENT}, "tool"), {"t.wasm": COMPONENT}).problems
    assert (problem.file, problem.message) == ("tools/t/tool.toml", "the tool has no tool.toml")


def test_a_tool_with_its_folder_is_compiled(tmp_path: Path) -> None:
    files = {
        "tool.toml": (TOOL.format(name="t") + DATA_GRANT).encode(),
        "t.wasm": COMPONENT,
        "data/a.csv": b"1",
    }
    reading = compile_bundle(bundle_of("t", files, "tool"), files)
    assert not isinstance(reading.value, AgentSource)
    assert reading.value is not None
    assert set(reading.value.version.files) == set(files)
