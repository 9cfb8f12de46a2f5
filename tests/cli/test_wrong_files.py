"""Files with errors: every command that reads them says what is wrong, where, and what to do; nothing changes."""

from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.deploying import ECHO, write_files

GOOD = 'name = "good"\nversion = "1.0.0"\ncapabilities = ["do-good"]\n'


def agent(text: str, name: str = "bad") -> dict[str, str | bytes]:
    """A workspace with a good agent and this one."""
    return {"agents/good.toml": GOOD, f"agents/{name}.toml": text}


WRONG: dict[str, tuple[dict[str, str | bytes], list[str]]] = {
    "broken TOML": (
        agent('name = "bad\n'),
        ["agents/bad.toml:1:8: the text has no closing quote", '    1 │ name = "bad', "hint:"],
    ),
    "unknown key": (
        agent('name = "bad"\nversion = "1.0.0"\ncapabilities = ["x"]\nmodle = "auto"\n'),
        ["agents/bad.toml:4:1:", 'unknown key "modle"', 'did you mean "model"'],
    ),
    "wrong type": (
        agent('name = "bad"\nversion = "1.0.0"\ncapabilities = ["x"]\ntools = "csv-tools"\n'),
        ["agents/bad.toml:4:9:", '"tools"', "^^^"],
    ),
    "no semantic version": (
        agent('name = "bad"\nversion = "1.3"\ncapabilities = ["x"]\n'),
        ["agents/bad.toml:2:11:", 'version "1.3" is not a semantic version', 'hint: write "1.3.0"'],
    ),
    "duplicate name": (
        {"agents/good.toml": GOOD, "agents/other.toml": GOOD},
        ['the agent "good" is defined twice, first in agents/good.toml:1', "hint: give one of them another name"],
    ),
    "circular hand-overs": (
        {
            "agents/a.toml": 'name = "a"\nversion = "1.0.0"\ncapabilities = ["x"]\ndelegates = ["y"]\n',
            "agents/b.toml": 'name = "b"\nversion = "1.0.0"\ncapabilities = ["y"]\ndelegates = ["x"]\n',
        },
        ["agents/a.toml:4:14: work is handed over in a circle: a → b → a", "hint: remove one of the hand-overs"],
    ),
    "not a tool": (
        {"tools/t/tool.toml": 'name = "t"\nversion = "1.0.0"\nmodule = "t.wasm"\n', "tools/t/t.wasm": b"no module"},
        ['tools/t/tool.toml:3:10: "t.wasm" is not WebAssembly', "00 61 73 6d"],
    ),
    "wrong settings": (
        {"agents/good.toml": GOOD, "caxton.toml": 'port = "many"\n'},
        ["caxton.toml:1:8:", '"port"', '    1 │ port = "many"'],
    ),
}


@pytest.mark.requirement("AGT-2")
@pytest.mark.requirement("DEP-3")
@pytest.mark.parametrize("what", WRONG)
def test_deploy_tells_place_message_and_hint_and_changes_nothing(run_cli: RunCli, folder: Path, what: str) -> None:
    files, told = WRONG[what]
    write_files(folder, files)
    outcome = run_cli("deploy")
    assert outcome.code == 3
    assert outcome.out == ""
    for part in told:
        assert part in outcome.err
    write_files(folder, {"caxton.toml": ""})
    (folder / "caxton.toml").write_text("")
    assert run_cli("agent", "list", "--json").data == {"agents": []}


@pytest.mark.requirement("AGT-2")
@pytest.mark.parametrize("what", [name for name in WRONG if name != "wrong settings"])
def test_validate_tells_the_same_without_a_server(offline_cli: RunCli, folder: Path, what: str) -> None:
    files, told = WRONG[what]
    write_files(folder, files)
    outcome = offline_cli("validate")
    assert outcome.code == 3
    for part in told:
        assert part in outcome.err
    problems = offline_cli("validate", "--json")
    assert problems.code == 3
    assert not problems.data["valid"]
    assert {"file", "line", "column", "message"} <= set(problems.data["problems"][0])


