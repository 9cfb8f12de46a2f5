"""`caxton import`."""

import json
from pathlib import Path

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
    assert {"where", "what", "hint"} == set(told["notes"][0])


def test_other_files_are_refused(offline_cli: RunCli, folder: Path) -> None:
    (folder / "x.yaml").write_text("a: 1\n")
    refused = offline_cli("import", "x.yaml")
    assert refused.code != 0
    assert "what is imported" in refused.err
