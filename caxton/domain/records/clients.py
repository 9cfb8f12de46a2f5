"""The records port: what clients of other protocols are given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.ids import ExecutionId, Scope


@dataclass(frozen=True, slots=True)
class ClientTask:
    """An execution that a client began as a task."""

    execution_id: ExecutionId
    principal: str
    """Who began it, as in `TurnRequest.requester`."""
    created_at: datetime


class ClientRecords(Protocol):
    """Secrets that sign what clients hold, and tasks of clients."""

    def server_secret(self, name: str) -> str | None: ...
    def offer_server_secret(self, name: str, value: str) -> str: ...
    def add_client_task(self, scope: Scope, task: ClientTask) -> None: ...
    def client_task(self, scope: Scope, execution_id: ExecutionId) -> ClientTask | None: ...
    def client_tasks(
        self, scope: Scope, principal: str, *, before: datetime | None, limit: int
    ) -> list[ClientTask]: ...
