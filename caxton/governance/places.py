"""Letting calls begin: one transaction takes in those that come, and gives the places of those that are done to others.

Everything about it is in the store, so a limit holds over all workers, and whoever dies in the middle of it leaves nothing behind
but places that are free again a little later.

A call is *running* while it is in flight. Others are *near*: they wait in their worker, so that a place is taken as soon as it is
free. Those beyond wait in the store alone, and cost no worker anything; their workflows are told when they may come near.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from caxton.domain.flow import FlowCall, Gate, ahead
from caxton.domain.records import GateState, Place, PlaceKey, Transaction, Waiting

LEASE = timedelta(seconds=10)
"""For so long a worker has its places without being heard of. Then it has died, or has given them up itself."""

TOLD_FOR = timedelta(seconds=15)
"""Within this a workflow that was told begins its call; else it is told again."""

LOST_FOR = timedelta(seconds=15)
"""For so long workflows take calls of a worker that died to be in progress, and hear nothing: others are told before them."""

NEWCOMERS = 50
"""Calls beyond the usual that may come near in a line: of customers that have none there."""

LONGEST_LOOK = 60.0
"""Seconds after which calls that wait for a rate are looked at again, whatever they say themselves."""

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 900.0
"""Seconds after which a call comes near again that waited there in vain, unless there is room for it."""

LONG_WAIT = 0.25
"""Seconds from which on it is noted that a turn has waited."""

EPOCH = datetime.fromtimestamp(0, tz=UTC)
FOR_EVER = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass
class Allotted:
    """What came of one transaction."""

    running: dict[PlaceKey, float] = field(default_factory=dict[PlaceKey, float])
    """Calls of the asking worker that begin now, and the seconds that each waited."""
    queued: set[PlaceKey] = field(default_factory=set[PlaceKey])
    """Calls of the asking worker that wait in the store."""
    lost: set[PlaceKey] = field(default_factory=set[PlaceKey])
    """Calls of the asking worker that the store has dropped."""
    told: list[FlowCall] = field(default_factory=list[FlowCall])
    """Calls whose workflows are to be told that it is their turn."""
    others: set[str] = field(default_factory=set[str])
    """Other workers of which calls begin now."""
    waits: bool | None = None
    """Whether calls wait in the store; None if nobody has looked."""
    next_at: datetime | None = None
    """When another call may begin by its rate."""


class Allocation:
    """The places, within one transaction."""

    def __init__(self, transaction: Transaction, worker: str, moment: datetime) -> None:
        """Take the lock."""
        self.transaction = transaction
        self.worker = worker
        self.now = moment
        self.found = Allotted()
        self.tells = False
        """Whether workflows are told of their turn: apart, for those that are near wait for nothing else."""
        transaction.lock_flow()
        self._gates: dict[str, GateState] = {}
        self._changed: set[str] = set()
        self._near = {place.call.key: place for place in transaction.places_near()}
        self._counted: Counter[tuple[str, str, str]] | None = None

    # --- what happens -------------------------------------------------------------------------------------------------

    def enter(self, call: FlowCall, *, may_queue: bool) -> None:
        """Takes a call in."""
        self._load([gate.name for gate in call.gates])
        for gate in call.gates:
            self._set_limits(gate)
        known = self.transaction.place(call.key)
        if known is not None and known.state == "running":
            self._free(known.call)  # of an attempt that was given up
        place = known or Place(call, "waiting", None, self.now, self.now, None, line_of(call), EPOCH, 0)
        was_told = place.state == "near"
        if was_told or not may_queue or self._may_come_near(place):
            self._come_near(place, self.worker, LEASE)
        else:
            place.state, place.worker, place.expires_at = "waiting", None, None
        if known is None:
            self.transaction.add_place(place)
        else:
            self.transaction.set_place(place)
        if place.state == "waiting":
            self.found.queued.add(call.key)

    def leave(self, call: FlowCall) -> None:
        """A call has ended."""
        near = self._near.get(call.key)
        if near is not None and near.worker != self.worker:
            return
        if not self.transaction.remove_place(call.key, self.worker):
            return  # others have given it up
        if near is not None:
            del self._near[call.key]
        else:
            self._free(call)

    def give_up(self, key: PlaceKey) -> None:
        """A call has been near for long enough: it waits in the store."""
        place = self._near.get(key) or self.transaction.place(key)
        if place is None:
            self.found.lost.add(key)
        elif place.state == "running":
            if place.worker == self.worker:
                self.found.running[key] = (self.now - place.since).total_seconds()
        else:
            self.found.queued.add(key)
            if place.worker == self.worker:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**place.tries)
                place.tries, place.not_before = place.tries + 1, self.now + timedelta(seconds=pause)
                self._send_back(place)
                del self._near[key]

    def forget(self, key: PlaceKey) -> None:
        """A call's workflow is gone."""
        place = self._near.get(key)
        if place is not None and place.worker is None:
            del self._near[key]
            self.transaction.remove_place(key, None)

    def sweep(self) -> None:
        """Gives up what belongs to workers that have died, and has others come near."""
        for place in self.transaction.places_expired(self.now):
            self._lose(place)
        self.tells = True

    def take_from(self, worker: str) -> None:
        """Gives up what belongs to a worker that is known to have died."""
        for place in self.transaction.places_of_worker(worker):
            self._lose(place)
        self.tells = True

    def tell(self) -> None:
        """Has calls that wait in the store come near, in the end."""
        self.tells = True

    def allot(self) -> Allotted:
        """Lets calls begin for which there is room, those first whose customers and agents have the least, and tells others."""
        self._load([gate.name for place in self._near.values() for gate in place.call.gates])
        waiting = [place for place in self._near.values() if place.worker is not None]
        while waiting:
            open_to = [place for place in waiting if self._room(place.call.gates) >= 1]
            if not open_to:
                break
            alike = len({_who(place.call) for place in open_to}) == 1
            chosen = min(open_to, key=lambda place: place.near_since) if alike else min(open_to, key=self._order)
            waiting.remove(chosen)
            self._begin(chosen)
        if self.tells:
            self._tell()
        for name in self._changed:
            self.transaction.put_gate(self._gates[name])
        if waiting:
            self._find_next(waiting)
        return self.found

    # --- places -------------------------------------------------------------------------------------------------------

    def _begin(self, place: Place) -> None:
        call = place.call
        place.state = "running"
        self.transaction.set_place(place)
        del self._near[call.key]
        if self._counted is not None:
            self._counted[_who(call)] += 1
        for gate in call.gates:
            state = self._gates[gate.name]
            state.in_flight += 1
            if state.gate.rate is not None:
                state.tokens -= 1.0
            self._changed.add(gate.name)
        waited = (self.now - place.since).total_seconds()
        if waited >= LONG_WAIT:
            self.transaction.add_waited(call.scope, call.root_id, waited)
        if place.worker == self.worker:
            self.found.running[call.key] = waited
        elif place.worker is not None:
            self.found.others.add(place.worker)

    @property
    def _running(self) -> Counter[tuple[str, str, str]]:
        """Calls in flight by resource, customer and agent; counted only where it matters who has how many."""
        if self._counted is None:
            self._counted = Counter(self.transaction.running_by_agent())
        return self._counted

    def _free(self, call: FlowCall) -> None:
        self._load([gate.name for gate in call.gates])
        if self._counted is not None:
            self._counted[_who(call)] -= 1
        for gate in call.gates:
            state = self._gates.get(gate.name)
            if state is not None:
                state.in_flight = max(0, state.in_flight - 1)
                self._changed.add(gate.name)

    def _lose(self, place: Place) -> None:
        """Has a call wait of which nothing is heard any more."""
        self._near.pop(place.call.key, None)
        place.not_before = self.now + LOST_FOR
        self._send_back(place)

    def _send_back(self, place: Place) -> None:
        """Has a call wait in the store."""
        if place.state == "running":
            self._free(place.call)
        place.state, place.worker, place.expires_at = "waiting", None, None
        self.transaction.set_place(place)

    def _come_near(self, place: Place, worker: str | None, lease: timedelta) -> None:
        if place.state != "near":
            place.near_since = self.now
        place.state, place.worker, place.expires_at = "near", worker, self.now + lease
        self._near[place.call.key] = place

    def _may_come_near(self, place: Place) -> bool:
        in_line = [each for each in self._near.values() if each.line == place.line]
        usual = self._near_at_most(place.call.gates)
        if len(in_line) < usual:
            return True
        customer = place.call.scope.customer
        return len(in_line) < usual + NEWCOMERS and all(each.call.scope.customer != customer for each in in_line)

    def _near_at_most(self, gates: Sequence[Gate]) -> int:
        return ahead([self._gates[gate.name].gate for gate in gates]) + max(0, int(self._room(gates)))

    # --- whose turn it is ---------------------------------------------------------------------------------------------

    def _order(self, place: Place) -> tuple[float, float, float]:
        """The smallest comes first: by what its customer has in flight for its share, then its agent, then by its age."""
        call = place.call
        of_customer = _of_customer(self._running, call.resource, call.scope.customer)
        of_agent = self._running[_who(call)]
        age = (self.now - place.near_since).total_seconds() + 0.001
        return (
            of_customer / call.weight,
            of_agent / call.agent_weight,
            -age * call.weight * call.agent_weight,
        )

    def _tell(self) -> None:
        """Has calls of the store come near, as many as will be needed soon."""
        lines = self.transaction.lines_waiting(FOR_EVER)
        self.found.waits = bool(lines)
        due = self.transaction.lines_waiting(self.now) if lines else {}
        for line, found in lines.items():
            call = self.transaction.first_waiting(line, found[0].customer, found[0].agent, FOR_EVER, 1)[0].call
            self._load([gate.name for gate in call.gates])
            near = Counter(_who(place.call) for place in self._near.values() if place.line == line)
            room = int(self._room(call.gates)) - near.total()
            if line in due:
                most = self._near_at_most(call.gates) - near.total()
                room -= self._tell_line(line, due[line], most, self.now, call.resource)
            if room > 0:
                left = self.transaction.lines_waiting(FOR_EVER).get(line, [])
                self._tell_line(line, left, room, FOR_EVER, call.resource)

    def _tell_line(self, line: str, found: Sequence[Waiting], count: int, moment: datetime, resource: str) -> int:
        """Has `count` calls of a line come near, of customers and agents that have the least for their share; how many came."""
        has = self._running + Counter(_who(place.call) for place in self._near.values())
        left = {(group.customer, group.agent): group.count for group in found}
        weights = {(group.customer, group.agent): (group.weight, group.agent_weight) for group in found}
        heads: dict[tuple[str, str], list[Place]] = {}

        def share(group: tuple[str, str]) -> tuple[float, float]:
            weight, agent_weight = weights[group]
            return _of_customer(has, resource, group[0]) / weight, has[resource, *group] / agent_weight

        count = max(0, min(count, sum(left.values())))
        for _ in range(count):
            group = min(left, key=share)
            if group not in heads:
                heads[group] = self.transaction.first_waiting(line, *group, moment, min(count, left[group]))
            place = heads[group].pop(0)
            has[resource, *group] += 1
            left[group] -= 1
            if not left[group]:
                del left[group]
            self._come_near(place, None, TOLD_FOR)
            self.transaction.set_place(place)
            self.found.told.append(place.call)
        return count

    # --- gates --------------------------------------------------------------------------------------------------------

    def _load(self, names: Sequence[str]) -> None:
        unknown = sorted({name for name in names if name not in self._gates})
        for name, state in self.transaction.gates(unknown).items():
            if state.gate.rate is not None:
                passed = max(0.0, (self.now - state.as_of).total_seconds())
                state.tokens = min(burst(state.gate.rate), state.tokens + passed * state.gate.rate)
                state.as_of = self.now
            self._gates[name] = state

    def _set_limits(self, gate: Gate) -> None:
        """The latest call of an agent, say, knows best what its file says."""
        state = self._gates.get(gate.name)
        if state is None:
            self._gates[gate.name] = GateState(gate, 0, burst(gate.rate) if gate.rate else 0.0, self.now)
            self._changed.add(gate.name)
        elif state.gate != gate:
            if gate.rate is not None:
                state.tokens = min(state.tokens, burst(gate.rate)) if state.gate.rate else burst(gate.rate)
                state.as_of = self.now
            state.gate = gate
            self._changed.add(gate.name)

    def _room(self, gates: Sequence[Gate]) -> float:
        """How many calls may begin, as far as these gates go."""
        room = 1e9
        for gate in gates:
            state = self._gates[gate.name]
            if state.gate.max_in_flight is not None:
                room = min(room, state.gate.max_in_flight - state.in_flight)
            if state.gate.rate is not None:
                room = min(room, state.tokens + 1e-6)
        return room

    def _find_next(self, waiting: Sequence[Place]) -> None:
        """When a call that waits for its rate may begin."""
        waits = [
            (1.0 - state.tokens) / state.gate.rate
            for place in waiting
            for state in (self._gates[gate.name] for gate in place.call.gates)
            if state.gate.rate is not None and state.tokens < 1.0
        ]
        if waits:
            # Bounded, for one customer's limit must not stop the calls of all.
            self.found.next_at = self.now + timedelta(seconds=min(LONGEST_LOOK, *waits))


def burst(rate: float) -> float:
    """How many calls may begin at once: those of a second."""
    return max(1.0, rate)


def line_of(call: FlowCall) -> str:
    """Calls that pass the same gates have the same line."""
    return hashlib.sha256("\n".join(sorted(gate.name for gate in call.gates)).encode()).hexdigest()


def _who(call: FlowCall) -> tuple[str, str, str]:
    return call.resource, call.scope.customer, call.agent


def _of_customer(counts: Counter[tuple[str, str, str]], resource: str, customer: str) -> int:
    return sum(count for (what, who, _), count in counts.items() if what == resource and who == customer)
