"""What the API answers with, where it is no model of the domain. Fields that this version does not know are ignored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from caxton.domain.capabilities import Capability
from caxton.domain.memory import Match, Retention
from caxton.domain.tools import Artifact, ToolFunction, ToolUsage


class View(BaseModel):
    """Base of the views."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Health(View):
    """`GET /health`"""

    status: str
    version: str


class ComponentHealth(View):
    """How one part of the server is."""

    status: Literal["ok", "degraded", "failed", "starting"] | str
    """Degraded: it does not work, but the server goes on without it."""
    detail: str | None = None
    latency_ms: float | None = None


class Readiness(View):
    """`GET /ready`"""

    status: Literal["ready", "starting", "degraded"] | str
    components: dict[str, ComponentHealth] = {}


class EngineInfo(View):
    """The workflow engine behind a server."""

    kind: Literal["embedded", "external"] | str
    version: str | None = None
    address: str | None = None
    ui_url: str | None = None
    namespace: str | None = None


class ServerInfo(View):
    """`GET /v1/server`"""

    version: str
    engine: EngineInfo
    store: str | dict[str, Any] | None = None
    metrics_url: str | None = None
    data_folder: str | None = None
    started_at: datetime | None = None
    customer: str | None = None
    workspace: str | None = None
    model: dict[str, Any] = {}


class Statistics(View):
    """How calls went. Times are milliseconds of the clock (`cpu`: of the processor), memory is bytes."""

    calls: int = 0
    succeeded: int = 0
    mean_ms: float | None = None
    p95_ms: float | None = None
    mean_cpu_ms: float | None = None
    peak_memory: int | None = None
    last_used: datetime | None = None


class ModelChoice(View):
    """The model that an agent uses."""

    configured: str | list[str]
    resolved: str | list[str] | None = None
    scripted: bool = False
    note: str | None = None


class AgentView(View):
    """An agent as deployed. The last four fields come with one agent only, not in lists."""

    name: str
    version: str
    digest: str
    state: str
    reason: str | None = None
    suspended: str | None = None
    description: str = ""
    capabilities: list[Capability] = []
    tools: list[str] = []
    delegates: list[Any] = []
    model: ModelChoice | None = None
    deployment_id: str | None = None
    updated_at: datetime | None = None
    statistics: Statistics | None = None
    running: int = 0
    documentation: str | None = None
    limits: dict[str, Any] | None = None
    versions: list[Any] | None = None


class Provider(View):
    """An agent that offers a capability."""

    agent: str
    version: str
    state: str


class CapabilityView(View):
    """A capability, in all versions that are offered."""

    name: str
    versions: list[str] = []
    description: str = ""
    providers: list[Provider] = []
    statistics: Statistics | None = None


class ToolView(View):
    """A tool server as deployed."""

    name: str
    version: str
    digest: str
    state: str
    reason: str | None = None
    description: str = ""
    form: str = "component"
    functions: list[ToolFunction] = []
    limits: dict[str, Any] = {}
    permissions: dict[str, Any] = {}
    deployment_id: str | None = None
    updated_at: datetime | None = None
    statistics: Statistics | None = None


class ToolCallResult(View):
    """What a direct call of a tool brought."""

    content: list[dict[str, Any]] = []
    structured: Any = None
    is_error: bool = False
    usage: ToolUsage = ToolUsage()
    log: list[str] = []
    artifacts: list[Artifact] = []


class ToolLogLine(View):
    """One call of a tool, or one line that it logged."""

    at: datetime
    execution_id: str | None = None
    agent: str | None = None
    function: str | None = None
    ok: bool = True
    error_code: str | None = None
    duration_ms: float | None = None
    line: str | None = None


class KeyView(View):
    """An API key without the key."""

    id: str
    customer: str
    name: str
    role: str
    created_at: datetime
    revoked_at: datetime | None = None


class NewKey(KeyView):
    """An API key as it is shown once."""

    key: str


class Verification(View):
    """`GET /v1/events/verify`"""

    ok: bool
    checked: int
    head_sequence: int
    head_hash: str
    begins_at: int = 1
    broken_at: int | None = None
    problem: str | None = None
    violations: list[dict[str, Any]] = []
    open_executions: int = 0


class EventType(View):
    """A type of event."""

    type: str
    category: str
    schema_version: int
    description: str
    reserved: str | None = None
    payload: dict[str, Any] = {}


class ProjectedView(View):
    """`GET /v1/views/{view}`"""

    view: str
    description: str
    as_of: int
    behind: int
    documents: dict[str, Any]


class MetricValue(View):
    """A metric over a span of time."""

    name: str
    description: str = ""
    value: float | None
    count: int
    per: int | None = None
    by: dict[str, float | None] = {}


class MemoryCounts(View):
    """How much is remembered."""

    entities: int
    relations: int
    by_scope: dict[str, int] = {}
    bytes: int = 0
    indexed: int = 0
    stale: int = 0


class MatchPage(View):
    """What a search found."""

    matches: list[Match]
    stale: int = 0


class BulkPreview(View):
    """What an operation on many memories does, or has done."""

    count: int
    dry_run: bool
    examples: list[str] = []


class PurgePreview(BulkPreview):
    """What a purge removes, or has removed."""

    can_be_undone: bool = True


class UndoView(View):
    """What undoing does, or has done."""

    dry_run: bool
    operation: str | None = None
    by: str | None = None
    at: datetime | None = None
    done: int = 0
    left: int = 0


class PageResult(View):
    """What was done of something, and what is left of it."""

    done: int
    left: int


class RetentionView(View):
    """How long, and how much, is remembered."""

    retention: Retention
    outside: int


class LeftOut(View):
    """A relation that an import did not take, for a memory at one of its ends is missing."""

    line: int
    missing: str


class Imported(View):
    """What an import brought."""

    entities: int
    relations: int
    skipped: int = 0
    left_out: list[LeftOut] = []
