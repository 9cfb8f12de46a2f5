"""Who asks: the customer and workspace, what the key may do there, and how to follow the request."""

from dataclasses import dataclass

from caxton.domain.errors import Hint, NotPermitted
from caxton.domain.events import ActorKind, actor
from caxton.domain.ids import Scope
from caxton.domain.permissions import BUILT_IN, NOTHING, Permission, Reach, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """The one on whose behalf a use case runs."""

    scope: Scope
    role: str
    """The roles that hold in the workspace, for people."""
    key_id: str
    name: str
    channel: str = "api"
    """How the request came: "api", "cli" …"""
    permissions: frozenset[Permission] = NOTHING
    """In the workspace."""
    everywhere: frozenset[Permission] = NOTHING
    """In all workspaces of the customer."""
    rate: float | None = None
    """Requests a second that the key may make; None: what the server's settings say."""

    @property
    def actor(self) -> str:
        """Who this is in the event log: an administrator is the founder, whoever may do less an operator."""
        founder = Role.ADMIN in self.role.split(", ")
        return actor(ActorKind.FOUNDER if founder else ActorKind.OPERATOR, self.name)

    @property
    def by_token(self) -> bool:
        """Whether it came with a token of an identity provider, and not with a key."""
        return self.key_id.startswith("sub_")

    @property
    def principal(self) -> str:
        """Who this is where it matters that two are not the same: keys that replace one another are one."""
        return self.key_id if self.by_token else f"key:{self.name}"

    def require(self, permission: Permission) -> None:
        """Refuses callers without `permission`.

        Routes do this by their declaration (:mod:`caxton.api.guard`). A use case does it where what is asked decides, such
        as a memory that all workspaces share.

        Raises:
            NotPermitted: the key's roles do not allow it in the workspace.
        """
        if permission not in self.permissions:
            raise self.refusal(permission)

    def refusal(self, permission: Permission) -> NotPermitted:
        """The error for a caller without `permission`. It is the same for workspaces that exist and those that do not."""
        named = [role for role, allowed in BUILT_IN.items() if permission in allowed]
        if not self.permissions:
            problem = f'the key "{self.name}" may not use this workspace'
        else:
            problem = f'this needs the permission "{permission}", and the key "{self.name}" has the role {self.role}'
        where = {
            Reach.WORKSPACE: "",
            Reach.CUSTOMER: " for all workspaces",
            Reach.SERVER: " for all workspaces, and a key of the server's own customer",
        }[permission.reach]
        return NotPermitted(
            problem,
            Hint(text=f"it takes {_listed(named)}{where}; ask an administrator for such a key"),
            Hint(text="see what your key may do", command="caxton key show"),
            details={"needed": str(permission), "role": self.role},
        )


def _listed(roles: list[str]) -> str:
    return f"the role {' or '.join(roles)}, or one of your own that has it"
