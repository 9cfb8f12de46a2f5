"""Shared parts of all steps: read, act, record.

`load` reads in the batch's one read transaction, `act` does the work outside of any transaction, `record` writes in the
batch's one write transaction. A step that finds itself recorded returns what is recorded.
"""

import logging
import traceback
from dataclasses import dataclass, field
from typing import Protocol

from caxton.domain.errors import CaxtonError, DiskFull, StoreUnavailable
from caxton.domain.executions import StepInput, StepResult
from caxton.domain.flow import FlowControl, FlowRules, NoLimits
from caxton.domain.ports import BlobStore, DeltaStream, ModelGateway, Sandbox, SchemaChecker, TemplateEngine
from caxton.domain.records import Records, Transaction
from caxton.domain.remote_agents import NoRemoteAgents, RemoteAgents
from caxton.domain.tools import BASE_LIMITS, ToolLimits
from caxton.governance.breakers import CircuitBreakers
from caxton.memory.memories import Memories
from caxton.routing.directory import Directory
from caxton.turns.known_steps import KnownSteps
from caxton.turns.short_calls import ShortCalls

log = logging.getLogger(__name__)

STORE_FAILURES = (StoreUnavailable, DiskFull)
"""Not the step's fault: it is tried again until the store works."""


@dataclass(frozen=True)
class StepPorts:
    """The world, as steps see it."""

    records: Records
    blobs: BlobStore
    sandbox: Sandbox
    models: ModelGateway
    templates: TemplateEngine
    stream: DeltaStream
    directory: Directory
    schemas: SchemaChecker
    breakers: CircuitBreakers
    """Knows what keeps failing and rests; counts what calls came to."""
    remote_agents: RemoteAgents = field(default_factory=NoRemoteAgents)
    """Reaches agents elsewhere."""
    memories: Memories | None = None
    """None where the server has no memory."""
    base_limits: ToolLimits = BASE_LIMITS
    """Limits of every tool without a grant."""
    accepts_only: bool = False
    """Whether this process only accepts requests, and leaves to workflows what needs memory or a tool that takes long."""
    flow: FlowControl = field(default_factory=NoLimits)
    """Lets calls over the network begin when it is their turn."""
    flow_rules: FlowRules = field(default_factory=FlowRules)
    """The limits that the server's settings name."""
    short_calls: ShortCalls = field(default_factory=ShortCalls)
    """Knows which tools the acceptance of a request waits for."""
    known_steps: KnownSteps = field(default_factory=KnownSteps)
    """Knows what long turns have done so far."""


@dataclass(frozen=True)
class Attempt:
    """Which attempt of a step it is, counted from 1, and how many its policy allows."""

    number: int
    most: int
    pause: float | None = None
    """Seconds until the next attempt, if this one fails; None where nobody begins another one."""
    longest: float | None = None
    """Seconds until it at most, whatever the one who refused says."""

    @property
    def is_last(self) -> bool:
        """Whether no other one follows."""
        return self.number >= self.most


ONLY = Attempt(1, 1)


def publish_step(ports: StepPorts, step: StepInput, result: StepResult) -> None:
    """Tells listeners that there is news: a step of the turn, or its end."""
    ended = result.outcome is not None and step.execution_id == step.root_id
    ports.stream.publish(step.root_id, "end" if ended else "step", {})


class Step(Protocol):
    """One step of one execution."""

    input: StepInput

    def load(self, transaction: Transaction) -> StepResult | None:
        """Reads what the step needs. A result means that there is nothing left to do.

        Raises:
            CaxtonError: the step cannot be done.
        """
        ...

    async def act(self) -> None:
        """Does the work.

        Raises:
            CaxtonError: the work failed.
        """
        ...

    def record(self, transaction: Transaction) -> StepResult:
        """Writes what came of it; may run more than once, so it has no other effects."""
        ...

    def after(self, result: StepResult, /) -> None:
        """Tells metrics and listeners, once the step is committed."""
        ...


def unexpected(error: Exception, step: StepInput) -> CaxtonError:
    """`error` as one of ours. What a bug prints may hold content, so the log gets its place only."""
    if isinstance(error, CaxtonError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "a step failed unexpectedly",
        extra={
            "step": f"{step.kind} {step.step}.{step.call}",
            "execution": step.execution_id,
            "error": type(error).__name__,
            "where": f"{where.filename}:{where.lineno}",
        },
    )
    return CaxtonError("something went wrong inside Caxton", "the server's log says where", reason=type(error).__name__)
