"""The server and how it does."""

from datetime import datetime
from typing import Any, Literal

from caxton.views.view import View


class Health(View):
    """The server answers."""

    status: str = "ok"
    version: str


class ComponentHealth(View):
    """How a component does."""

    status: Literal["ok", "degraded", "failed"] | str
    """Degraded: it does not work, but the server goes on without it."""
    detail: str = ""
    latency_ms: float = 0.0


class Readiness(View):
    """How the whole system does."""

    status: Literal["ready", "degraded"] | str
    components: dict[str, ComponentHealth] = {}
    checked_at: datetime | None = None

    def without_details(self) -> "Readiness":
        """The same without addresses, versions and reasons: what everybody may know."""
        parts = {name: ComponentHealth(status=part.status) for name, part in self.components.items()}
        return self.model_copy(update={"components": parts})


class QueueView(View):
    """A limit that calls pass or wait for."""

    kind: Literal["provider", "model", "agent", "tool", "customer"] | str
    name: str
    customer: str | None = None
    """Whose agent or tool it is."""
    workspace: str | None = None
    max_in_flight: int | None = None
    rate: str | None = None
    """Such as "10/s" or "600/m"."""
    in_flight: int
    waiting: int
    oldest_seconds: float | None = None
    """How long the first of those that wait has waited."""


class QueueList(View):
    """Calls and requests that wait."""

    queues: list[QueueView]
    """Limits that are in use just now."""
    accepting: int = 0
    """Requests that are not accepted yet."""


class EngineInfo(View):
    """The workflow engine behind a server."""

    kind: Literal["embedded", "external"] | str
    version: str | None = None
    address: str | None = None
    ui_url: str | None = None
    namespace: str | None = None


class OwnKey(View):
    """The key of the one who asks, in the workspace that is asked for."""

    name: str
    role: str
    permissions: list[str] = []


class ServerInfo(View):
    """The server, the caller's identity, and the caller's permissions."""

    version: str
    engine: EngineInfo | None = None
    """Like what follows, only for keys that may inspect the server."""
    store: str | None = None
    metrics_url: str | None = None
    data_folder: str | None = None
    started_at: datetime | None = None
    model: dict[str, Any] = {}
    customer: str | None = None
    workspace: str | None = None
    key: OwnKey | None = None
