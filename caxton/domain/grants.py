"""Grants: a tool's manifest requests, an operator grants, and what a call gets is the intersection.

A grant names rights and when they hold: for which agent, function and arguments, until when, for how many calls. Work that
was handed over has the rights that all agents of the chain have, so a delegate has none that its delegator lacks.
"""

import contextlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from caxton.domain.given import GivenDigest
from caxton.domain.globs import address_fits
from caxton.domain.ids import Digest, Name, Scope
from caxton.domain.mcp_servers import Command
from caxton.domain.origins import normal_origin
from caxton.domain.quantities import ByteSize, Seconds, format_size
from caxton.domain.tools import ToolLimits, ToolManifest

RightKind = Literal["network", "environment", "files", "limits", "commands"]

PATTERN_LENGTH: Final = 500
MATCHED_LENGTH: Final = 8_192
"""Characters of an argument up to which patterns are tried; longer ones match none."""

LONGEST_GRANT: Final = 10 * 366 * 86_400.0


def _normal_origins(origins: Iterable[str]) -> Iterator[str]:
    """Those that can be matched: a manifest that an older version let in may also have others, such as wildcards."""
    for origin in origins:
        with contextlib.suppress(ValueError):
            yield normal_origin(origin)


def _absolute(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError('a folder of the server is an absolute path without ".."')
    return str(PurePosixPath(path))


Origin = Annotated[str, AfterValidator(normal_origin)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
ServerFolder = Annotated[str, AfterValidator(_absolute), Field(max_length=1_000)]
FunctionName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]*$")]
Pattern = Annotated[str, StringConstraints(max_length=PATTERN_LENGTH, pattern=r"^[^\x00]*$")]
ArgumentName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]*$")]


class GrantedFolder(BaseModel):
    """A folder of the server, with all below it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: ServerFolder = Field(description="Absolute path on the server.")
    write: bool = Field(default=False, description="Whether the tool may also write there.")

    def covers(self, path: str, write: bool) -> bool:
        """Whether the grant lets a tool use `path`."""
        return PurePosixPath(path).is_relative_to(self.path) and (self.write or not write)


class GrantedLimits(BaseModel):
    """Limits above those that every tool has. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: ByteSize | None = Field(default=None, ge=1 << 20, le=4 << 30, description='Memory, such as "256MB".')
    fuel: int | None = Field(default=None, ge=1_000, le=10**15, description="WebAssembly instructions.")
    wall_time: Seconds | None = Field(default=None, gt=0, le=600, description='Time, such as "30s".')
    message_size: ByteSize | None = Field(default=None, ge=1 << 10, le=16 << 20, description='Such as "4MB".')

    def raised(self, base: ToolLimits) -> ToolLimits:
        """`base` with what is granted above it."""
        given = {name: max(value, getattr(base, name)) for name, value in self if value is not None}
        return base.model_copy(update=given)


NO_LIMITS: Final = GrantedLimits()


