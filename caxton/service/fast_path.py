"""The way in: requests are accepted in batches, one transaction each, and most are answered by it.

While a batch is under way, what arrives waits and travels in the next one; customers take turns, and so do kinds of each one's
requests. While there are several customers, batches are small, and none of them has more than two: so what a request waits for is
short, whatever others send.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from caxton.domain.errors import CaxtonError, Hint, Overloaded, StoreUnavailable
from caxton.domain.executions import Accepted, TurnRequest
from caxton.domain.fair_queue import QueueOfCustomers
from caxton.domain.ids import ConversationId, Scope
from caxton.domain.json_text import compact_encoder

log = logging.getLogger(__name__)

Accept = Callable[[Sequence[TurnRequest]], Awaitable[Sequence[Accepted]]]
"""Accepts requests of which no two are of one conversation.

Raises StoreUnavailable or DiskFull where nothing was accepted, or where what was is found when it comes again.
"""

BATCH_REQUESTS = 100
"""Requests in one batch at most: their work is done in a few milliseconds, and the next batch waits for it."""

SHARED_BATCH = 8
"""Likewise while there are several customers: of the few milliseconds, others wait for some at each step of the way."""

SHARED_FOR = 10.0
"""Seconds after its last request for which a customer counts as there."""

BATCH_BYTES = 1 << 20
"""Bytes of requests in one batch at most, or those of one request more: what is written at a time stays small."""

NEXT_AFTER = 0.03
"""Seconds after which the next batch does not wait for the one before: one is prepared while the other is committed."""

BATCHES = 4
"""Batches in progress at most."""

OF_ONE = 2
"""Batches under way with requests of one customer at most, while there are others."""

ASIDE = 8
"""Batches beside those, of one request each: of customers that have nothing else here, and do not wait for others' many."""

TOGETHER = 8
"""Answers after which others have their turn in the event loop."""

PATIENCE = 20.0
"""Seconds for which a request is tried while the store is away."""

_to_json = compact_encoder()


@dataclass(slots=True, eq=False)
class _Waiting:
    request: TurnRequest
    done: asyncio.Future[Accepted]

    @property
    def size(self) -> int:
        variables = self.request.variables
        return self.request.content.size + (len(_to_json(variables)) if variables else 0)


