"""Gives room that deletions have freed within the database back to the disk, a little at a time."""

import asyncio
import time
from dataclasses import dataclass

from caxton.domain.records import Records

KEPT_FREE = 32 << 20
"""Bytes that stay free within the database, for what comes next; a tenth of the database where that is more."""

SHARE = 10

A_PIECE = 1 << 20
"""Bytes that one transaction gives back: a few milliseconds."""

REST = 9
"""How many times longer than a piece takes others may write before the next one."""

A_PART = 5.0
"""Seconds after which the rest waits for the next look."""


@dataclass(frozen=True)
class FreeRoom:
    """What is free within the database."""

    records: Records

    async def give_back(self) -> int:
        """Gives back what is more than is kept, for some seconds. Returns the bytes.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        until, given = time.monotonic() + A_PART, 0
        while time.monotonic() < until:
            size = await self.records.read(lambda transaction: transaction.database_size())
            beyond = (size.free or 0) - max(KEPT_FREE, size.bytes // SHARE)
            if not size.shrinks or beyond < A_PIECE:
                break
            began = time.monotonic()
            given += await self.records.write(lambda transaction: transaction.give_back(A_PIECE))
            await asyncio.sleep(REST * (time.monotonic() - began))
        return given
