"""TOML as a person would write it: texts of several lines as such, tables behind plain values."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from caxton.definitions.toml_edit import toml_literal

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def document(data: Mapping[str, Any], head: str) -> str:
    """A TOML file.

    Args:
        data: what is in it; None is left out.
        head: its first line.
    """
    return "\n".join([head, *_lines(data, ())]) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    given = {name: value for name, value in table.items() if value is not None}
    tables = {name: cast("Mapping[str, Any]", value) for name, value in given.items() if isinstance(value, Mapping)}
    for name, value in given.items():
        if name not in tables:
            yield f"{_key(name)} = {_value(value)}"
    for name, inner in tables.items():
        below = (*path, name)
        if not inner or any(not isinstance(each, Mapping) for each in inner.values()):
            yield ""
            yield f"[{'.'.join(map(_key, below))}]"
        yield from _lines(inner, below)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value).items()
        inside = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in fields if each is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        entries = [_value(each) for each in cast("list[Any]", value)]
        if len(entries) > 1 and any(isinstance(each, Mapping) for each in cast("list[Any]", value)):
            return "\n".join(["[", *(f"  {entry}," for entry in entries), "]"])
        return f"[{', '.join(entries)}]"
    if isinstance(value, str) and "\n" in value.strip("\n"):
        return _long(value)
    return toml_literal(value)


def _long(text: str) -> str:
    """A text of several lines. What TOML would read otherwise is escaped."""
    lines = [toml_literal(line)[1:-1].replace('\\"', '"').replace('"""', '""\\"') for line in text.split("\n")]
    body = "\n".join(lines)
    if body.endswith('"'):
        body = f'{body[:-1]}\\"'
    return f'"""\n{body}"""'


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_literal(name)
