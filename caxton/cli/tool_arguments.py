"""Arguments of a tool's function on the command line: its schema says whether 12345 is a number or a text."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from caxton.cli.given_text import read_stdin

Schema = Mapping[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def read_arguments(text: str | None, pairs: Sequence[str], schema: Callable[[], Schema]) -> dict[str, Any]:
    """The arguments of a call.

    Args:
        text: all of them as JSON; "-" reads standard input.
        pairs: KEY=VALUE, one by one.
        schema: gives the function's input schema; asked only where a value can be read in two ways.

    Raises:
        UsageError: they are not a JSON object, or not KEY=VALUE.
    """
    from caxton.domain.errors import UsageError

    example = 'for example: --args \'{"text": "a,b"}\''
    values: Any = {}
    if text is not None:
        try:
            values = json.loads(read_stdin() if text == "-" else text)
        except ValueError as error:
            raise UsageError(f"--args is not JSON: {error}", example) from None
        if not isinstance(values, dict):
            raise UsageError("--args is not a JSON object", example)
    found = cast("dict[str, Any]", values)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f'"{pair}" is not an argument', "write -a KEY=VALUE")
        found[key] = read_value(key, value, schema)
    return found


def read_value(key: str, text: str, schema: Callable[[], Schema]) -> Any:
    """JSON where it is such and the schema takes it, else the text as it stands."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, str):
        return value
    whole = schema()
    properties = cast("Mapping[str, Schema]", whole.get("properties") or {})
    wanted = properties.get(key)
    if wanted is None or accepts(wanted, value, whole) or not accepts(wanted, text, whole):
        return value
    return text


def accepts(schema: Any, value: Any, whole: Schema, depth: int = 0) -> bool:
    """Whether a schema takes a value of this type, or this very value; what else it demands is left to the server."""
    if not isinstance(schema, dict) or depth > 20:
        return schema is not False
    rules = cast("dict[str, Any]", schema)
    if "const" in rules and rules["const"] != value:
        return False
    if "enum" in rules and value not in rules["enum"]:
        return False
    types = rules.get("type")
    if types is not None:
        names: list[str] = [types] if isinstance(types, str) else types
        if not any(_TYPES.get(name, lambda _: True)(value) for name in names):
            return False
    if isinstance(reference := rules.get("$ref"), str) and not accepts(_at(whole, reference), value, whole, depth + 1):
        return False
    if not all(accepts(each, value, whole, depth + 1) for each in rules.get("allOf", [])):
        return False
    either = [each for name in ("anyOf", "oneOf") for each in rules.get(name, [])]
    return not either or any(accepts(each, value, whole, depth + 1) for each in either)


def _at(whole: Schema, reference: str) -> Any:
    """What a reference within the schema leads to; anything goes where that is not known."""
    found: Any = whole
    for part in reference.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        found = cast("dict[str, Any]", found).get(name, True) if isinstance(found, dict) else True
    return found
