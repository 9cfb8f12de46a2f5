"""The records port: content, kept once a customer, and had by the workspaces that it was brought to."""

from collections.abc import Sequence
from typing import Protocol

from caxton.domain.ids import Digest, Scope


class ContentRecords(Protocol):
    """Content, kept once a customer, and had by the workspaces that it was brought to."""

    def add_contents(self, scope: Scope, digests: Sequence[Digest]) -> None: ...
    def own_contents(self, scope: Scope, digests: Sequence[Digest]) -> set[Digest]: ...
    def has_content(self, scope: Scope, digest: Digest, *, everywhere: bool = False) -> bool: ...
    def unused_contents(self, customer: str, digests: Sequence[Digest]) -> list[Digest]: ...
