"""`caxton agent init` and `wit`, and the template of an agent without a model."""

from pathlib import Path

import pytest

import caxton
from caxton.definitions.agent_starters import agent_languages
from caxton.definitions.workspace import load_workspace
from tests.cli.conftest import RunCli
from tests.support.deploying import write_files
from tests.support.wasm_agents import wasm_agent

BUNDLED = Path(caxton.__file__).parent / "bundled"


@pytest.mark.requirement("AGT-7")
@pytest.mark.parametrize("language", agent_languages())
def test_an_agent_begins_with_source_interface_and_how_to_build_it(
    offline_cli: RunCli, folder: Path, language: str
) -> None:
    write_files(folder, {})
    made = offline_cli("agent", "init", "mine", "--language", language)
    assert made.code == 0, made.err
    assert "✓ agents/mine.toml, agents/mine/ (" in made.out
    assert "../mine.wasm" in (folder / "agents/mine/README.md").read_text()
    assert (folder / "agents/mine/agent.wit").read_text() == (BUNDLED / "wit/agent.wit").read_text()
    [problem] = load_workspace(folder).errors  # it is not built yet
    assert (problem.file, problem.message) == ("agents/mine.toml", 'the module "mine.wasm" is missing')
    again = offline_cli("agent", "init", "mine", "--language", language)
    assert again.code == 7
    assert "exists already" in again.err


def test_a_wrong_language_or_name_is_told_with_the_right_one(offline_cli: RunCli, folder: Path) -> None:
    write_files(folder, {})
    assert 'did you mean "javascript"?' in offline_cli("agent", "init", "mine", "--language", "javascrpt").err
    assert offline_cli("agent", "init", "My Agent", "--language", "rust").code == 3
    assert not (folder / "agents").exists()


def test_the_interface_is_printed(offline_cli: RunCli, folder: Path) -> None:
    assert offline_cli("agent", "wit").out == (BUNDLED / "wit/agent.wit").read_text()
    offline_cli("agent", "wit", "--out", str(folder / "a.wit"))
    assert (folder / "a.wit").read_text() == (BUNDLED / "wit/agent.wit").read_text()


@pytest.mark.requirement("AGT-7")
def test_the_template_answers_without_anything_being_built(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, {})
    assert run_cli("init", "groceries", "--template", "checklist", "--yes").code == 0
    assert run_cli("validate").code == 0
    deployed = run_cli("deploy")
    assert deployed.code == 0, deployed.err
    asked = run_cli("ask", "keep-checklist", "add milk")
    assert "1. [ ] milk" in asked.out, asked.err
    refused = run_cli("ask", "keep-checklist", "done 7")
    assert refused.code == 8
    assert "there is no item 7; the list has 0" in refused.err


@pytest.mark.requirement("AGT-7", "TOL-4")
def test_what_a_component_requests_is_told_and_granted_like_that_of_a_tool(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, wasm_agent(wasm='[wasm.permissions]\nenvironment = ["HOME"]'))
    for planned in (run_cli("deploy", "--dry-run"), run_cli("deploy")):
        assert "clerk requests HOME" in planned.err
        assert "grant it: caxton tool grant clerk --environment HOME" in planned.err
    shown = run_cli("agent", "show", "clerk").out
    assert "clerk.wasm, a state for each conversation" in shown
    granted = run_cli("tool", "grant", "clerk", "--requested")
    assert granted.code == 0, granted.err
    assert "clerk may have HOME" in granted.out
    assert "warning" not in granted.err
    assert run_cli("ask", "clerk", "environment HOME").out.startswith("got it")
