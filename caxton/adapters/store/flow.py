"""Queries on calls that have a place or wait for one."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import turns
from caxton.adapters.store.schema_flow import flow_gates, flow_places
from caxton.adapters.store.session import Session, from_json, in_scope, to_json
from caxton.domain.flow import FlowCall, Gate
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import GateState, Place, PlaceKey, QueueStatus, Waiting

LOCK = ""
"""Name of the row that is locked while calls are let in."""

_places = flow_places.c
_gates = flow_gates.c
_NEAR = select(flow_places).where(_places.state == "near")
_RUNNING = (
    select(_places.resource, _places.customer, _places.agent, func.count())
    .where(_places.state == "running")
    .group_by(_places.resource, _places.customer, _places.agent)
)
_IS_WAITING = _places.state.in_(["waiting", "near"])


class FlowQueries(Session):
    """Places and gates."""

    def lock_flow(self) -> None:
        """Keeps other transactions from letting calls begin until this one commits."""
        self.connection.execute(select(_gates.name).where(_gates.name == LOCK).with_for_update())

    def place(self, key: PlaceKey) -> Place | None:
        """The call's place, if it has one or waits for one."""
        row = self.connection.execute(select(flow_places).where(_is(key))).first()
        return _place(row) if row else None

    def add_place(self, place: Place) -> None:
        """Adds a call."""
        call = place.call
        row = {
            "customer": call.scope.customer,
            "workspace": call.scope.workspace,
            "execution_id": call.execution_id,
            "step": call.step,
            "call": call.call,
            "root_id": call.root_id,
            "conversation_id": call.conversation_id,
            "agent": call.agent,
            "resource": call.resource,
            "gates": to_json([gate.name for gate in call.gates]),
            "line": place.line,
            "weight": call.weight,
            "agent_weight": call.agent_weight,
            "since": clock.from_datetime(place.since),
            **_state(place),
        }
        self.connection.execute(flow_places.insert(), row)

    def set_place(self, place: Place) -> None:
        """Changes how a call's place stands."""
        self.connection.execute(flow_places.update().where(_is(place.call.key)).values(_state(place)))

    def remove_place(self, key: PlaceKey, worker: str | None) -> bool:
        """Forgets a call that the worker has in progress; None for one that no worker has. False if that is not so."""
        gone = self.connection.execute(
            flow_places.delete().where(_is(key), _places.worker.is_not_distinct_from(worker))
        )
        return bool(gone.rowcount)

    def places_near(self) -> list[Place]:
        """All calls that are near."""
        return [_place(row) for row in self.connection.execute(_NEAR)]

    def places_expired(self, moment: datetime) -> list[Place]:
        """Calls whose worker, or workflow, has not been heard of in time."""
        query = select(flow_places).where(_places.expires_at < clock.from_datetime(moment))
        return [_place(row) for row in self.connection.execute(query)]

    def places_of_worker(self, worker: str) -> list[Place]:
        """The calls that a worker has in progress."""
        return [_place(row) for row in self.connection.execute(select(flow_places).where(_places.worker == worker))]

    def running_by_agent(self) -> dict[tuple[str, str, str], int]:
        """How many calls are in flight by resource, customer and agent (with its workspace)."""
        found = self.connection.execute(_RUNNING)
        return {(resource, customer, agent): count for resource, customer, agent, count in found}

    def lines_waiting(self, moment: datetime) -> dict[str, Sequence[Waiting]]:
        """Lines in which calls wait that can be told at `moment`."""
        shares = func.max(_places.weight), func.max(_places.agent_weight)
        query = (
            select(_places.line, _places.customer, _places.agent, func.count(), *shares)
            .where(_waits(moment))
            .group_by(_places.line, _places.customer, _places.agent)
        )
        found: defaultdict[str, list[Waiting]] = defaultdict(list)
        for line, customer, agent, count, weight, agent_weight in self.connection.execute(query):
            found[line].append(Waiting(customer, agent, count, weight, agent_weight))
        return dict(found)

    def first_waiting(self, line: str, customer: str, agent: str, moment: datetime, count: int) -> list[Place]:
        """The calls of an agent in a line that have waited for longest."""
        own = (_places.line == line, _places.customer == customer, _places.agent == agent)
        query = select(flow_places).where(_waits(moment), *own).order_by(_places.since).limit(count)
        return [_place(row) for row in self.connection.execute(query)]

    def gates(self, names: Sequence[str]) -> dict[str, GateState]:
        """Those of the gates that are known, by name."""
        if not names:
            return {}
        rows = self.connection.execute(select(flow_gates).where(_gates.name.in_(list(names))))
        return {
            row.name: GateState(_gate(row), row.in_flight, row.tokens, clock.to_datetime(row.as_of)) for row in rows
        }

    def put_gate(self, state: GateState) -> None:
        """Changes how a gate stands, or adds it."""
        row = {
            "max_in_flight": state.gate.max_in_flight,
            "rate": state.gate.rate,
            "in_flight": state.in_flight,
            "tokens": state.tokens,
            "as_of": clock.from_datetime(state.as_of),
        }
        changed = self.connection.execute(flow_gates.update().where(_gates.name == state.gate.name).values(row))
        if not changed.rowcount:
            self.connection.execute(flow_gates.insert(), {"name": state.gate.name, **row})

    def reset_flow(self) -> None:
        """All workers are gone: whatever had a place waits."""
        waits = {"state": "waiting", "worker": None, "expires_at": None, "not_before": 0}
        self.connection.execute(flow_places.update().values(waits))
        self.connection.execute(flow_gates.update().values(in_flight=0))

    def remove_places_of(self, scope: Scope, execution_id: str) -> None:
        """Forgets what an execution that ends waited for. What it has in flight keeps its place until the call ends."""
        own = (in_scope(flow_places, scope), _places.execution_id == execution_id, _places.state != "running")
        self.connection.execute(flow_places.delete().where(*own))

    def add_waited(self, scope: Scope, root_id: str, seconds: float) -> None:
        """Notes that a turn has waited for a place, which does not count as its time."""
        own = (in_scope(turns, scope), turns.c.execution_id == root_id)
        self.connection.execute(turns.update().where(*own).values(waited=turns.c.waited + seconds))

    def waits_since(self, scope: Scope, execution_id: str) -> datetime | None:
        """Since when a call of the execution has waited for its place; None if none does."""
        query = select(func.min(_places.since)).where(
            in_scope(flow_places, scope), _places.execution_id == execution_id, _IS_WAITING
        )
        return clock.optional_datetime(self.connection.execute(query).scalar())

    def renew_places(self, worker: str, until: datetime) -> int:
        """Keeps what a worker has in progress until then. Returns how many calls those are."""
        expires = {"expires_at": clock.from_datetime(until)}
        return self.connection.execute(flow_places.update().where(_places.worker == worker).values(expires)).rowcount

    def any_places(self) -> bool:
        """Whether any call has a place or waits for one."""
        return self.connection.execute(select(_places.step).limit(1)).first() is not None

    def workers_of_places(self) -> set[str | None]:
        """Workers that have calls in progress, and None where calls wait that none of them has; empty if there are no calls."""
        named = select(_places.worker).where(_places.worker.is_not(None)).distinct()
        waits = select(_places.worker).where(_places.worker.is_(None)).limit(1)
        return {*self.connection.execute(named).scalars(), *self.connection.execute(waits).scalars()}

    def count_waiting_places(self) -> dict[str, int]:
        """How many calls wait, by customer."""
        query = select(_places.customer, func.count()).where(_IS_WAITING).group_by(_places.customer)
        return {row[0]: row[1] for row in self.connection.execute(query)}

    def queues(self, scope: Scope | None) -> list[QueueStatus]:
        """Gates that are in use; with `scope`, only by its calls."""
        oldest = func.min(case((_IS_WAITING, _places.since)))
        counts = [func.sum(case((_places.state == "running", 1), else_=0)), func.sum(case((_IS_WAITING, 1), else_=0))]
        query = select(_places.gates, *counts, oldest).group_by(_places.gates)  # few: each lists its names
        if scope is not None:
            query = query.where(in_scope(flow_places, scope))
        running, waiting = Counter[str](), Counter[str]()
        first: dict[str, int] = {}
        rows: Any = self.connection.execute(query)
        for row in rows:
            for name in from_json(row[0]):
                running[name] += row[1]
                waiting[name] += row[2]
                if row[3] is not None:
                    first[name] = min(row[3], first.get(name, row[3]))
        gates = self.gates(sorted(running))
        return [
            QueueStatus(gate.gate, running[name], waiting[name], clock.optional_datetime(first.get(name)))
            for name, gate in sorted(gates.items())
        ]


