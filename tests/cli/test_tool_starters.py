"""`caxton tool add`, `init` and `wit`."""

from pathlib import Path

import pytest

import caxton
from caxton.definitions.starters import included_tools, languages
from caxton.definitions.workspace import load_workspace
from tests.cli.conftest import RunCli
from tests.support.deploying import ECHO, write_files

WIT = Path(caxton.__file__).parent / "bundled/wit/tool.wit"
SCRIPT = "agents/echo.script.toml"
AGENT = """
name = "counter"
version = "1.0.0"
capabilities = ["count"]
tools = ["csv-tools"]
model = "scripted"
script = "echo.script.toml"
"""


def test_an_included_tool_is_added_deployed_and_called(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, {"agents/counter.toml": AGENT, SCRIPT: ECHO[SCRIPT]})
    told = run_cli("validate")
    assert told.code == 3
    assert "caxton tool add csv-tools" in told.err
    added = run_cli("tool", "add", "csv-tools")
    assert added.code == 0, added.err
    assert run_cli("deploy").code == 0
    called = run_cli("tool", "call", "csv-tools.summarize", "-a", "csv=a,b\n1,2\n3,4")
    assert called.code == 0, called.err


@pytest.mark.parametrize("name", included_tools())
def test_every_included_tool_can_be_added_once(offline_cli: RunCli, folder: Path, name: str) -> None:
    write_files(folder, {})
    assert name in offline_cli("tool", "add").out
    assert offline_cli("tool", "add", name).code == 0
    assert not load_workspace(folder).problems
    again = offline_cli("tool", "add", name)
    assert again.code == 7
    assert "exists already" in again.err


def test_a_wrong_name_is_told_with_the_right_one(offline_cli: RunCli, folder: Path) -> None:
    write_files(folder, {})
    told = offline_cli("tool", "add", "csv-tool")
    assert told.code == 4
    assert 'did you mean "csv-tools"?' in told.err
    assert "caxton tool init csv-tool --language" in told.err
    assert offline_cli("tool", "init", "My Tool", "--language", "go").code == 3
    reserved = offline_cli("tool", "init", "memory", "--language", "go")
    assert reserved.code == 3
    assert 'such as "memory-server"' in reserved.err
    wrong = offline_cli("tool", "init", "mine", "--language", "javascrpt")
    assert 'did you mean "javascript"?' in wrong.err
    assert not (folder / "tools").exists()


@pytest.mark.parametrize("language", languages())
def test_a_tool_is_begun_in_each_language(offline_cli: RunCli, folder: Path, language: str) -> None:
    write_files(folder, {})
    made = offline_cli("tool", "init", "my-tool", "--language", language, "--json")
    assert made.code == 0, made.err
    assert all((folder / file).is_file() for file in made.data["files"])
    assert not list(folder.rglob("*.wasm"))
    assert (folder / "tools/my-tool/tool.wit").read_text() == WIT.read_text()
    readme = (folder / "tools/my-tool/README.md").read_text()
    assert "word-count.wasm" in readme
    assert "../" not in readme
    [problem] = load_workspace(folder).errors
    assert problem.message == 'the module "word-count.wasm" is missing'
    assert 'name = "my-tool"' in (folder / "tools/my-tool/tool.toml").read_text()


def test_the_interface_is_printed(offline_cli: RunCli, folder: Path) -> None:
    assert offline_cli("tool", "wit").out == WIT.read_text()
    offline_cli("tool", "wit", "--out", "here.wit")
    assert (folder / "here.wit").read_text() == WIT.read_text()


def test_outside_of_a_workspace_nothing_is_written(offline_cli: RunCli, folder: Path) -> None:
    told = offline_cli("tool", "add", "csv-tools")
    assert told.code == 4
    assert list(folder.iterdir()) == []
