"""`caxton init`: from a template to files."""

import os
import time
from pathlib import Path

import pytest

from caxton.definitions.templates import list_templates
from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal
from tests.conftest import RunningServer
from tests.support.deploying import ECHO, write_files


@pytest.mark.requirement("ONB-3")
def test_yes_makes_the_default_template_in_under_two_seconds(offline_cli: RunCli, folder: Path) -> None:
    started = time.process_time()  # others may use the machine too
    made = offline_cli("init", "my-agent", "--yes", "--json")
    assert time.process_time() - started < 2
    assert made.data["template"] == "task-automator"
    assert (folder / "agents/my-agent.toml").read_text().count('name = "my-agent"') == 1
    assert all((folder / file).is_file() for file in made.data["files"])
    assert offline_cli("validate").code == 0


@pytest.mark.requirement("ONB-3")
@pytest.mark.parametrize("template", [template.id for template in list_templates()])
def test_every_template_makes_a_valid_workspace(offline_cli: RunCli, template: str) -> None:
    assert offline_cli("init", "--template", template, "--yes").code == 0
    assert offline_cli("validate", "--json").data["valid"]


@pytest.mark.requirement("ONB-3")
def test_an_agent_that_exists_is_refused_and_written_over_with_force(offline_cli: RunCli, folder: Path) -> None:
    offline_cli("init", "a", "--yes")
    file = folder / "agents/a.toml"
    before = file.read_text()
    file.write_text("# mine\n")
    refused = offline_cli("init", "a", "--yes")
    assert refused.code == 7
    assert "--force" in refused.err
    assert file.read_text() == "# mine\n"
    assert offline_cli("init", "a", "--yes", "--force").code == 0
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["x", "--template", "data-analyser"], 4, "data-analyzer"),
        (["My Agent", "--yes"], 3, "my-agent"),
        (["x", "--template", "data-fetcher", "--set", "datset=y"], 3, "dataset"),
        (["x", "--yes", "--set", "nonsense"], 2, "KEY=VALUE"),
        (["--filter", "xyzzy", "--yes"], 4, "caxton init --list"),
        (["x"], 2, "--yes"),
    ],
)
def test_wrong_input_is_told_with_what_would_be_right(
    offline_cli: RunCli, folder: Path, arguments: list[str], code: int, told: str
) -> None:
    outcome = offline_cli("init", *arguments)
    assert outcome.code == code
    assert told in outcome.err
    assert list(folder.iterdir()) == []


def test_values_of_a_template_can_be_chosen(offline_cli: RunCli, folder: Path) -> None:
    made = offline_cli("init", "f", "--template", "data-fetcher", "--set", "dataset=/data/costs.csv", "--yes")
    assert made.code == 0, made.err
    assert 'dataset = "/data/costs.csv"' in (folder / "agents/f.toml").read_text()


def test_list_and_preview_make_nothing(offline_cli: RunCli, folder: Path) -> None:
    listed = offline_cli("init", "--list")
    assert all(template.id in listed.out for template in list_templates())
    assert offline_cli("init", "--list", "--filter", "chart", "--json").data["templates"]
    preview = offline_cli("init", "--preview", "--template", "data-fetcher")
    assert "agents/data-fetcher.toml" in preview.out
    assert 'name = "data-fetcher"' in preview.out
    assert list(folder.iterdir()) == []


