"""Cron expressions: what five fields may say, and why they do not say it.

The workflow engine finds the times; this only tells, before anything is deployed, that it will understand them.
"""

from collections.abc import Mapping

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SHORTCUTS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")

LONGEST = 200
"""Characters of an expression."""

_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 7, DAYS),
)
_LONGEST_MONTH: Mapping[int, int] = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_EXAMPLE = 'such as "0 7 * * mon-fri": minute, hour, day of the month, month, day of the week'


class CronError(ValueError):
    """An expression that says nothing, with how to fix it."""

    def __init__(self, message: str, hint: str) -> None:
        """Say what is wrong, and what to write."""
        super().__init__(message)
        self.hint = hint


def check_cron(text: str) -> None:
    """Checks that `text` is a cron expression that comes due at some time.

    Raises:
        CronError: it is not.
    """
    if text.startswith("@"):
        if text not in SHORTCUTS:
            raise CronError(f'there is no "{text}"', f"write {', '.join(SHORTCUTS[:-1])}, or five fields")
        return
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise CronError(f"a cron expression has five fields, and this has {len(fields)}", f"write five, {_EXAMPLE}")
    _, _, days, months, weekdays = [_values(field, *about) for field, about in zip(fields, _FIELDS, strict=True)]
    if "*" not in (fields[2][0], fields[4][0]):
        raise CronError(
            "it names days of the month and days of the week, which some read as either and some as both",
            "leave one of them *, and write two schedules if you mean either",
        )
    if weekdays and not any(day <= _LONGEST_MONTH.get(month, 31) for month in months for day in days):
        raise CronError("this day never comes", "name a day that the month has")


def _values(field: str, name: str, low: int, high: int, words: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and 0 < int(step[:4]) <= high):
            raise _wrong(part, name, f"what follows / is a number from 1 to {high}")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, part, name, low, high, words)
            end = _number(last, part, name, low, high, words) if dash else (high if slash else start)
        if end < start:
            raise _wrong(part, name, f"write it in two parts: {start}-{high},{low}-{end}")
        found.update(range(start, end + 1, int(step) if slash else 1))
    return found


def _number(text: str, part: str, name: str, low: int, high: int, words: tuple[str, ...]) -> int:
    if text.lower() in words:
        return words.index(text.lower()) + (low if words is MONTHS else 0)
    if not (text.isascii() and text.isdigit()) or not low <= int(text[:4]) <= high:
        named = f", or {words[0]} to {words[-1]}" if words else ""
        raise _wrong(part, name, f"{_a(name)} is a number from {low} to {high}{named}")
    return int(text)


def _wrong(part: str, name: str, hint: str) -> CronError:
    return CronError(f'"{part}" is not {_a(name)}', hint)


def _a(name: str) -> str:
    return f"an {name}" if name == "hour" else f"a {name}"
