"""Filters that templates have: those of Jinja2 that cannot hurt, and guarded forms of some that could."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from jinja2 import Environment, Undefined, pass_environment
from jinja2.filters import (
    FILTERS,  # pyright: ignore[reportUnknownVariableType]
    do_indent,
    do_round,
    do_sum,
    make_attrgetter,
)

from caxton.adapters.templates.budget import (
    SLOW_SIZE,
    BudgetExceeded,
    check_growth,
    check_work,
    counted,
    made,
    spend,
    spend_for,
    weigh,
)

Filter = Callable[..., Any]

TEXT_FILTERS = frozenset(
    {
        "abs",
        "capitalize",
        "count",
        "d",
        "default",
        "filesizeformat",
        "float",
        "format",
        "indent",
        "int",
        "length",
        "lower",
    }
    | {"replace", "round", "string", "title", "tojson", "trim", "truncate", "upper", "urlencode", "wordcount"}
)
"""Filters that take a text as a whole. The others may take it letter by letter, which costs a step each."""

PLAIN_FILTERS = frozenset(
    {"abs", "capitalize", "count", "d", "default", "dictsort", "filesizeformat", "first", "float", "groupby", "int"}
    | {"items", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select"}
    | {"selectattr", "sort", "title", "truncate", "unique", "upper", "urlencode"}
)
"""Filters of Jinja2 that are taken as they are: their result is never much larger than what they are given."""

_COPYING = frozenset({"count", "d", "default", "first", "last", "length", "string", "trim", "truncate"})
"""Filters that take a text of any length: they look at a part of it, or copy it."""

_SLOW = frozenset({"dictsort", "groupby", "max", "min", "sort", "title", "unique", "urlencode"})
"""Filters that take a microsecond for a character or an item."""

_LARGEST_NAME = 200
"""Characters of the name of an attribute that filters look up in each item: each point in it is a step of its own."""

_TAKE_TEXTS = frozenset({"d", "default", "format", "in", "join", "replace"} | {"==", "eq", "equalto", "!=", "ne"})
"""Filters and tests to which also long texts are given."""

_WORD = re.compile(r"\w+")
_CONVERSION = re.compile(r"%(?:\((?P<key>[^)]*)\))?[-+ #0]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?[a-zA-Z%]")
_WIDEST = 100
"""Characters that `format` and `indent` may pad to."""


def to_text(value: Any) -> str:
    """`value` as text, measured first."""
    if isinstance(value, str):
        return str(value)
    check_work(weigh(value))
    return str(value)


def trim(text: Any, chars: str | None = None) -> str:
    """`text` without white space, or `chars`, at both ends."""
    if chars is not None:
        check_work(len(chars), _WIDEST)  # each is compared with each letter
    return to_text(text).strip(chars)


def count_words(text: Any) -> int:
    """How many words `text` has."""
    words = 0
    for words, _ in enumerate(_WORD.finditer(to_text(text)), start=1):
        if words % 1_024 == 0:
            spend(64)
    return words


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON as models and tools read it: without the HTML escapes of Jinja2's own filter.

    Keys keep their order, so that the same data always gives the same text.
    """
    if indent is not None and not 0 <= indent <= 8:
        raise BudgetExceeded("tojson indents by 0 to 8 characters")
    size = weigh(value)
    check_work(size if isinstance(value, str) else size >> 2)  # numbers are counted for longer than they are
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)  # raises, and says what is missing
    if isinstance(value, Iterable):
        return list(cast("Iterable[Any]", value))
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def replace(text: Any, old: Any, new: Any, count: int | None = None) -> str:
    """`text` with `old` replaced by `new`, everywhere or `count` times."""
    whole, old, new = to_text(text), to_text(old), to_text(new)
    check_work(len(whole))
    times = whole.count(old) if count is None else min(count, whole.count(old))
    check_growth(len(whole) + max(times, 0) * max(len(new) - len(old), 0))
    return whole.replace(old, new, -1 if count is None else count)


