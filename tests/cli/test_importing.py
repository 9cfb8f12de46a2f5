"""`caxton import`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli

FILES = Path(__file__).parents[1] / "fixtures" / "imports"


def test_an_import_says_what_is_left_to_do_and_the_result_is_valid(offline_cli: RunCli, folder: Path) -> None:
    file = str(FILES / "docker-agent.yaml")
    shown = offline_cli("import", file, "--dry-run")
    assert shown.code == 0, shown.err
    assert "agents/root.toml" in shown.out
    assert not (folder / "agents" / "root.toml").exists()
    done = offline_cli("import", file)
    assert "3 agents and 2 tools of Docker Agent" in done.out
    assert "agents.root.add_date" in done.out
    assert (folder / "agents" / "root.toml").is_file()
    assert offline_cli("validate").code == 0
    again = offline_cli("import", file)
    assert again.code != 0
    assert "--force" in again.err
    told = json.loads(offline_cli("import", str(FILES / "agents.yaml"), "--json").out)
    assert told["program"] == "CrewAI"
    assert "agents/crew.toml" in told["files"]
    assert {"where", "what", "hint", "line"} == set(told["notes"][0])
    assert any(note["line"] == 11 for note in told["notes"])


def test_other_files_are_refused(offline_cli: RunCli, folder: Path) -> None:
    (folder / "x.yaml").write_text("a: 1\n")
    refused = offline_cli("import", "x.yaml")
    assert refused.code != 0
    assert "what is imported" in refused.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "agents:\n  a:\n    instruction: x\n    max_iterations: many\n",
            "x.yaml, line 4: agents.a.max_iterations: a whole",
        ),
        (
            "agents:\n  a:\n    instruction: x\n    toolsets: yes\n",
            "x.yaml, line 4: agents.a.toolsets: a list is expected",
        ),
        ("w:\n  role: W\n  goal: x\nh: 5\n", "x.yaml, line 4: h: a mapping is expected where there is 5"),
        ("w:\n  role: W\nh:\n  x: 5\n", "x.yaml, line 3: h: neither an agent"),
        (
            "models:\n  m: {model: x, provider: openai, temperature: 9}\nagents:\n  a: {model: m}\n",
            "x.yaml:2:1: models.m.temp",
        ),
        ("agents:\n  a:\n    max_iterations: 99999\n", "x.yaml:3:1: agents.a.max_iterations:"),
    ],
)
def test_what_is_wrong_is_told_by_the_files_own_keys_and_lines(
    offline_cli: RunCli, folder: Path, text: str, told: str
) -> None:
    (folder / "x.yaml").write_text(text)
    refused = offline_cli("import", "x.yaml")
    assert refused.code != 0
    assert told in refused.err
    assert "Error" not in refused.err
    assert not (folder / "agents").exists()
