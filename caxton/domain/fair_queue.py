"""A queue in which whoever asks much does not keep others waiting: each kind of entry has its turn."""

from collections import deque
from collections.abc import Container, Hashable
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


class QueueOfCustomers(Generic[T]):
    """Customers take turns, and so do each one's kinds of entries: whoever has many kinds has no more turns for that."""

    def __init__(self) -> None:
        """Start empty."""
        self._of: dict[str, FairQueue[T]] = {}
        self._turns: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._turns)

    def put(self, customer: str, kind: Hashable, entry: T) -> None:
        """Adds an entry."""
        self._queue(customer).put(kind, entry)

    def put_back(self, customer: str, kind: Hashable, entry: T) -> None:
        """Adds an entry that was taken, before all others of its kind."""
        self._queue(customer).put_back(kind, entry)

    def _queue(self, customer: str) -> FairQueue[T]:
        found = self._of.get(customer)
        if found is None:
            found = self._of[customer] = FairQueue()
            self._turns.append(customer)
        return found

    def take(self, without: Container[str] = ()) -> T | None:
        """Takes the entry whose turn it is; None if there is none of other customers than those."""
        for _ in range(len(self._turns)):
            customer = self._turns.popleft()
            if customer in without:
                self._turns.append(customer)
                continue
            queue = self._of[customer]
            entry = queue.take()
            if queue:
                self._turns.append(customer)
            else:
                del self._of[customer]
            return entry
        return None
