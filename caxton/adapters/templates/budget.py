"""What one rendering may use, so that no template can hold a worker's time or memory.

The sandbox of Jinja2 keeps templates away from Python's internals but not from `"x" * 10**9`. Here every loop, call
and filter spends steps, every value is measured before it is made, and the clock ends what is slow all the same.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from caxton.domain.messages import CONTENT_LIMIT

STEP_LIMIT = 200_000
"""Loop rounds, calls and operations of one rendering; a loop over a few thousand rows stays far below."""

TIME_LIMIT = 0.3
"""Seconds of CPU of one rendering, so that a busy machine stops no template. Ordinary prompts take microseconds.

No single operation takes more than a tenth of a second, so all of a rendering ends little later."""

POLL_INTERVAL = 32
"""Steps after which the clock is looked at: what takes long costs more of them."""

SIZE_LIMIT = CONTENT_LIMIT + (1 << 20)
"""Characters of any text, and of what a rendering prints: the largest request, and a prompt around it."""

GROWTH = 512 << 10
"""Characters that a text or list made on the way may have beyond all that the rendering was given."""

WORKED_SIZE = 4 << 20
"""Characters of what operations work on letter by letter (upper, tojson, replace): some 50 ms at most."""

SLOW_SIZE = 200_000
"""Characters and items of what the slowest operations work on (title, urlencode, unique): likewise."""

MADE_BYTES = 32 << 20
"""Bytes of memory for all that is made on the way; beside that, what was given may be copied a few times."""

COPIES = 4

SCALAR_SIZE = 24
"""Characters that a number, a boolean or none is counted as."""

_SCALARS = frozenset({int, float, bool, type(None)})


class BudgetExceeded(Exception):
    """A template wanted more than a rendering may use. The message says which limit."""


class Budget:
    """Steps, time and memory left for one rendering."""

    __slots__ = ("_deadline", "_given", "_look_at", "_made", "_steps", "_variables")

    def __init__(self, variables: Any = None) -> None:
        self._steps = STEP_LIMIT
        self._look_at = STEP_LIMIT
        self._deadline: float | None = None
        """When it is up: a look at the clock takes longer than most templates, so only what spends steps is timed."""
        self._variables = variables
        self._given: int | None = None
        self._made = 0

    def take(self, variables: Any) -> None:
        """Begins a further rendering, of `variables`, with what is left."""
        if variables is not self._variables:
            self._variables, self._given = variables, None

    def spend(self, steps: int) -> None:
        """Takes `steps` off.

        Raises:
            BudgetExceeded: none are left, or the time is up.
        """
        self._steps -= steps
        if self._steps > self._look_at:
            return
        self._look_at = self._steps - POLL_INTERVAL
        if self._steps < 0:
            raise BudgetExceeded(f"it takes more than {STEP_LIMIT:,} steps")
        now = time.thread_time()
        if self._deadline is None:
            self._deadline = now + TIME_LIMIT
        if now > self._deadline:
            raise BudgetExceeded(f"it takes longer than {TIME_LIMIT:g} s")

    def make(self, count: int) -> None:
        """Counts `count` bytes that were made.

        Raises:
            BudgetExceeded: these are too many in all.
        """
        self._made += count
        if self._made > MADE_BYTES and self._made > MADE_BYTES + COPIES * 4 * self.given:
            raise BudgetExceeded("what it makes on the way takes too much memory")

    @property
    def given(self) -> int:
        """Characters of the rendering's variables; only counted when something large is made."""
        if self._given is None:
            self._given = 0
            self._given = _total(self._variables, 8 * SIZE_LIMIT)
        return self._given


_current: ContextVar[Budget | None] = ContextVar("template_budget", default=None)


@contextmanager
def new_budget(variables: Any = None) -> Generator[Budget]:
    """A budget for what runs inside: a fresh one, unless something around it has one already.

    Args:
        variables: what the rendering is given. What is made on the way may be somewhat larger.
    """
    current = _current.get()
    if current is not None:
        current.take(variables)
        yield current
        return
    token = _current.set(budget := Budget(variables))
    try:
        yield budget
    finally:
        _current.reset(token)


