"""Threads on which tools run."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from caxton.adapters.sandbox.engine import THREAD_STACK

T = TypeVar("T")

_starting = threading.Lock()
"""The size of new threads' stacks is one setting of the whole process."""


class SandboxThreads:
    """So many threads, with stacks that hold the deepest module; none is started before the first call."""

    def __init__(self, size: int, name: str) -> None:
        """Run `size` calls at a time; others wait."""
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._started = False

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns, called with `arguments` on one of them."""
        if not self._started:
            self._start()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def close(self) -> None:
        """Ends them once the calls in hand have ended, which their limits see to."""
        self._pool.shutdown(cancel_futures=True)

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
