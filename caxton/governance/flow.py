"""Flow control of one worker: what comes is gathered, and let in with one transaction at a time."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from caxton.domain.errors import CaxtonError, Hint, Overloaded
from caxton.domain.flow import CallQueued, FlowCall, PlaceLost
from caxton.domain.ids import ExecutionId, new_id
from caxton.domain.ports import DeltaStream, StreamEvent
from caxton.domain.records import PlaceKey, Records, Transaction
from caxton.governance.places import LEASE, Allocation, Allotted

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a call waits in its worker; then it waits in the store."""

RENEW_EVERY = 2.0
"""Seconds after which a worker says again that it has its places."""

FENCE = LEASE.total_seconds() - 2.0
"""Seconds after which a worker that could not say so gives its calls up: others may take their places soon."""

POLL_INTERVAL = 1.0
"""Seconds between looks for places that others have left, and for news that got lost."""

CLOSE_TIMEOUT = 2.0
"""Seconds for the last word to the store."""

TELL_AFTER = 0.01
"""Seconds after which more calls come near when some have begun."""

TELLING = 20
"""Workflows that are told at the same time."""

AGAIN, LONGEST_AGAIN = 0.1, 2.0
"""Seconds until the store is asked again that did not answer."""

Tell = Callable[[FlowCall], Awaitable[bool]]
"""Tells the workflow of a call that it is its turn. False if that workflow has ended."""

Watch = Callable[[str, Callable[[], None]], Callable[[], None] | None]
"""Calls a function when a worker's process has ended. Gives what ends the watching; None where nothing is known of it."""

Ask = Callable[[Allocation], None]


@dataclass(eq=False)
class _Held:
    """A call of this worker."""

    call: FlowCall
    may_queue: bool
    news: asyncio.Future[float | None]
    """The seconds that it waited, when it may begin; None when it waits in the store."""
    fence: asyncio.Timeout | None = None
    """Around the call, while it is made."""
    missed: int = 0
    """Looks in a row that have not found its place."""


