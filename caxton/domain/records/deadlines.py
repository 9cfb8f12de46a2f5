"""The records port: what is to happen when a time has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from caxton.domain.ids import ExecutionId, Scope


@dataclass(frozen=True, slots=True)
class Deadline:
    """What is to happen at a time unless the execution ends before."""

    scope: Scope
    execution_id: ExecutionId
    """Of what is to be taken away: any name that tells it from others."""
    kind: Literal[
        "pressure",
        "breach",
        "escalation",
        "memory",
        "schedule",
        "deletion",
        "contents",
        "retention",
        "alert",
        "push",
        "drain",
    ]
    """schedule: a run of a schedule waits for the execution's end. push: somebody is told of it, and of more."""
    level: int
    due_at: datetime
    details: dict[str, Any]
    attempts: int = 0
    """How often it was tried in vain."""
    taken_until: datetime | None = None
    """Until when it is the caller's alone, who has taken it."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deadlines that are due and not dealt with."""

    due: int
    oldest: datetime | None
    """When the first of them was due."""
    given_up: int
    """Those that were tried in vain as often as they may be."""


class DeadlineRecords(Protocol):
    """What is to happen when a time has come."""

    def add_deadlines(self, scope: Scope, found: Sequence[Deadline]) -> None: ...
    def any_deadline_due(self, moment: datetime) -> bool: ...
    def take_deadlines(self, moment: datetime, until: datetime, limit: int) -> list[Deadline]: ...
    def postpone_deadline(self, deadline: Deadline, due_at: datetime | None, attempts: int) -> bool: ...
    def deadline_backlog(self, moment: datetime) -> Backlog: ...
    def remove_deadline(self, deadline: Deadline) -> bool: ...
    def wait_for_turn(self, deadline: Deadline) -> None: ...
    def clear_deadlines(self, scope: Scope, execution_id: ExecutionId) -> None: ...
