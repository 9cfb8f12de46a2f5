"""Shared parts of all commands: options, settings, the connection to the server."""

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.commands import COMMANDS

if TYPE_CHECKING:
    from caxton.runtime.settings_sources import LoadedSettings


@dataclass
class Invocation:
    """The options that every command takes."""

    json: bool = False
    debug: bool = False
    config: Path | None = None
    url: str | None = None
    workspace: str | None = None
    command: str = "caxton"
    """As it was typed, without arguments, for hints: "caxton ask"."""
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    """What the command is given, by its name in the code: an option as one types it, an argument as help calls it."""
    _loaded: dict[str, "LoadedSettings"] = field(default_factory=dict[str, "LoadedSettings"])

    def settings(self, **flags: Any) -> "LoadedSettings":
        """The settings, with the common options and the command's own `flags` (dots of names as two underscores).

        Raises:
            InvalidSettings: something in them is wrong.
        """
        from caxton.runtime.settings_sources import load_settings

        given = {name.replace("__", "."): value for name, value in flags.items()}
        key = repr(given)
        if key not in self._loaded:
            common = {"url": self.url, "workspace": self.workspace}
            self._loaded[key] = load_settings({**common, **given}, config=self.config)
        return self._loaded[key]


_current: ContextVar[Invocation] = ContextVar("invocation")


def begin(arguments: Sequence[str]) -> Invocation:
    """A fresh invocation, which becomes the current one.

    Args:
        arguments: of the command line, before they are parsed: what goes wrong then is also told as they wish.
    """
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    command = f"caxton {name}" if name in COMMANDS else "caxton"
    invocation = Invocation(json="--json" in arguments, debug="--debug" in arguments, command=command)
    _current.set(invocation)
    return invocation


def current() -> Invocation:
    """The invocation that runs."""
    return _current.get()


def _remember(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    if not context.resilient_parsing:
        current().parameters = dict(_named(context.command.params))
    if value and not context.resilient_parsing and param.name:
        setattr(current(), param.name, value)
    return value


def _named(parameters: "Sequence[Any]") -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        options = [option for option in parameter.opts if option.startswith("--")]
        yield parameter.name, options[0] if options else (parameter.metavar or parameter.name.upper()).partition("[")[0]


def common_options(
    json: Annotated[
        bool, typer.Option("--json", help="Machine-readable output.", callback=_remember, expose_value=False)
    ] = False,
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", metavar="NAME", help="Workspace.", callback=_remember, expose_value=False),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The server to talk to.", callback=_remember, expose_value=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file.", callback=_remember, expose_value=False),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Tracebacks with errors.", callback=_remember, expose_value=False)
    ] = False,
) -> None:
    """Never called: its parameters are added to those of every command."""
