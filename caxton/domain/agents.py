"""Agents: the definition that a developer writes, and the lifecycle that the server keeps."""

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.agent_modules import MODEL, AgentModule
from caxton.domain.breakers import BreakerSettings
from caxton.domain.capabilities import Capability, CapabilityRequest, SemanticVersion
from caxton.domain.flow import MIDDLE, MOST_IN_FLIGHT
from caxton.domain.governance import ToolPolicy
from caxton.domain.ids import Digest, Name
from caxton.domain.lifecycle import StateMachine
from caxton.domain.memory import ScopeKind
from caxton.domain.quantities import LEAST_RATE, Rate, Seconds, one_of
from caxton.domain.remote_agents import MODEL as REMOTE
from caxton.domain.remote_agents import RemoteAgent
from caxton.domain.rollouts import RolloutPlan
from caxton.domain.schedules import MOST_SCHEDULES, Schedule
from caxton.domain.tools import ToolManifest, ToolVersion
from caxton.domain.triggers import MOST_TRIGGERS, Trigger

ParameterValue = str | int | float | bool | list[Any] | dict[str, Any]


class AgentLimits(BaseModel):
    """`[limits]`: what one turn of the agent may use, and how many calls all of its turns may make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=12, ge=1, le=10_000, description="Model calls in one turn.")
    depth: int = Field(default=5, ge=0, le=20, description="How many hand-overs may be nested below this agent.")
    loops: int = Field(default=1, ge=1, le=10, description="How often the agent may appear in one chain of hand-overs.")
    tokens: int = Field(
        default=200_000, ge=1, description="Tokens (in and out) that all model calls of a turn may use."
    )
    time: Seconds = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description='Time for a turn, such as "5m". To wait for people, or until a limit has room, does not count.',
    )
    history: int = Field(
        default=40, ge=0, le=500, description="Earlier messages of the conversation that the model sees."
    )
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=MOST_IN_FLIGHT,
        description="Calls of models and tools that the agent may have in flight at the same time, in all of its turns; "
        "others wait.",
    )
    rate: Rate | None = Field(
        default=None,
        ge=LEAST_RATE,
        le=1e6,
        description='Rate at which its calls can begin, such as "10/s", "600/m" or "1000/h".',
    )
    priority: int = Field(
        default=MIDDLE,
        ge=1,
        le=5,
        description="Its share of what several agents wait for: 1 is the largest, 5 the smallest; each step halves it.",
    )


class ModelSettings(BaseModel):
    """`[model_settings]`: sent to the model's provider as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, le=2, description="How freely the model chooses its words.")
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Share of the likeliest words that it chooses from."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Most tokens that one answer may have.")
    seed: int | None = Field(default=None, description="For providers that can repeat an answer.")
    timeout: Seconds = Field(default=60.0, gt=0, le=3600, description='Time for one model call, such as "60s".')
    first_token_timeout: Seconds | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Time until a streamed answer begins (an answer is streamed while somebody listens to the turn).",
    )
    chunk_timeout: Seconds = Field(
        default=30.0, gt=0, le=3600, description='Longest pause of a streamed answer, such as "30s".'
    )


