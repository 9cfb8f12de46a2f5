"""Changing values of a TOML file and nothing else in it."""

import math
from collections.abc import Mapping
from typing import Any, cast

from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource

Values = dict[Path, Any]
"""New values by their paths."""

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def replace_values(source: TomlSource, values: Mapping[Path, Any]) -> str:
    """The text of `source` with other values at paths that it has; comments and layout stay.

    Raises:
        KeyError: the file has no value at a path.
        ValueError: a value cannot be written in TOML.
    """
    text = source.text
    spans = {path: source.positions.values[path] for path in values}
    for path in sorted(values, key=lambda path: spans[path].start, reverse=True):
        text = text[: spans[path].start] + toml_literal(values[path]) + text[spans[path].end :]
    return text


def toml_literal(value: Any) -> str:
    """`value` as TOML writes it on one line.

    Raises:
        ValueError: TOML has nothing like it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return f'"{"".join(_escaped(character) for character in value)}"'
    if isinstance(value, list):
        return f"[{', '.join(toml_literal(entry) for entry in cast('list[Any]', value))}]"
    raise ValueError(f"TOML cannot hold a {type(value).__name__}")


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError("the text is not valid Unicode")
    return f"\\u{code:04x}" if code < 0x20 or code == 0x7F else character
