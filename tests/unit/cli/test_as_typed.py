"""Errors in the words of the command that was typed."""

from typing import Any

import pytest

from caxton.cli.app import build
from caxton.cli.as_typed import CALLED_OTHERWISE, as_typed
from caxton.domain.errors import Hint, InvalidInput, NoCapableAgent, NotFound


def test_a_field_is_told_as_the_option_that_gives_it() -> None:
    problems = [
        {"path": "expires_in", "message": "must be at least 1"},
        {"path": "grants.0.role", "message": "is missing"},
    ]
    error = InvalidInput("expires_in: must be at least 1 (and 1 more)", details={"problems": problems})
    told = as_typed(error, "caxton key", {"expires": "--expires", "grant": "--grant"})
    assert told.message == "--expires: must be at least 1 (and 1 more)"


def test_a_field_in_a_sentence_is_told_as_its_option_and_others_stay() -> None:
    error = InvalidInput("`since` must come before `until`", "give `workspace` too, or `this`")
    options = {"since": "--since", "until": "--until", "workspace": "--workspace", "of_workspace": "--of-workspace"}
    told = as_typed(error, "caxton metrics", options)
    assert told.message == "--since must come before --until"
    assert told.hints[0].text == "give --of-workspace too, or `this`"


@pytest.mark.parametrize(
    ("asking", "chatting"),
    [
        ('caxton ask fetch-data "…"', "caxton chat fetch-data"),
        ('caxton ask fetch-data@^1.0.0 "…"', "caxton chat fetch-data@^1.0.0"),
        ('caxton ask --agent fetcher "…"', "caxton chat --agent fetcher"),
        ("caxton capabilities", "caxton capabilities"),
    ],
)
def test_who_chats_is_told_how_to_chat(asking: str, chatting: str) -> None:
    def told(command: str) -> str | None:
        return as_typed(NoCapableAgent("nobody", Hint(text="ask", command=asking)), command, {}).hints[0].command

    assert told("caxton chat") == chatting
    assert told("caxton ask") == asking


def test_an_id_of_something_else_is_told_as_what_it_is() -> None:
    def hints(kind: str, identity: str) -> list[str | None]:
        error = NotFound(f'there is no {kind} "{identity}"')
        return [hint.command for hint in as_typed(error, "caxton trace", {}).hints]

    assert hints("execution", "c_8fn94e2v66be82ebj61akh") == ["caxton conversation show c_8fn94e2v66be82ebj61akh"]
    assert hints("conversation", "x_8fn94e2v66be82ebj61akh") == ["caxton execution show x_8fn94e2v66be82ebj61akh"]
    assert hints("execution", "x_8fn94e2v66be82ebj61akh") == []
    assert hints("agent", "c_ool") == []


def test_options_with_another_name_than_the_field_are_there() -> None:
    """The table goes with the commands: each name in it is one of a parameter."""
    names: set[str] = set()
    pending: list[Any] = [build(eager=True)]
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        names.update(parameter.name for parameter in command.params)
    assert {name for options in CALLED_OTHERWISE.values() for name in options} <= names
