"""The server, its administration and its users' first steps (Caxton event model, phases 0, 1 and 7)."""

from datetime import datetime
from typing import Any, ClassVar

from caxton.domain.events.payload import Category, Payload


class OnboardingEvent(Payload):
    """A user's first steps."""

    category: ClassVar[Category] = "onboarding"


class CaxtonInstalled(OnboardingEvent):
    """A data folder was used for the first time."""

    sentence: ClassVar[str] = "Caxton {version} was installed"
    version: str
    platform: str
    installation_path: str = ""
    first_time_user: bool = True


class FirstTimeUserDetected(OnboardingEvent):
    """A customer has nothing yet."""

    sentence: ClassVar[str] = "nothing is deployed yet"
    show_welcome: bool = True


class QuickstartInitiated(OnboardingEvent):
    """A workspace was created."""

    sentence: ClassVar[str] = "a workspace was created"
    user_type: str = "FirstTime"
    selected_path: str = "GuidedSetup"


class OnboardingMilestoneReached(OnboardingEvent):
    """A user reached a milestone for the first time."""

    sentence: ClassVar[str] = "milestone: {milestone}"
    milestone: str
    time_elapsed_s: float | None = None
    """Since the installation."""


class TemplateSelected(OnboardingEvent):
    """A template was chosen."""

    sentence: ClassVar[str] = "template {template_id} chosen"
    template_id: str
    template_name: str = ""
    category_name: str = ""
    preview_shown: bool = False


class AgentInitialized(OnboardingEvent):
    """An agent's files were created."""

    sentence: ClassVar[str] = 'agent "{agent_name}" created'
    agent_name: str
    template_used: str | None = None
    files_created: list[str] = []
    next_steps_shown: bool = True


class InitializationFailed(OnboardingEvent):
    """An agent's files could not be created."""

    sentence: ClassVar[str] = "not created: {user_message}"
    reason: str
    user_message: str = ""
    suggested_actions: list[str] = []
    help_command: str = "caxton init --help"


class SystemEvent(Payload):
    """The lifecycle of the server."""

    category: ClassVar[Category] = "system"


class CaxtonReady(SystemEvent):
    """The server takes requests."""

    sentence: ClassVar[str] = "Caxton {version} is ready to orchestrate your agents"
    server_id: str
    version: str
    port: int | None = None
    role: str = "server"
    routing_mode: str = "LoadBalanced"
    memory_backend: str | None = None
    startup_time_ms: float | None = None
    settings: dict[str, Any] = {}
    """Settings that are not the default, secrets masked."""


class ServerStopped(SystemEvent):
    """The server stopped in an orderly way."""

    sentence: ClassVar[str] = "Caxton stopped"
    server_id: str
    uptime_s: float = 0.0


class ServerStartFailed(SystemEvent):
    """The server could not start."""

    sentence: ClassVar[str] = "Caxton did not start: {user_message}"
    reason: str
    user_message: str = ""
    suggested_actions: list[str] = []
    help_reference: str = ""


class ClockSetBack(SystemEvent):
    """The wall clock of a server's machine went back: what is due waits until it has caught up."""

    sentence: ClassVar[str] = "the clock went back by {behind_s} s"
    server_id: str
    behind_s: float
    until: datetime
    """The latest time that was seen."""


class CommandAcknowledged(SystemEvent):
    """A long-running command was accepted."""

    sentence: ClassVar[str] = "{command} accepted"
    command: str
    response_time_ms: float = 0.0
    initial_feedback: str = ""


class ProgressUpdate(SystemEvent):
    """A long-running command made progress."""

    sentence: ClassVar[str] = "{operation}: {current_step}"
    operation: str
    percent_complete: float
    current_step: str


class ErrorOccurred(SystemEvent):
    """A background task failed, or Caxton itself has a fault."""

    sentence: ClassVar[str] = "{user_message}"
    error_id: str
    context: str
    technical_reason: str = ""
    user_message: str = ""
    suggested_actions: list[str] = []
    auto_fix_available: bool = False
    help_reference: str = ""


class MetricsCollected(SystemEvent):
    """Metrics were collected for an exporter."""

    reserved: ClassVar[str] = "alerting"
    metrics: list[str] = []
    collection_duration_ms: float = 0.0


class AlertConfigured(SystemEvent):
    """A threshold was set."""

    reserved: ClassVar[str] = "alerting"
    metric: str
    threshold: float


class AlertTriggered(SystemEvent):
    """A metric passed its threshold."""

    reserved: ClassVar[str] = "alerting"
    alert_id: str
    metric: str
    current_value: float
    threshold: float
    severity: str