@pass_environment
def join(environment: Environment, items: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
    """All items as one text with `d` between them."""
    if attribute is not None:
        check_work(len(str(attribute)), _LARGEST_NAME)
        items = map(make_attrgetter(environment, attribute), items)
    texts: list[str] = []
    separator = to_text(d)
    size = 0
    for item in items:
        spend()
        text = to_text(item)
        size = check_growth(size + len(text) + len(separator))
        texts.append(text)
    return separator.join(texts)


def format_text(text: Any, *args: Any, **kwargs: Any) -> str:
    """printf formatting: `"%.2f" | format(x)`."""
    if args and kwargs:
        raise TypeError("format takes positional or named values, not both")
    pattern = to_text(text)
    largest = max((weigh(value) for value in (*args, *kwargs.values())), default=0)
    conversions = 0
    for conversion in _CONVERSION.finditer(pattern):
        conversions += 1
        for number in conversion.group("width", "precision"):
            if number == "*" or (number and (len(number) > 3 or int(number) > _WIDEST)):
                raise BudgetExceeded(f"format pads to {_WIDEST} characters at most")
        if conversions % 1_024 == 0:
            spend(64)
    check_growth(check_work(len(pattern)) + conversions * (largest + _WIDEST))
    return pattern % (kwargs or args)


def indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """`text` with each line but the first indented."""
    whole = to_text(text)
    step = width if isinstance(width, int) else len(width)
    if step > _WIDEST:
        raise BudgetExceeded(f"indent takes {_WIDEST} characters at most")
    lines = whole.count("\n") + 1
    check_work(max(lines, len(whole) >> 4), SLOW_SIZE)
    check_growth(len(whole) + lines * max(step, 0))
    return do_indent(whole, width, first, blank)


def round_number(value: float, precision: int = 0, method: Any = "common") -> float:
    """`value` rounded to `precision` digits."""
    if abs(precision) > 15:
        raise BudgetExceeded("round takes a precision of 15 digits at most")
    return do_round(value, precision, method)


@pass_environment
def total(environment: Environment, items: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    """The sum of numbers."""
    if not isinstance(start, (int, float)):
        raise TypeError("sum adds numbers")
    return do_sum(environment, items, attribute, start)


GUARDED_FILTERS: dict[str, Filter] = {
    "format": format_text,
    "indent": indent,
    "join": join,
    "replace": replace,
    "round": round_number,
    "string": to_text,
    "sum": total,
    "tojson": to_json,
    "trim": trim,
    "wordcount": count_words,
}


def charge(name: str, inner: Filter) -> Filter:
    """`inner`, a filter or test, for steps, and on no more than it can work on in some milliseconds."""
    position = 1 if hasattr(inner, "jinja_pass_arg") else 0
    by_text = name in TEXT_FILTERS
    limit = SLOW_SIZE if name in _SLOW else None

    @functools.wraps(inner)  # also takes over the mark that says what Jinja2 passes first
    def charged(*args: Any, **kwargs: Any) -> Any:
        value = args[position] if len(args) > position else None
        if isinstance(value, str):
            spend_for(len(value)) if by_text else spend(1 + len(value))
            if limit is not None:
                check_work(len(value), limit)
            elif name not in _COPYING:
                check_work(len(value))
        elif isinstance(value, (list, tuple, dict, range)):
            count = len(cast("list[Any]", value))
            spend(1 + count)
            if limit is not None:
                check_work(4 * count, limit)
                spend_for(weigh(value))  # comparing items takes as long as they are large
        else:
            spend()
        if len(args) > position + 1 or kwargs:
            _check_arguments(name, (*args[position + 1 :], *kwargs.values()))
        result = inner(*args, **kwargs)
        if isinstance(result, str):
            made(result, len(result))
        elif isinstance(result, Iterator):
            return counted(cast("Iterator[Any]", result))
        return result

    return charged


def _check_arguments(name: str, arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        if isinstance(argument, str):
            if name not in _TAKE_TEXTS:
                check_work(len(argument), _LARGEST_NAME)
        else:
            compared(argument)


def compared(value: Any) -> Any:
    """`value`, which is to be compared, for what that takes: lists in lists are compared item by item."""
    if isinstance(value, str):
        if len(value) > 1_024:
            spend_for(len(value))
    elif isinstance(value, range):
        spend(1 + (len(value) >> 6))
    elif isinstance(value, (list, tuple, dict)):
        spend_for(weigh(cast("list[Any]", value)))
    return cast("Any", value)


def template_filters() -> dict[str, Filter]:
    """All filters by name, each of which spends steps."""
    known = cast("dict[str, Filter]", FILTERS)
    chosen = {name: known[name] for name in PLAIN_FILTERS} | GUARDED_FILTERS
    return {name: charge(name, inner) for name, inner in sorted(chosen.items())}