class Condition(BaseModel):
    """When a grant holds, and what it grants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: Name = Field(description="The tool.")
    agent: Name | None = Field(
        default=None, description="Only for calls of this agent; without it of all, and by hand."
    )
    function: FunctionName | None = Field(default=None, description="Only for this function.")
    arguments: dict[ArgumentName, Pattern] = Field(
        default={},
        max_length=20,
        description='Only for calls whose arguments fit: patterns with * and ? by name, such as {"url": "https://a/*"}.',
    )
    digest: GivenDigest | None = Field(
        default=None,
        description="Only for the version of the tool with this digest; without it for every one that is deployed by the name.",
    )
    network: list[Origin] = Field(default=[], max_length=100, description='Origins, such as "https://api.example.com".')
    environment: list[VariableName] = Field(default=[], max_length=100, description="Environment variables.")
    files: list[GrantedFolder] = Field(default=[], max_length=50, description="Folders of the server.")
    limits: GrantedLimits = NO_LIMITS
    commands: list[Command] = Field(
        default=[],
        max_length=50,
        description='Command lines of MCP servers that may be started outside of the sandbox, such as "uvx mcp-server-time".',
    )

    @model_validator(mode="after")
    def _grants_something(self) -> "Condition":
        if not (self.network or self.environment or self.files or self.commands or self.limits != NO_LIMITS):
            raise ValueError("a grant names at least one of network, environment, files, commands and limits")
        return self

    def is_for_version(self, digest: Digest) -> bool:
        """Whether the grant is for calls of this version of the tool."""
        return self.digest in (None, digest)

    def fits(self, digest: Digest, agent: str | None, function: str, arguments: Mapping[str, Any]) -> bool:
        """Whether the grant is for this call, of the version of the tool that has this digest."""
        if not self.is_for_version(digest):
            return False
        if self.agent is not None and self.agent != agent:
            return False
        if self.function is not None and self.function != function:
            return False
        return all(_matches(pattern, name, arguments) for name, pattern in self.arguments.items())

    @property
    def is_for_all(self) -> bool:
        """Whether it is for every call of the tool."""
        return self.agent is None and self.function is None and not self.arguments

    def told(self) -> list[str]:
        """What it grants, for people and the log."""
        limits = [f"{name}={_shown(name, value)}" for name, value in self.limits if value is not None]
        folders = [f"{folder.path}{':write' if folder.write else ''}" for folder in self.files]
        return [*self.network, *self.environment, *folders, *self.commands, *limits]


class StandingGrant(Condition):
    """`[[tools.grants]]`: a grant that the server's settings make. Nobody can revoke it but in the settings."""

    customer: Name | None = Field(default=None, description="Whose tool; without it the server's own customer.")
    workspace: Name | None = Field(default=None, description="Only there; without it in all workspaces.")

    def is_for(self, scope: Scope, home: str) -> bool:
        """Whether it holds in `scope`."""
        return scope.customer == (self.customer or home) and self.workspace in (None, scope.workspace)


@dataclass(frozen=True, slots=True)
class StandingGrants:
    """All grants that the server's settings make."""

    home: str = ""
    """The server's own customer."""
    grants: Sequence[StandingGrant] = ()

    def of(self, scope: Scope) -> "list[ToolGrant]":
        """Those that hold in `scope`."""
        return [
            ToolGrant(id=f"settings-{number}", source="settings", **each.model_dump(exclude={"customer", "workspace"}))
            for number, each in enumerate(self.grants, 1)
            if each.is_for(scope, self.home)
        ]


NO_GRANTS: Final = StandingGrants()


def _plain_origin(origin: str) -> str:
    if not origin.isascii():  # what looks like one host may be another one to whoever connects
        raise ValueError(f'"{origin}": write the host in ASCII, such as "https://xn--bcher-kva.example"')
    return origin


class GrantRequest(Condition):
    """What an operator grants."""

    network: list[Annotated[Origin, AfterValidator(_plain_origin)]] = Field(
        default=[], max_length=100, description='Origins, such as "https://api.example.com".'
    )

    expires_in: Seconds | None = Field(
        default=None, gt=0, le=LONGEST_GRANT, description='Time after which it ends, such as "8h"; without it never.'
    )
    count: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Calls after which it ends; without it any number."
    )
    reason: str = Field(default="", max_length=500, pattern=r"^[^\x00]*$", description="Why, for the log.")


class ToolGrant(Condition):
    """A grant."""

    id: str
    expires_at: datetime | None = None
    count: int | None = None
    """Calls that it is good for; None: any number."""
    used: int = 0
    """Calls that have used it, where they are counted."""
    reason: str = ""
    created_at: datetime | None = None
    created_by: str = ""
    key_id: str | None = None
    """The key that granted it, or the one in its place."""
    source: Literal["operator", "settings"] = "operator"

    def holds(self, moment: datetime) -> bool:
        """Whether it has not ended at `moment`."""
        return (self.expires_at is None or moment < self.expires_at) and (self.count is None or self.used < self.count)


def _matches(pattern: str, name: str, arguments: Mapping[str, Any]) -> bool:
    if name not in arguments:
        return False
    value = arguments[name]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text) <= MATCHED_LENGTH and address_fits(text, pattern)


