"""The records port: what is kept, as reads and writes within one transaction.

A :class:`Records` runs a function with a :class:`Transaction`. Every method takes a :class:`Scope`, so a query without a
customer cannot be written.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from caxton.domain.agents import AgentVersion
from caxton.domain.conversations import Conversation, EndReason
from caxton.domain.deployments import Bundle, Change, Deployment, DeploymentRequest, DeploymentState
from caxton.domain.errors import ErrorReport
from caxton.domain.events import Event
from caxton.domain.events.chain import EventHead
from caxton.domain.executions import Execution, ExecutionState, Usage
from caxton.domain.governance import Approval, ApprovalState, Budget
from caxton.domain.ids import ConversationId, DeploymentId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.memory import Retention
from caxton.domain.memory_port import Place
from caxton.domain.messages import Message
from caxton.domain.sealing import Unplaced
from caxton.domain.tools import ToolVersion

ComponentKind = Literal["agent", "tool"]


@dataclass(frozen=True, slots=True)
class Component:
    """An agent or a tool as deployed now."""

    kind: ComponentKind
    name: str
    digest: Digest
    version: str
    state: str
    reason: str | None
    deployment_id: DeploymentId | None
    updated_at: datetime
    suspended: str | None = None
    """Why it takes no work, though its state would let it."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a step brought."""

    execution_id: ExecutionId
    step: int
    call: int
    kind: str
    ok: bool
    payload: dict[str, Any]
    agent: str | None = None
    tool: str | None = None
    function: str | None = None
    error_code: str | None = None
    duration_ms: float | None = None
    cpu_ms: float | None = None
    fuel: int | None = None
    memory: int | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """An execution with what only the core needs of it."""

    execution: Execution
    fingerprint: str
    reply_id: MessageId | None
    variables: dict[str, Any]

    def usage_after(self, steps: Iterable[StepRecord]) -> Usage:
        """What it has used with all its `steps`. Tool calls side by side do not know of each other: they are counted."""
        used, calls = self.execution.usage, sum(step.kind == "tool" for step in steps)
        return used if used.tool_calls == calls else used.model_copy(update={"tool_calls": calls})


@dataclass(frozen=True, slots=True)
class TurnsSoFar:
    """What the turns of a conversation so far settled for the next one."""

    agent: str | None = None
    """Who answered first: the conversation stays with it."""
    digest: Digest | None = None
    """In which version."""
    running: ExecutionId | None = None
    """The last turn, if it has not ended."""


@dataclass(frozen=True, slots=True)
class HistoryWanted:
    """So many of the latest messages of a conversation before a moment."""

    conversation_id: ConversationId
    before: datetime
    limit: int


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """How calls went: of a tool, an agent or a capability. Times are milliseconds."""

    name: str
    calls: int
    succeeded: int
    mean_ms: float | None
    p95_ms: float | None
    mean_cpu_ms: float | None = None
    peak_memory: int | None = None
    last_used: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class Deadline:
    """What is to happen at a time unless the execution ends before."""

    scope: Scope
    execution_id: ExecutionId
    kind: Literal["pressure", "breach", "escalation", "memory"]
    level: int
    due_at: datetime
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UndoPage:
    """A part of what a bulk operation on memory needs to be undone."""

    operation: str
    number: int
    kind: str
    actor: str
    made_at: datetime
    count: int
    digest: Digest
    """Where the memories are as they were before."""
    open: bool = True
    """Whether the operation may go on."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without the key."""

    id: str
    customer: str
    name: str
    role: str
    created_at: datetime
    revoked_at: datetime | None = None


