"""Governance as agents declare it: risk, approval, service levels, budgets."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.ids import ConversationId, ExecutionId, Name, derived_id
from caxton.domain.matchers import Pattern, may_match, surely_like
from caxton.domain.quantities import Seconds, one_of
from caxton.domain.questions import Question, question_id, question_in


class RiskLevel(StrEnum):
    """How much harm a wrong action may do."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ApprovalMode(StrEnum):
    """Who must agree before an action goes out."""

    AUTO = "auto"
    """Nobody."""
    OPERATOR = "operator"
    """A key with the role operator or admin."""
    FOUNDER = "founder"
    """A key with the role admin."""


class ApprovalState(StrEnum):
    """States of an approval."""

    PENDING = "Pending"
    GRANTED = "Granted"
    REJECTED = "Rejected"
    TIMED_OUT = "TimedOut"
    WITHDRAWN = "Withdrawn"
    """An execution ended before its action was decided on."""


class Verdict(StrEnum):
    """What ends an approval."""

    GRANT = "grant"
    REJECT = "reject"
    TIMEOUT = "timeout"


STATE_AFTER = {
    Verdict.GRANT: ApprovalState.GRANTED,
    Verdict.REJECT: ApprovalState.REJECTED,
    Verdict.TIMEOUT: ApprovalState.TIMED_OUT,
}


LONGEST_APPROVAL = 30 * 86_400.0
"""Seconds that an action may wait for a person."""


