"""Executions: one agent at work on one request. A hand-over is an execution below another.

A turn is the tree of executions that one message sets off. Each step of an execution (open, model call, tool call, close) is
recorded in one transaction under (execution, step, call); a step that is already recorded is never done again.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.caller_context import CallerContext
from caxton.domain.conversations import WhenBusy
from caxton.domain.errors import ErrorReport, IdempotencyConflict
from caxton.domain.forks import Fork
from caxton.domain.governance import ApprovalMode, ApprovalState, RiskLevel, Verdict
from caxton.domain.ids import (
    ConversationId,
    DeploymentId,
    Digest,
    ExecutionId,
    MessageId,
    Scope,
    derived_id,
    id_near,
)
from caxton.domain.messages import Content, Message
from caxton.domain.origin import Origin
from caxton.domain.tools import Artifact
from caxton.domain.usage import Usage


class RoutingStrategy(StrEnum):
    """How the router chooses among agents that offer the same capability (event model 2.0, phase 3)."""

    DETERMINISTIC = "Deterministic"
    LOAD_BALANCED = "LoadBalanced"
    STOCHASTIC = "Stochastic"


class Target(BaseModel):
    """Whom a request is for: any agent with the capability, or one agent by name."""

    model_config = ConfigDict(frozen=True)

    capability: str | None = None
    version_range: str = "*"
    agent: str | None = None

    def __str__(self) -> str:
        return self.agent or self.capability or "?"


class TurnRequest(BaseModel):
    """A message that was admitted: what a workflow needs to answer it."""

    scope: Scope
    conversation_id: ConversationId
    execution_id: ExecutionId
    message_id: MessageId
    content: Content
    target: Target
    strategy: RoutingStrategy = RoutingStrategy.LOAD_BALANCED
    sender: str = "user"
    fingerprint: str = ""
    """Digest of what was asked, to tell a retry from another request under the same idempotency key."""
    one_shot: bool = False
    """Whether the conversation consists of this one turn and ends with it."""
    variables: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Values for the agent's templates."""
    channel: str | None = None
    """How it came in: "api", "cli" …"""
    origin: Origin | None = None
    """From where it came."""
    sent_at: datetime | None = None
    """When it was admitted."""
    requester: str | None = None
    """Who asked: `key:NAME`, or the subject of a token."""
    traceparent: str | None = None
    when_busy: WhenBusy | None = None
    """Where the message says so; else its capability does."""
    context: CallerContext | None = None
    """What the caller brings along."""
    files: tuple[Artifact, ...] = ()
    """Files that go with the message."""
    fork: Fork | None = None
    """What is taken over from another execution."""

    def again(self) -> "TurnRequest":
        """The same request, to be done again under the same idempotency key: an execution of its own, always the same one."""
        execution_id = ExecutionId(derived_id("x", self.execution_id, "again"))
        conversation_id = ConversationId(id_near("c", execution_id)) if self.one_shot else self.conversation_id
        new = {"conversation_id": conversation_id, "message_id": MessageId(id_near("m", execution_id, "request"))}
        return self.model_copy(update={"execution_id": execution_id, **new})

    def key_conflict(self) -> IdempotencyConflict:
        """What this one is told when another request has come with the same key."""
        return IdempotencyConflict(
            "the idempotency key was used before, for another request",
            "use a new key for a new request",
            details={"execution_id": self.execution_id},
        )


class ExecutionState(StrEnum):
    """States of an execution."""

    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


class Execution(BaseModel):
    """An execution as views show it."""

    id: ExecutionId
    parent_id: ExecutionId | None = None
    root_id: ExecutionId
    conversation_id: ConversationId
    message_id: MessageId
    agent: str | None = None
    agent_version: str | None = None
    agent_digest: Digest | None = None
    deployment_id: DeploymentId | None = None
    capability: str | None = None
    capability_version: str | None = None
    state: ExecutionState
    error: ErrorReport | None = None
    usage: Usage = Field(default_factory=Usage)
    depth: int = 0
    started_at: datetime
    finished_at: datetime | None = None


class TurnOutcome(BaseModel):
    """How a turn ended: small, for it is kept in workflow history. The reply itself is in the store."""

    execution_id: ExecutionId
    conversation_id: ConversationId
    state: Literal["completed", "failed", "running"]
    reply_id: MessageId | None = None
    error: ErrorReport | None = None
    others_wait: bool | None = None
    """Whether the conversation has other turns in progress; None if nobody has looked."""


class TurnView(BaseModel):
    """A turn as callers get it."""

    execution_id: ExecutionId
    conversation_id: ConversationId
    state: Literal["completed", "failed", "running"]
    reply: Message | None = None
    error: ErrorReport | None = None
    usage: Usage = Field(default_factory=Usage)
    agent: str | None = None
    duration_ms: float | None = None


_VIEWED: dict[ExecutionState, Literal["completed", "failed", "running"]] = {
    ExecutionState.COMPLETED: "completed",
    ExecutionState.FAILED: "failed",
    ExecutionState.RUNNING: "running",
}


