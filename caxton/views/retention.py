"""Retention periods."""

from caxton.views.view import View


class KindView(View):
    """How long one kind of thing is kept."""

    kind: str
    seconds: float | None
    """None: forever."""
    default: bool
    """True if the server's settings decide it."""
    outside: int
    """How many are older, and go within a minute."""


class RetentionView(View):
    """How long a workspace keeps what."""

    periods: list[KindView]