def _shown(limit: str, value: float) -> str:
    if limit in ("memory", "message_size"):
        return format_size(int(value)).replace(" ", "")
    return f"{value:g}s" if limit == "wall_time" else str(value)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a call is granted, whether its tool requests it or not."""

    network: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()
    files: frozenset[GrantedFolder] = frozenset()
    limits: GrantedLimits = NO_LIMITS
    commands: frozenset[str] = frozenset()

    @classmethod
    def of(cls, grants: Iterable[Condition]) -> "Rights":
        """All that `grants` grant together."""
        rights = cls()
        for grant in grants:
            rights = Rights(
                rights.network | set(grant.network),
                rights.environment | set(grant.environment),
                rights.files | set(grant.files),
                _joined(rights.limits, grant.limits),
                rights.commands | set(grant.commands),
            )
        return rights

    @classmethod
    def requested(cls, manifest: ToolManifest) -> "Rights":
        """All that a manifest asks for: what somebody would have to grant so that nothing is missing."""
        permissions, server = manifest.requested, manifest.mcp_server
        folders = (each for each in permissions.files if not each.is_bundled)
        return cls(
            frozenset(_normal_origins(permissions.network)),
            frozenset(permissions.environment),
            frozenset(GrantedFolder(path=each.path, write=each.write) for each in folders),
            GrantedLimits.model_validate(_limits_that_hold(manifest)),
            frozenset([server.line] if server is not None and server.line else []),
        )

    def __and__(self, other: "Rights") -> "Rights":
        """What both grant."""
        files = frozenset(
            GrantedFolder(path=deeper.path, write=one.write and two.write)
            for one in self.files
            for two in other.files
            for deeper, above in ((one, two), (two, one))
            if above.covers(deeper.path, write=False)
        )
        return Rights(
            self.network & other.network,
            self.environment & other.environment,
            files,
            _both(self.limits, other.limits),
            self.commands & other.commands,
        )

    def gives_folder(self, path: str, *, write: bool) -> bool:
        """Whether a tool may use a folder of the server."""
        return any(folder.covers(path, write) for folder in self.files)


NOTHING: Final = Rights()


_LIMITS: Final = ("memory", "fuel", "wall_time", "message_size")


def _limits_that_hold(manifest: ToolManifest) -> dict[str, float]:
    """The limits that a call of the tool is held to: memory and instructions are counted in a sandbox only."""
    limits = manifest.limits.of_a_call
    if not manifest.is_sandboxed:
        limits = {name: limits[name] for name in ("wall_time", "message_size")}
    return limits


def _joined(one: GrantedLimits, two: GrantedLimits) -> GrantedLimits:
    found = ((name, getattr(one, name), getattr(two, name)) for name in _LIMITS)
    return GrantedLimits(**{name: max(a or 0, b or 0) or None for name, a, b in found})


def _both(one: GrantedLimits, two: GrantedLimits) -> GrantedLimits:
    found = ((name, getattr(one, name), getattr(two, name)) for name in _LIMITS)
    return GrantedLimits(**{name: None if a is None or b is None else min(a, b) for name, a, b in found})


@dataclass(frozen=True, slots=True)
class Missing:
    """What a manifest requests and is not granted."""

    network: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    files: tuple[GrantedFolder, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    commands: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.network or self.environment or self.files or self.limits or self.commands)

    def told(self) -> list[str]:
        """For people and the log."""
        limits = [f"{name}={_shown(name, value)}" for name, value in self.limits.items()]
        folders = [f"{folder.path}{':write' if folder.write else ''}" for folder in self.files]
        return [*self.network, *self.environment, *folders, *self.commands, *limits]

    def command(self, tool: str, agent: str | None = None) -> str:
        """The command by which an operator grants it."""
        words = ["caxton", "tool", "grant", tool]
        for origin in self.network:
            words += ["--network", origin]
        for name in self.environment:
            words += ["--environment", name]
        for folder in self.files:
            words += ["--files", f"{folder.path}{':write' if folder.write else ''}"]
        for line in self.commands:
            words += ["--command", line]
        for name, value in self.limits.items():
            words += ["--limit", f"{name}={_exact(name, value)}"]
        if agent is not None:
            words += ["--agent", agent]
        return shlex.join(words)


def lacking_of_server(manifest: ToolManifest, rights: Rights) -> Missing:
    """What a server outside of the sandbox needs, so that it can be used at all, and `rights` do not have."""
    server = manifest.mcp_server
    assert server is not None
    return Missing(
        network=tuple(sorted({server.origin} - rights.network)) if server.origin is not None else (),
        environment=tuple(sorted(set(server.variables) - rights.environment)),
        commands=tuple(sorted(Rights.requested(manifest).commands - rights.commands)),
    )


def not_granted(name: str, lacking: Missing) -> str:
    """What is said of a tool, or of an agent elsewhere, that lacks what it cannot do without."""
    return f"{name} needs what nobody has granted: {', '.join(lacking.told())}"


def _exact(limit: str, value: float) -> str:
    """A limit as a command takes it, without rounding."""
    if limit == "wall_time":
        return f"{value:g}s"
    if limit in ("memory", "message_size"):
        for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
            if value >= size and value % size == 0:
                return f"{int(value) // size}{unit}"
    return str(int(value))


def missing(manifest: ToolManifest, rights: Rights, base: ToolLimits) -> Missing:
    """What `manifest` requests beyond `rights` and the limits that every tool has."""
    wanted = Rights.requested(manifest)
    have = rights.limits.raised(base)
    return Missing(
        tuple(sorted(wanted.network - rights.network)),
        tuple(sorted(wanted.environment - rights.environment)),
        tuple(
            sorted((f for f in wanted.files if not rights.gives_folder(f.path, write=f.write)), key=lambda f: f.path)
        ),
        {name: value for name, value in _limits_that_hold(manifest).items() if value > getattr(have, name)},
        tuple(sorted(wanted.commands - rights.commands)),
    )


def granted_limits(manifest: ToolManifest, rights: Rights, base: ToolLimits) -> ToolLimits:
    """The limits of a call: what its manifest asks for, but no more than is granted."""
    return manifest.limits.at_most(rights.limits.raised(base))


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that asks for rights."""

    tool: ToolManifest
    digest: Digest
    """Of the version that is called."""
    function: str
    arguments: Mapping[str, Any]
    chain: Sequence[str | None]
    """The agents that the work came through, outermost first, the calling one last; (None,) for a call by hand."""


