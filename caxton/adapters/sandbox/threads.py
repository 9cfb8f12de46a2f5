"""Threads on which tools run."""

from caxton.adapters.sandbox.engine import THREAD_STACK
from caxton.domain.fair_threads import FairThreads


class SandboxThreads(FairThreads):
    """Threads with stacks that hold the deepest module; platforms' default stacks go down to 128 KB."""

    def __init__(self, size: int, name: str, extra: int = 0) -> None:
        """See :class:`~caxton.domain.fair_threads.FairThreads`."""
        super().__init__(size, name, extra, THREAD_STACK)
