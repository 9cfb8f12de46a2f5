"""Threads on which tools run."""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from caxton.adapters.sandbox.engine import THREAD_STACK
from caxton.domain.fair_queue import FairQueue

T = TypeVar("T")

_starting = threading.Lock()
"""The size of new threads' stacks is one setting of the whole process."""


class SandboxThreads:
    """So many threads, with stacks that hold the deepest module; none is started before the first call."""

    def __init__(self, size: int, name: str) -> None:
        """Run `size` calls at a time. Others wait; each kind of them has its turn."""
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._started = False
        self._stopping = False
        self._lock = threading.Lock()
        self._waiting = FairQueue[tuple[Future[Any], Callable[[], Any]]]()

    async def run(self, kind: Hashable, work: Callable[[], T]) -> T:
        """What `work` returns, called on one of them.

        Raises:
            asyncio.CancelledError: it was still waiting when they were told to stop.
        """
        if not self._started:
            self._start()
        done: Future[T] = Future()
        with self._lock:
            if self._stopping:
                raise asyncio.CancelledError
            self._waiting.put(kind, (done, work))
            # One turn for each call, not that of a certain call: who waits for it is chosen when it comes.
            self._pool.submit(self._run_next)
        return await asyncio.wrap_future(done)

    def stop(self) -> None:
        """Begins no more calls. Those that wait are cancelled."""
        with self._lock:
            self._stopping = True
            while self._waiting:
                done, _ = self._waiting.take()
                done.cancel()

    def close(self) -> None:
        """Ends them once the calls in hand have ended, which their limits see to."""
        self.stop()
        self._pool.shutdown(cancel_futures=True)

    def _run_next(self) -> None:
        with self._lock:
            if not self._waiting:  # they were told to stop
                return
            done, work = self._waiting.take()
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    def _start(self) -> None:
        """Starts them all now: platforms' default stacks go down to 128 KB."""
        with _starting:
            if self._started:
                return
            barrier = threading.Barrier(self._size + 1)
            before = threading.stack_size(THREAD_STACK)
            try:
                for _ in range(self._size):
                    self._pool.submit(barrier.wait)
            finally:
                threading.stack_size(before)
            barrier.wait()
            self._started = True
