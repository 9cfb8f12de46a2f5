"""Threads in fair shares: no customer's work keeps another one's waiting."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from caxton.domain.fair_queue import FairQueue

T = TypeVar("T")

_starting = threading.Lock()
"""The size of new threads' stacks is one setting of the whole process."""

_Work = tuple[Future[Any], Callable[[], Any]]


class FairThreads:
    """So many threads; each is started when it is first needed.

    A customer may use all of them while nobody else needs one. Who comes while others have them all does not wait for those to
    end: until a customer runs its share (`size` divided by the customers that run or wait), it gets threads beyond `size`.
    """

    def __init__(self, size: int, name: str, extra: int = 0, stack: int = 0) -> None:
        """Run `size` calls at a time, and up to `extra` more for customers that have not their share. Others wait.

        Of customers that wait the one that runs least comes first; of one customer's calls each kind has its turn.

        Args:
            size: calls at a time.
            name: of the threads.
            extra: more of them, for customers that come while others have all.
            stack: bytes of a thread's stack; 0 for the platform's default.
        """
        self._size = size
        self._stack = stack
        self._extra = extra
        self._pool = ThreadPoolExecutor(size + extra, thread_name_prefix=name)
        self._stopping = False
        self._lock = threading.Lock()
        self._waiting: dict[str, FairQueue[_Work]] = {}
        """By customer, the one that has waited longest for its turn first."""
        self._running = Counter[str]()

    async def run(self, customer: str, kind: Hashable, work: Callable[[], T]) -> T:
        """What `work` returns, called on one of them.

        Args:
            customer: on whose behalf.
            kind: whose turn it is, among the customer's own.
            work: what to do.

        Raises:
            asyncio.CancelledError: it was still waiting when they were told to stop.
        """
        done: Future[T] = Future()
        with self._lock:
            if self._stopping:
                raise asyncio.CancelledError
            self._waiting.setdefault(customer, FairQueue()).put(kind, (done, work))
            self._start_next()
        return await asyncio.wrap_future(done)

    def stop(self) -> None:
        """Begins no more calls. Those that wait are cancelled."""
        with self._lock:
            self._stopping = True
            for queue in self._waiting.values():
                while queue:
                    done, _ = queue.take()
                    done.cancel()
            self._waiting.clear()

    def close(self) -> None:
        """Ends them once the calls in progress have ended, which their limits see to."""
        self.stop()
        self._pool.shutdown(cancel_futures=True)

    def _start_next(self) -> None:
        """Begins a call on a thread of its own, if one may begin; the lock is held."""
        taken = self._take()
        if taken is not None:
            with _starting:
                before = threading.stack_size(self._stack)
                try:
                    self._pool.submit(self._work, *taken)
                finally:
                    threading.stack_size(before)

    def _take(self) -> tuple[str, _Work] | None:
        """The next call that may begin, counted as running; the lock is held."""
        while self._waiting:
            customer = min(self._waiting, key=lambda each: self._running[each])
            total = self._running.total()
            if total >= self._size:
                active = len(self._waiting.keys() | self._running.keys())
                share = -(-self._size // active)
                if self._running[customer] >= share or total >= self._size + self._extra:
                    return None
            queue = self._waiting.pop(customer)
            done, work = queue.take()
            if queue:
                self._waiting[customer] = queue  # behind the others that run as little
            if done.set_running_or_notify_cancel():
                self._running[customer] += 1
                return customer, (done, work)
        return None

    def _work(self, customer: str, taken: _Work) -> None:
        """Does a call, and then others that wait, as long as one may begin."""
        while True:
            done, work = taken
            try:
                result = work()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
            with self._lock:
                self._running[customer] -= 1
                if not self._running[customer]:
                    del self._running[customer]
                following = self._take()
            if following is None:
                return
            customer, taken = following
