"""Permissions and roles: who may do what.

Every route declares one of these permissions (:mod:`caxton.api.guard`); the generated page docs/reference/permissions.md
shows the whole table. A role is a set of permissions. A key is granted roles, each for all workspaces of its customer or for
some of them.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.ids import Name


class Reach(StrEnum):
    """How far a permission reaches."""

    WORKSPACE = "workspace"
    """The workspace of the request."""
    CUSTOMER = "customer"
    """All workspaces of the customer: only a role that is granted for all workspaces brings it."""
    SERVER = "server"
    """The whole server: like CUSTOMER, and only for keys of the customer whose server it is."""


class Permission(StrEnum):
    """What may be allowed, as `resource:action`."""

    reach: Reach
    description: str

    def __new__(cls, text: str, description: str, reach: Reach = Reach.WORKSPACE) -> Self:
        """A permission with what it allows."""
        made = str.__new__(cls, text)
        made._value_ = text
        made.description = description
        made.reach = reach
        return made

    MESSAGES_SEND = "messages:send", "send messages, one by one or in batches; start conversations"
    MESSAGES_READ = "messages:read", "read messages, conversations, executions, their streams and contents"
    CONVERSATIONS_END = "conversations:end", "end conversations and cancel executions"
    CONVERSATIONS_DELETE = "conversations:delete", "delete conversations with all that they left"
    AGENTS_READ = "agents:read", "see agents and capabilities"
    AGENTS_OPERATE = "agents:operate", "start, stop, restart and resume agents"
    TOOLS_READ = "tools:read", "see tools, their calls and logs"
    TOOLS_CALL = "tools:call", "call a tool by hand, and ask its MCP server what it offers"
    TOOLS_GRANT = (
        "tools:grant",
        "grant tools what they request: networks, paths, variables, limits, commands; accept what MCP servers offer",
    )
    TOOLS_RELEASE = "tools:release", "release tools from quarantine"
    SCHEDULES_READ = "schedules:read", "see schedules, when they are due and what became of it"
    SCHEDULES_OPERATE = "schedules:operate", "pause and resume schedules, run them by hand, backfill"
    TRIGGERS_READ = "triggers:read", "see triggers, with the addresses of their webhooks"
    DEPLOYMENTS_READ = "deployments:read", "see deployments"
    DEPLOYMENTS_WRITE = "deployments:write", "plan, upload, deploy and roll back"
    MEMORY_READ = "memory:read", "search and read memories"
    MEMORY_WRITE = "memory:write", "add, correct, relate and remove single memories"
    MEMORY_MANAGE = "memory:manage", "export, import, edit and purge memories in bulk; undo; retention"
    MEMORY_SHARE = "memory:share", "change memories that all workspaces share", Reach.CUSTOMER
    EVENTS_READ = "events:read", "read the workspace's event log, traces, replays, views and metrics"
    EVENTS_EXPORT = "events:export", "export the workspace's event log"
    EVENTS_AUDIT = "events:audit", "verify and export the customer's whole event log", Reach.CUSTOMER
    RETENTION_READ = "retention:read", "see how long things are kept"
    RETENTION_MANAGE = "retention:manage", "decide how long the workspace keeps what, and so delete what is older"
    EVENTS_DETACH = (
        "events:detach",
        "decide how long the customer's event log stays in the database",
        Reach.CUSTOMER,
    )
    METRICS_DEFINE = "metrics:define", "define and remove metrics of the workspace"
    VIEWS_REBUILD = "views:rebuild", "rebuild views of the customer's event log", Reach.CUSTOMER
    APPROVALS_READ = "approvals:read", "see what waits for a person"
    APPROVALS_DECIDE = "approvals:decide", "grant and reject what waits for an operator"
    APPROVALS_DECIDE_FOUNDER = "approvals:decide-founder", "grant and reject what waits for the founder"
    BUDGETS_READ = "budgets:read", "see budgets"
    BUDGETS_WRITE = "budgets:write", "set and remove budgets", Reach.CUSTOMER
    KEYS_MANAGE = "keys:manage", "list, create, rotate and revoke API keys", Reach.CUSTOMER
    ROLES_MANAGE = "roles:manage", "define and remove roles", Reach.CUSTOMER
    ONBOARDING_WRITE = "onboarding:write", "record a user's first steps"
    SERVER_READ = "server:read", "see the server's version and one's own rights; browse the API's documentation"
    SERVER_INSPECT = (
        "server:inspect",
        "see metrics of all customers, addresses, folders and health details",
        Reach.SERVER,
    )
    PAYLOADS_DECODE = "payloads:decode", "decrypt what the workflow engine keeps of all customers", Reach.SERVER
    CUSTOMERS_MANAGE = "customers:manage", "create API keys for other customers", Reach.SERVER


class Role(StrEnum):
    """The built-in roles."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


