"""Executions: one agent at work on one request. A hand-over is an execution below another.

A turn is the tree of executions that one message sets off. Each step of an execution (open, model call, tool call, close) is
recorded in one transaction under (execution, step, call); a step that is already recorded is never done again.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.errors import ErrorReport, IdempotencyConflict
from caxton.domain.governance import ApprovalMode, ApprovalState, RiskLevel, Verdict
from caxton.domain.ids import ConversationId, DeploymentId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.messages import Content, Message
from caxton.domain.tools import Artifact


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
    sent_at: datetime | None = None
    """When it was admitted."""
    traceparent: str | None = None

    def key_conflict(self) -> IdempotencyConflict:
        """What this one is told when another request has come with the same key."""
        return IdempotencyConflict(
            "the idempotency key was used before, for another request",
            "use a new key for a new request",
            details={"execution_id": self.execution_id},
        )


class Usage(BaseModel):
    """What model calls used. `cost_usd` is None where the price is not known."""

    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def plus(self, other: "Usage", *, model_calls: int | None = None) -> "Usage":
        """The sum of both; with `model_calls` the other one counts as so many."""
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            model_calls=self.model_calls + (other.model_calls if model_calls is None else model_calls),
            tool_calls=self.tool_calls + other.tool_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=sum(costs) if costs else None,
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
    """Whether the call may run inside a batch."""
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
    reason: str = ""


class Plan(BaseModel):
    """What opening an execution settled: who works on it, within which limits."""

    execution_id: ExecutionId
    conversation_id: ConversationId
    agent: str
    agent_version: str
    agent_digest: Digest
    fast: bool
    """Whether its model calls may run inside a batch (a script) or need an activity of their own (a provider)."""
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
    pool: str = "default"


class StepInput(BaseModel):
    """One step to do. Which fields count depends on `kind`."""

    model_config = ConfigDict(arbitrary_types_allowed=False)

    kind: StepKind
    scope: Scope
    execution_id: ExecutionId
    root_id: ExecutionId
    step: int = 0
    call: int = 0
    request: TurnRequest | None = None
    """open: the request. For a hand-over its content is empty: it stands in the parent's step."""
    parent_id: ExecutionId | None = None
    parent_step: int = 0
    parent_call: int = 0
    chain: list[str] = Field(default_factory=list[str])
    """open: names of the agents above, outermost first, for the limits on depth and loops."""
    chain_limits: list[tuple[int, int]] = Field(default_factory=list[tuple[int, int]])
    """open: (depth, loops) limits of the agents in `chain`."""
    pinned: dict[str, Digest] = Field(default_factory=dict[str, Digest])
    """open: versions that the turn has worked with so far, by agent."""
    yields: bool = False
    """open: whether to leave it to the conversation's own workflow while another turn of the conversation is under way.
    tool: whether to leave a call that takes long to an activity of its own."""
    plan: Plan | None = None
    """model, tool, close: the execution's plan."""
    error: ErrorReport | None = None
    """close: why the execution failed."""
    decision: Decision | None = None
    """decision: what was said. reply: how the approval ended."""
    one_shot: bool = False
    traceparent: str | None = None
    """The trace that the turn belongs to."""


class StepResult(BaseModel):
    """What a step brought. An `error` that is retryable may be tried again by workflow policy."""

    plan: Plan | None = None
    """open: the plan."""
    outcome: TurnOutcome | None = None
    """The execution's end, when the step ended it or found it ended."""
    calls: list[RequestedCall] = Field(default_factory=list[RequestedCall])
    """model: calls to make before the next model call."""
    usage: Usage = Field(default_factory=Usage)
    """model: what the whole turn has used so far."""
    error: ErrorReport | None = None
    artifacts: list[Artifact] = Field(default_factory=list[Artifact])
    needs_approval: bool = False
    """model: whether the reply that it made waits for a person."""
    approval: ApprovalStatus | None = None
    """approval, decision: how it stands."""
    must_wait: bool = False
    """open: another turn of the conversation is under way, so this one was not begun. tool: the call takes long, so it was
    not made, or was ended."""
    first: "StepResult | None" = None
    """open: what the first model call brought, where the agent answers at once."""


def opening_of(request: TurnRequest, *, pinned: dict[str, Digest] | None = None, yields: bool = False) -> StepInput:
    """The first step of the execution that `request` stands for."""
    return StepInput(
        kind=StepKind.OPEN,
        scope=request.scope,
        execution_id=request.execution_id,
        root_id=request.execution_id,
        request=request,
        pinned=pinned or {},
        yields=yields,
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
        plan=plan,
        one_shot=opening.one_shot,
        traceparent=opening.traceparent,
    )
