"""A queue in which whoever asks much does not keep others waiting: each kind of entry has its turn."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Entries of one kind come in their order; kinds take turns."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[Hashable, deque[T]] = {}
        self._turns: deque[Hashable] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, kind: Hashable, entry: T) -> None:
        """Adds an entry."""
        waiting = self._entries.get(kind)
        if waiting is None:
            waiting = self._entries[kind] = deque()
            self._turns.append(kind)
        waiting.append(entry)
        self._count += 1

    def put_back(self, kind: Hashable, entry: T) -> None:
        """Adds an entry that was taken, before all others of its kind."""
        self.put(kind, entry)
        waiting = self._entries[kind]
        waiting.rotate(1)

    def take(self) -> T:
        """Takes the entry whose turn it is.

        Raises:
            IndexError: there is none.
        """
        kind = self._turns.popleft()
        waiting = self._entries[kind]
        entry = waiting.popleft()
        if waiting:
            self._turns.append(kind)
        else:
            del self._entries[kind]
        self._count -= 1
        return entry