def turn_view(execution: Execution, reply: Message | None) -> TurnView:
    """An execution and its reply, as callers get them."""
    took = None
    if execution.finished_at is not None:
        took = round((execution.finished_at - execution.started_at).total_seconds() * 1000, 3)
    return TurnView(
        execution_id=execution.id,
        conversation_id=execution.conversation_id,
        state=_VIEWED[execution.state],
        reply=reply,
        error=execution.error,
        usage=execution.usage,
        agent=execution.agent,
        duration_ms=took,
    )


class StepKind(StrEnum):
    """What a step of an execution does."""

    OPEN = "open"
    MODEL = "model"
    TOOL = "tool"
    CLOSE = "close"
    APPROVAL = "approval"
    """Asks a person."""
    DECISION = "decision"
    """Records what the person said, or that nobody said anything in time."""
    REPLY = "reply"
    """Sends the reply that waited for a decision, or says that it was refused."""


class RequestedCall(BaseModel):
    """A call that a model asked for. Its arguments are in the store with the model's step."""

    call: int
    """Position among the step's calls, from 1."""
    kind: Literal["tool", "capability"]
    name: str
    """"server.function", or the capability with its version range."""
    fast: bool = False
    """Whether the call is short and local: then it is a local activity."""
    needs_approval: bool = False
    """Whether a person must agree first."""
    action_type: str = "tool"


class ApprovalStatus(BaseModel):
    """How an approval stands."""

    id: str
    state: ApprovalState
    remaining: float = 0.0
    """Seconds until it expires."""
    decided_by: str | None = None
    reason: str = ""


class Decision(BaseModel):
    """What a person, or the clock, said of an approval."""

    approval_id: str
    verdict: Verdict
    actor: str = "system"
    origin: Origin | None = None
    reason: str = ""
    changed_by: str | None = None
    """The approver who has changed the arguments; the store has them, with that one's vote."""


class Plan(BaseModel):
    """What opening an execution settled: who works on it, within which limits."""

    execution_id: ExecutionId
    conversation_id: ConversationId
    agent: str
    agent_version: str
    agent_digest: Digest
    fast: bool
    """Whether its model calls are short and local (a script) or go over the network (a provider)."""
    max_steps: int
    max_depth: int
    max_loops: int
    max_tokens: int
    max_time: float
    model_timeout: float
    deployment_id: DeploymentId | None = None
    capability: str | None = None
    capability_version: str | None = None
    risk_level: RiskLevel | None = None
    approval_mode: ApprovalMode | None = None
    promised: float | None = None
    """Seconds within which the capability promises an answer."""
    requester: str | None = None
    """Who asked for the turn."""
    pool: str = "default"
    rollout: str | None = None
    """The rollout that it is counted for."""
    rehearses: ExecutionId | None = None
    """The execution whose record answers its calls, in a rehearsal: no tool runs, and nobody is asked."""


class Ending(BaseModel):
    """Why a workflow ends an execution: a code and a limit, no text. The text is made where it is recorded."""

    code: str
    value: float | None = None
    """The limit that was reached, where one was."""


class StepInput(BaseModel):
    """One step to do, by ids: contents, variables and error texts are in the store. Which fields count depends on `kind`."""

    kind: StepKind
    scope: Scope
    execution_id: ExecutionId
    root_id: ExecutionId
    step: int = 0
    call: int = 0
    parent_id: ExecutionId | None = None
    parent_step: int = 0
    parent_call: int = 0
    chain: list[str] = Field(default_factory=list[str])
    """Names of the agents above, outermost first, for the limits on depth and loops."""
    chain_limits: list[tuple[int, int]] = Field(default_factory=list[tuple[int, int]])
    """open: (depth, loops) limits of the agents in `chain`."""
    pinned: dict[str, Digest] = Field(default_factory=dict[str, Digest])
    """open: versions that the turn has worked with so far, by agent."""
    plan: Plan | None = None
    """model, tool, close: the execution's plan."""
    ending: Ending | None = None
    """close: why."""
    refused: bool = False
    """tool: whether a person did not approve the call, which is to be recorded in place of a result."""
    decision: Decision | None = None
    """decision: what was said."""
    time_left: float | None = None
    """model: seconds that the execution's time limit still allows."""
    one_shot: bool = False
    traceparent: str | None = None
    """The trace that the turn belongs to."""

    @model_validator(mode="after")
    def _as_its_kind_wants(self) -> Self:
        """What a kind of step cannot do without is there, and what only another kind has is not."""
        missing = [name for name, kinds in _NEEDED.items() if self.kind in kinds and not getattr(self, name)]
        strange = [name for name, kinds in _ONLY_OF.items() if self.kind not in kinds and getattr(self, name)]
        if missing or strange:
            raise ValueError(f"a step of the kind {self.kind} has no {', '.join(missing) or 'place for ' + strange[0]}")
        return self


_OF_A_PLAN = frozenset(StepKind) - {StepKind.OPEN, StepKind.CLOSE}
"""Kinds of steps that follow from a plan. An execution may be closed before it has one."""

