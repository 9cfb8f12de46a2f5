"""The input of a capability on the command line: a file, standard input, or key=value."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from caxton.cli.given_text import read_stdin
from caxton.cli.tool_arguments import Schema, read_value

if TYPE_CHECKING:
    from caxton.client import Caxton

_EXAMPLE = "for example: --input order.json, or --input customer=c-7 --input quantity=3"


def read_input(given: Sequence[str], schema: Callable[[], Schema]) -> dict[str, Any]:
    """The object that `--input` gives, each of which is a file (`-` for standard input) or `key=value`.

    Args:
        given: what follows each `--input`; later ones replace what earlier ones say.
        schema: gives the capability's input schema; asked only where a value can be read in two ways.

    Raises:
        UsageError: one is neither, or its file has no JSON object.
    """
    from caxton.domain.errors import UsageError

    found: dict[str, Any] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if equals and key and not Path(each).is_file():
            found[key] = read_value(key, value, schema)
            continue
        if each != "-" and not Path(each).is_file():
            raise UsageError(f'--input "{each}" is neither a file nor key=value', _EXAMPLE)
        found |= _object(each)
    return found


def _object(file: str) -> dict[str, Any]:
    from caxton.cli.reading import unreadable
    from caxton.domain.errors import UsageError

    name = "standard input" if file == "-" else f'the file "{file}"'
    try:
        value = json.loads(read_stdin() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(name, error, _EXAMPLE) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON: {error}", _EXAMPLE) from None
    if not isinstance(value, dict):
        raise UsageError(f"{name} has no JSON object", _EXAMPLE)
    return cast("dict[str, Any]", value)


def schema_of(caxton: "Caxton", capability: str | None) -> Callable[[], Schema]:
    """What gives the input schema of a capability, by asking the server; empty where it has none."""

    def ask() -> Schema:
        if capability is None:
            return {}
        found = next((each for each in caxton.capabilities(capability) if each.name == capability), None)
        return (found.input if found else None) or {}

    return ask
