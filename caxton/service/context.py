"""Who asks: the customer and workspace, what the key may do, and how to follow the request."""

from dataclasses import dataclass
from enum import StrEnum

from caxton.domain.errors import NotPermitted
from caxton.domain.events import ActorKind, actor
from caxton.domain.ids import Scope


class Role(StrEnum):
    """What a key may do; each role includes those before it."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    OPERATOR = "operator"
    ADMIN = "admin"


RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Caller:
    """The one on whose behalf a use case runs."""

    scope: Scope
    role: Role
    key_id: str
    name: str
    channel: str = "api"
    """How the request came: "api", "cli" …"""

    @property
    def actor(self) -> str:
        """Who this is in the event log: an administrator is the founder, whoever may do less an operator."""
        return actor(ActorKind.FOUNDER if self.role is Role.ADMIN else ActorKind.OPERATOR, self.name)

    def require(self, role: Role) -> None:
        """Refuses callers of a lesser role.

        Raises:
            NotPermitted: the key's role is not enough.
        """
        if RANK[self.role] < RANK[role]:
            raise NotPermitted(
                f'this needs the role "{role}", and the key "{self.name}" has the role "{self.role}"',
                "use another key, or ask an administrator for one",
                details={"needed": role, "role": self.role},
            )
