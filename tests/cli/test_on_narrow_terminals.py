"""What commands print fits 80 and 60 columns, and says what to do next."""

import os
import re
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal, on_a_terminal
from tests.support.agents import agent
from tests.support.deploying import write_files

COMMANDS = [
    ["--help"],
    ["ask", "-h"],
    ["conversation", "list"],
    ["agent", "list"],
    ["agent", "show", "echo"],
    ["tool", "list"],
    ["capabilities"],
    ["status"],
    ["deploy"],
    ["deploy", "--dry-run"],
    ["validate"],
    ["deployments"],
    ["role", "list"],
    ["key", "list"],
    ["key", "show"],
    ["tool", "grants"],
    ["approvals", "list", "--state", "all"],
    ["budgets", "list"],
    ["views", "list"],
    ["events", "types"],
    ["init", "--list"],
    ["health"],
    ["trace", "--last"],
    ["execution", "show", "--last"],
    ["trace", "--last", "--events"],
    ["trace", "--last", "--follow", "--events"],
    ["events", "list", "-n", "5"],
    ["views", "show", "agents"],
    ["views", "show", "messages"],
    ["views", "show", "versions"],
    ["views", "show", "activity"],
    [
        "ask",
        "echo",
        "Some words that are many more than would fit into one line of a terminal, and then a few more.",
    ],
    ["ask", "ecco", "hello"],
]


@pytest.mark.parametrize("columns", [80, 60])
def test_lines_fit(echo: RunCli, folder: Path, columns: int) -> None:
    echo("ask", "echo", "hello")
    shown = on_a_terminal(*COMMANDS, cwd=folder, env=dict(os.environ), columns=columns)
    for command, each in zip(COMMANDS, shown, strict=True):
        # Commands stay whole: they are copied.
        assert (command, [line for line in each.too_wide if "caxton " not in line]) == (command, [])
        assert "Traceback (" not in "\n".join(each.lines), command
        assert each.lines != [""], command


def test_nothing_raw_is_shown_on_a_terminal(echo: RunCli, folder: Path) -> None:
    echo("ask", "echo", "hello")
    event = echo("events", "list", "--json").data["events"][-1]["event_id"]
    commands = (
        ["trace", "--last", "--events"],
        ["events", "show", event],
        ["views", "show", "agents"],
        ["views", "show", "versions"],
        ["events", "list"],
    )
    for command, each in zip(
        commands, on_a_terminal(*commands, cwd=folder, env=dict(os.environ), columns=80), strict=True
    ):
        shown = "\n".join(each.lines)
        assert each.code == 0, command
        assert not re.search(r"\d{4}-\d\d-\d\dT|[{}]|\[\"|[0-9a-f]{64}", shown), shown


def test_calls_and_what_they_logged_are_a_table(charts: RunCli, folder: Path) -> None:
    rules = """
[[rules]]
[[rules.steps]]
tool = "chart-generator.bar_chart"
arguments = { title = "Fruit", labels = ["apples"], series = [{ name = "n", values = [1] }] }
[[rules.steps]]
reply = "painted"
"""
    write_files(folder, agent("painter", rules=rules, more='tools = ["chart-generator"]\n'))
    assert charts("deploy").code == 0
    assert charts("ask", "painter", "fruit").code == 0
    for columns in (60, 80):
        terminal = Terminal("tool", "logs", "chart-generator", cwd=folder, env=dict(os.environ), columns=columns)
        assert terminal.finish() == 0
        assert terminal.too_wide() == []
        assert "painter" in terminal.text
        assert "bar_chart" in terminal.text


def test_conversation_list_says_more_and_how_to_go_on(echo: RunCli, folder: Path) -> None:
    terminal = Terminal("chat", "echo", "--topic", "numbers", cwd=folder, env=dict(os.environ))
    terminal.wait_for("you ›")
    terminal.type("one\r")
    terminal.wait_for("you said: one")
    terminal.wait_for("you ›")
    terminal.type("\x04")
    terminal.finish()
    (conversation,) = echo("conversation", "list", "--json").data["conversations"]
    listed = Terminal("conversation", "list", cwd=folder, env=dict(os.environ), columns=80)
    assert listed.finish() == 0
    text = "\n".join(listed.lines())
    assert "echo · numbers" in text
    assert f"caxton conversation show {conversation['id']}" in text
    assert f"caxton chat --resume {conversation['id']}" in text


@pytest.mark.parametrize(
    "arguments", [["-h"], ["help"], ["ask", "-h"], ["help", "ask"], ["help", "conversation", "list"]], ids=" ".join
)
def test_help_comes_by_any_of_its_names(offline_cli: RunCli, arguments: list[str]) -> None:
    shown = offline_cli(*arguments)
    assert shown.code == 0
    assert "Usage: caxton" in shown.out


def test_a_group_has_help_as_a_command(offline_cli: RunCli) -> None:
    assert "Show a conversation with its messages." in offline_cli("conversation", "help").out
    assert "--active" in offline_cli("conversation", "help", "list").out


def test_an_agent_in_place_of_a_capability_is_understood(echo: RunCli, folder: Path) -> None:
    agent = (folder / "agents/echo.toml").read_text()
    (folder / "agents/echo.toml").write_text(agent.replace('["echo"]', '["repeat"]').replace("1.0.0", "1.1.0"))
    assert echo("deploy").code == 0, agent
    meant = echo("ask", "echo", "hello")
    assert meant.code == 4
    assert '"echo" is an agent; ask for what it offers: caxton ask repeat "…"' in meant.err
    assert 'caxton ask --agent echo "…"' in meant.err


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        (["echo", "How", "are", "you?"], 'caxton ask echo "How are you?"'),
        (["--agent", "echo", "How", "are", "you?"], 'caxton ask --agent echo "How are you?"'),
        (["How", "are", "you?"], 'caxton ask CAPABILITY "How are you?"'),
        (["How are you?"], 'caxton ask CAPABILITY "How are you?"'),
    ],
)
def test_a_text_without_quotes_or_without_a_capability_is_understood(
    offline_cli: RunCli, arguments: list[str], suggested: str
) -> None:
    refused = offline_cli("ask", *arguments)
    assert refused.code == 2
    assert suggested in refused.err


def test_the_server_is_looked_for_where_the_settings_put_it(
    offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAXTON_PORT", "18899")
    refused = offline_cli("health")
    assert refused.code == 5
    assert "http://127.0.0.1:18899" in refused.err
    assert "CAXTON_PORT" in refused.err
    monkeypatch.delenv("CAXTON_PORT")
    (folder / "caxton.toml").write_text("port = 18898\n")
    assert "http://127.0.0.1:18898" in offline_cli("health").err
    monkeypatch.setenv("CAXTON_PORT", "many")
    assert offline_cli("health").code == 3


def test_an_empty_workspace_is_named(run_cli: RunCli) -> None:
    refused = run_cli("--workspace", "nothere", "ask", "echo", "hello")
    assert refused.code == 4
    assert 'nothing is deployed in the workspace "nothere"' in refused.err


def test_a_command_between_back_ticks_stays_in_its_sentence(echo: RunCli, folder: Path) -> None:
    definition = folder / "agents" / "echo.toml"
    text = definition.read_text()
    for tool in ("csv-tols", "of-many-other-places"):  # hints of different lengths
        definition.write_text(f'tools = ["{tool}"]\n{text}')
        [shown] = on_a_terminal(["validate"], cwd=folder, env=dict(os.environ), columns=80)
        assert f'unknown tool "{tool}"' in "\n".join(shown.lines)
        assert [line for line in shown.lines if line.endswith("`") and line.count("`") % 2] == []
