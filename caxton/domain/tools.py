"""Tools: MCP servers that are WebAssembly modules, what they may use and what a call brings back."""

import math
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from caxton.domain.breakers import BreakerSettings, ToolBreakerSettings
from caxton.domain.capabilities import SemanticVersion
from caxton.domain.flow import MOST_IN_FLIGHT
from caxton.domain.ids import Digest, Name
from caxton.domain.lifecycle import StateMachine
from caxton.domain.mcp_servers import McpServer
from caxton.domain.quantities import LEAST_RATE, ByteSize, Rate, Seconds
from caxton.domain.questions import Elicitation
from caxton.domain.refusals import Refusals
from caxton.domain.tool_texts import whole_text
from caxton.domain.usage import ToolUsage

FAST_WALL_TIME = 5.0
"""Seconds. A tool that may take longer, or that may use the network, runs as an activity of its own."""


class ToolLimits(BaseModel):
    """`[limits]` of a tool.toml: what one call may use, and how many calls there may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: ByteSize = Field(
        default=64 << 20, ge=1 << 20, le=4 << 30, description='Memory of all kinds, such as "64MB".'
    )
    fuel: int = Field(
        default=5_000_000_000, ge=1_000, le=10**15, description="WebAssembly instructions; about 10^9 a second of CPU."
    )
    wall_time: Seconds = Field(default=2.0, gt=0, le=600, description='Time on the clock, such as "2s".')
    message_size: ByteSize = Field(
        default=1 << 20, ge=1 << 10, le=16 << 20, description='Arguments and result, each, such as "1MB".'
    )
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=MOST_IN_FLIGHT,
        description="Calls of the tool that may be in flight at the same time; others wait.",
    )
    rate: Rate | None = Field(
        default=None,
        ge=LEAST_RATE,
        le=1e6,
        description='Rate at which calls can begin, such as "10/s", "600/m" or "1000/h".',
    )

    @property
    def of_a_call(self) -> dict[str, float]:
        """What one call may use, by the limits' names."""
        return {name: getattr(self, name) for name in ("memory", "fuel", "wall_time", "message_size")}

    def at_most(self, maximum: "ToolLimits") -> "ToolLimits":
        """These limits, none of them above that of `maximum`."""
        return ToolLimits.model_construct(
            max_in_flight=self.max_in_flight,
            rate=self.rate,
            memory=min(self.memory, maximum.memory),
            fuel=min(self.fuel, maximum.fuel),
            wall_time=min(self.wall_time, maximum.wall_time),
            message_size=min(self.message_size, maximum.message_size),
        )


BASE_LIMITS = ToolLimits(memory=128 << 20, fuel=5_000_000_000, wall_time=FAST_WALL_TIME, message_size=4 << 20)
"""What every tool may ask for without a grant, unless the server's settings say otherwise."""


MOST_LIMITS = ToolLimits(memory=4 << 30, fuel=10**15, wall_time=600, message_size=16 << 20)
"""What a manifest can ask for."""


class QuarantineSettings(BaseModel):
    """`[quarantine]` of a tool.toml: after how many violations the tool takes no calls until an administrator releases it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Whether violations may put it into quarantine at all.")
    violations: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Calls that reached a limit, or asked for what the manifest does not name, in a row or as `rate` says.",
    )
    rate: float = Field(
        default=0.2, gt=0, le=1, description="Share of the calls in `window` that so many are at least."
    )
    window: Seconds = Field(default=600.0, ge=1, le=3600, description='Time in which they are counted, such as "10m".')

    @cached_property
    def as_breaker(self) -> BreakerSettings:
        """The same thresholds, as those of a circuit breaker."""
        return BreakerSettings(
            enabled=self.enabled,
            failures=self.violations,
            rate=self.rate,
            minimum=min(100_000, math.ceil(self.violations / self.rate)),
            window=self.window,
        )


class FileGrant(BaseModel):
    """A folder that a tool may read (or write). A relative `path` lies in the tool's own folder and travels with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1, description="Folder inside the tool's own folder, or an absolute one on the server."
    )
    at: str = Field(pattern=r"^/", description='Where the tool sees it, such as "/data".')
    write: bool = Field(default=False, description="Whether the tool may also write there.")

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if ".." in path.split("/"):
            raise ValueError('a path may not contain ".."')
        return path

    @property
    def is_bundled(self) -> bool:
        """Whether the folder travels with the tool."""
        return not self.path.startswith("/")


