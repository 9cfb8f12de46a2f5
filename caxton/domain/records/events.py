"""The records port: the customers' event logs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from caxton.domain.events import Event
from caxton.domain.events.chain import EventHead
from caxton.domain.ids import Scope
from caxton.domain.sealing import Unplaced


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; what is None does not matter. Every field is indexed."""

    types: frozenset[str] = frozenset()
    correlation_id: str | None = None
    agent: str | None = None
    actor: str | None = None
    skill_id: str | None = None
    conversation_id: str | None = None
    deployment_id: str | None = None
    error_code: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    EQUALITIES: ClassVar[tuple[str, ...]] = (
        "correlation_id",
        "agent",
        "actor",
        "skill_id",
        "conversation_id",
        "deployment_id",
        "error_code",
    )

    def fits(self, event: Event) -> bool:
        """Whether `event`, of whatever workspace, is wanted."""
        return (
            (not self.types or event.event_type in self.types)
            and all(getattr(self, name) in (None, getattr(event, name)) for name in self.EQUALITIES)
            and (self.since is None or event.timestamp >= self.since)
            and (self.until is None or event.timestamp < self.until)
        )


class EventRecords(Protocol):
    """The customers' event logs."""

    def add_events(self, scope: Scope, events: Iterable[Event]) -> None: ...
    def append_events(self, scope: Scope, events: Iterable[Unplaced]) -> None: ...
    def add_events_once(self, scope: Scope, events: Sequence[Event]) -> list[Event]: ...
    def hold_log(self, customer: str) -> None: ...
    def event_head(self, customer: str) -> EventHead: ...
    def event(self, customer: str, event_id: str) -> Event | None: ...
    def events(
        self,
        scope: Scope,
        wanted: EventFilter | None = None,
        *,
        after: int = 0,
        before: int | None = None,
        newest: bool = False,
        limit: int,
    ) -> list[Event]: ...
    def log(self, customer: str, *, after: int = 0, limit: int) -> list[Event]: ...
    def detached_to(self, customer: str) -> int: ...
    def unindexed(self, customer: str, events: Sequence[Event]) -> tuple[int, str] | None: ...
    def event_beyond_head(self, customer: str) -> int | None: ...
    def events_kept(self) -> dict[str, int]: ...
    def customers_with_events(self) -> dict[str, int]: ...
    def latest_event_time(self) -> datetime | None: ...