_NEEDED: dict[str, frozenset[StepKind]] = {
    "plan": _OF_A_PLAN,
    "step": _OF_A_PLAN,
    "ending": frozenset({StepKind.CLOSE}),
    "decision": frozenset({StepKind.DECISION}),
}

_ONLY_OF: dict[str, frozenset[StepKind]] = {
    "ending": frozenset({StepKind.CLOSE}),
    "decision": frozenset({StepKind.DECISION}),
    "refused": frozenset({StepKind.TOOL}),
    "time_left": frozenset({StepKind.MODEL}),
}


class StepResult(BaseModel):
    """What a step brought, inside the process that did it."""

    plan: Plan | None = None
    """open: the plan."""
    outcome: TurnOutcome | None = None
    """The execution's end, when the step ended it or found it ended."""
    calls: list[RequestedCall] = Field(default_factory=list[RequestedCall])
    """model: calls to make before the next model call."""
    usage: Usage = Field(default_factory=Usage)
    """model: what the execution has used so far."""
    artifacts: list[Artifact] = Field(default_factory=list[Artifact])
    needs_approval: bool = False
    """model: whether the reply that it made waits for a person."""
    approval: ApprovalStatus | None = None
    """approval, decision: how it stands."""
    waited: float = 0.0
    """model, tool: see :class:`StepDone`."""
    last: "StepResult | None" = None
    """open: what the last recorded model call brought, with the calls that are not recorded yet; None before the first."""
    at: int = 1
    """The model call that `last` is, counted from 1."""


class StepDone(BaseModel):
    """What the workflow is told of a step: all that it decides by, and nothing else, for it stays in its history."""

    ended: bool = False
    """Whether the execution has ended."""
    cancelled: bool = False
    """Whether it ended because its turn was cancelled, which ends those above it, too: a worker may know before the workflow."""
    others_wait: bool | None = None
    """Whether the conversation had other turns in progress when this one ended; None if nobody has looked."""
    plan: Plan | None = None
    calls: list[RequestedCall] = Field(default_factory=list[RequestedCall])
    tokens: int = 0
    needs_approval: bool = False
    approval: ApprovalStatus | None = None
    last: "StepDone | None" = None
    at: int = 1
    waited: float = 0.0
    """model, tool: seconds that the call waited for its place, in the worker: they do not count as the agent's time."""
    queued: bool = False
    """model, tool: whether the call has not been made, for it is not its turn: the workflow is told when it is."""

    @classmethod
    def of(cls, result: StepResult) -> "StepDone":
        """What `result` means for the workflow."""
        if result.outcome is not None:
            return cls(ended=True, others_wait=result.outcome.others_wait)
        return cls(
            plan=result.plan,
            calls=result.calls,
            tokens=result.usage.tokens,
            needs_approval=result.needs_approval,
            approval=result.approval and result.approval.model_copy(update={"reason": ""}),
            last=None if result.last is None else cls.of(result.last),
            waited=round(result.waited, 3),
            at=result.at,
        )


class Queue(BaseModel):
    """The turns of one conversation, as its workflow asks for them."""

    scope: Scope
    conversation_id: ConversationId


class NextTurn(BaseModel):
    """The turn whose turn it is, begun: what its workflow needs to go on with it."""

    execution_id: ExecutionId
    one_shot: bool
    opened: StepDone
    elapsed: float = 0.0
    """Seconds that it has worked so far, without those in which it waited for people."""
    traceparent: str | None = None


class Accepted(BaseModel):
    """What became of a request at the door. Unless it is refused, it is in the store."""

    state: Literal["ended", "running", "refused", "failed_before"]
    """`failed_before`: it came earlier, and failed in a way that may pass: it is to be done :meth:`~TurnRequest.again`."""
    outcome: TurnOutcome | None = None
    """How it ended, if it has."""
    error: ErrorReport | None = None
    """Why it is refused, if it is: then nothing of it is recorded."""
    gave_way: list[ExecutionId] = Field(default_factory=list[ExecutionId])
    """Turns of its conversation that end because of it."""


def opening_of(request: TurnRequest) -> StepInput:
    """The first step of the execution that `request` stands for."""
    return StepInput(
        kind=StepKind.OPEN,
        scope=request.scope,
        execution_id=request.execution_id,
        root_id=request.execution_id,
        one_shot=request.one_shot,
        traceparent=request.traceparent,
    )


def step_of(kind: StepKind, opening: StepInput, plan: Plan, number: int, call: int = 0) -> StepInput:
    """A later step of the execution that `opening` began."""
    return StepInput(
        kind=kind,
        scope=opening.scope,
        execution_id=opening.execution_id,
        root_id=opening.root_id,
        step=number,
        call=call,
        parent_id=opening.parent_id,
        parent_step=opening.parent_step,
        parent_call=opening.parent_call,
        chain=opening.chain,
        plan=plan,
        one_shot=opening.one_shot,
        traceparent=opening.traceparent,
    )


def cancellation_of(root_id: ExecutionId) -> ExecutionId:
    """Where in the stream whoever works on a turn hears that it is cancelled; apart from what listeners to the turn hear."""
    return ExecutionId(f"cancel {root_id}")
