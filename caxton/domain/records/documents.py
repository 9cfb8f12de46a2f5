"""The records port: projections of the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from caxton.domain.ids import Scope


class DocumentRecords(Protocol):
    """Projections of the log."""

    def document_position(self, customer: str, view: str, *, hold: bool = False) -> tuple[int, int]: ...
    def set_document_position(self, customer: str, view: str, sequence: int, version: int) -> None: ...
    def documents(self, scope: Scope, view: str, keys: Sequence[str] | None = None) -> dict[str, Any]: ...
    def put_documents(
        self, scope: Scope, view: str, fresh: Mapping[str, Any], changed: Mapping[str, Any], gone: Iterable[str] = ()
    ) -> None: ...
    def drop_documents(self, customer: str, view: str) -> None: ...
