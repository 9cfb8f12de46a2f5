"""The records port: what is kept, as reads and writes within one transaction.

A :class:`Records` runs a function with a :class:`Transaction`. Every method takes a :class:`Scope`, so a query without a
customer cannot be written.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from caxton.domain.agents import AgentVersion
from caxton.domain.conversations import Conversation, EndReason
from caxton.domain.deployments import Bundle, Change, Deployment, DeploymentRequest, DeploymentState
from caxton.domain.errors import ErrorReport
from caxton.domain.events import Event
from caxton.domain.executions import Execution, ExecutionState, Usage
from caxton.domain.ids import ConversationId, DeploymentId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.messages import Message
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
    def put_version(
        self, scope: Scope, kind: ComponentKind, bundle: Bundle, definition: AgentVersion | ToolVersion
    ) -> None: ...
    def agent_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, AgentVersion]: ...
    def tool_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, ToolVersion]: ...
    def bundle(self, scope: Scope, kind: ComponentKind, digest: Digest) -> Bundle | None: ...

    # executions
    def executions(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, ExecutionRecord]: ...
    def executions_of_turn(self, scope: Scope, root_id: ExecutionId) -> list[ExecutionRecord]: ...
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
    ) -> bool: ...
    def set_usage(self, scope: Scope, execution_id: ExecutionId, usage: Usage) -> None: ...
    def steps(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, list[StepRecord]]: ...
    def recorded(self, scope: Scope, ids: Sequence[ExecutionId]) -> set[tuple[ExecutionId, int, int]]: ...
    def add_step(self, scope: Scope, record: StepRecord) -> None: ...

    # conversations
    def conversation(self, scope: Scope, conversation_id: ConversationId) -> Conversation | None: ...
    def conversations(
        self, scope: Scope, *, active: bool | None, agent: str | None, before: datetime | None, limit: int
    ) -> list[Conversation]: ...
    def add_conversation(self, scope: Scope, conversation: Conversation, *, one_shot: bool) -> bool: ...
    def touch_conversation(
        self, scope: Scope, conversation_id: ConversationId, *, messages: int, participants: Iterable[str]
    ) -> None: ...
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
    def history(
        self, scope: Scope, conversation_id: ConversationId, *, before: datetime, limit: int
    ) -> list[Message]: ...
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
    def events(
        self,
        scope: Scope,
        *,
        correlation_id: str | None = None,
        event_type: str | None = None,
        after: int = 0,
        limit: int,
    ) -> list[tuple[int, Event]]: ...

    # keys: found by hash before a scope is known
    def find_key(self, key_hash: str) -> ApiKey | None: ...
    def keys(self, customer: str) -> list[ApiKey]: ...
    def add_key(self, key_hash: str, key: ApiKey) -> None: ...
    def revoke_key(self, customer: str, key_id: str) -> bool: ...


T = TypeVar("T")


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
