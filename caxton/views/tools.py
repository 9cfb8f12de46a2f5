"""Tools, what they are granted, and what a call of one brought."""

from datetime import datetime
from typing import Annotated, Any

from caxton.domain.grants import ToolGrant
from caxton.domain.mcp_servers import SurfaceChange
from caxton.domain.tools import Artifact, ToolFunction, ToolLimits, ToolState
from caxton.domain.usage import ToolUsage
from caxton.views.breakers import BreakerView
from caxton.views.statistics import Statistics
from caxton.views.view import Fields, View, described_by


class ToolView(View):
    """A tool server as deployed."""

    name: str
    version: str
    digest: str
    state: ToolState | str
    reason: str | None = None
    quarantined: str | None = None
    """Why it takes no calls until an administrator releases it."""
    description: str = ""
    form: str = "component"
    """"component" or "command" for a module; "mcp" for an ordinary MCP server."""
    sandboxed: bool = True
    """False for an MCP server, which runs outside of the sandbox."""
    server: str | None = None
    """Where that is: a URL or a command line."""
    surface: str | None = None
    """The hash of its functions, as they were when it was deployed or somebody accepted them."""
    functions: list[ToolFunction] = []
    limits: Annotated[Fields, described_by(ToolLimits)] = {}
    """Rights that its manifest requests."""
    permissions: Fields = {}
    """Rights that its manifest requests."""
    ungranted: list[str] = []
    """Requested rights that are not granted: it runs without them."""
    grant: str | None = None
    """The command by which an operator grants it."""
    deployment_id: str | None = None
    updated_at: datetime | None = None
    statistics: Statistics | None = None
    breaker: BreakerView | None = None
    """Its circuit breaker, where that is not closed or has failures to remember."""


class SurfaceView(View):
    """What a tool's MCP server offered when it was deployed, and what it offers now."""

    tool: str
    pinned: str
    """The hash of what it offered when it was deployed, or somebody accepted it."""
    found: str
    """The hash of what it offers now: what to accept."""
    changes: list[SurfaceChange] = []


class GrantsView(View):
    """The grants of a workspace, and what needs no grant."""

    grants: list[ToolGrant] = []
    limits: ToolLimits
    """Limits of every tool without a grant."""
    maximum: ToolLimits
    """Limits that no grant exceeds."""


class ToolCallResult(View):
    """The result of a call by hand."""

    content: list[dict[str, Any]] = []
    structured: Any = None
    is_error: bool = False
    usage: ToolUsage = ToolUsage()
    log: list[str] = []
    artifacts: list[Artifact] = []


class ToolLogLine(View):
    """A call of a tool, or a line that it logged in that call."""

    at: datetime
    execution_id: str
    agent: str | None = None
    function: str | None = None
    ok: bool = True
    error_code: str | None = None
    duration_ms: float | None = None
    line: str | None = None
