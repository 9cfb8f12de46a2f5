"""Batches of first steps that are prepared before their workflow asks for them.

A batch of requests takes some 10 ms through the engine to its workflow, and comes back as the steps that are to be done.
Those steps are known when it leaves, and preparing them reads, computes and changes nothing. So it is done meanwhile; only
what the workflow asks for, byte by byte, is written.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from caxton.activities.batch import Batch

log = logging.getLogger(__name__)

KEPT_FOR = 1.0
"""Seconds for which what was prepared is good. An engine that takes longer is away, and the world may have changed."""

MOST = 8
"""Batches that are kept at the most."""


@dataclass
class _Begun:
    batch: Batch
    at: float
    preparing: asyncio.Task[object | None]
    """Brings what it was prepared by; None where it could not be."""


class Ahead:
    """Prepares batches, and keeps them for a moment."""

    def __init__(self, make: Callable[[bytes], Batch]) -> None:
        """Prepare to prepare what `make` makes of steps as JSON."""
        self._make = make
        self._begun: dict[bytes, _Begun] = {}

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, steps: bytes) -> None:
        """Prepares `steps`, which may be asked for soon."""
        if len(self._begun) < MOST and steps not in self._begun:
            batch = self._make(steps)
            self._begun[steps] = _Begun(batch, time.monotonic(), asyncio.create_task(self._prepare(batch)))
            asyncio.get_running_loop().call_later(KEPT_FOR, self._begun.pop, steps, None)

    async def take(self, steps: bytes) -> Batch | None:
        """What was prepared of `steps`, if nothing that it was made by has changed since.

        Raises:
            StoreUnavailable: nothing can be read.
        """
        begun = self._begun.pop(steps, None)
        if begun is None or _is_stale(begun):
            return None
        before = await begun.preparing
        return begun.batch if before is not None and await begun.batch.basis() == before else None

    async def _prepare(self, batch: Batch) -> object | None:
        try:
            basis = await batch.basis()
            await batch.prepare()
        except Exception as error:  # whoever does the steps when they are asked for will meet it too, and tell it
            log.debug("a batch could not be prepared: %s", type(error).__name__)
            return None
        return basis


def _is_stale(begun: _Begun) -> bool:
    return time.monotonic() - begun.at > KEPT_FOR
