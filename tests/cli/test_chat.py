"""`caxton chat` and `caxton conversation`."""

import io
import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal
from tests.support.deploying import ECHO, write_files


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """Puts lines into stdin."""
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@pytest.mark.requirement("MSG-1")
@pytest.mark.requirement("MSG-5")
def test_lines_from_a_pipe_are_turns_of_one_conversation(echo: RunCli, typed) -> None:
    typed("one", "", "two", "/end")
    talked = echo("chat", "echo")
    assert talked.code == 0, talked.err
    assert "you said: one\nyou said: two\n" in talked.out
    (conversation,) = echo("conversation", "list", "--json").data["conversations"]
    assert conversation["state"] == "Completed"
    assert conversation["message_count"] == 4


@pytest.mark.requirement("MSG-1")
def test_with_json_every_reply_is_an_object_a_line(echo: RunCli, typed) -> None:
    typed("one", "two")
    talked = echo("chat", "echo", "--json")
    assert [json.loads(line)["text"] for line in talked.out.splitlines()] == ["you said: one", "you said: two"]


@pytest.mark.requirement("MSG-6")
def test_a_conversation_that_was_left_goes_on_until_it_is_ended(echo: RunCli, typed) -> None:
    typed("one")
    echo("chat", "--agent", "echo", "--topic", "numbers")
    (left,) = echo("conversation", "list", "--active", "--json").data["conversations"]
    assert left["topic"] == "numbers"
    typed("two")
    assert "you said: two" in echo("chat", "--resume", left["id"]).out
    shown = echo("conversation", "show", left["id"])
    assert shown.out.index("you said: one") < shown.out.index("you said: two")
    assert echo("conversation", "end", left["id"]).out == f"{left['id']} is completed\n"
    typed("three")
    closed = echo("chat", "--resume", left["id"])
    assert closed.code == 7
    assert f"caxton conversation show {left['id']}" in closed.err


@pytest.mark.requirement("DEP-5")
def test_a_conversation_stays_on_the_version_it_began_with(echo: RunCli, folder: Path, typed) -> None:
    typed("one")
    echo("chat", "echo")
    (conversation,) = echo("conversation", "list", "--active", "--json").data["conversations"]
    changed = {name: text.replace("you said", "I heard").replace("1.0.0", "2.0.0") for name, text in ECHO.items()}
    write_files(folder, dict(changed))
    assert echo("deploy").code == 0
    typed("two")
    assert "you said: two" in echo("chat", "--resume", conversation["id"]).out
    assert echo("ask", "echo", "two").out == "I heard: two\n"


@pytest.mark.parametrize(
    "command",
    [["conversation", "show", "c_nothing"], ["conversation", "end", "c_nothing"], ["chat", "--resume", "c_x"]],
)
def test_an_unknown_conversation_is_told(run_cli: RunCli, command: list[str]) -> None:
    outcome = run_cli(*command)
    assert outcome.code == 4
    assert outcome.err.startswith("error: there is no conversation")


def test_an_unknown_capability_is_told(echo: RunCli, typed) -> None:
    typed("hello")
    outcome = echo("chat", "ecco")
    assert outcome.code == 4
    assert "similar: echo" in outcome.err


@pytest.mark.requirement("MSG-7")
def test_on_a_terminal_one_talks_and_sees_the_history(echo: RunCli, folder: Path) -> None:
    terminal = Terminal("chat", "echo", cwd=folder, env=dict(os.environ))
    terminal.wait_for("you ›")
    terminal.type("good morning\r")
    terminal.wait_for("you said: good morning")
    terminal.wait_for("you ›")
    terminal.type("/history\r")
    terminal.wait_for("user")
    terminal.wait_for("you ›")
    terminal.type("/end\r")
    assert terminal.finish() == 0
    assert "The conversation is completed" in terminal.text
    assert "Traceback" not in terminal.text


PASTE = "\x1b[200~first line\nsecond line\n\x1b[201~"


@pytest.mark.requirement("MSG-7")
@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        (f"{PASTE}and more\r", "first line\nsecond line\nand more"),
        ("one\rtwo\rthree\r", "one\ntwo\nthree"),  # pasted into a terminal that does not mark it
        ("one\x1b\rtwo\r", "one\ntwo"),
        ("one\\\rtwo\r", "one\ntwo"),
    ],
    ids=["bracketed paste", "paste", "alt-enter", "backslash"],
)
def test_lines_that_belong_together_are_one_message(echo: RunCli, folder: Path, keys: str, sent: str) -> None:
    terminal = Terminal("chat", "echo", cwd=folder, env=dict(os.environ))
    terminal.wait_for("you ›")
    if keys == "one\\\rtwo\r":
        for key in ("one\\", "\r", "two", "\r"):
            terminal.type(key)
            terminal.wait_for(key.strip() or "…")
    else:
        terminal.type(keys)
    terminal.wait_for("you said: ")
    terminal.wait_for("you ›")
    terminal.type("\x04")
    assert terminal.finish() == 0
    (conversation,) = echo("conversation", "list", "--json").data["conversations"]
    messages = echo("conversation", "show", conversation["id"], "--json").data["messages"]
    assert [each["content"]["text"] for each in messages if each["sender"] == "user"] == [sent]