class MemorySettings(BaseModel):
    """`[memory]`: what the agent remembers, and what it is reminded of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=False, description="Whether found memories become part of the prompt.")
    scope: Annotated[ScopeKind, one_of(ScopeKind)] = Field(
        default=ScopeKind.AGENT, description="Where the agent writes: agent, workspace, conversation or global."
    )
    auto_store: bool = Field(default=False, description="Remember every request with its reply.")
    search_limit: int = Field(default=5, ge=1, le=50, description="Memories that a prompt gets at most.")
    min_similarity: float = Field(
        default=0.35, ge=0, le=1, description="How close in meaning (cosine) a memory must be to the request."
    )


_NO_POLICY = ToolPolicy()


class AgentSpec(BaseModel):
    """An agent as its TOML file defines it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Lower-case letters, digits, - and _; unique in the workspace.")
    version: SemanticVersion = Field(description='A semantic version, such as "1.0.0".')
    description: str = Field(default="", max_length=2_000, description="One sentence for people and for other agents.")
    capabilities: list[Capability] = Field(min_length=1, max_length=100, description="What the agent offers.")
    tools: list[str] = Field(
        default=[],
        max_length=100,
        description='Allowed tools: "csv-tools" for a whole server, "csv-tools.parse" for one.',
    )
    delegates: list[CapabilityRequest] = Field(
        default=[],
        max_length=100,
        description='Capabilities that the agent may request of others, such as "analyze-data" or "translate@^2".',
    )
    kind: Literal["model", "wasm", "a2a"] = Field(
        default="model",
        description='What answers: a "model" (or script), "wasm", a WebAssembly component that handles messages itself, '
        'or "a2a", an agent elsewhere that is called over the A2A protocol.',
    )
    a2a: RemoteAgent | None = Field(default=None, description='Where the agent is, for kind = "a2a".')
    wasm: AgentModule | None = Field(default=None, description='The component, for kind = "wasm".')
    model: str | list[str] = Field(
        default="auto", description='"auto", "scripted", or "provider:model"; a list is tried in order.'
    )
    script: str | None = Field(default=None, description="File with the rules of the scripted model, beside this file.")
    model_settings: ModelSettings = ModelSettings()
    parameters: dict[str, ParameterValue] = Field(
        default={}, description="Free values for the templates: {{ parameters.x }}."
    )
    system_prompt: str = Field(default="", max_length=100_000, description="A template; who the agent is.")
    user_prompt_template: str = Field(
        default="{{ request }}", max_length=100_000, description="A template; how a request is put to the model."
    )
    documentation: str = Field(default="", max_length=200_000, description="Markdown for people.")
    limits: AgentLimits = AgentLimits()
    breaker: BreakerSettings = BreakerSettings()
    memory: MemorySettings = MemorySettings()
    tool_policies: dict[str, ToolPolicy] = Field(
        default={},
        max_length=100,
        description='What calls need when this agent makes them, by "server.function", or "server" for all of a tool.',
    )

    schedules: list[Schedule] = Field(
        default=[], max_length=MOST_SCHEDULES, description="When the agent is asked something by the clock, and what."
    )

    triggers: list[Trigger] = Field(
        default=[], max_length=MOST_TRIGGERS, description="Signed webhooks by which other systems ask the agent."
    )

    rollout: RolloutPlan | None = Field(
        default=None, description="How a new version of the agent goes live; at once if left out."
    )

    @property
    def models(self) -> list[str]:
        """The models to try, in order; what stands in their place where a component answers."""
        if self.wasm is not None:
            return [MODEL]
        if self.a2a is not None:
            return [REMOTE]
        return [self.model] if isinstance(self.model, str) else self.model

    @property
    def has_model(self) -> bool:
        """Whether a model, or a script, answers."""
        return self.wasm is None and self.a2a is None

    def allows_tool(self, tool: str, function: str) -> bool:
        """Whether the allowlist names the tool server `tool` or its one function."""
        return tool in self.tools or f"{tool}.{function}" in self.tools

    def policy_for(self, tool: str, function: str) -> ToolPolicy:
        """What a call of the tool's function needs: the function's own policy, else that of its server."""
        return self.tool_policies.get(f"{tool}.{function}") or self.tool_policies.get(tool) or _NO_POLICY

    def offers(self, capability: str) -> Capability | None:
        """The agent's capability of that name."""
        return next((offered for offered in self.capabilities if offered.name == capability), None)


class AgentVersion(BaseModel):
    """One immutable version of an agent: its definition and the digest of all files that make it up."""

    model_config = ConfigDict(frozen=True)

    spec: AgentSpec
    script: dict[str, Any] | None = None
    """The parsed script (:class:`caxton.domain.scripts.Script` as data), when the agent has one."""
    digest: Digest
    module_digest: Digest | None = None
    """The content of its component, when it has one."""
    keeps_state: bool = False
    """Whether the component imports the functions that keep something."""

    @property
    def name(self) -> str:
        return self.spec.name

    @cached_property
    def module(self) -> ToolVersion | None:
        """Its component, as the sandbox runs it: by the rules of a tool that has the agent's name."""
        if self.spec.wasm is None or self.module_digest is None:
            return None
        wasm = self.spec.wasm
        manifest = ToolManifest(
            name=self.spec.name,
            version=self.spec.version,
            module=wasm.module,
            limits=wasm.limits,
            permissions=wasm.permissions,
        )
        return ToolVersion(manifest=manifest, files={wasm.module: self.module_digest}, digest=self.digest)

    @cached_property
    def remote(self) -> ToolVersion | None:
        """What it needs to call an agent elsewhere, by the rules of a tool that has the agent's name."""
        if self.spec.a2a is None:
            return None
        manifest = ToolManifest(name=self.spec.name, version=self.spec.version, mcp_server=self.spec.a2a.server)
        return ToolVersion(manifest=manifest, files={}, digest=self.digest)


def takes_time(agent: AgentVersion) -> bool:
    """Whether the agent's script imitates a model that takes its time."""
    return bool((agent.script or {}).get("delay"))


class AgentState(StrEnum):
    """States of an agent's lifecycle (architecture 1.0, "Agent Lifecycle Management")."""

    UNLOADED = "Unloaded"
    LOADED = "Loaded"
    RUNNING = "Running"
    DRAINING = "Draining"
    STOPPED = "Stopped"
    FAILED = "Failed"


AGENT_LIFECYCLE = StateMachine(
    "agent",
    AgentState,
    {
        AgentState.UNLOADED: {AgentState.LOADED, AgentState.FAILED},
        AgentState.LOADED: {AgentState.RUNNING, AgentState.UNLOADED, AgentState.FAILED},
        AgentState.RUNNING: {AgentState.DRAINING, AgentState.FAILED},
        AgentState.DRAINING: {AgentState.STOPPED, AgentState.RUNNING, AgentState.FAILED},
        AgentState.STOPPED: {AgentState.LOADED, AgentState.UNLOADED},
        AgentState.FAILED: {AgentState.LOADED, AgentState.UNLOADED, AgentState.STOPPED},
    },
)

ModelKind = Literal["scripted", "provider"]