_VIEWER = frozenset(
    {
        Permission.MESSAGES_READ,
        Permission.AGENTS_READ,
        Permission.TOOLS_READ,
        Permission.SCHEDULES_READ,
        Permission.TRIGGERS_READ,
        Permission.DEPLOYMENTS_READ,
        Permission.MEMORY_READ,
        Permission.EVENTS_READ,
        Permission.APPROVALS_READ,
        Permission.RETENTION_READ,
        Permission.BUDGETS_READ,
        Permission.SERVER_READ,
    }
)
_DEVELOPER = _VIEWER | {
    Permission.MESSAGES_SEND,
    Permission.CONVERSATIONS_END,
    Permission.TOOLS_CALL,
    Permission.DEPLOYMENTS_WRITE,
    Permission.MEMORY_WRITE,
    Permission.MEMORY_SHARE,
    Permission.ONBOARDING_WRITE,
}
_OPERATOR = _DEVELOPER | {
    Permission.CONVERSATIONS_DELETE,
    Permission.RETENTION_MANAGE,
    Permission.EVENTS_DETACH,
    Permission.AGENTS_OPERATE,
    Permission.SCHEDULES_OPERATE,
    Permission.TOOLS_GRANT,
    Permission.MEMORY_MANAGE,
    Permission.EVENTS_EXPORT,
    Permission.EVENTS_AUDIT,
    Permission.METRICS_DEFINE,
    Permission.VIEWS_REBUILD,
    Permission.APPROVALS_DECIDE,
}

BUILT_IN: Mapping[str, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.DEVELOPER: _DEVELOPER,
    Role.OPERATOR: _OPERATOR,
    Role.APPROVER: _VIEWER | {Permission.APPROVALS_DECIDE},
    Role.ADMIN: frozenset(Permission),
}
"""What each built-in role allows."""

NOTHING: frozenset[Permission] = frozenset()


class KeyGrant(BaseModel):
    """A role that a key has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Name = Field(description="A built-in role or one that the customer has defined.")
    workspaces: Annotated[tuple[Name, ...], Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Where it holds; without it in all workspaces of the customer, also in later ones."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.workspaces is not None and len(set(self.workspaces)) < len(self.workspaces):
            raise ValueError("a workspace is named twice")
        return self

    def __str__(self) -> str:
        return self.role if self.workspaces is None else f"{self.role}:{','.join(self.workspaces)}"

    def covers(self, workspace: str) -> bool:
        """Whether the role holds in `workspace`."""
        return self.workspaces is None or workspace in self.workspaces


class CustomRole(BaseModel):
    """A role that a customer has defined."""

    name: Name
    permissions: frozenset[Permission]
    description: str = ""


Roles = Mapping[str, frozenset[Permission]]
"""What each role of a customer allows, by its name."""


def roles_of(custom: Sequence[CustomRole]) -> Roles:
    """The built-in roles and the customer's own."""
    return {**{role.name: role.permissions for role in custom}, **BUILT_IN}


def permissions_in(workspace: str, grants: Sequence[KeyGrant], roles: Roles, *, at_home: bool) -> frozenset[Permission]:
    """What `grants` allow in `workspace`; `at_home`: the server is the customer's own."""
    found: set[Permission] = set(permissions_everywhere(grants, roles, at_home=at_home))
    for grant in grants:
        if grant.workspaces is not None and grant.covers(workspace):
            found |= {each for each in roles.get(grant.role, NOTHING) if each.reach is Reach.WORKSPACE}
    return frozenset(found)


def permissions_everywhere(grants: Sequence[KeyGrant], roles: Roles, *, at_home: bool) -> frozenset[Permission]:
    """What `grants` allow in all workspaces."""
    found: set[Permission] = set()
    for grant in grants:
        if grant.workspaces is None:
            found |= roles.get(grant.role, NOTHING)
    return frozenset(each for each in found if at_home or each.reach is not Reach.SERVER)