def test_in_a_folder_below_the_workspace_the_workspace_gets_the_agent(
    offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline_cli("init", "one", "--yes")
    monkeypatch.chdir(folder / "agents")
    offline_cli("init", "two", "--yes")
    assert (folder / "agents/two.toml").is_file()


def test_an_empty_workspace_is_made_for_agents_that_one_writes_oneself(offline_cli: RunCli, folder: Path) -> None:
    made = offline_cli("init", "--empty")
    assert made.code == 0
    assert 'the workspace "here"' in made.out
    (folder / "agents/mine.toml").write_text('name = "mine"\nversion = "1.0.0"\ncapabilities = ["do-it"]\n')
    assert "1 agent and 0 tools: no errors" in offline_cli("validate").out
    file = folder / "caxton.toml"
    file.write_text(file.read_text() + "# mine\n")
    again = offline_cli("init", "--empty", "--json")
    assert again.data == {"workspace": str(folder), "name": "here", "files": []}
    assert file.read_text().endswith("# mine\n")
    assert offline_cli("init", "agent", "--empty").code == 2


def test_an_empty_workspace_in_another_one_is_one_of_its_own(
    offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline_cli("init", "--empty")
    (folder / "lab").mkdir()
    monkeypatch.chdir(folder / "lab")
    assert str(folder) in offline_cli("init", "--empty").out
    assert (folder / "lab/caxton.toml").exists()


AGENT = 'name = "mine"\nversion = "1.0.0"\ncapabilities = ["do-it"]\n'


@pytest.mark.parametrize(("answer", "code"), [("\r", 0), ("n\r", 4)])
def test_on_a_terminal_a_folder_with_agents_may_become_a_workspace(folder: Path, answer: str, code: int) -> None:
    (folder / "agents").mkdir()
    (folder / "agents/mine.toml").write_text(AGENT)
    terminal = Terminal("validate", cwd=folder, env=dict(os.environ), columns=60)
    terminal.wait_for("has agents/ but no caxton.toml")
    terminal.wait_for('Make it the workspace "here"?')
    terminal.type(answer)
    assert terminal.finish() == code
    assert (folder / "caxton.toml").exists() == (code == 0)
    assert ("caxton init --empty" in terminal.text) == (code == 4)


def test_on_a_terminal_adding_a_tool_offers_to_make_the_workspace(folder: Path) -> None:
    terminal = Terminal("tool", "add", "csv-tools", cwd=folder, env=dict(os.environ))
    terminal.wait_for('Make it the workspace "here"?')
    terminal.type("\r")
    assert terminal.finish() == 0
    assert (folder / "tools/csv-tools/tool.toml").is_file()


def test_a_new_workspace_is_known_to_the_deployment_that_makes_it(
    folder: Path, caxton_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"born-{os.urandom(4).hex()}"
    place = folder / name
    write_files(place, dict(ECHO))
    (place / "caxton.toml").unlink()
    monkeypatch.setenv("CAXTON_URL", caxton_server.url)
    monkeypatch.setenv("CAXTON_API_KEY", caxton_server.api_key)
    terminal = Terminal("deploy", cwd=place, env=dict(os.environ))
    terminal.wait_for(f'Make it the workspace "{name}"?')
    terminal.type("\r")
    assert terminal.finish() == 0
    assert f"to local/{name}" in terminal.text


def test_a_name_that_no_agent_can_have_is_refused_before_anything_is_asked(folder: Path) -> None:
    terminal = Terminal("init", "Data_Fetcher!", cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 3
    assert '"Data_Fetcher!" is not a valid name for an agent' in terminal.text
    assert "names have lower-case letters" in terminal.text
    assert "type to filter" not in terminal.text


@pytest.mark.requirement("ONB-3")
def test_on_a_terminal_the_gallery_filters_previews_and_makes(folder: Path) -> None:
    terminal = Terminal("init", cwd=folder, env=dict(os.environ))
    terminal.wait_for("type to filter")
    terminal.type("fetcher")
    terminal.wait_for("fetcher")
    terminal.type("\x1b[C")
    terminal.wait_for("agents/data-fetcher.toml")
    terminal.wait_for("type to filter")
    terminal.type("\r")
    terminal.wait_for("name")
    terminal.type("\x15my-fetcher\r")
    terminal.wait_for("dataset")
    terminal.type("\r")
    terminal.wait_for("origins")
    terminal.type("\r")
    assert terminal.finish() == 0
    assert "caxton deploy" in terminal.text
    assert (folder / "agents").is_dir()
    assert len(list((folder / "agents").glob("*.toml"))) == 2
