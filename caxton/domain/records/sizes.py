"""The records port: how much space data takes."""

from dataclasses import dataclass
from typing import Protocol

from caxton.domain.ids import Scope


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """Bytes of the database."""

    bytes: int
    free: int | None
    """Of those, bytes of pages that are free and used again; None where the database does not tell."""
    shrinks: bool = False
    """Whether free pages can be given back to the disk piece by piece."""


class SizeRecords(Protocol):
    """How much space data takes."""

    def database_size(self) -> DatabaseSize: ...
    def give_back(self, most: int) -> int:
        """Gives free room at the end of the database back to the disk: so many bytes at most. Returns how many."""
        ...

    def table_sizes(self) -> dict[str, int] | None: ...
    def row_counts(self, scope: Scope) -> dict[str, int]: ...