class Flow:
    """The FlowControl port over the store."""

    def __init__(
        self,
        records: Records,
        stream: DeltaStream,
        worker: str | None = None,
        watch: Watch = lambda _worker, _ended: None,
    ) -> None:
        """Keep places in `records`, and hear from other workers over `stream`.

        Args:
            records: where the places are.
            stream: carries news between workers.
            worker: this one's name; a random one unless it is given.
            watch: tells when another worker has died, by its name.
        """
        self.records = records
        self.stream = stream
        self.worker = worker or new_id("w")
        self._watch = watch
        self._watched: dict[str, Callable[[], None] | None] = {}
        """Other workers that had places the last time that somebody looked, and what ends their being watched."""
        self._tell: Tell | None = None
        self._asked: list[Ask] = []
        self._asking: asyncio.Task[None] | None = None
        self._held: dict[PlaceKey, _Held] = {}
        self._slots = asyncio.Semaphore(TELLING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._waits = False
        """Whether calls may wait in the store."""
        self._renewed = 0.0
        self._closed = False

    @asynccontextmanager
    async def place(self, call: FlowCall, *, may_queue: bool = True) -> AsyncGenerator[float]:
        """Around a call: begins when all of its gates have room. Gives the seconds that it waited.

        Raises:
            CallQueued: it waits in the store.
            PlaceLost: its place was lost while it was made.
            Overloaded: it may not queue, and would wait for too long.
        """
        if not call.gates:
            yield 0.0
            return
        loop = asyncio.get_running_loop()
        held, began = _Held(call, may_queue, loop.create_future()), loop.time()
        self._held[call.key] = held
        self._ask(lambda places: places.enter(call, may_queue=may_queue))
        queued = False
        try:
            waited = await self._wait(held)
            if waited is None:
                queued = True
                raise CallQueued(loop.time() - began)
            held.fence = fence = asyncio.timeout(None)
            try:
                async with fence:
                    yield waited
            except TimeoutError:
                if fence.expired():
                    raise PlaceLost from None
                raise
        finally:
            if self._held.get(call.key) is held:
                del self._held[call.key]
            if not queued:
                self._ask(lambda places: places.leave(call))

    async def _wait(self, held: _Held) -> float | None:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(held.news), PATIENCE)
        if not held.may_queue:
            raise Overloaded(
                f"no place for the call was free within {PATIENCE:g} s",
                "try again, or raise the limit",
                Hint(text="see what waits for which", command="caxton status"),
                details={"limits": [gate.name.partition(":")[0] for gate in held.call.gates]},
                retry_after=PATIENCE,
            )
        self._ask(lambda places: places.give_up(held.call.key))
        return await held.news  # it may have begun just now

    # --- the store ----------------------------------------------------------------------------------------------------

    def _ask(self, what: Ask) -> None:
        self._asked.append(what)
        if not self._closed:
            self._go_on()

    def _go_on(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())

    async def _ask_all(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            self._take(await self._patiently(partial(_allot, asked, self.worker)))

    async def _patiently(self, work: Callable[[Transaction], Allotted]) -> Allotted:
        wait = AGAIN
        while True:
            try:
                return await self.records.write(work)
            except CaxtonError as error:
                log.warning("calls wait for the store: %s", error.message)
            except Exception as error:
                if self._closed:
                    raise
                log.exception("calls wait, for letting them in failed", extra={"error": type(error).__name__})
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_AGAIN)

    def _take(self, found: Allotted) -> None:
        """Does what a transaction has decided."""
        for key in found.queued:
            self._let(key, None)
        for key in found.lost:
            if (held := self._held.get(key)) is not None and not held.news.done():
                held.news.set_exception(PlaceLost())
        for key, waited in found.running.items():
            self._let(key, waited)  # who is gone has said that it leaves
        self._waits = bool(found.queued) or (self._waits if found.waits is None else found.waits)
        if self._waits and (found.others or found.running):
            self._tell_soon()
        for call in found.told:
            task = asyncio.create_task(self._tell_workflow(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        for worker in found.others:
            self.stream.publish(_news_of(worker), "end", {})
        if found.next_at is not None:
            loop = asyncio.get_running_loop()
            if self._timer is not None:
                self._timer.cancel()
            wait = max(0.001, (found.next_at - datetime.now(UTC)).total_seconds())
            self._timer = loop.call_later(wait, self._ask, _nothing)

    def _tell_soon(self) -> None:
        """Has others come near: after those that are have begun, and for many calls together."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_AFTER, self._tell_now)

    def _tell_now(self) -> None:
        self._telling = None
        self._ask(Allocation.tell)

    def _let(self, key: PlaceKey, waited: float | None) -> bool:
        held = self._held.get(key)
        if held is None:
            return False
        if not held.news.done():
            held.news.set_result(waited)
        return True

    async def _tell_workflow(self, call: FlowCall) -> None:
        if self._tell is None:
            return  # it is told again when this worker runs
        async with self._slots:
            try:
                if not await self._tell(call):
                    self._ask(lambda places: places.forget(call.key))
            except CaxtonError as error:
                log.warning("a workflow could not be told of its turn, and is told again: %s", error.message)
            except Exception as error:
                log.error("a workflow could not be told of its turn", extra={"error": type(error).__name__})

    async def aclose(self) -> None:
        """Says that what was in progress has left, and asks the store for nothing more."""
        self._closed = True
        for timer in (self._timer, self._telling):
            if timer is not None:
                timer.cancel()
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=CLOSE_TIMEOUT)
            self._asking.cancel()

    # --- time ---------------------------------------------------------------------------------------------------------

    async def run(self, tell: Tell, *, restarted: bool) -> None:
        """Keeps this worker's places, and takes those that others have left, forever.

        Args:
            tell: tells workflows when it is their turn.
            restarted: whether no other worker than this one can have anything in progress.
        """
        self._tell = tell
        if restarted:
            await self._patiently(_reset)
        unsubscribe = self.stream.subscribe(_news_of(self.worker), self._hear, only_end=True)
        try:
            self._renewed = _clock()
            looked = 0.0
            while True:
                await asyncio.sleep(POLL_INTERVAL)
                try:
                    if _clock() - self._renewed >= RENEW_EVERY:
                        await self._renew()
                    if self._held or _clock() - looked >= 2 * POLL_INTERVAL:
                        looked = _clock()
                        await self._look()
                except CaxtonError as error:
                    log.warning("places of calls could not be kept: %s", error.message)
                except Exception as error:
                    log.warning("places of calls could not be kept: %s", type(error).__name__)
                if _clock() - self._renewed > FENCE:
                    self._give_all_up()
        finally:
            unsubscribe()
            self._watch_only(set())

    async def _renew(self) -> None:
        if not self._held:
            self._renewed = _clock()
            return
        began, until = _clock(), datetime.now(UTC) + LEASE
        async with asyncio.timeout(max(0.1, FENCE - (began - self._renewed))):
            await self.records.write(lambda transaction: transaction.renew_places(self.worker, until))
        self._renewed = began

    async def _look(self) -> None:
        """Sees what others have decided of this worker's calls, and lets calls in that nobody else does."""
        found = await self.records.read(lambda transaction: transaction.workers_of_places())
        self._watch_only({worker for worker in found if worker not in (None, self.worker)})
        if not found:
            return
        self._ask(Allocation.sweep)
        places = await self.records.read(lambda transaction: transaction.places_of_worker(self.worker))
        running = {place.call.key: place for place in places if place.state == "running"}
        for key, place in running.items():
            self._let(key, (datetime.now(UTC) - place.since).total_seconds())
        for key, held in list(self._held.items()):
            held.missed = held.missed + 1 if held.fence is not None and key not in running else 0
            if held.missed > 1:  # not the first time: what was read may be older than the place
                self._fence(held)

    def _watch_only(self, workers: Collection[str]) -> None:
        """Watches over `workers`, whose places are free as soon as one has died."""
        for worker in [each for each in self._watched if each not in workers]:
            leave = self._watched.pop(worker)
            if leave is not None:
                leave()
        for worker in workers:
            if worker not in self._watched:
                self._watched[worker] = self._watch(worker, partial(self._take_from, worker))

    def _take_from(self, worker: str) -> None:
        log.info("the places of a worker are free, for its process is gone")
        self._watched.pop(worker, None)  # should it still have any when somebody looks, it is heard of again
        self._ask(partial(Allocation.take_from, worker=worker))

    def _hear(self, _event: StreamEvent) -> None:
        task = asyncio.create_task(self._listen())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self) -> None:
        with contextlib.suppress(CaxtonError):
            await self._look()

    def _give_all_up(self) -> None:
        for held in list(self._held.values()):
            self._fence(held)

    def _fence(self, held: _Held) -> None:
        if held.fence is not None and held.fence.when() is None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                held.fence.reschedule(asyncio.get_running_loop().time())


def _allot(asked: list[Ask], worker: str, transaction: Transaction) -> Allotted:
    places = Allocation(transaction, worker, datetime.now(UTC))
    for what in asked:
        what(places)
    return places.allot()


def _nothing(_places: Allocation) -> None:
    return


def _reset(transaction: Transaction) -> Allotted:
    transaction.lock_flow()
    transaction.reset_flow()
    return Allotted()


def _news_of(worker: str) -> ExecutionId:
    return ExecutionId(f"flow:{worker}")


def _clock() -> float:
    return asyncio.get_running_loop().time()
