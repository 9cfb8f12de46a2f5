"""Disk usage, and what retention would free."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from caxton.domain.errors import CaxtonError
from caxton.domain.memory_port import Place
from caxton.domain.permissions import Permission
from caxton.domain.records import DatabaseSize, Records, Transaction
from caxton.memory.memories import Memories
from caxton.service.at_once import AtOnce
from caxton.service.context import Caller
from caxton.service.disk_guard import DiskGuard, size_of
from caxton.service.retention import Retention
from caxton.views.storage import OwnSizes, PartSize, StorageView

MOST_LOOKS = 4
"""Of a customer at a time: each counts rows and goes through all files, in threads that others need as well."""


@dataclass
class Storage:
    """Use cases on room."""

    records: Records
    disk: DiskGuard
    retention: Retention
    memories: Memories | None
    blobs: Path
    """The folder of contents, with one for each customer."""
    looks: AtOnce = field(default_factory=lambda: AtOnce(MOST_LOOKS, "looks at what takes room"))

    async def keep_measured(self) -> None:
        """Measures the data folder, forever, and what each customer has of it."""
        await self.disk.keep_measured(lambda: self.records.read(lambda transaction: transaction.events_kept()))

    async def show(self, caller: Caller, *, tables: bool) -> StorageView:
        """How much space data takes: of the workspace, and, for those who may inspect it, of the whole server.

        Args:
            caller: who asks.
            tables: whether to look into the database for the size of each table, for which SQLite reads all of it.

        Raises:
            Overloaded: the customer looks too often at a time.
        """
        with self.looks.one(caller.scope.customer):
            return await self._look(caller, tables=tables)

    async def _look(self, caller: Caller, *, tables: bool) -> StorageView:
        scope, archive = caller.scope, self.retention.archive
        segments = await archive.segments(scope.customer)

        def read(transaction: Transaction) -> tuple[dict[str, int], DatabaseSize]:
            rows = transaction.row_counts(scope)
            rows["events"] -= transaction.detached_to(scope.customer)
            return rows, transaction.database_size()

        rows, database = await self.records.read(read)
        own = OwnSizes(
            rows=rows,
            blobs=await asyncio.to_thread(size_of, self.blobs / scope.customer),
            memory=await self._memory(caller),
            archive=sum(segment.bytes for segment in segments),
        )
        older = (await self.retention.show(scope)).periods
        found = StorageView(own=own, older=older)
        if Permission.SERVER_INSPECT not in caller.permissions:
            return found
        parts = await asyncio.to_thread(self._parts)
        sizes = await self.records.read(lambda transaction: transaction.table_sizes()) if tables else None
        shrinks = None if database.free is None else database.shrinks
        size = PartSize(name="database", bytes=database.bytes, free=database.free, shrinks=shrinks)
        server = [size, *parts]
        return found.model_copy(update={"server": server, "tables": sizes, "limit": self.disk.most})

    def _parts(self) -> list[PartSize]:
        folder = self.disk.folder
        engine = sum(size_of(path) for path in folder.glob("temporal.db*"))
        parts = {"engine": engine} | {name: size_of(folder / name) for name in ("memory", "cache", "logs")}
        parts |= {"blobs": size_of(self.blobs), "archive": size_of(self.retention.archive.files.root)}
        parts["data folder"] = self.disk.measure()
        return [PartSize(name=name, bytes=size) for name, size in parts.items()]

    async def _memory(self, caller: Caller) -> int | None:
        if self.memories is None:
            return None
        backend, place = self.memories.backend, Place(caller.scope.customer, caller.scope.workspace)
        try:
            return (await self.memories.run(place.customer, lambda: backend.statistics(place))).bytes
        except CaxtonError:
            return None  # what it has cannot be told while it does not work