class ApprovalPolicy(BaseModel):
    """What must happen before an action goes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    risk_level: Annotated[RiskLevel, one_of(RiskLevel)] = Field(
        default=RiskLevel.LOW, description="How much harm a wrong action may do."
    )
    approval_mode: Annotated[ApprovalMode, one_of(ApprovalMode)] = Field(
        default=ApprovalMode.AUTO, description="Who must agree before it goes out."
    )
    approval_timeout: Seconds = Field(
        default=86_400.0,
        gt=0,
        le=LONGEST_APPROVAL,
        description='Time to wait for a decision, such as "2d"; without one the action is not done.',
    )

    approvals_needed: int = Field(default=1, ge=1, le=10, description="How many different people must agree.")
    four_eyes: bool = Field(default=False, description="Whether whoever asked for the work may not decide on it.")

    @property
    def needs_approval(self) -> bool:
        """Whether a person must agree."""
        return self.approval_mode is not ApprovalMode.AUTO


class ToolPolicy(ApprovalPolicy):
    """`[tool_policies."server.function"]`: what a tool's calls need, when this agent makes them."""

    action_type: Name = Field(default="tool", description="What events and metrics call the action.")
    when: Pattern = Field(
        default={},
        max_length=20,
        description="Only calls with such arguments need approval: a value, or above, below, like, one_of.",
    )

    def asks_for(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a person must agree with a call with these arguments."""
        return self.needs_approval and may_match(self.when, arguments)


class EscalationStep(BaseModel):
    """One step of an escalation chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Seconds = Field(default=0.0, ge=0, le=7 * 86_400, description='Time after the breach, such as "5m".')
    notify: Name = Field(description="The channel, as the server's settings name it: [channels.NAME].")


class ServiceLevel(BaseModel):
    """`sla` of a capability: within which time an answer is promised, and what happens when it is not kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    respond_within: Seconds = Field(gt=0, le=LONGEST_APPROVAL, description='The promise, such as "30s".')
    pressure_after: Seconds | None = Field(
        default=None, gt=0, description="When to press for an answer; 80 % of `respond_within` unless given."
    )
    pressure_notify: Name | None = Field(default=None, description="A channel to tell then.")
    escalation: list[EscalationStep] = Field(default=[], max_length=10, description="Whom to tell after a breach.")
    suspend_after: int | None = Field(
        default=None, ge=1, le=10_000, description="Breaches within `suspend_window` that suspend the deployment."
    )
    suspend_window: Seconds = Field(default=3600.0, gt=0, le=30 * 86_400, description="Over which breaches count.")

    @model_validator(mode="after")
    def _in_order(self) -> "ServiceLevel":
        if self.pressure_after is not None and self.pressure_after >= self.respond_within:
            raise ValueError("pressure_after must be shorter than respond_within")
        times = [step.after for step in self.escalation]
        if times != sorted(times):
            raise ValueError("the steps of an escalation must be in order of `after`")
        return self

    @property
    def pressure_at(self) -> float:
        """Seconds after the request at which pressure begins."""
        return self.pressure_after if self.pressure_after is not None else 0.8 * self.respond_within


BudgetResource = Literal["tokens", "cost_usd", "requests"]
BudgetPeriod = Literal["hour", "day", "month", "total"]


class Vote(BaseModel):
    """An approver who agrees, where it takes several, or who agrees with other arguments."""

    approver: str
    actor: str
    reason: str = ""
    made_at: datetime
    arguments: dict[str, Any] | None = None
    """The arguments as the approver has changed them."""


class RememberedGrant(BaseModel):
    """Calls that need no further decision for a while, because one like them was approved."""

    id: str
    agent: str
    name: str
    """"server.function"."""
    arguments: dict[str, Any]
    """Those of the call that was approved. A call must have the same, but for those that `like` names."""
    like: Pattern = {}
    approval_id: str
    granted_by: str
    """The actor."""
    approver: str
    """As in :attr:`Approval.requested_by`."""
    key_id: str | None = None
    """The key that gave it, or the one in its place: with that key it ends. None: with a token, or by an earlier version."""
    approval_mode: ApprovalMode = ApprovalMode.OPERATOR
    """For whom the approval was."""
    reason: str = ""
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def covers(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it is about a call with these arguments."""
        return surely_like(self.arguments, self.like, arguments)


class Approval(BaseModel):
    """An action that waits, or waited, for a person."""

    id: str
    execution_id: ExecutionId
    root_id: ExecutionId
    """The turn that it holds up."""
    conversation_id: ConversationId
    step: int
    call: int
    """Position among the step's calls, from 1; 0 is the reply."""
    agent: str
    capability: str | None = None
    action_type: str
    name: str = ""
    """"server.function" of a tool; empty for a reply."""
    content: str = ""
    """What the approver has to judge: the arguments as JSON, or the text of the reply."""
    risk_level: RiskLevel = RiskLevel.LOW
    approval_mode: ApprovalMode = ApprovalMode.OPERATOR
    requested_by: str | None = None
    """Whoever asked for the work: `key:NAME`, or the subject of a token; None where that is not known."""
    four_eyes: bool = False
    """Whether the requester may not decide."""
    approvals_needed: int = 1
    """How many different approvers must agree."""
    votes: list[Vote] = []
    """Those who have agreed, where it takes several."""
    arguments: dict[str, Any] | None = None
    """The arguments as the approver has changed them; `content` has them as they were asked for."""
    remembered: str | None = None
    """The remembered grant that decided."""
    unsandboxed: str | None = None
    """Where the MCP server of the call's tool is, which runs outside of the sandbox: a URL or a command line."""
    state: ApprovalState = ApprovalState.PENDING
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str = ""

    @property
    def question(self) -> Question | None:
        """What the MCP server of the call's tool asks, where the approval is an answer to it, and not to the call."""
        found = question_in(self.content) if self.call else None
        if found is None or self.id != question_id(self.execution_id, self.step, self.call, found.number):
            return None
        return found

    @property
    def action_id(self) -> str:
        """What events call the action that waits."""
        question = self.question
        return f"{self.step}.{self.call}" + (f".q{question.number}" if question else "")


def approval_id(execution_id: ExecutionId, step: int, call: int) -> str:
    """The approval that a step's call (0: its reply) needs: the same after any crash."""
    return derived_id("ap", execution_id, str(step), str(call))


class Budget(BaseModel):
    """A limit on what a customer, a workspace or an agent may use in a period."""

    workspace: str = ""
    """Empty: all workspaces of the customer."""
    agent: str = ""
    """Empty: all agents."""
    resource: BudgetResource
    period: BudgetPeriod
    limit: float
    used: float = 0.0
    """In the period that began at `starts_at`."""
    starts_at: datetime
    ends_at: datetime | None = None
    """None: the period is everything that ever was."""
    warned: bool = False
    set_by: str = ""

    @property
    def subject(self) -> str:
        """Whom it limits, for people."""
        if self.agent:
            return f'agent "{self.agent}" of workspace "{self.workspace}"'
        return f'workspace "{self.workspace}"' if self.workspace else "the customer"


WARN_AT = 0.8
"""Share of a budget at which its use is worth a warning."""


def period_of(period: BudgetPeriod, moment: datetime) -> tuple[datetime, datetime | None]:
    """Begin and end of the period that `moment` lies in. Periods follow the calendar, in UTC."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    if period == "hour":
        return hour, hour + timedelta(hours=1)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    return datetime(1970, 1, 1, tzinfo=UTC), None
