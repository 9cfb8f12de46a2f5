"""Agents and capabilities."""

from datetime import datetime
from typing import Annotated, Any

from caxton.domain.agents import AgentLimits, AgentState
from caxton.domain.capabilities import Capability
from caxton.domain.tools import ToolLimits
from caxton.views.breakers import BreakerView
from caxton.views.statistics import Statistics
from caxton.views.view import Fields, View, described_by


class ModelChoice(View):
    """Which model an agent uses."""

    configured: list[str]
    resolved: list[str] = []
    scripted: bool = False
    note: str | None = None
    warning: str | None = None
    """Models that the agent should have used and cannot, with why."""


class ComponentView(View):
    """The WebAssembly component of an agent, as its file has it."""

    module: str
    state: str
    """For whom its state is kept: "conversation" or "agent"."""
    limits: Annotated[Fields, described_by(ToolLimits)] = {}
    permissions: Fields = {}
    """What it requests, and an operator grants."""


class AgentView(View):
    """An agent as deployed."""

    name: str
    version: str
    digest: str
    state: AgentState | str
    reason: str | None = None
    suspended: str | None = None
    """Why it takes no work until an operator resumes it."""
    description: str = ""
    capabilities: list[Capability] = []
    tools: list[str] = []
    delegates: list[str] = []
    model: ModelChoice | None = None
    deployment_id: str | None = None
    updated_at: datetime | None = None
    statistics: Statistics | None = None
    breaker: BreakerView | None = None
    """Its circuit breaker, where that is not closed or has failures to remember."""
    running: int = 0
    documentation: str | None = None
    """Like the limits, only where one agent is asked for."""
    limits: Annotated[Fields, described_by(AgentLimits)] | None = None
    wasm: ComponentView | None = None
    """The component that answers in a model's place, if the agent has one; likewise."""


class Provider(View):
    """An agent that offers a capability."""

    agent: str
    version: str
    state: AgentState | str
    input: dict[str, Any] | None = None
    """Its own schemas."""
    output: dict[str, Any] | None = None


class CapabilityView(View):
    """A capability, in all versions that are offered."""

    name: str
    versions: list[str] = []
    description: str = ""
    input: dict[str, Any] | None = None
    """JSON Schema of what a request to the newest version has to be; None where it is a text."""
    output: dict[str, Any] | None = None
    """JSON Schema of what its reply is; None where that is a text."""
    providers: list[Provider] = []
    statistics: Statistics | None = None
