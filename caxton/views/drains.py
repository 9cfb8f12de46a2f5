"""Versions that were replaced and have work in progress."""

from datetime import datetime
from typing import Literal

from caxton.views.view import View


class DrainView(View):
    """A version of an agent or a tool that is not live any more, and finishes what it has in progress."""

    kind: Literal["agent", "tool"] | str
    name: str
    version: str
    digest: str
    deployment_id: str | None = None
    """The deployment that it was live by."""
    since: datetime
    ends_at: datetime
    """When its time has passed: conversations that are left then go on with the live version."""
    moves: bool = False
    """Whether that is so already."""
    turns: int = 0
    """Executions in progress; a thousand are as many as are counted, likewise of what follows."""
    conversations: int = 0
    """Conversations that began with it and may go on."""
    calls: int = 0
    """Calls of a tool without a result."""
