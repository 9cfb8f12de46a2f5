"""Options and values that the commands of `caxton memory` share."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.invocation import current
from caxton.cli.output import is_terminal, plain, shorten

if TYPE_CHECKING:
    from caxton.domain.memory import Entity

Where = Annotated[
    list[str] | None, typer.Option("--where", metavar="NAME=VALUE", help="Metadata that must be equal; repeatable.")
]
SetMetadata = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Metadata to set; repeatable.")
]
UnsetMetadata = Annotated[
    list[str] | None, typer.Option("--unset", metavar="NAME", help="Metadata to remove; repeatable.")
]


def scope_of(text: str) -> dict[str, str]:
    """The scope that `text` names, as the API takes it.

    Raises:
        UsageError: it names none.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.memory import MemoryScope

    try:
        return MemoryScope.parse(text).model_dump(mode="json")
    except ValueError:
        raise UsageError(f'"{text}" is not a scope', "write workspace, global, agent:NAME or conversation:ID") from None


def shared_scope(text: str | None) -> bool:
    """Whether what all workspaces share is meant, rather than the workspace's own.

    Raises:
        UsageError: it is neither.
    """
    from caxton.domain.errors import UsageError

    if text not in (None, "workspace", "global"):
        raise UsageError(f'"{text}" cannot stand here', "write --scope global, or leave it out")
    return text == "global"


def command_there(command: str, scope: str | None = None) -> str:
    """`command` to be typed as it is shown: with the server, the workspace and the settings that this one was given.

    Args:
        command: without options that say where.
        scope: what this one was given. Of scopes only what all workspaces share is a place of its own.
    """
    import shlex

    given = current()
    options = [("--scope", scope if scope == "global" else None), ("--workspace", given.workspace)]
    options += [("--url", given.url), ("--config", given.config)]
    return " ".join([command, *(f"{name} {shlex.quote(str(value))}" for name, value in options if value)])


def metadata_of(pairs: list[str] | None) -> dict[str, Any]:
    """Values by name; what reads as JSON (numbers, true, null) is taken as that.

    Raises:
        UsageError: one is not NAME=VALUE.
    """
    import json

    from caxton.domain.errors import UsageError

    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f'"{pair}" is not a value', "write NAME=VALUE")
        try:
            found[name] = json.loads(value, parse_constant=str)
            json.dumps(found[name], allow_nan=False)
        except ValueError:  # plain text, or a number that JSON does not have
            found[name] = value
    return found


def value_text(value: Any) -> str:
    """A value as --set takes it: JSON, but text that does not read as JSON as it is."""
    import json

    if isinstance(value, str):
        try:
            json.loads(value, parse_constant=str)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value, ensure_ascii=False)


def shown(text: str) -> str:
    """Text of memories, harmless on a terminal."""
    return plain(text) if is_terminal() else text


def headline(entity: "Entity", length: int) -> str:
    """What a memory says, on one line of so many characters, with what it is about before it."""
    said = on_one_line(" · ".join(entity.observations))
    return shorten(f"{on_one_line(entity.name)}: {said}" if entity.name else said, length)


def on_one_line(text: str) -> str:
    """The same, on one line."""
    return " ".join(shown(text).split())
