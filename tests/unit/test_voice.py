"""The words of errors: messages and hints begin with a small letter, as they follow "error:" and "hint:"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import caxton
from caxton.domain import errors

ROOT = Path(caxton.__file__).parent
NAMES = re.compile(
    r"[A-Z]{2,}|Caxton|Temporal|WebAssembly|Python|PostgreSQL|Qdrant|LanceDB|Ctrl|Stripe|Authorization|Host\b|Idempotency|X-"
)
"""What begins with a capital wherever it stands."""
ERRORS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.CaxtonError)
}
PROBLEMS = {"problem", "Problem", "with_hint"}


def begins(text: ast.expr) -> str:
    """The constant that a text begins with; empty if it begins with a value."""
    match text:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=[first, *_]):
            return begins(first)
        case ast.BinOp(left=left):
            return begins(left)
        case ast.IfExp(body=body):
            return begins(body)
        case _:
            return ""


def texts(call: ast.Call) -> list[ast.expr]:
    """The arguments of `call` that people read as messages or hints."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "Hint":
        return [each.value for each in call.keywords if each.arg == "text"]
    if name in ERRORS or name in PROBLEMS:
        return [*call.args, *(each.value for each in call.keywords if each.arg in ("reason", "message", "hint"))]
    return []


def loud() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for argument in texts(node) if isinstance(node, ast.Call) else []:
                text = begins(argument)
                if text[:1].isupper() and not NAMES.match(text):
                    yield f"{path.relative_to(ROOT.parent)}:{argument.lineno}: {text}"


def test_messages_and_hints_begin_with_a_small_letter() -> None:
    assert list(loud()) == []