def _waits(moment: datetime) -> ColumnElement[bool]:
    return and_(_places.state == "waiting", _places.not_before <= clock.from_datetime(moment))


def _is(key: PlaceKey) -> ColumnElement[bool]:
    customer, workspace, execution_id, step, call = key
    return and_(
        _places.customer == customer,
        _places.workspace == workspace,
        _places.execution_id == execution_id,
        _places.step == step,
        _places.call == call,
    )


def _state(place: Place) -> dict[str, Any]:
    return {
        "state": place.state,
        "worker": place.worker,
        "near_since": clock.from_datetime(place.near_since),
        "expires_at": clock.optional_from(place.expires_at),
        "not_before": clock.from_datetime(place.not_before),
        "tries": place.tries,
    }


def _gate(row: Row[tuple[Any, ...]]) -> Gate:
    return Gate(row.name, row.max_in_flight, row.rate)


def _place(row: Row[tuple[Any, ...]]) -> Place:
    call = FlowCall(
        scope=Scope(customer=row.customer, workspace=row.workspace),
        execution_id=ExecutionId(row.execution_id),
        step=row.step,
        call=row.call,
        root_id=ExecutionId(row.root_id),
        conversation_id=ConversationId(row.conversation_id),
        agent=row.agent,
        resource=row.resource,
        gates=tuple(Gate(name) for name in from_json(row.gates)),
        weight=row.weight,
        agent_weight=row.agent_weight,
    )
    return Place(
        call=call,
        state=row.state,
        worker=row.worker,
        since=clock.to_datetime(row.since),
        near_since=clock.to_datetime(row.near_since),
        expires_at=clock.optional_datetime(row.expires_at),
        line=row.line,
        not_before=clock.to_datetime(row.not_before),
        tries=row.tries,
    )
