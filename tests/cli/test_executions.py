"""`caxton execution`, and `caxton trace` with `--last`, `--follow`, `--contents`."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal
from tests.support.deploying import write_files
from tests.support.stand_in import Answer, Remote

SLOW = {
    "agents/slow.toml": """
name = "slow"
version = "1.0.0"
capabilities = ["wait"]
model = "scripted"
script = "slow.script.toml"
""",
    "agents/slow.script.toml": """
delay = 30
[[rules]]
[[rules.steps]]
reply = "at last"
""",
    "agents/writer.toml": """
name = "writer"
version = "1.0.0"
capabilities = ["write"]
model = "scripted"
script = "writer.script.toml"
""",
    "agents/writer.script.toml": """
[[rules]]
[[rules.steps]]
reply = "# Done\\n\\nfirst line\\nsecond line"
""",
}


@pytest.fixture
def slow(run_cli: RunCli, folder: Path) -> RunCli:
    """An agent that takes long where it is asked to."""
    write_files(folder, dict(SLOW))
    assert run_cli("deploy").code == 0
    return run_cli


@pytest.mark.requirement("MSG-3")
def test_what_was_handed_in_is_awaited_with_its_reply(echo: RunCli, folder: Path) -> None:
    terminal = Terminal("ask", "echo", "hello", "--no-wait", cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 0
    execution = terminal.lines()[0]
    assert f"Get the reply: caxton execution wait {execution}" in terminal.text
    assert f"caxton trace {execution} --follow" in terminal.text
    waited = echo("execution", "wait", execution)
    assert (waited.code, waited.out) == (0, "you said: hello\n")
    assert echo("execution", "wait", "--last", "--json").data["text"] == "you said: hello"
    shown = echo("execution", "show", "--last")
    assert f"{execution}  completed in " in shown.out
    assert shown.out.endswith("\nyou said: hello\n")


@pytest.mark.requirement("MSG-4")
def test_a_turn_that_runs_is_shown_and_cancelled(slow: RunCli, folder: Path) -> None:
    execution = slow("ask", "wait", "long", "--no-wait").out.strip()
    assert f"{execution}  running" in slow("execution", "show", execution).out
    terminal = Terminal("execution", "wait", execution, cwd=folder, env=dict(os.environ))
    terminal.wait_for("Asking the server")
    follower = Terminal("trace", execution, "--follow", cwd=folder, env=dict(os.environ))
    follower.wait_for("begins wait")
    assert slow("execution", "cancel", execution).out == f"{execution} is cancelled\n"
    assert terminal.finish() == 8
    assert f"caxton trace {execution}" in terminal.text
    assert follower.finish() == 0
    assert f"{execution}  failed" in "\n".join(follower.lines())
    assert slow("execution", "cancel", execution).out == f"{execution} had ended already: it is failed\n"
    assert slow("execution", "wait", execution).code == 8


@pytest.mark.requirement("MSG-4")
def test_ctrl_c_leaves_a_request_to_its_agent_and_says_how_to_get_the_reply(slow: RunCli, folder: Path) -> None:
    terminal = Terminal("ask", "wait", "long", cwd=folder, env=dict(os.environ))
    terminal.wait_for("Waiting for the reply")
    execution = slow("execution", "show", "--last", "--json").data["execution_id"]
    terminal.type("\x03")
    assert terminal.finish() == 130
    assert f"Get the reply: caxton execution wait {execution}" in terminal.text
    assert "Traceback" not in terminal.text
    assert slow("execution", "cancel", "--last").code == 0


@pytest.mark.requirement("MSG-3")
def test_trace_shows_what_was_said(echo: RunCli) -> None:
    execution = echo("ask", "echo", "hello", "--json").data["execution_id"]
    told = echo("trace", "--last", "--contents")
    assert told.code == 0
    assert "user → echo" in told.out
    assert told.out.index("    hello\n") < told.out.index("    you said: hello\n")
    contents = echo("trace", execution, "--contents", "--json").data["contents"]
    assert [each["text"] for each in contents if each["kind"] == "message"] == ["hello", "you said: hello"]
    followed = echo("trace", execution, "--follow", "--json")
    events = [json.loads(line) for line in followed.out.splitlines()]
    assert [event["event_type"] for event in events][-1] == "execution_completed"


@pytest.mark.requirement("FAC-4")
def test_trace_shows_each_attempt_of_a_model(run_cli: RunCli, folder: Path, stand_in: Remote) -> None:
    definition = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{stand_in.model}"\n'
    write_files(folder, {"agents/thinker.toml": definition})
    assert run_cli("deploy").code == 0
    stand_in.answer(Answer(status=500), Answer(status=500), Answer(text="at last"))
    assert run_cli("ask", "think", "go on").code == 0
    traced = run_cli("trace", "--last").out
    for attempt in (1, 2):
        assert f"model {stand_in.model} failed, attempt {attempt}" in traced
    assert "2 failed attempts of a model" in traced


def test_an_unknown_execution_is_told_with_the_command_that_shows_the_latest(run_cli: RunCli) -> None:
    for command in (["execution", "show"], ["fork"], ["trace"], ["trace", "--contents"], ["trace", "--replay"]):
        told = run_cli(*command, "x_1")
        assert told.code == 4, command
        assert "caxton execution show --last" in told.err or "caxton events list" in told.err, command


def test_which_execution_has_to_be_said(run_cli: RunCli) -> None:
    for command in (["execution", "wait"], ["trace"], ["trace", "x_one", "--last"]):
        refused = run_cli(*command)
        assert refused.code == 2
        assert "--last" in refused.err
    nothing = run_cli("trace", "--last")
    assert nothing.code == 4
    assert "there was no turn in this workspace yet" in nothing.err
    assert run_cli("trace", "x_one", "--contents", "--replay").code == 2


@pytest.mark.requirement("MSG-7")
def test_markdown_is_drawn_on_a_terminal_and_left_alone_in_a_pipe(slow: RunCli, folder: Path) -> None:
    terminal = Terminal("ask", "write", "something", cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 0
    lines = [line.rstrip() for line in terminal.lines()]
    assert "# Done" not in lines
    assert lines[lines.index("first line") + 1] == "second line"  # line ends of plain text stay
    assert slow("ask", "write", "something").out == "# Done\n\nfirst line\nsecond line\n"


@pytest.mark.requirement("EVT-9")
def test_a_conversation_is_deleted_for_good(echo: RunCli) -> None:
    asked = echo("ask", "echo", "hello", "--json").data["conversation_id"]
    other = echo("ask", "echo", "hello again", "--json").data["conversation_id"]
    refused = echo("conversation", "delete", asked)
    assert refused.code == 2
    assert "--yes" in refused.err
    done = echo("conversation", "delete", asked, asked, "--yes")
    assert (done.code, done.out) == (0, f"{asked} deleted: 2 messages\n"), done.err
    gone = echo("conversation", "delete", other, asked, "--yes")
    assert gone.code == 4, "and nothing is deleted when one of them is not there"
    assert echo("conversation", "delete", other, "--yes", "--json").data["deleted"][0]["executions"] == 1
