"""Requests of many customers begin in turn: each pass of the event loop takes a few, and what others do goes on in between."""

import asyncio

from caxton.domain.fair_queue import QueueOfCustomers

AT_ONCE = 8
"""Requests that begin in one pass of the event loop: a few milliseconds of work."""


class Turnstile:
    """Lets requests begin. A burst of one customer's keeps others' neither from beginning nor from going on."""

    def __init__(self) -> None:
        """Begin open."""
        self._waiting = QueueOfCustomers[asyncio.Future[None]]()
        self._passed = 0
        """Requests that have begun in this pass."""
        self._counting = False

    async def enter(self, customer: str) -> None:
        """Waits until it is the turn of a request of `customer`: hardly ever, unless many come at once."""
        loop = asyncio.get_running_loop()
        if self._passed < AT_ONCE and not self._waiting:
            self._count(loop)
            return
        turn = loop.create_future()
        self._waiting.put(customer, "", turn)
        self._go_on(loop)
        await turn

    def _count(self, loop: asyncio.AbstractEventLoop) -> None:
        self._passed += 1
        self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next_pass, loop)

    def _next_pass(self, loop: asyncio.AbstractEventLoop) -> None:
        self._passed, self._counting = 0, False
        while self._passed < AT_ONCE and (turn := self._waiting.take()) is not None:
            if not turn.done():  # who asked has not gone meanwhile
                turn.set_result(None)
                self._count(loop)
