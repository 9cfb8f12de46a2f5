"""What people write in files: sizes ("10MB", "1.5 GiB"), durations ("30s", "5m"), and one of several words."""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*$", re.IGNORECASE)
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)\s*$", re.IGNORECASE)

_SIZE_FACTORS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def parse_size(value: Any) -> Any:
    """Bytes of a size such as "64MB" (units are powers of 1024); integers and what is not text pass through."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if not match:
        raise ValueError('a size is a number with a unit, such as "64MB"')
    number, unit = match.groups()
    factor = 1024 ** _SIZE_FACTORS[unit.lower().rstrip("b").rstrip("i")]
    return int(float(number) * factor)


def parse_duration(value: Any) -> Any:
    """Seconds of a duration such as "30s" or "5m"; numbers and what is not text pass through."""
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value)
    if not match:
        raise ValueError('a duration is a number with a unit, such as "30s", "5m" or "2h"')
    number, unit = match.groups()
    return float(number) * _SECONDS[unit.lower()]


def format_size(count: int) -> str:
    """`count` bytes for people: "64 MB"."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """`seconds` for people: "18 ms", "1.4 s", "3 min", "2.5 h"."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} d"


def one_of(choices: type[StrEnum]) -> BeforeValidator:
    """Takes the text of a choice, as files have it."""

    def read(value: Any) -> Any:
        if not isinstance(value, str) or isinstance(value, choices):
            return value
        try:
            return choices(value)
        except ValueError:
            *others, last = [f'"{choice}"' for choice in choices]
            raise ValueError(f'"{value}" is not possible here; write {", ".join(others)} or {last}') from None

    return BeforeValidator(read)


ByteSize = Annotated[int, BeforeValidator(parse_size), PlainSerializer(lambda size: size, return_type=int)]
Seconds = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(lambda s: s, return_type=float)]
