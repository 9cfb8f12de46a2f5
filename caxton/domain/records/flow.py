"""The records port: calls that have a place or wait for one, and the gates that they pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from caxton.domain.flow import FlowCall, Gate
from caxton.domain.ids import Scope

PlaceState = Literal["waiting", "near", "running"]
"""waiting: its workflow is told when it is its turn. near: it waits in a worker, and can begin at once. running: in flight."""

PlaceKey = tuple[str, str, str, int, int]
"""Customer, workspace, execution, step and call."""


@dataclass(slots=True)
class Place:
    """A call at its gates."""

    call: FlowCall
    """Its gates have names only: what they allow is said by :class:`GateState`."""
    state: PlaceState
    worker: str | None
    """Who has it in progress; None while its workflow is told, or waits."""
    since: datetime
    """When it came."""
    near_since: datetime
    expires_at: datetime | None
    """Until when it is its worker's, or its workflow is taken to be on its way."""
    line: str
    """Calls of the same line pass the same gates."""
    not_before: datetime
    """When it is told again at the earliest, after it was told in vain."""
    tries: int


@dataclass(slots=True)
class GateState:
    """A gate as it is."""

    gate: Gate
    in_flight: int
    tokens: float
    """Calls that may begin now, where their rate is limited."""
    as_of: datetime


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How a gate is used."""

    gate: Gate
    in_flight: int
    waiting: int
    oldest: datetime | None
    """Since when the first of those that wait does."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The calls of one agent that wait in a line."""

    customer: str
    agent: str
    count: int
    weight: float
    agent_weight: float


class FlowRecords(Protocol):
    """Calls that have a place or wait for one. All but the last three methods need :meth:`lock_flow` before them."""

    def lock_flow(self) -> None:
        """Keeps other transactions from letting calls begin until this one commits."""
        ...

    def place(self, key: PlaceKey) -> Place | None: ...
    def add_place(self, place: Place) -> None: ...
    def set_place(self, place: Place) -> None: ...
    def remove_place(self, key: PlaceKey, worker: str | None) -> bool: ...
    def places_near(self) -> list[Place]: ...
    def places_expired(self, moment: datetime) -> list[Place]: ...
    def places_of_worker(self, worker: str) -> list[Place]: ...
    def running_by_agent(self) -> dict[tuple[str, str, str], int]:
        """How many calls are in flight by resource, customer and agent (with its workspace)."""
        ...

    def lines_waiting(self, moment: datetime) -> dict[str, Sequence[Waiting]]:
        """Lines in which calls wait that can be told at `moment`."""
        ...

    def first_waiting(self, line: str, customer: str, agent: str, moment: datetime, count: int) -> list[Place]: ...
    def gates(self, names: Sequence[str]) -> dict[str, GateState]: ...
    def put_gate(self, state: GateState) -> None: ...
    def reset_flow(self) -> None:
        """All workers are gone: whatever had a place waits."""
        ...

    def remove_places_of(self, scope: Scope, execution_id: str) -> None:
        """Forgets what an execution that ends waited for."""
        ...

    def add_waited(self, scope: Scope, root_id: str, seconds: float) -> None:
        """Notes that a turn has waited for a place, which does not count as its time."""
        ...

    def waits_since(self, scope: Scope, execution_id: str) -> datetime | None:
        """Since when a call of the execution has waited for its place; None if none does."""
        ...

    def renew_places(self, worker: str, until: datetime) -> int: ...
    def any_places(self) -> bool: ...
    def workers_of_places(self) -> set[str | None]:
        """Workers that have calls in progress, and None where calls wait that none of them has; empty if there are no calls."""
        ...

    def count_waiting_places(self) -> dict[str, int]:
        """How many calls wait, by customer."""
        ...

    def queues(self, scope: Scope | None) -> list[QueueStatus]:
        """Gates that are in use; with `scope`, only by its calls."""
        ...
