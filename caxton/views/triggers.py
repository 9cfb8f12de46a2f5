"""Views of triggers."""

from caxton.domain.triggers import Scheme
from caxton.views.view import View


class TriggerView(View):
    """A trigger of an agent."""

    agent: str
    name: str
    scheme: Scheme | str
    """How deliveries are signed."""
    path: str
    """Where they arrive, below the server's address."""
    secrets: list[str]
    """References to the secrets that they may be signed with."""
    events: list[str] = []
    """Kinds of events that are taken; all if empty."""
    tolerance: float
    """Seconds."""
    max_body: int
    """Bytes."""
    capability: str | None = None
    """The first one of the agent if None."""
