"""Errors on a terminal: what went wrong, why, and what to do next; and the exit codes.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | something went wrong inside Caxton |
| 2 | the command was not understood: unknown command, option or argument |
| 3 | what was given is not valid: a definition, a setting, a request, a WebAssembly module |
| 4 | not found: no such agent, conversation …, or no agent offers the capability |
| 5 | the machine or a service is not available: server unreachable or overloaded, port taken, disk full; a part is missing |
| 6 | the API key is missing, wrong, or does not allow this |
| 7 | not possible in the present state: conversation closed, server already running |
| 8 | the agent's turn failed: its model, a tool, or one of its limits |
| 9 | `caxton health`: the server runs, but a component is not healthy |
| 130 | interrupted with Ctrl-C |
| 141 | whoever read the output stopped reading |

With `--json` the error is an object on stderr: `{"error": {"code", "message", "hints", "details", "exit_code", …}}`.
"""

import errno
import json as json_module
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from caxton.cli.as_typed import as_typed
from caxton.cli.output import columns, complain, say, style, wrapped
from caxton.domain.errors import CaxtonError, DiskFull, Hint, InvalidDefinitions, InvalidSettings, UsageError
from caxton.domain.extras import extra_of, lacks, not_installed
from caxton.domain.validation_words import in_plain_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caxton.cli.invocation import Invocation

