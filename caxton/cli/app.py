"""The command line as a whole: finds the command, runs it, and turns what goes wrong into messages and exit codes."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from caxton.cli import invocation
from caxton.cli.commands import COMMANDS, CommandEntry
from caxton.cli.given_text import check_arguments

PROGRAM = "caxton"
HELP = "help"
"""In place of a command: `caxton help ask` is `caxton ask --help`."""


class Group(TyperGroup):
    """A group that says what was probably meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that `args` name, with the same answer as in all our messages if there is none."""
        if args and args[0] == HELP and HELP not in self.commands:
            args = [*args[1:], f"--{HELP}"]
            if len(args) == 1:
                from caxton.cli.output import say

                say(ctx.get_help())
                raise typer.Exit
        if args and args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            from caxton.definitions.suggestions import closest
            from caxton.domain.errors import Hint, UsageError

            meant = closest(args[0], self.commands)
            path = ctx.command_path
            hint = Hint(text="did you mean", command=f"{path} {meant}") if meant else f"see `{path} --help`"
            raise UsageError(f'unknown command "{args[0]}"', hint)
        return super().resolve_command(ctx, args)


class Root(Group):
    """The first level. A command's module is imported when the command is used; until then a stub stands for it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that `args` name and loads it."""
        if len(args) > 1 and args[0] == HELP:
            args = [*args[1:], f"--{HELP}"]
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(COMMANDS[args[0]])
        return super().resolve_command(ctx, args)


def build(*, eager: bool = False) -> Root:
    """The command `caxton`; with `eager`, all that belongs to it loaded."""
    stubs = {name: TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()}
    root = Root(
        name=PROGRAM,
        commands=dict(stubs),
        params=_common_options(),
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if eager:
        root.commands.update({name: load(entry) for name, entry in COMMANDS.items()})
    return root


def load(entry: CommandEntry) -> Any:
    """The command or group of `entry`, with the options that every command has."""
    module = import_module(f"caxton.cli.{entry.module}")
    command: Any = get_command(getattr(module, entry.attribute))
    command.name = entry.name
    common = _common_options()
    pending = [command]
    while pending:
        each = pending.pop()
        each.params.extend(common)
        each.context_settings["help_option_names"] = ["-h", "--help"]
        if isinstance(each, TyperGroup):
            pending.extend(each.commands.values())
    return command


def run(arguments: Sequence[str]) -> int:
    """Runs the command that `arguments` name and returns its exit code; prints what goes wrong."""
    started = invocation.begin(arguments)
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:
        answer_shell(arguments)
    try:
        check_arguments(arguments)
        root = build()
        with root.make_context(PROGRAM, list(arguments)) as context:
            root.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, Exception) as error:
        from caxton.cli.errors import report

        return report(error, started)
    finally:
        from caxton.cli import acknowledgement

        acknowledgement.settle()
    return 0


def answer_shell(arguments: Sequence[str]) -> NoReturn:
    """Answers what the shell asks by environment variable: names that complete a line, or the script for it.

    Raises:
        SystemExit: when that is done.
    """
    from typer.completion import get_completion_inspect_parameters

    get_completion_inspect_parameters()  # its side effect is wanted: it makes the shells known
    build().main(list(arguments), prog_name=PROGRAM)
    raise SystemExit(1)


def new_app(**settings: Any) -> typer.Typer:
    """A Typer application for one command or one group of commands."""
    return typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False, **settings)


def _common_options() -> list[Any]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(invocation.common_options)
    return list(get_command(app).params)
