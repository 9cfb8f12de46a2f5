"""`caxton init`: from a template to files."""

import os
import time
from pathlib import Path

import pytest

from caxton.definitions.templates import list_templates
from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal


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
