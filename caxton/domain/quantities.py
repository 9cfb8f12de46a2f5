"""What people write in files: sizes ("10MB", "1.5 GiB"), durations ("30s", "5m"), and one of several words."""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*$", re.IGNORECASE)
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)\s*$", re.IGNORECASE)

_RATE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*/\s*(s|m|min|h|d)\s*$", re.IGNORECASE)

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


def parse_rate(value: Any) -> Any:
    """How many a second of a rate such as "10/s" or "600/m"; numbers and what is not text pass through."""
    if not isinstance(value, str):
        return value
    match = _RATE.match(value)
    if not match:
        raise ValueError('a rate is a number in a time, such as "10/s", "600/m" or "1000/h"')
    number, unit = match.groups()
    return float(number) / _SECONDS[unit.lower()]


def format_rate(rate: float) -> str:
    """`rate` a second for people: "10/s", "90/m", "1000/h"."""
    for unit in ("s", "m", "h"):
        number = rate * _SECONDS[unit]
        if number >= 1 and abs(number - round(number)) < 1e-6 * number:
            return f"{round(number)}/{unit}"
    return f"{rate * 86_400:.4g}/d"


def format_size(count: int) -> str:
    """`count` bytes for people: "64 MB"."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """`seconds` for people: "18 ms", "1.4 s", "90 s", "3 min", "2 h 30 min"."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 119.5:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 3600:
        return _in_two(seconds, 60, "min", 1, "s")
    if seconds < 172_800:
        return _in_two(seconds, 3600, "h", 60, "min")
    return _in_two(seconds, 86_400, "d", 3600, "h")


def _in_two(seconds: float, large: int, name: str, small: int, small_name: str) -> str:
    """In two units, the second one left out where it is none: "2 h 30 min"."""
    whole, rest = divmod(round(seconds / small), large // small)
    return f"{whole} {name} {rest} {small_name}" if rest else f"{whole} {name}"


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


LEAST_RATE = 0.00001
"""A second: not quite once a day. Of less nobody would see the second one, and the time until then could not be told."""

Rate = Annotated[float, BeforeValidator(parse_rate), PlainSerializer(lambda rate: rate, return_type=float)]
"""How many a second."""


def _plain_seconds(value: Any) -> Any:
    """Seconds that come as text, as all values of the environment do."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


RateSetting = Annotated[Rate, BeforeValidator(_plain_seconds)]
"""How many a second, of a setting: the environment may give it without a unit."""

Duration = Annotated[Seconds, BeforeValidator(_plain_seconds)]
"""Seconds of a setting: the environment may give them without a unit."""