def rights_of(
    asked: Asked, grants: Iterable[ToolGrant], moment: datetime, used: frozenset[str] = frozenset()
) -> Rights:
    """The rights of a call.

    Args:
        asked: the call.
        grants: of its tool.
        moment: the present.
        used: ids of counted grants that the call has taken one of; others do not count.
    """
    holding = [each for each in grants if each.id in used or (each.count is None and each.holds(moment))]
    if not holding:
        return NOTHING
    rights: Rights | None = None
    for agent in dict.fromkeys(asked.chain):
        own = Rights.of(each for each in holding if each.fits(asked.digest, agent, asked.function, asked.arguments))
        rights = own if rights is None else rights & own
    return rights or NOTHING


def needed_counts(asked: Asked, grants: Sequence[ToolGrant], moment: datetime, base: ToolLimits) -> list[ToolGrant]:
    """Counted grants that the call has to take one of, so that it gets all that it can get: no more than it needs."""
    counted = [
        each
        for each in grants
        if each.count is not None
        and each.holds(moment)
        and any(each.fits(asked.digest, agent, asked.function, asked.arguments) for agent in asked.chain)
    ]
    if not counted:
        return []

    def lacks(chosen: Iterable[ToolGrant]) -> Missing:
        return missing(asked.tool, rights_of(asked, grants, moment, frozenset(each.id for each in chosen)), base)

    best, chosen = lacks(counted), list(counted)
    for each in counted:
        without = [other for other in chosen if other is not each]
        if lacks(without) == best:
            chosen = without
    return chosen


def for_all_calls(grants: Iterable[ToolGrant], moment: datetime, digest: Digest) -> Rights:
    """What is granted to every call of a version of a tool: what it has while it describes itself."""
    own = (each for each in grants if each.is_for_version(digest))
    return Rights.of(each for each in own if each.is_for_all and each.count is None and each.holds(moment))


def for_any_call(grants: Iterable[ToolGrant], moment: datetime, digest: Digest) -> Rights:
    """What is granted to some call of a version of a tool, be it of one agent only."""
    return Rights.of(each for each in grants if each.is_for_version(digest) and each.holds(moment))


class GrantPolicy(Protocol):
    """What this server never grants, and what every tool has without a grant."""

    @property
    def base(self) -> ToolLimits:
        """Limits that every tool may ask for."""
        ...

    @property
    def maximum(self) -> ToolLimits:
        """Limits that no call goes beyond."""
        ...

    def problems(self, condition: Condition, *, own_customer: bool) -> list[str]:
        """Why some of it cannot be granted.

        Args:
            condition: what somebody wants to grant.
            own_customer: whether the grant is for the customer whose machine it is. Others are granted public networks and
                limits only: variables, folders and private addresses are the machine's.
        """
        ...
