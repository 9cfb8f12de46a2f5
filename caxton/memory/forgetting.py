"""Forgetting what was made from conversations that are deleted."""

from collections.abc import Sequence
from datetime import datetime

from caxton.domain.events import SYSTEM, Payload
from caxton.domain.events.memory import MemoryChangeBegun, MemoryPurged
from caxton.domain.ids import ConversationId, Scope, new_id
from caxton.domain.memory import Entity, ScopeKind
from caxton.domain.memory_port import GLOBAL_PLACE, MemoryFilter, Place, places_of
from caxton.memory.bulk import PAGE, BulkMemory
from caxton.recording import journal


async def forget_conversations(bulk: BulkMemory, scope: Scope, ids: Sequence[ConversationId], before: datetime) -> int:
    """Removes memories in the scope of conversations, or made from them. Returns how many there were.

    Args:
        bulk: operations on memories. If the copies by which its last one can be undone hold such a memory, they go, too.
        scope: whose the conversations are.
        ids: the conversations.
        before: memories that were made later stay.

    Raises:
        MemoryUnavailable: the memory does not work.
    """
    return sum([await _forget(bulk, scope, place, ids, before) for place in places_of(scope.customer, scope.workspace)])


async def _forget(bulk: BulkMemory, scope: Scope, place: Place, ids: Sequence[ConversationId], before: datetime) -> int:
    memories, wanted = bulk.memories, MemoryFilter(conversations=ids)
    if not await memories.run(place.customer, lambda: memories.backend.exists(place)):
        return 0
    await _forget_copies(bulk, place, set(ids), before)
    found = await memories.run(place.customer, lambda: memories.backend.ids(place, wanted))
    removed = 0
    for start in range(0, len(found), PAGE):
        part = found[start : start + PAGE]
        entities = await memories.run(place.customer, lambda part=part: memories.backend.get(place, part))
        # Looked at again: a back end that does not know this filter gives out everything.
        sure = [each.id for each in entities if _is_of(each, set(ids)) and each.created_at <= before]
        if sure:
            if not removed:
                await _tell(
                    bulk, scope, MemoryChangeBegun(operation="forget", subjects=[_name(place)], count=len(found))
                )
            removed += await memories.run(place.customer, lambda sure=sure: memories.backend.delete(place, sure))
    if removed:
        await _tell(bulk, scope, MemoryPurged(scope=_name(place), count_removed=removed, reason="ConversationDeleted"))
    return removed


async def _forget_copies(bulk: BulkMemory, place: Place, ids: set[ConversationId], before: datetime) -> None:
    for page in await bulk.last(place):
        content = await bulk.content(place, page)
        if any(_is_of(each, ids) and each.created_at <= before for each in (*content.removed, *content.changed)):
            await bulk.forget_undo(place)
            return


def _is_of(entity: Entity, ids: set[ConversationId]) -> bool:
    within = entity.scope.kind is ScopeKind.CONVERSATION and entity.scope.owner in ids
    return within or entity.provenance.conversation_id in ids


def _name(place: Place) -> str:
    return str(ScopeKind.GLOBAL if place.workspace == GLOBAL_PLACE else ScopeKind.WORKSPACE)


async def _tell(bulk: BulkMemory, scope: Scope, payload: Payload) -> None:
    event = journal.note(scope, payload, new_id("memory"), actor=SYSTEM)
    await bulk.records.write(lambda transaction: transaction.add_events(scope, [event]))
