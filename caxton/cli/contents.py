"""`caxton trace --contents`: what was said in a turn."""

import json
from typing import TYPE_CHECKING

from caxton.cli.invocation import current
from caxton.cli.output import clock, emit, is_terminal, plain, remark, say, style, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caxton.client import Caxton
    from caxton.domain.tools import Artifact
    from caxton.views.contents import ModelCall, SaidInTurn

_LINES = 12
"""Lines of a text that a terminal shows; a pipe gets all of them."""

_CALL_LINES = 4
_CHARACTERS = 100
"""Of a line, on the average."""


def show_contents(caxton: "Caxton", execution_id: str) -> None:
    """Shows messages, answers of models, and arguments and results of calls, in the order in which they came."""
    said = caxton.contents(execution_id)
    texts = [caxton.text(each.content) if each.content is not None else each.text or "" for each in said]
    if current().json:
        emit(
            {
                "execution_id": execution_id,
                "contents": [
                    {**each.model_dump(mode="json", exclude={"content"}), "text": text}
                    for each, text in zip(said, texts, strict=True)
                ],
            }
        )
        return
    was_cut = False
    for each, text in zip(said, texts, strict=True):
        if each.kind == "model" and not text and not each.calls:
            continue  # a script that replies: the message follows
        was_cut |= _show(each, text)
        tell_files(each.artifacts, indent="  " * each.depth + "    ")
    if was_cut:
        remark(style(f"In full: caxton trace {execution_id} --contents --json", "dim"))


def tell_files(files: "Sequence[Artifact]", *, indent: str = "") -> None:
    """Shows name, type and size of files."""
    from caxton.domain.quantities import format_size

    for file in files:
        say(f"{indent}{style(f'[{plain(file.name)}, {file.media_type}, {format_size(file.size)}]', 'dim')}")


def _show(said: "SaidInTurn", text: str) -> bool:
    """Shows one of them; True if it was too long to show whole."""
    indent = "  " * said.depth
    say(f"{indent}{_title(said)}  {style(clock(said.at), 'dim')}")
    was_cut = _show_text(text, f"{indent}    ")
    for call in said.calls:
        was_cut |= _show_call(call, f"{indent}    ")
    return was_cut


def _title(said: "SaidInTurn") -> str:
    who = style(said.sender, "cyan")
    if said.kind == "message":
        return f"{who} → {said.receiver}"
    failed = style(" (an error)", "red") if said.is_error else ""
    taken = style(" (taken over)", "dim") if said.taken_over else ""
    return f"{who}  {said.kind} {said.name or ''}{failed}{taken}"


def _show_call(call: "ModelCall", indent: str) -> bool:
    arguments = call.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return _show_text(f"→ {call.name} {text}", indent, _CALL_LINES)


def _show_text(text: str, indent: str, most: int = _LINES) -> bool:
    shown = text.rstrip()
    if not shown:
        return False
    if not is_terminal():
        for line in shown.splitlines():
            say(f"{indent}{line}")
        return False
    lines = wrapped(plain(shown[: _CHARACTERS * most]), indent=indent, everywhere=True)
    for line in lines[:most]:
        say(line)
    was_cut = len(lines) > most or len(shown) > _CHARACTERS * most
    if was_cut:
        say(f"{indent}…")
    return was_cut