@pytest.mark.requirement("AGT-2")
def test_all_errors_of_all_files_come_at_once_and_are_counted(run_cli: RunCli, folder: Path) -> None:
    write_files(
        folder,
        {
            "agents/one.toml": 'name = "one"\nversion = "1"\ncapabilities = []\nmodle = "auto"\n',
            "agents/two.toml": "name = two\n",
            "agents/three.toml": 'name = "three"\nversion = "1.0.0"\ncapabilities = ["x"]\ntools = ["chart_generator"]\n',
        },
    )
    outcome = run_cli("deploy")
    assert outcome.code == 3
    for file in ("one", "two", "three"):
        assert f"error: agents/{file}.toml:" in outcome.err
    assert outcome.err.rstrip().endswith("errors in 3 files. Nothing was changed.")
    count = int(outcome.err.rstrip().splitlines()[-1].split()[0])
    assert count == outcome.err.count("error: agents/")
    assert count >= 5


@pytest.mark.requirement("AGT-2")
def test_a_tool_that_neither_the_folder_nor_the_server_has_is_an_error(run_cli: RunCli, folder: Path) -> None:
    text = 'name = "bad"\nversion = "1.0.0"\ncapabilities = ["x"]\ntools = ["chart-maker"]\n'
    write_files(folder, agent(text))
    outcome = run_cli("deploy")
    assert outcome.code == 3
    assert 'agents/bad.toml:4:10: unknown tool "chart-maker"' in outcome.err
    assert "caxton tool list" in outcome.err


def test_without_a_server_a_tool_that_is_not_here_is_a_warning(offline_cli: RunCli, folder: Path) -> None:
    text = 'name = "bad"\nversion = "1.0.0"\ncapabilities = ["x"]\ntools = ["chart-maker"]\n'
    write_files(folder, agent(text))
    outcome = offline_cli("validate")
    assert outcome.code == 0
    assert "warning: agents/bad.toml:4:10:" in outcome.err


@pytest.mark.requirement("RTE-8")
def test_a_limit_of_a_provider_that_nobody_has_is_a_warning(offline_cli: RunCli, folder: Path) -> None:
    limits = '[flow.providers.openia]\nmax_in_flight = 3\n\n[flow.models."openai:gpt-5"]\nmax_in_flight = 3\n'
    write_files(folder, {"agents/good.toml": GOOD, "caxton.toml": limits})
    outcome = offline_cli("validate")
    assert outcome.code == 0
    assert (
        'caxton.toml:2: the limit flow.providers.openia holds for nothing: no provider is called "openia"'
        in outcome.err
    )
    assert 'did you mean "openai"?' in outcome.err
    (problem,) = offline_cli("validate", "--json").data["problems"]
    assert problem["severity"] == "warning"


@pytest.mark.requirement("AGT-2")
def test_what_only_the_server_finds_is_shown_in_the_local_file(run_cli: RunCli, folder: Path) -> None:
    """A component that is WebAssembly, but no tool: only compiling it tells."""
    module = Path(__file__).parents[1] / "fixtures/wasm/not_a_tool.wasm"
    manifest = 'name = "t"\nversion = "1.0.0"\nmodule = "t.wasm"\n'
    write_files(
        folder, {"agents/good.toml": GOOD, "tools/t/tool.toml": manifest, "tools/t/t.wasm": module.read_bytes()}
    )
    outcome = run_cli("deploy")
    assert outcome.code == 3
    assert "error: tools/t/tool.toml" in outcome.err
    assert "Nothing was changed." in outcome.err
    assert run_cli("agent", "list", "--json").data == {"agents": []}


@pytest.mark.requirement("AGT-2")
def test_a_broken_file_does_not_keep_status_from_comparing_the_others(echo: RunCli, folder: Path) -> None:
    write_files(folder, agent("name = \n"))
    outcome = echo("status", "--json")
    assert outcome.code == 0
    assert [change["name"] for change in outcome.data["new"]] == ["good"]
    assert outcome.data["problems"]
    assert outcome.data["deleted"] == []


def test_outside_a_workspace_commands_say_how_to_make_one(offline_cli: RunCli) -> None:
    for command in ("validate", "status", "deploy"):
        outcome = offline_cli(command)
        assert outcome.code == 4
        assert "caxton.toml" in outcome.err
        assert "caxton init" in outcome.err


def test_names_and_texts_of_files_cannot_send_codes_to_the_terminal(offline_cli: RunCli, folder: Path) -> None:
    write_files(folder, {**ECHO, "agents/x.toml": 'name = "\x1b[31mred"\n'})
    assert offline_cli("validate").code == 3  # the fixture looks for escape sequences
