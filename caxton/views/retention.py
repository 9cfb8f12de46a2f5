"""How long things are kept."""

from caxton.views.view import View


class KindView(View):
    """How long one kind of thing is kept."""

    kind: str
    seconds: float | None
    """None: forever."""
    default: bool
    """Whether that is as the server's settings say."""
    outside: int
    """How many are older, and go within a minute."""


class RetentionView(View):
    """How long a workspace keeps what."""

    periods: list[KindView]
