"""Errors of the server, which speaks of its API, in the words of the command that was typed."""

import re
from collections.abc import Mapping
from typing import Any, cast

from caxton.domain.errors import CaxtonError, Hint, InvalidInput, NotFound

CALLED_OTHERWISE: Mapping[str, tuple[str, ...]] = {
    "agent": ("of_agent", "agent"),
    "arguments": ("arguments", "argument"),
    "before": ("older_than",),
    "content": ("text",),
    "expires_in": ("expires", "remember"),
    "grants": ("grant",),
    "limits": ("limit",),
    "max_entities": ("max_count",),
    "metadata": ("metadata", "set_"),
    "observations": ("text",),
    "period": ("events", "per"),
    "permissions": ("allow",),
    "scopes": ("scope",),
    "tool": ("name",),
    "type": ("type_", "new_type", "type", "relation"),
    "variables": ("variable",),
    "version_range": ("capability",),
    "workspace": ("of_workspace", "workspace"),
    "workspaces": ("only",),
}
"""Fields of the API whose option or argument has another name, or one among several; all others are called alike in both."""

KINDS: Mapping[str, tuple[str, str]] = {
    "x": ("an execution", "caxton execution show"),
    "c": ("a conversation", "caxton conversation show"),
    "d": ("a deployment", "caxton deployments show"),
    "ap": ("an approval", "caxton approvals show"),
}
"""What an id is of, by what it begins with, and the command that shows it."""

_ID = re.compile(r'"(([a-z]+)_[0-9a-z]{10,})"')
_FIELD = re.compile(r"`(\w+)`")
_ASKING = re.compile(r"^caxton ask (--agent \S+|\S+)(?: \"…\")?$")


def as_typed(error: CaxtonError, command: str, parameters: Mapping[str, str]) -> CaxtonError:
    """`error` for somebody who typed `command`.

    Names of fields become options: "since: must be a time" is "--since: must be a time". Hints to ask become hints to chat
    where that is what was wanted.

    Args:
        error: of the server, or of the command itself; it is changed.
        command: such as "caxton chat".
        parameters: what the command is given, by field: see :class:`caxton.cli.invocation.Invocation`.
    """
    if isinstance(error, InvalidInput):
        error.message = _in_options(error.message, error.details.get("problems"), parameters)
        error.hints = [hint.model_copy(update={"text": _quoted(hint.text, parameters)}) for hint in error.hints]
    if isinstance(error, NotFound):
        error.hints = [*_of_another_kind(error.message), *error.hints]
    if command == "caxton chat":
        error.hints = [_to_chat(hint) for hint in error.hints]
    return error


def _in_options(message: str, problems: Any, parameters: Mapping[str, str]) -> str:
    for problem in cast("list[dict[str, Any]]", problems) if isinstance(problems, list) else []:
        path = str(problem.get("path", ""))
        option = option_of(path.partition(".")[0], parameters)
        if option is not None:
            message = message.replace(f"{path}: ", f"{option}: ", 1)
    return _quoted(message, parameters)


def _quoted(text: str, parameters: Mapping[str, str]) -> str:
    """`text` with options in place of fields that stand between backticks."""
    return _FIELD.sub(lambda found: option_of(found[1], parameters) or found[0], text)


def option_of(field: str, parameters: Mapping[str, str]) -> str | None:
    """The option or argument by which a command is given a field of the API; None if it has none for it."""
    names = CALLED_OTHERWISE.get(field, (field,))
    return next((parameters[name] for name in names if name in parameters), None)


def _of_another_kind(message: str) -> list[Hint]:
    """For who gave the id of something else than the command shows."""
    found = _ID.search(message)
    if found is None or found[2] not in KINDS:
        return []
    kind, command = KINDS[found[2]]
    if kind.partition(" ")[2] in message.partition('"')[0]:
        return []
    return [Hint(text=f"this is the id of {kind}", command=f"{command} {found[1]}")]


def _to_chat(hint: Hint) -> Hint:
    found = _ASKING.match(hint.command or "")
    return hint.model_copy(update={"command": f"caxton chat {found[1]}"}) if found else hint