class FastPath:
    """Accepts requests for all callers of this process."""

    def __init__(self, accept: Accept, *, most_waiting: int) -> None:
        """Have `accept` accept them; refuse what comes while `most_waiting` requests wait here for it."""
        self._accept = accept
        self._most = most_waiting
        self._queue = QueueOfCustomers[_Waiting]()
        self._here = 0
        """Requests that are here."""
        self._of_customer: dict[str, int] = {}
        self.queued: Mapping[str, int] = {}
        """Calls of accepted requests that wait until it is their turn, by customer: they count as well."""
        self._conversations: set[tuple[Scope, ConversationId]] = set()
        """Conversations of which a message is in progress: the next one waits for it, and so does another request with its key,
        of which the store then tells whether it is the same."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._aside: set[asyncio.Task[None]] = set()
        self._busy = Counter[str]()
        """How many batches under way have requests of each customer."""
        self._came: dict[str, float] = {}
        """When each customer's last request came, the latest last."""
        self._sender: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait to be accepted."""
        return self._here

    def check(self, customer: str) -> None:
        """Refuses a request when too many wait. A customer that has less than its share of the places gets one all the same.

        Raises:
            Overloaded: so it is.
        """
        here = self._here + sum(self.queued.values())
        if here < self._most:
            return
        share = self._most / len({*self._of_customer, *self.queued, customer})
        own = self._of_customer.get(customer, 0) + self.queued.get(customer, 0)
        if own < share and here < 2 * self._most:
            return
        raise overloaded(self._most)

    async def submit(self, request: TurnRequest) -> Accepted:
        """Has `request` accepted. It is durable when this returns.

        Raises:
            IdempotencyConflict: another request with the same key was accepted.
            StoreUnavailable: the store stayed away; to send it again with the same idempotency key is safe.
            DiskFull: there is no room to write.
            CaxtonError: it is refused; nothing is recorded.
        """
        customer = request.scope.customer
        self._here += 1
        self._of_customer[customer] = self._of_customer.get(customer, 0) + 1
        self._came.pop(customer, None)
        self._came[customer] = asyncio.get_running_loop().time()
        try:
            accepted = await self._accepted(request)
        finally:
            self._here -= 1
            self._of_customer[customer] -= 1
            if not self._of_customer[customer]:
                del self._of_customer[customer]
        if accepted.error is not None:
            raise CaxtonError.from_report(accepted.error)
        return accepted

    async def _accepted(self, request: TurnRequest) -> Accepted:
        clock = asyncio.get_running_loop().time
        until, wait = clock() + PATIENCE, 0.05
        while True:
            waiting = _Waiting(request, asyncio.get_running_loop().create_future())
            if self._goes_aside(request):
                self._conversations.add(_conversation_of(request))
                self._start([waiting], self._aside)
            else:
                self._queue.put(request.scope.customer, _kind(request), waiting)
                if self._sender is None or self._sender.done():
                    self._sender = asyncio.create_task(self._send_all())
            try:
                return await waiting.done
            except StoreUnavailable:
                if clock() + wait > until:
                    raise
            await asyncio.sleep(wait)
            wait = min(2 * wait, 1.0)

    def _goes_aside(self, request: TurnRequest) -> bool:
        """Whether a request goes by itself, past those of others: one that has nothing of its customer to keep order with."""
        return (
            bool(self._under_way)
            and len(self._aside) < ASIDE
            and self._of_customer[request.scope.customer] == 1
            and _conversation_of(request) not in self._conversations  # whose sender has gone
        )

    def _start(self, batch: list[_Waiting], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._send(batch))
        among.add(task)
        task.add_done_callback(among.discard)
        return task

    async def _send_all(self) -> None:
        while self._queue:
            batch = self._take()
            if batch:
                await asyncio.wait({self._start(batch, self._under_way)}, timeout=NEXT_AFTER)
            if not batch and (before := self._under_way | self._aside):
                await asyncio.wait(before, return_when=asyncio.FIRST_COMPLETED)
            elif len(self._under_way) >= BATCHES:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def _take(self) -> list[_Waiting]:
        """What goes together. A further message of a conversation stays behind until the one before it is accepted."""
        batch: list[_Waiting] = []
        behind: list[_Waiting] = []
        size, shared = 0, self._is_shared()
        most = SHARED_BATCH if shared else BATCH_REQUESTS
        full = {customer for customer, batches in self._busy.items() if batches >= OF_ONE} if shared else set[str]()
        while len(batch) < most and size < BATCH_BYTES:
            waiting = self._queue.take(full)
            if waiting is None:
                break
            request = waiting.request
            if waiting.done.cancelled():
                continue
            conversation = _conversation_of(request)
            if conversation in self._conversations:
                behind.append(waiting)
                continue
            self._conversations.add(conversation)
            size += waiting.size
            batch.append(waiting)
        for waiting in reversed(behind):
            self._queue.put_back(waiting.request.scope.customer, _kind(waiting.request), waiting)
        return batch

    def _is_shared(self) -> bool:
        """Whether several customers are there."""
        since = asyncio.get_running_loop().time() - SHARED_FOR
        while self._came and (first := next(iter(self._came))) not in self._of_customer and self._came[first] < since:
            del self._came[first]
        return len(self._came) > 1

    async def _send(self, batch: list[_Waiting]) -> None:
        requests = [waiting.request for waiting in batch]
        customers = Counter({request.scope.customer for request in requests})
        self._busy += customers
        try:
            found = await self._accept(requests)
        except BaseException as error:
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(_told(error))
            if not isinstance(error, Exception):
                raise
        else:
            for number, (waiting, accepted) in enumerate(zip(batch, found, strict=True), 1):
                if not waiting.done.done():
                    waiting.done.set_result(accepted)
                if number % TOGETHER == 0:
                    await asyncio.sleep(0)
        finally:
            self._conversations.difference_update(_conversation_of(request) for request in requests)
            self._busy -= customers  # which keeps none that has nothing left


def _conversation_of(request: TurnRequest) -> tuple[Scope, ConversationId]:
    """Its conversation: a one-shot request has one of its own, which it shares with the same request sent twice."""
    return request.scope, request.conversation_id


def overloaded(most: int) -> Overloaded:
    """The refusal while too many requests wait."""
    return Overloaded(
        f"{most} requests wait, as many as may",
        "try again later; `waiting` in [limits] of the server's settings says how many may wait",
        Hint(text="see what they wait for", command="caxton status"),
        retry_after=1.0,
    )


def _kind(request: TurnRequest) -> tuple[str, ...]:
    """Messages of one conversation keep their order; requests that have nothing to do with one another take turns."""
    target = request.target
    conversation = "" if request.one_shot else request.conversation_id
    return request.scope.workspace, target.agent or "", target.capability or "", conversation


def _told(error: BaseException) -> CaxtonError:
    if isinstance(error, CaxtonError):
        return error
    if not isinstance(error, asyncio.CancelledError):
        log.error("requests could not be accepted", extra={"error": type(error).__name__})
    return StoreUnavailable("the request could not be accepted", reason=type(error).__name__, retry_after=1.0)
