"""Shares of CPU for what customers define: templates and patterns that take long.

What takes some milliseconds is free. What takes longer is counted, and of that each customer has a fifth of a processor: when it
has used more, those of its agents that took long wait in a line, and are refused when the line is long. Its other agents
go on. Each process counts for itself.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from caxton.domain.errors import ExecutionFailed

FREE: Final = 0.02
"""Seconds of CPU that a piece of work takes without being counted."""

SHARE: Final = 0.2
"""Seconds of counted work a second, for each customer."""

BURST: Final = 0.4
"""Seconds of counted work that a customer may have done at once."""

PATIENCE: Final = 2.0
"""Seconds for which work waits for its customer's share."""

MOST_WAITING: Final = 8
"""Pieces of work of one customer that wait at a time: each holds a place of the worker's."""

STOPPED: Final = "stopped"
"""In the details of an error: the work was stopped because it takes too long, and to do it again would take as long."""


@dataclass(slots=True)
class _Account:
    used: float = 0.0
    """Seconds of counted work, of which SHARE a second is forgotten."""
    at: float = 0.0
    waiting: int = 0
    costly: set[str] = field(default_factory=set[str])
    """Agents whose work was counted."""
    line: asyncio.Lock = field(default_factory=asyncio.Lock)


class CostlyWork:
    """Counts the work of each customer."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu_clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Count by `clock`, and the CPU of a thread by `cpu_clock`."""
        self._clock = clock
        self.cpu_clock = cpu_clock
        self._accounts: dict[str, _Account] = {}

    def wait(self, customer: str, agent: str) -> float:
        """Seconds that work of an agent has to wait, until its customer has something left of its share."""
        account = self._accounts.get(customer)
        if account is None:
            return 0.0  # for nearly all
        now = self._clock()
        account.used = max(0.0, account.used - SHARE * (now - account.at))
        account.at = now
        if not account.used and not account.waiting:
            del self._accounts[customer]
        return max(0.0, account.used - BURST) / SHARE if agent in account.costly else 0.0

    def charge(self, customer: str, agent: str, seconds: float) -> None:
        """Counts work of so many seconds of CPU."""
        if seconds > FREE:
            account = self._accounts.setdefault(customer, _Account(at=self._clock()))
            account.used += seconds
            account.costly.add(agent)

    def lane(self, customer: str, agent: str) -> "_Lane":
        """Does work for an agent when its customer has something left of its share. The work must not wait for anything.

        Args:
            customer: whose share it is.
            agent: the digest of the agent's version.

        Raises:
            ExecutionFailed: too much of it waits, or this would wait for too long.
        """
        return _Lane(self, customer, agent)

    async def stand_in_line(self, customer: str, agent: str) -> _Account:
        """Waits for the customer's share: its account, whose line is held."""
        account = self._accounts[customer]
        if account.waiting >= MOST_WAITING:
            raise _too_much()
        account.waiting += 1
        held = False
        try:
            async with asyncio.timeout(PATIENCE):
                held = await account.line.acquire()
                while left := self.wait(customer, agent):
                    await asyncio.sleep(left)
        except BaseException as error:
            account.waiting -= 1
            if held:
                account.line.release()
            if isinstance(error, TimeoutError):
                raise _too_much() from None
            raise
        return account


class _Lane:
    """Around one piece of work. Written out, for every message passes through three of them."""

    __slots__ = ("_agent", "_begun", "_customer", "_in_line", "_work")

    def __init__(self, work: CostlyWork, customer: str, agent: str) -> None:
        self._work = work
        self._customer = customer
        self._agent = agent
        self._in_line: _Account | None = None
        self._begun = 0.0

    async def __aenter__(self) -> None:
        if self._work.wait(self._customer, self._agent):
            self._in_line = await self._work.stand_in_line(self._customer, self._agent)
        self._begun = self._work.cpu_clock()

    async def __aexit__(self, *_: object) -> None:
        self._work.charge(self._customer, self._agent, self._work.cpu_clock() - self._begun)
        if self._in_line is not None:
            self._in_line.waiting -= 1
            self._in_line.line.release()


COSTLY_WORK: Final = CostlyWork()
"""That of this process."""


def _too_much() -> ExecutionFailed:
    return ExecutionFailed(
        "templates and patterns of your agents take too much of the server's time at the moment",
        "send less at a time, or make them do less: of what takes longer than "
        f"{FREE * 1000:g} ms a customer gets {SHARE * 1000:g} ms of CPU a second",
        details={STOPPED: True},
    )
