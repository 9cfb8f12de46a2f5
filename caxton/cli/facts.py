"""Data on a terminal: names and values as people read them, in lines that fit."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from caxton.cli.output import clock, milliseconds, plain, style
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_UNITS = ("_ms", "_mb", "_bytes", "_s", "_seconds", "_usd")
_STATE_NAMES = ("state", "status")
_DIGEST_SHOWN = 12


def facts(document: Any, *, indent: str = "") -> list[str]:
    """The lines of a JSON value: a table of its names and values, lists of objects as tables of their own below it.

    What is empty is left out; times are local and short, digests cut, quantities have their unit.
    """
    if not isinstance(document, Mapping):
        return [f"{indent}{value_text('', document)}"]
    rows: list[list[str]] = []
    below: list[str] = []
    for name, value in cast("Mapping[str, Any]", document).items():
        if _is_empty(value):
            continue
        if _are_objects(value):
            below += [f"{indent}{style(label(name), 'dim')}", *_objects(value, indent=f"{indent}  ")]
        elif isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):  # pyright: ignore[reportUnknownVariableType]
            below += [f"{indent}{style(label(name), 'dim')}", *facts(value, indent=f"{indent}  ")]
        else:
            rows.append([label(name), value_text(name, value)])
    return [*table(rows, indent=indent), *below]


def with_short_digests(text: str) -> str:
    """`text` with digests as short as people compare them."""
    return _DIGEST.sub(lambda found: found[0][:_DIGEST_SHOWN], text)


def label(name: str) -> str:
    """The name of a value: without its unit, which stands behind the value."""
    unit = next((unit for unit in _UNITS if name.endswith(unit)), "")
    return plain(name.removesuffix(unit).replace("_", " "))


def value_text(name: str, value: Any) -> str:
    """A value in one line, without control characters.

    Args:
        name: what it is of; its ending tells the unit of a number.
        value: of JSON.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _quantity(name, value)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{label(key)} {value_text(key, each)}"
            for key, each in cast("Mapping[str, Any]", value).items()
            if not _is_empty(each)
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(value_text(name, each) for each in cast("Sequence[Any]", value))
    text = "" if value is None else str(value)
    if _DIGEST.fullmatch(text):
        return text[:_DIGEST_SHOWN]
    if _MOMENT.fullmatch(text):
        return clock(datetime.fromisoformat(text))
    return in_words(text) if name in _STATE_NAMES else plain(text)


def _quantity(name: str, value: float) -> str:
    from caxton.domain.quantities import format_duration, format_size

    if name.endswith("_ms"):
        return milliseconds(value)
    if name.endswith(("_s", "_seconds")):
        return format_duration(value)
    if name.endswith("_bytes"):
        return format_size(int(value))
    if name.endswith("_mb"):
        return format_size(int(value * (1 << 20)))
    if name.endswith("_usd"):
        return f"${value:.4f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, Sequence, Mapping)) and not value)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in cast("list[Any]", value))


def _objects(found: "list[Mapping[str, Any]]", *, indent: str) -> Iterator[str]:
    """A list of objects: a row each, with a column for each name that one of them has."""
    names = list(dict.fromkeys(name for each in found for name, value in each.items() if not _is_empty(value)))
    rows = [[value_text(name, each.get(name)) for name in names] for each in found]
    yield from table(rows, [label(name) for name in names], indent=indent)
