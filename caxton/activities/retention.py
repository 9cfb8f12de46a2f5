"""Activities of retention."""

from dataclasses import dataclass

from temporalio import activity

from caxton.domain.errors import CaxtonError
from caxton.domain.memory_port import Place
from caxton.memory.bulk import BulkMemory
from caxton.recording import journal
from caxton.workflows.failures import to_failure
from caxton.workflows.retention import APPLY_RETENTION, EXPIRE_UNDO, LIST_RETENTIONS, RetentionPlace


@dataclass
class RetentionActivities:
    """What the daily run does."""

    bulk: BulkMemory

    @activity.defn(name=LIST_RETENTIONS)
    async def list_retentions(self, after: RetentionPlace | None, limit: int) -> list[RetentionPlace]:
        """Places that have a retention, from behind one."""
        behind = Place(after.customer, after.workspace) if after else None
        try:
            found = await self.bulk.records.read(lambda transaction: transaction.retentions(behind, limit))
        except CaxtonError as error:
            raise to_failure(error) from error
        return [RetentionPlace(customer=place.customer, workspace=place.workspace) for place, _ in found]

    @activity.defn(name=APPLY_RETENTION)
    async def apply_retention(self, place: RetentionPlace) -> int:
        """Removes what a place is no longer to remember; doing it again removes nothing more."""
        own = Place(place.customer, place.workspace)
        try:
            retention = await self.bulk.records.read(lambda transaction: transaction.retention(own))
            return await self.bulk.apply_retention(own, retention)
        except CaxtonError as error:
            raise to_failure(error) from error

    @activity.defn(name=EXPIRE_UNDO)
    async def expire_undo(self) -> int:
        """Removes the copies of operations that can no longer be undone."""
        try:
            return await self.bulk.expire_undo(journal.now())
        except CaxtonError as error:
            raise to_failure(error) from error
