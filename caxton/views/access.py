"""API keys and roles."""

from datetime import datetime

from caxton.domain.permissions import KeyGrant
from caxton.views.view import View


class KeyView(View):
    """An API key without the key."""

    id: str
    customer: str
    name: str
    role: str
    """Its roles, each with its workspaces after a colon unless it holds in all."""
    grants: list[KeyGrant] = []
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""
    rate: float | None = None
    """Requests a second that it may make of one process; null: what the server's settings say."""


class NewKey(KeyView):
    """A new API key: its text is shown this once."""

    key: str


class RoleView(View):
    """A role and what it allows."""

    name: str
    permissions: list[str] = []
    description: str = ""
    built_in: bool = False
