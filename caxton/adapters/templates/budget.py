"""What one rendering may use, so that no template can hold a worker's time or memory.

The sandbox of Jinja2 keeps templates away from Python's internals but not from `"x" * 10**9`. Here every loop, call
and filter spends steps, every value is measured before it is made, and the clock ends what is slow all the same.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from caxton.domain.messages import CONTENT_LIMIT

STEP_LIMIT = 200_000
"""Loop rounds, calls and operations of one rendering; a loop over a few thousand rows stays far below."""

TIME_LIMIT = 1.0
"""Seconds of CPU of one rendering, so that a busy machine stops no template. Ordinary prompts take microseconds."""

SIZE_LIMIT = CONTENT_LIMIT + (1 << 20)
"""Characters of any text made on the way: the largest request, and a prompt around it."""

SCALAR_SIZE = 24
"""Characters that a number, a boolean or none is counted as."""


class BudgetExceeded(Exception):
    """A template wanted more than a rendering may use. The message says which limit."""


class Budget:
    """Steps and time left for one rendering."""

    __slots__ = ("_deadline", "_steps")

    def __init__(self) -> None:
        self._steps = STEP_LIMIT
        self._deadline: float | None = None
        """When it is up: a look at the clock takes longer than most templates, so only what spends steps is timed."""

    def spend(self, steps: int) -> None:
        """Takes `steps` off.

        Raises:
            BudgetExceeded: none are left, or the time is up.
        """
        self._steps -= steps
        if self._steps < 0:
            raise BudgetExceeded(f"it takes more than {STEP_LIMIT:,} steps")
        now = time.thread_time()
        if self._deadline is None:
            self._deadline = now + TIME_LIMIT
        if now > self._deadline:
            raise BudgetExceeded(f"it takes longer than {TIME_LIMIT:g} s")


_current: ContextVar[Budget | None] = ContextVar("template_budget", default=None)


@contextmanager
def new_budget() -> Generator[Budget]:
    """A fresh budget for what runs inside."""
    token = _current.set(budget := Budget())
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


def check_size(size: int) -> int:
    """`size` if a text of so many characters may be made.

    Raises:
        BudgetExceeded: it is too large.
    """
    if size > SIZE_LIMIT:
        raise BudgetExceeded(f"it makes a text of more than {SIZE_LIMIT:,} characters")
    return size


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
    while pending:
        item = pending.pop()
        visited += 1
        if visited % 1_024 == 0:
            spend(64)  # a look costs less than a step, but lists in lists in lists have no end
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
    return size
