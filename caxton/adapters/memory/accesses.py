"""How often memories were used: counted at once, and written down by a back end now and then.

A write for each search would be dear.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from caxton.domain.errors import MemoryUnavailable
from caxton.domain.memory import Entity, MemoryId
from caxton.domain.memory_port import Place

log = logging.getLogger(__name__)

Counted = dict[MemoryId, tuple[int, datetime]]
"""How often each was used since it was written down, and when last."""


class Accesses:
    """Uses that are not written down yet. Threads may share one."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counted: dict[Place, Counted] = {}
        self._guard = threading.Lock()

    def count(self, place: Place, ids: Sequence[MemoryId], moment: datetime) -> None:
        """Counts a use of each."""
        with self._guard:
            counted = self._counted.setdefault(place, {})
            for identity in ids:
                counted[identity] = counted.get(identity, (0, moment))[0] + 1, moment

    def forget(self, place: Place, ids: Sequence[MemoryId]) -> None:
        """Drops those of memories that bring their count along when they are written, or that are removed."""
        with self._guard:
            for identity in ids:
                self._counted.get(place, {}).pop(identity, None)

    def take(self, place: Place) -> Counted:
        """Those of a place, which are no more to be written then."""
        with self._guard:
            return self._counted.pop(place, {})

    def places(self) -> list[Place]:
        """Where something was counted."""
        with self._guard:
            return list(self._counted)

    def write_all(self, write: Callable[[Place], None]) -> None:
        """Has those of every place written, at the end: what cannot be written is told and lost."""
        try:
            for place in self.places():
                write(place)
        except MemoryUnavailable as error:
            log.warning("memory: accesses were not counted: %s", error.message)

    def joined(self, place: Place, entity: Entity) -> Entity:
        """An entity as it is written down, with what was counted since."""
        counted = self._counted.get(place, {}).get(entity.id)
        if counted is None:
            return entity
        return entity.model_copy(update={"accessed": entity.accessed + counted[0], "last_accessed": counted[1]})
