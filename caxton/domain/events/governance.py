"""Approvals, service levels and budgets (Aximo event model, 3.3 and 3.4)."""

from datetime import datetime
from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class ApprovalEvent(Payload):
    """What happened to a request for approval."""

    category: ClassVar[Category] = "approval"
    approval_id: str
    action_id: str = ""
    action_type: str
    name: str = ""


class ApprovalRequested(ApprovalEvent):
    """An action waits for a person's decision."""

    sentence: ClassVar[str] = "{action_type} {name} waits for approval"
    expires_at: str
    content_hash: str | None = None
    """Of the arguments or the text that waits."""
    unsandboxed: str | None = None
    """Where the MCP server of the call's tool is, which runs outside of the sandbox."""


class ApprovalGranted(ApprovalEvent):
    """An action was approved."""

    sentence: ClassVar[str] = "{action_type} {name} was approved"
    reason: str = ""
    approvers: list[str] = []
    """All who agreed, where it took several."""
    changed: list[str] = []
    """Arguments that the approver changed."""
    hash_before: str | None = None
    hash_after: str | None = None
    """Of all arguments before and after the change."""
    remembered: str | None = None
    """The remembered grant that decided."""


class VoteCast(ApprovalEvent):
    """One of several approvers agreed."""

    sentence: ClassVar[str] = "{count} of {needed} agree with {action_type} {name}"
    count: int
    needed: int
    reason: str = ""


class VoteDropped(ApprovalEvent):
    """One of several approvers counts no more: the key that agreed has ended, or may no longer decide."""

    sentence: ClassVar[str] = "{approver} counts no more for {action_type} {name}"
    approver: str
    """`key:NAME`."""


class RememberedGrantCreated(ApprovalEvent):
    """Calls like one that was approved need no decision for a while."""

    sentence: ClassVar[str] = "calls of {name} like this one are approved until {until}"
    grant_id: str
    until: datetime
    like: list[str] = []
    """Arguments that may differ within a pattern."""
    arguments_hash: str = ""


class RememberedGrantRevoked(ApprovalEvent):
    """A remembered grant ended: calls need a decision again."""

    sentence: ClassVar[str] = "calls of {name} need approval again"
    grant_id: str
    key_id: str | None = None
    """The key that gave it, if it ended with that key."""


class ApprovalRejected(ApprovalEvent):
    """An action was rejected."""

    sentence: ClassVar[str] = "{action_type} {name} was refused: {reason}"
    reason: str = ""


class ApprovalTimeout(ApprovalEvent):
    """No decision was made in time: the action is not carried out."""

    sentence: ClassVar[str] = "nobody decided on {action_type} {name}"


class ApprovalWithdrawn(ApprovalEvent):
    """An execution ended before its action was decided on."""

    sentence: ClassVar[str] = "{action_type} {name} no longer needs approval"


class GovernanceEvent(Payload):
    """Service levels and budgets."""

    category: ClassVar[Category] = "governance"


class PressureInvoked(GovernanceEvent):
    """A reply is due soon under the SLA."""

    sentence: ClassVar[str] = "an answer is due in {remaining_s} s"
    respond_within_s: float
    remaining_s: float


class SlaBreached(GovernanceEvent):
    """A reply missed the time that the SLA allows."""

    sentence: ClassVar[str] = "no answer within {respond_within_s} s"
    respond_within_s: float
    elapsed_s: float
    answered: bool
    """Whether the answer came too late (true) or has not come yet."""


class EscalationTriggered(GovernanceEvent):
    """A channel is to be notified of a breach, or of pressure."""

    sentence: ClassVar[str] = "{channel} is notified ({cause}, level {level})"
    cause: str
    """"pressure", "breach" or "suspension"."""
    level: int
    channel: str


class EscalationDelivered(GovernanceEvent):
    """A channel accepted a notice."""

    sentence: ClassVar[str] = "{channel} accepted the notice"
    cause: str
    level: int
    channel: str
    attempts: int = 1
    status: int | None = None


class EscalationDelayed(GovernanceEvent):
    """A channel did not accept a notice; another attempt follows."""

    sentence: ClassVar[str] = "{channel} did not accept the notice ({reason}); attempt {attempts}, others follow"
    cause: str
    level: int
    channel: str
    attempts: int
    reason: str


class EscalationFailed(GovernanceEvent):
    """A notice was given up: its channel could not be reached."""

    sentence: ClassVar[str] = "{channel} did not get the notice: {reason}"
    cause: str
    level: int
    channel: str
    attempts: int
    reason: str


class DeadlineAbandoned(GovernanceEvent):
    """A timed action failed again and again, and was given up."""

    sentence: ClassVar[str] = "the {kind} of {execution_id} was given up after {attempts:attempt} ({reason})"
    kind: str
    execution_id: str
    attempts: int
    reason: str


class BudgetSet(GovernanceEvent):
    """A budget was set or removed."""

    sentence: ClassVar[str] = "budget: {limit} {resource} a {period} for {subject}"
    subject: str
    resource: str
    period: str
    limit: float | None = None
    """None: the limit was removed."""
    before: float | None = None


class BudgetWarning(GovernanceEvent):
    """80 % of a budget is used."""

    sentence: ClassVar[str] = "{subject} has used {used} of {limit} {resource}"
    subject: str
    resource: str
    period: str
    limit: float
    used: float


class BudgetExceeded(BudgetWarning):
    """A budget is used up: work that needs it is refused."""

    sentence: ClassVar[str] = "{subject} has used all of {limit} {resource}"


class BudgetRefused(BudgetWarning):
    """Work was refused because a budget is used up: recorded for the first refusal of a period, and for each turn that ends."""

    sentence: ClassVar[str] = "work is refused: {subject} has used {used} of {limit} {resource}"


class MetricDefined(GovernanceEvent):
    """A metric over events was defined, changed or removed."""

    sentence: ClassVar[str] = "metric {name} defined"
    name: str
    definition: dict[str, object] | None = None