class ToolPermissions(BaseModel):
    """`[permissions]` of a tool.toml. Nothing is granted unless it stands here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: list[str] = Field(
        default=[], description='Origins it may call, such as "https://api.example.com" or "http://127.0.0.1:8099".'
    )
    environment: list[str] = Field(default=[], description="Environment variables of the worker that it may read.")
    files: list[FileGrant] = Field(default=[], description="Folders that it may read, or write.")

    @field_validator("network")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        from urllib.parse import urlsplit

        for origin in origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ValueError(f'"{origin}" is not an origin; write for example "https://api.example.com"')
        return origins


class ToolManifest(BaseModel):
    """A tool.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Lower-case letters, digits, - and _; unique in the workspace.")
    version: SemanticVersion = Field(description='A semantic version, such as "1.0.0".')
    description: str = Field(default="", max_length=2_000, description="One sentence for people.")
    module: str = Field(default="", description="The WebAssembly file, beside tool.toml.")
    form: Literal["component", "command"] = Field(
        default="component",
        description='"component" (the caxton:tool world) or "command" (MCP lines on stdin and stdout).',
    )
    idempotent: bool = Field(
        default=True,
        description="Whether a call may be repeated after a crash. MCP's idempotentHint of a function wins.",
    )
    limits: ToolLimits = ToolLimits()
    permissions: ToolPermissions = ToolPermissions()
    breaker: ToolBreakerSettings = ToolBreakerSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    mcp_server: McpServer | None = Field(
        default=None, description="An ordinary MCP server in place of a module; it runs outside of the sandbox."
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_known_of_others(cls, data: Any) -> Any:
        """What a server outside of the sandbox does is not known, so its calls are not repeated unless somebody says so."""
        if not isinstance(data, Mapping):
            return data
        fields = cast("Mapping[str, Any]", data)
        return {"idempotent": False, **fields} if fields.get("mcp_server") is not None else fields

    @model_validator(mode="after")
    def _module_or_server(self) -> "ToolManifest":
        if self.mcp_server is None and not self.module:
            raise ValueError('"module" is missing')
        if self.mcp_server is not None and self.module:
            raise ValueError('a tool has either a "module" or an [mcp_server]')
        if self.mcp_server is not None and self.permissions.files:
            raise ValueError(
                "permissions.files are for modules: a server outside of the sandbox is not kept from files"
            )
        return self

    @field_validator("module")
    @classmethod
    def _beside(cls, module: str) -> str:
        if "/" in module or module.startswith("."):
            raise ValueError("the module lies beside tool.toml: give its file name only")
        return module

    @property
    def is_sandboxed(self) -> bool:
        """Whether it runs in a sandbox."""
        return self.mcp_server is None

    @property
    def unsandboxed(self) -> str | None:
        """Where its MCP server is, if it is one: a URL or a command line."""
        return self.mcp_server.place if self.mcp_server is not None else None

    @property
    def kind(self) -> str:
        """How it is run: "component", "command", or "mcp" for a server outside of the sandbox."""
        return self.form if self.mcp_server is None else "mcp"

    @property
    def requested(self) -> ToolPermissions:
        """All that it asks for: what stands under `permissions`, and what its server needs."""
        if self.mcp_server is None:
            return self.permissions
        own, origin = self.permissions, self.mcp_server.origin
        network = list(dict.fromkeys([*own.network, *([origin] if origin else [])]))
        environment = list(dict.fromkeys([*own.environment, *self.mcp_server.variables]))
        return own.model_copy(update={"network": network, "environment": environment})

    @property
    def is_fast(self) -> bool:
        """Whether calls are short and local, so that they can run inside a batch."""
        return self.is_sandboxed and self.limits.wall_time <= FAST_WALL_TIME and not self.permissions.network

    @property
    def is_closed(self) -> bool:
        """Whether calls can change nothing outside of their sandbox, and see nothing that others change."""
        files = self.permissions.files
        return (
            self.is_sandboxed
            and not self.permissions.network
            and all(grant.is_bundled and not grant.write for grant in files)
        )


class ToolFunction(BaseModel):
    """One function of a tool server, as MCP's tools/list describes it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1, max_length=128)
    description: str = ""
    inputSchema: dict[str, Any] = Field(default={"type": "object"})  # noqa: N815 - MCP's own name
    outputSchema: dict[str, Any] | None = None  # noqa: N815
    annotations: dict[str, Any] = {}

    def is_idempotent(self, default: bool) -> bool:
        """MCP's hint for this function, else the server's `default`."""
        if self.annotations.get("readOnlyHint"):
            return True
        hint = self.annotations.get("idempotentHint")
        return default if hint is None else bool(hint)

    @property
    def suggests_approval(self) -> bool:
        """Whether the tool itself says that a call may destroy something: a hint, that gives no right and takes none."""
        return bool(self.annotations.get("destructiveHint")) and not self.annotations.get("readOnlyHint")


class ToolVersion(BaseModel):
    """One immutable version of a tool server: manifest, files by content hash and what it described."""

    model_config = ConfigDict(frozen=True)

    manifest: ToolManifest
    files: dict[str, Digest]
    """Every file that makes it up (module, bundled folders) by its path below the tool's folder."""
    functions: list[ToolFunction] = []
    digest: Digest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def module_digest(self) -> Digest | None:
        """The content of its module; None for an MCP server outside of the sandbox."""
        return self.files.get(self.manifest.module)

    def within(self, seconds: float) -> "ToolVersion":
        """The same, with a wall time of so many seconds at most."""
        limits = self.manifest.limits
        if limits.wall_time <= seconds:
            return self
        shorter = self.manifest.model_copy(update={"limits": limits.model_copy(update={"wall_time": seconds})})
        return self.model_copy(update={"manifest": shorter})

    def function(self, name: str) -> ToolFunction | None:
        """The function of that name."""
        return next((function for function in self.functions if function.name == name), None)


class ToolState(StrEnum):
    """States of a tool server (architecture 2.0, "MCP Server Domain Model")."""

    UNLOADED = "Unloaded"
    LOADED = "Loaded"
    RUNNING = "Running"
    DRAINING = "Draining"
    FAILED = "Failed"


TOOL_LIFECYCLE = StateMachine(
    "tool",
    ToolState,
    {
        ToolState.UNLOADED: {ToolState.LOADED, ToolState.FAILED},
        ToolState.LOADED: {ToolState.RUNNING, ToolState.UNLOADED, ToolState.FAILED},
        ToolState.RUNNING: {ToolState.DRAINING, ToolState.FAILED},
        ToolState.DRAINING: {ToolState.UNLOADED, ToolState.RUNNING, ToolState.FAILED},
        ToolState.FAILED: {ToolState.LOADED, ToolState.UNLOADED},
    },
)


class Artifact(BaseModel):
    """A file that a tool made, or that somebody sent."""

    name: str
    media_type: str
    size: int
    digest: Digest


class ToolResult(BaseModel):
    """MCP's tools/call result, and what the call used."""

    content: list[dict[str, Any]] = []
    structured: Any = None
    is_error: bool = False
    usage: ToolUsage = ToolUsage()
    log: list[str] = []
    refused: Refusals = Refusals()
    declined: list[str] = []
    """Kinds of questions to people that a server outside of the sandbox had, and that nobody was asked."""
    question: Elicitation | None = None
    """What its server wants to ask a person before it goes on: the call is made again with the answer."""

    def text(self) -> str:
        """What a person reads of it: texts, links and embedded texts, else the structure as JSON."""
        return whole_text(self.content, self.structured, self.is_error)
