"""Requests that are answered in one transaction, which need no workflow.

A workflow sees a turn through that stops half-way. A turn that begins and ends in one transaction never does: it is in the store
from beginning to end, or not at all. So it goes to whoever can do it (:class:`Opener`) before anything else, and only what does
not end goes on to its inbox (:mod:`caxton.service.inbox`), as if nothing had been.

While a batch is under way, what arrives waits and travels in the next one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

from caxton.domain.executions import TurnOutcome, TurnRequest
from caxton.domain.fair_queue import FairQueue
from caxton.service.batches import Waiting, take_batch
from caxton.service.slow_kinds import SlowKinds, kind_of

log = logging.getLogger(__name__)

LATE_AFTER = 0.03
"""Seconds after which the next batch does not wait for the one before: one is prepared while the other is committed."""

TRY_EVERY = 50
"""Of requests of kinds that never end at once, one in so many is tried all the same."""


class Opener(Protocol):
    """Does first steps of turns, beside the worker of this server."""

    async def end_turns(self, requests: Sequence[TurnRequest]) -> Sequence[TurnOutcome | None]:
        """Does those of `requests` that end in one transaction: how they ended, and None for the others, which are left alone.

        Raises:
            CaxtonError: nothing could be done, or what was done could not be told.
        """
        ...

    def expect(self, requests: Sequence[TurnRequest]) -> None:
        """Is told of requests that are on their way to their inbox, and may get ready for them."""
        ...


class AtOnce:
    """Has an opener do one customer's requests."""

    def __init__(self, opener: Opener, slow: SlowKinds, go_on: Callable[[Waiting], None]) -> None:
        """Hand what does not end to `go_on`, and note in `slow` what does: it does not take long."""
        self._opener = opener
        self._slow = slow
        self._never_end = SlowKinds()
        """Kinds that lately never ended at once."""
        self._go_on = go_on
        self._queue = FairQueue[Waiting]()
        self._asked = count(1)
        self._under_way: set[asyncio.Task[None]] = set()
        self._sender: asyncio.Task[None] | None = None

    def put(self, waiting: Waiting) -> None:
        """Takes a request that stands alone."""
        if self._never_end.has(waiting.request) and next(self._asked) % TRY_EVERY:
            self._go_on(waiting)
            return
        self._queue.put(kind_of(waiting.request), waiting)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._queue:
            batch = take_batch([self._queue])
            if not batch:  # nobody waits for it any more
                return
            answering = asyncio.create_task(self._answer(batch))
            self._under_way.add(answering)
            answering.add_done_callback(self._under_way.discard)
            await asyncio.wait({answering}, timeout=LATE_AFTER)

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        requests = {waiting.request.execution_id: waiting.request for waiting in batch}
        try:
            outcomes = await self._opener.end_turns(list(requests.values()))
            ended = dict(zip(requests, outcomes, strict=True))
        except Exception as error:  # nothing was done, or it is found recorded
            log.warning("requests could not be answered at once: %s", type(error).__name__)
            for waiting in batch:
                self._go_on(waiting)
            return
        for waiting in batch:
            outcome = ended[waiting.request.execution_id]
            self._never_end.note(waiting.request, takes_long=outcome is None)
            if outcome is None:
                self._go_on(waiting)
                continue
            self._slow.note(waiting.request, takes_long=False)
            if not waiting.done.done():  # whoever listens has heard of it with the reply
                waiting.done.set_result(outcome)