class AlertResolved(SystemEvent):
    """A metric is back within its threshold."""

    reserved: ClassVar[str] = "alerting"
    alert_id: str
    metric: str


class SystemInspected(SystemEvent):
    """A component was inspected."""

    sentence: ClassVar[str] = "{component} inspected"
    component: str
    state: str = ""
    issues_found: list[str] = []


class ConfigurationChanged(SystemEvent):
    """A server started with other settings than before."""

    sentence: ClassVar[str] = "{component}: {setting} changed"
    component: str
    setting: str
    old_value: Any = None
    new_value: Any = None
    changed_by: str | None = None


class SecurityEvent(Payload):
    """Who may do what, and who tried."""

    category: ClassVar[Category] = "security"


class KeyCreated(SecurityEvent):
    """An API key was created. The key itself is not stored."""

    sentence: ClassVar[str] = 'key "{name}" ({role}) created'
    key_id: str
    name: str
    role: str
    """Its roles, each with its workspaces after a colon unless it holds in all."""
    expires_at: datetime | None = None


class KeyRotated(SecurityEvent):
    """An API key was created to replace another one, which stays valid for a while."""

    sentence: ClassVar[str] = 'key "{name}" rotated'
    key_id: str
    name: str
    new_key_id: str
    old_until: datetime
    expires_at: datetime | None = None


class RoleDefined(SecurityEvent):
    """A custom role was defined or changed."""

    sentence: ClassVar[str] = 'role "{name}" defined'
    name: str
    permissions: list[str]
    before: list[str] | None = None
    """What it allowed until then; none if it is new."""


class RoleRemoved(SecurityEvent):
    """A custom role was removed."""

    sentence: ClassVar[str] = 'role "{name}" removed'
    name: str


class KeyRevoked(SecurityEvent):
    """An API key was revoked."""

    sentence: ClassVar[str] = 'key "{name}" revoked'
    key_id: str
    name: str = ""
    forgotten: int = 0
    """Approvals that were remembered for later calls, and ended with it."""
    tool_grants_left: list[str] = []
    """What it had granted to tools, and holds on (100 at most are named)."""


class ChangeRequested(SecurityEvent):
    """A change in the workflow engine, a sandbox or files was requested. Other events record the outcome."""

    sentence: ClassVar[str] = "{operation} of {subject} requested"
    operation: str
    subject: str
    before: str | None = None
    after: str | None = None


class ViewRebuilt(SecurityEvent):
    """A view of the log was dropped, to be built again."""

    sentence: ClassVar[str] = "view {view} is built again"
    view: str
    dropped_at: int = 0
    """The last event that was in it."""


class CountedEvent(SecurityEvent):
    """Frequent events: one for all of a kind within a minute."""

    count: int = 1
    """How often since the last event of the kind."""
    first_at: datetime | None = None
    last_at: datetime | None = None


class ChangeRefused(SecurityEvent):
    """A key asked for something that its role does not allow."""

    sentence: ClassVar[str] = "refused: {operation} needs {needed}"
    operation: str
    needed: str
    role: str
    count: int = 1
    """How often, since the last event of this kind."""


class AuthenticationFailed(SecurityEvent):
    """A request came with an API key that is not valid."""

    sentence: ClassVar[str] = "{count:request} with an API key that is {reason}"
    reason: str
    """"unknown", "expired", "revoked" or "invalid" (a token)."""
    key_id: str | None = None
    name: str | None = None
    count: int = 1
    """How often, since the last event of this kind."""
    addresses: list[str] = []
    """Where from (the first ten)."""


class PayloadsDecoded(CountedEvent):
    """Payloads of the workflow engine were decrypted for a caller."""

    sentence: ClassVar[str] = "payloads decrypted, {count:time}"


class RequestsRefused(CountedEvent):
    """Requests were refused for a limit, or for the site or host name that they came by."""

    sentence: ClassVar[str] = "{count:request} refused: {code}"
    code: str
    operation: str


class EventsExported(SecurityEvent):
    """The log was exported."""

    sentence: ClassVar[str] = "{count:event} exported"
    count: int
    first_sequence: int | None = None
    last_sequence: int | None = None


class ToolCalledDirectly(SecurityEvent):
    """A person called a tool, not an agent."""

    sentence: ClassVar[str] = "{tool}.{function} called by hand"
    tool: str
    function: str
    ok: bool = True
    memory_mb: float | None = None
    cpu_ms: float | None = None
    fuel: int | None = None