def spend(steps: int = 1) -> None:
    """Takes `steps` off the current rendering's budget."""
    if (budget := _current.get()) is not None:
        budget.spend(steps)


def spend_for(size: int) -> None:
    """Takes off what copying `size` characters costs: a step a kilobyte, at least one."""
    spend(1 + (size >> 10))


def made(value: Any, size: int) -> None:
    """Takes off what making `value` cost, which has `size` characters: steps and memory."""
    spend_for(size)
    if size > 1_024 and (budget := _current.get()) is not None:
        budget.make(size if isinstance(value, str) and value.isascii() else 4 * size)


def check_size(size: int) -> int:
    """`size` if a text of so many characters may be made, or printed.

    Raises:
        BudgetExceeded: it is too large.
    """
    if size > SIZE_LIMIT:
        raise BudgetExceeded(f"it makes a text of more than {SIZE_LIMIT:,} characters")
    return size


def check_growth(size: int) -> int:
    """`size` if a text or list of so many characters may be made on the way: some more than the rendering was given.

    Raises:
        BudgetExceeded: it is too large.
    """
    if size > GROWTH and (budget := _current.get()) is not None and size > budget.given + GROWTH:
        raise BudgetExceeded(f"it makes a text or list that is more than {GROWTH:,} characters longer than its values")
    return check_size(size)


def check_work(size: int, limit: int = WORKED_SIZE) -> int:
    """`size` if an operation may work on so many characters or items.

    Raises:
        BudgetExceeded: there are too many.
    """
    if size > limit:
        raise BudgetExceeded(f"one operation works on more than {limit:,} characters or items")
    return size


def _total(value: Any, most: int) -> int:
    """How large `value` is, like :func:`weigh`, for what may be larger than any text; `most` where it is larger."""
    size = visited = 0
    pending: list[Any] = [value]
    while pending and size < most:
        item = pending.pop()
        visited += 1
        if visited % 1_024 == 0:
            spend(64)
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, Mapping):
            mapping = cast("Mapping[Any, Any]", item)
            pending.extend(mapping.keys())
            pending.extend(mapping.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(cast("list[Any]", item))
        else:
            size += SCALAR_SIZE
    return size


def counted(items: Any) -> Iterator[Any]:
    """The items, for a step each."""
    if hasattr(items, "_undefined_message"):
        str(items)  # raises, and says what is missing
    for item in items:
        spend()
        yield item


def weigh(value: Any) -> int:
    """How many characters `value` has at least when it is printed, counted without printing it.

    A small list can print as gigabytes when its items are one and the same large text.

    Raises:
        BudgetExceeded: it is too large.
    """
    if isinstance(value, str):
        return check_size(len(value))
    if not isinstance(value, (Mapping, list, tuple)):
        return SCALAR_SIZE
    size = visited = 0
    pending: list[Any] = [value]
    kind: Any
    while pending:
        item = pending.pop()
        visited += 1
        if visited % 1_024 == 0:
            spend(64)  # a look costs less than a step, but lists in lists in lists have no end
        kind = item.__class__
        if kind is str:
            size += len(item)
            continue
        if kind in _SCALARS:
            size += SCALAR_SIZE
            continue
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, Mapping):
            mapping = cast("Mapping[Any, Any]", item)
            pending.extend(mapping.keys())
            pending.extend(mapping.values())
            size += len(mapping)
        elif isinstance(item, (list, tuple)):
            items = cast("list[Any]", item)
            pending.extend(items)
            size += len(items)
        else:
            if hasattr(cast("object", item), "_undefined_message"):
                str(item)  # raises: what is missing would show as the word "Undefined" inside a list
            size += SCALAR_SIZE
        check_size(size + len(pending))
    return check_size(size)
