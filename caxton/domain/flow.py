"""Flow control: how many calls of models and tools are in flight, how many begin in a time, and whose turn it is.

A call takes a place at each of its gates: those of its customer and agent, of its provider and model, or of its tool. It begins
when all of them have room.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.ids import ConversationId, ExecutionId, Scope, digest_of
from caxton.domain.quantities import LEAST_RATE, RateSetting

MOST_IN_FLIGHT = 100_000

LONGEST_NAME = 300
"""Of a gate; longer ones, as of models with odd names, go by their digest."""

MIDDLE = 3
"""The priority of whoever has none."""


def weight_of(priority: int) -> float:
    """How large a share a priority gives, beside the 1 of the middle one. It is a share and no right of way: nobody starves."""
    return 2.0 ** (MIDDLE - priority)


class FlowLimit(BaseModel):
    """How many calls may be in flight, and how many may begin in a time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_in_flight: int | None = Field(
        default=None, ge=1, le=MOST_IN_FLIGHT, description="Calls that can be in flight at the same time."
    )
    rate: RateSetting | None = Field(
        default=None,
        ge=LEAST_RATE,
        le=1e6,
        description='Rate at which calls can begin, such as "10/s", "600/m" or "1000/h".',
    )


class CustomerFlow(FlowLimit):
    """Likewise for the calls of one customer."""

    priority: int = Field(
        default=MIDDLE,
        ge=1,
        le=5,
        description="Share of what several customers wait for: 1 is the largest, 5 the smallest; each step halves it.",
    )


@dataclass(frozen=True, slots=True)
class Gate:
    """What a call has to pass."""

    name: str
    """Such as "provider:openai" or "agent:acme/default/writer"."""
    max_in_flight: int | None = None
    rate: float | None = None
    """Calls a second."""


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A call of a model or a tool that has gates to pass."""

    scope: Scope
    execution_id: ExecutionId
    step: int
    call: int
    root_id: ExecutionId
    conversation_id: ConversationId
    agent: str
    resource: str
    """What is shared: a provider or a tool. Customers and agents have equal shares of it, unless priorities say otherwise."""
    gates: tuple[Gate, ...]
    weight: float = 1.0
    """The customer's share."""
    agent_weight: float = 1.0
    """The agent's, of its customer's."""

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What tells it from all other calls."""
        return self.scope.customer, self.scope.workspace, self.execution_id, self.step, self.call


class CallQueued(Exception):
    """The call waits in the store until it is its turn; its workflow is told then."""

    def __init__(self, waited: float = 0.0) -> None:
        """Say for how many seconds it waited in its worker before."""
        super().__init__()
        self.waited = waited


class PlaceLost(Exception):
    """The worker could not keep the call's place while the call was made: it is made again."""


class FlowControl(Protocol):
    """Lets calls begin when it is their turn."""

    def place(self, call: FlowCall, *, may_queue: bool = True) -> AbstractAsyncContextManager[float]:
        """Around a call: begins when all of its gates have room. Gives the seconds that it waited.

        Args:
            call: which call.
            may_queue: whether the call's workflow can be told when it is its turn; else it is waited for here.

        Raises:
            CallQueued: it waits in the store.
            PlaceLost: its place was lost while it was made.
            Overloaded: it may not queue, and would wait for too long.
        """
        ...


class NoLimits:
    """Where nothing limits calls."""

    @asynccontextmanager
    async def place(self, call: FlowCall, *, may_queue: bool = True) -> AsyncGenerator[float]:
        """Begins at once."""
        del call, may_queue
        yield 0.0


PlaceFor = Callable[[str, str, bool], AbstractAsyncContextManager[float]]
"""A place for a call of a provider's model: given the provider, "provider:model", and whether the call may queue."""


@dataclass(frozen=True)
class FlowRules:
    """The limits that the server's settings name."""

    providers: Mapping[str, FlowLimit] = field(default_factory=dict[str, FlowLimit])
    models: Mapping[str, FlowLimit] = field(default_factory=dict[str, FlowLimit])
    customers: Mapping[str, CustomerFlow] = field(default_factory=dict[str, CustomerFlow])
    each_customer: CustomerFlow = field(default_factory=CustomerFlow)
    """For customers that are not named."""

    def customer(self, name: str) -> CustomerFlow:
        """What holds for a customer."""
        return self.customers.get(name, self.each_customer)

    def customer_gates(self, scope: Scope) -> list[Gate]:
        """Gates of all calls of a customer."""
        return _gate(f"customer:{scope.customer}", self.customer(scope.customer))

    def gates(self, scope: Scope, agent: str, agent_limit: Any) -> list[Gate]:
        """Gates of all calls of an agent: its customer's and its own."""
        return [
            *self.customer_gates(scope),
            *_gate(f"agent:{scope.customer}/{scope.workspace}/{agent}", agent_limit),
        ]

    def model_gates(self, provider: str, model: str) -> list[Gate]:
        """Gates of calls of a model."""
        return [
            *_gate(f"provider:{provider}", self.providers.get(provider)),
            *_gate(f"model:{model}", self.models.get(model)),
        ]

    def tool_gates(self, scope: Scope, tool: str, tool_limit: Any) -> list[Gate]:
        """Gates of calls of a tool."""
        return _gate(f"tool:{scope.customer}/{scope.workspace}/{tool}", tool_limit)


def _gate(name: str, limit: Any) -> list[Gate]:
    """The gate, if `limit`, which has `max_in_flight` and `rate`, limits anything."""
    if limit is None or (limit.max_in_flight is None and limit.rate is None):
        return []
    return [Gate(name if len(name) <= LONGEST_NAME else digest_of(name.encode()), limit.max_in_flight, limit.rate)]


MOST_AHEAD = 50


def ahead(gates: Sequence[Gate]) -> int:
    """How many calls wait where they can begin at once.

    Enough that places which are free at the same moment are taken: also those of a worker that died, with what waited there.
    """
    limits = [2 * gate.max_in_flight for gate in gates if gate.max_in_flight is not None]
    rates = [max(1, round(gate.rate)) for gate in gates if gate.rate is not None]
    return min([MOST_AHEAD, *limits, *rates])