class Transaction(Protocol):
    """Reads and writes that happen together. Writes may be deferred until the transaction commits."""

    retried: bool
    """Whether an earlier attempt of this transaction met another one's writes."""

    def flush(self) -> None:
        """Makes the writes so far visible to the reads that follow in this transaction."""
        ...

    # registry
    def generation(self, scope: Scope) -> int: ...
    def bump_generation(self, scope: Scope) -> None: ...
    def components(self, scope: Scope, kind: ComponentKind | None = None) -> list[Component]: ...
    def component(self, scope: Scope, kind: ComponentKind, name: str) -> Component | None: ...
    def put_component(
        self,
        scope: Scope,
        kind: ComponentKind,
        name: str,
        *,
        digest: Digest,
        version: str,
        state: str,
        deployment_id: DeploymentId | None,
    ) -> None: ...
    def set_component_state(
        self, scope: Scope, kind: ComponentKind, name: str, state: str, reason: str | None
    ) -> bool: ...
    def remove_component(self, scope: Scope, kind: ComponentKind, name: str) -> None: ...
    def suspend_component(self, scope: Scope, kind: ComponentKind, name: str, reason: str | None) -> bool: ...
    def bump_generations(self, customer: str) -> None: ...
    def put_version(
        self,
        scope: Scope,
        kind: ComponentKind,
        bundle: Bundle,
        definition: AgentVersion | ToolVersion,
        deployment_id: DeploymentId | None = None,
    ) -> None: ...
    def version_deployment(self, scope: Scope, kind: ComponentKind, digest: Digest) -> DeploymentId | None: ...
    def agent_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, AgentVersion]: ...
    def tool_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, ToolVersion]: ...
    def bundle(self, scope: Scope, kind: ComponentKind, digest: Digest) -> Bundle | None: ...

    def workspaces(self, customer: str) -> list[str]: ...

    # executions
    def executions(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, ExecutionRecord]: ...
    def executions_of_turn(self, scope: Scope, root_id: ExecutionId) -> list[ExecutionRecord]: ...
    def turns_so_far(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, TurnsSoFar]: ...
    def first_version(self, scope: Scope, conversation_id: ConversationId, agent: str) -> Digest | None: ...
    def running_turns(self, before: datetime, limit: int) -> list[tuple[Scope, ExecutionRecord]]: ...
    def work_in_hand(self, scope: Scope) -> dict[str, int]: ...
    def add_execution(self, scope: Scope, record: ExecutionRecord) -> None: ...
    def finish_execution(
        self,
        scope: Scope,
        execution_id: ExecutionId,
        state: ExecutionState,
        *,
        reply_id: MessageId | None,
        error: ErrorReport | None,
        usage: Usage,
        at: datetime | None = None,
    ) -> bool: ...
    def set_usage(self, scope: Scope, execution_id: ExecutionId, usage: Usage) -> None: ...
    def steps(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, list[StepRecord]]: ...
    def recorded(self, scope: Scope, ids: Sequence[ExecutionId]) -> set[tuple[ExecutionId, int, int]]: ...
    def add_step(self, scope: Scope, record: StepRecord) -> None: ...

    # conversations
    def conversation(self, scope: Scope, conversation_id: ConversationId) -> Conversation | None: ...
    def conversations_of(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, Conversation]: ...
    def conversations(
        self, scope: Scope, *, active: bool | None, agent: str | None, before: datetime | None, limit: int
    ) -> list[Conversation]: ...
    def add_conversation(self, scope: Scope, conversation: Conversation, *, one_shot: bool) -> bool: ...
    def touch_conversation(
        self,
        scope: Scope,
        conversation_id: ConversationId,
        *,
        messages: int,
        participants: Collection[str],
        active: bool = False,
    ) -> bool: ...
    def stands_alone(self, scope: Scope, conversation_id: ConversationId) -> bool: ...
    def end_conversation(self, scope: Scope, conversation_id: ConversationId, reason: EndReason) -> bool: ...
    def message(self, scope: Scope, message_id: MessageId) -> Message | None: ...
    def messages(
        self,
        scope: Scope,
        *,
        conversation_id: ConversationId | None = None,
        agent: str | None = None,
        root_only: bool = False,
        before: datetime | None = None,
        limit: int,
    ) -> list[Message]: ...
    def histories(self, scope: Scope, wanted: Sequence[HistoryWanted]) -> list[list[Message]]: ...
    def add_message(self, scope: Scope, message: Message) -> None: ...

    # deployments
    def add_deployment(
        self,
        scope: Scope,
        deployment_id: DeploymentId,
        request: DeploymentRequest,
        *,
        actor: str,
        rollback_of: DeploymentId | None,
    ) -> bool: ...
    def deployment(self, scope: Scope, deployment_id: DeploymentId) -> Deployment | None: ...
    def deployments(self, scope: Scope, limit: int) -> list[Deployment]: ...
    def deployment_before(self, scope: Scope, deployment_id: DeploymentId) -> list[Bundle] | None: ...
    def set_deployment(
        self,
        scope: Scope,
        deployment_id: DeploymentId,
        state: DeploymentState,
        *,
        changes: Sequence[Change] | None = None,
        before: Sequence[Bundle] | None = None,
        error: ErrorReport | None = None,
    ) -> None: ...

    # views
    def tool_statistics(self, scope: Scope, tool: str | None = None) -> list[CallStatistics]: ...
    def agent_statistics(self, scope: Scope) -> list[CallStatistics]: ...
    def capability_statistics(self, scope: Scope) -> list[CallStatistics]: ...
    def tool_steps(self, scope: Scope, tool: str, limit: int) -> list[StepRecord]: ...

    # events
    def add_events(self, scope: Scope, events: Iterable[Event]) -> None: ...
    def append_events(self, scope: Scope, events: Iterable[Unplaced]) -> None: ...
    def add_events_once(self, scope: Scope, events: Sequence[Event]) -> list[Event]: ...
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
    def unindexed(self, customer: str, events: Sequence[Event]) -> tuple[int, str] | None: ...
    def event_beyond_head(self, customer: str) -> int | None: ...
    def customers_with_events(self) -> dict[str, int]: ...

    # governance
    def approval(self, scope: Scope, approval_id: str) -> Approval | None: ...
    def approvals(
        self,
        scope: Scope,
        *,
        state: ApprovalState | None = None,
        execution_id: ExecutionId | None = None,
        before: datetime | None = None,
        limit: int,
    ) -> list[Approval]: ...
    def approvals_of(self, scope: Scope, ids: Sequence[ExecutionId]) -> list[Approval]: ...
    def add_approval(self, scope: Scope, approval: Approval) -> None: ...
    def decide_approval(self, scope: Scope, approval_id: str, state: ApprovalState, by: str, reason: str) -> bool: ...
    def add_deadlines(self, scope: Scope, found: Sequence[Deadline]) -> None: ...
    def due_deadlines(self, moment: datetime, limit: int) -> list[Deadline]: ...
    def remove_deadline(self, deadline: Deadline) -> bool: ...
    def clear_deadlines(self, scope: Scope, execution_id: ExecutionId) -> None: ...
    def budgets(self, customer: str, workspace: str | None = None, agent: str | None = None) -> list[Budget]: ...
    def put_budget(self, customer: str, budget: Budget) -> None: ...
    def use_budget(self, customer: str, budget: Budget) -> None: ...
    def remove_budget(self, customer: str, budget: Budget) -> bool: ...
    def lock_budgets(self, customer: str) -> None: ...

    # projections of the log
    def document_position(self, customer: str, view: str) -> tuple[int, int]: ...
    def set_document_position(self, customer: str, view: str, sequence: int, version: int) -> None: ...
    def documents(self, scope: Scope, view: str, keys: Sequence[str] | None = None) -> dict[str, Any]: ...
    def put_documents(
        self, scope: Scope, view: str, fresh: Mapping[str, Any], changed: Mapping[str, Any], gone: Iterable[str] = ()
    ) -> None: ...
    def drop_documents(self, customer: str, view: str) -> None: ...

    # memory: what stands beside the memories themselves
    def retention(self, place: Place) -> Retention: ...
    def put_retention(self, place: Place, retention: Retention) -> None: ...
    def retentions(self, after: Place | None, limit: int) -> list[tuple[Place, Retention]]: ...
    def undo_pages(self, place: Place) -> list[UndoPage]: ...
    def add_undo_page(self, place: Place, page: UndoPage) -> None: ...
    def close_undo_pages(self, place: Place, operation: str) -> None: ...
    def remove_undo_pages(self, place: Place, numbers: Sequence[int] | None = None) -> list[Digest]: ...
    def places_with_undo(self, before: datetime, limit: int) -> list[Place]: ...

    # keys: found by hash before a scope is known
    def find_key(self, key_hash: str) -> ApiKey | None: ...
    def keys(self, customer: str) -> list[ApiKey]: ...
    def add_key(self, key_hash: str, key: ApiKey) -> None: ...
    def revoke_key(self, customer: str, key_id: str) -> bool: ...


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared(Generic[T]):
    """Writes that are ready to be committed."""

    result: T
    """What the function that prepared them returned."""
    transaction: Transaction
    """Holds the writes."""


class Records(Protocol):
    """Runs functions in transactions, off the event loop."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a read-only transaction.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a transaction and commits; `work` may run more than once.

        Raises:
            StoreUnavailable: the database does not answer.
            DiskFull: there is no room to write.
        """
        ...

    def prepare(self, work: Callable[[Transaction], T], behind: Prepared[Any] | None = None) -> Prepared[T] | None:
        """Runs `work`, which only adds, in the calling thread and without the store; None when it wants to read.

        What it adds follows what was prepared in `behind`, and is committed with it.
        """
        ...

    async def commit(self, prepared: Prepared[Any]) -> bool:
        """Writes what was prepared. False, and nothing is written, when something of it is there already.

        Raises:
            StoreUnavailable: the database does not answer.
            DiskFull: there is no room to write.
        """
        ...