NOT_WELL = 9
INTERRUPTED = 130
_EXTRA = re.compile(r"got unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
_TAKE_TEXT = ("caxton ask", "caxton chat")


def report(error: BaseException, invocation: "Invocation") -> int:
    """Shows `error` as `invocation` wishes, and returns the exit code for it."""
    json, debug = invocation.json, invocation.debug
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        if not json:
            complain("Interrupted.")
            for note in getattr(error, "__notes__", []):
                complain(note)
        return INTERRUPTED
    if debug:
        import traceback

        complain("".join(traceback.format_exception(error)).rstrip())
    if is_help_request(error):
        say(str(error).rstrip())
        return UsageError.exit_code
    known = as_typed(_known(error, invocation.command), invocation.command, invocation.parameters)
    if json:
        found = known.report().model_dump(mode="json", exclude_none=True)
        complain(json_module.dumps({"error": {**found, "exit_code": known.exit_code}}, ensure_ascii=False))
    else:
        complain("\n".join(render(known, debug=debug)))
    return known.exit_code


def render(error: CaxtonError, *, debug: bool = False, root: Path | None = None) -> list[str]:
    """The lines that tell a person of `error`.

    Args:
        error: what to tell.
        debug: also tell the id under which the server's log has it.
        root: folder that the files of problems are found in; the current one if None.
    """
    problems = _problems(error)
    if problems:
        from caxton.cli.problems import read_sources
        from caxton.cli.problems import render as render_problems

        folder = root or Path(str(error.details.get("folder") or Path.cwd()))
        lines = render_problems(problems, read_sources(problems, folder), "Nothing was changed.")
        return lines[:-1] if isinstance(error, InvalidSettings) else lines  # settings are not all in files to count
    lines = _told("error:", error.message, "bold", "red")
    similar = _similar(error.details.get("similar"), error.details.get("capability"))
    if similar:
        lines.append(f"  similar: {similar}")
    if error.reason and error.reason != error.message:
        lines.append(f"  reason: {error.reason}")
    for hint in error.hints:
        lines += _hint(hint)
    if debug and "request_id" in error.details:
        lines.append(f"  request: {error.details['request_id']}")
    return lines


def _told(word: str, text: str, *styles: str, indent: str = "") -> list[str]:
    """`text` behind a coloured word, in lines that fit the terminal."""
    begin = f"{indent}{word} "
    first, *rest = wrapped(f"{begin}{text}", indent=" " * len(begin) if indent else "  ", stream=sys.stderr)
    return [f"{indent}{style(word, *styles, stream=sys.stderr)}{first[len(begin) - 1 :]}", *rest]


def _hint(hint: Hint) -> list[str]:
    """A hint. A command that does not fit behind it has a line of its own, so that it can be copied."""
    whole = hint_text(hint)
    if not hint.command or len(f"  hint: {whole}") <= columns(sys.stderr):
        return _told("hint:", whole, "cyan", indent="  ")
    text = whole.removesuffix(hint.command).rstrip() if whole.endswith(hint.command) else hint.text
    return [*_told("hint:", text, "cyan", indent="  "), f"        {hint.command}"]


def hint_text(hint: Hint) -> str:
    """A hint in one line, with its command."""
    if not hint.command or hint.command in hint.text:
        return hint.text
    return f"{hint.text}{'' if hint.text.endswith('?') else ':'} {hint.command}"


def is_help_request(error: BaseException) -> bool:
    """Whether a group was named without a command: its help is the best answer."""
    context = getattr(error, "ctx", None)
    return isinstance(error, typer.TyperException) and context is not None and str(error) == context.get_help()


def _known(error: BaseException, command: str) -> CaxtonError:
    """`error` as one of ours."""
    if isinstance(error, CaxtonError):
        return error
    if isinstance(error, typer.TyperException):
        return _usage(error, command)
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error.name or "")):
        return not_installed(extra, lacks(extra) or [str(error.name)])
    if isinstance(error, OSError) and error.filename:
        return CaxtonError(f"{error.filename}: {error.strerror or error}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return DiskFull(f"the output cannot be written: {error.strerror}", "write it to a place with room")
    return CaxtonError(
        f"something went wrong inside Caxton: {type(error).__name__}: {error}",
        "run the command again with --debug for the details",
        "if it stays so, tell whoever runs this server, with what --debug prints",
    )


def _usage(error: typer.TyperException, command: str) -> UsageError:
    message = error.format_message().strip().rstrip(".")
    subject, colon, said = message.partition(": ")
    message = f"{subject}{colon}{in_plain_words(said)}" if colon else message
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    path = context.command_path if context else command
    extra = _EXTRA.fullmatch(message)
    if extra and path in _TAKE_TEXT:
        return _unquoted(extra[1], context.params if context else {}, path)
    return UsageError(message.replace("'", '"'), f"see `{path} --help`")


def _unquoted(extra: str, given: "Mapping[str, Any]", path: str) -> UsageError:
    """A text of several words that the shell has taken apart."""
    from caxton.domain.ids import is_name

    words = [str(given[name]) for name in ("capability", "text") if given.get(name)]
    agent = given.get("agent")
    target = [f"--agent {agent}"] if agent else []
    if not agent and words and is_name(words[0].partition("@")[0]):
        target = [words.pop(0)]
    text = " ".join([*words, extra])
    if path.endswith("chat"):
        return UsageError(
            f'"{text}" is too much', f"begin with `{path} {target[0] if target else 'CAPABILITY'}`, then type"
        )
    return UsageError(
        "the request has several words: put it into quotes",
        Hint(text="for example", command=f'{path} {target[0] if target else "CAPABILITY"} "{text}"'),
    )


def _problems(error: CaxtonError) -> list[Any]:
    from caxton.domain.problems import Problem

    if not isinstance(error, (InvalidDefinitions, InvalidSettings)):
        return []
    return [Problem.model_validate(problem) for problem in error.details.get("problems", [])]


def _similar(found: Any, asked: Any) -> str:
    """Names of capabilities that do exist, other than the one that was asked for."""
    if not isinstance(found, list):
        return ""
    names: list[str] = []
    for entry in cast("list[Any]", found):
        if isinstance(entry, dict):
            capability = cast("dict[str, Any]", entry)
            providers = cast("list[Any]", capability.get("agents") or capability.get("providers") or [])
            name = str(capability.get("name") or capability.get("capability"))
            names.append(f"{name} ({', '.join(map(str, providers))})" if providers else name)
        else:
            names.append(str(entry))
    names = [name for name in names if name != asked]
    return ", ".join(names)
