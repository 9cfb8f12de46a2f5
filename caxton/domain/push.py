"""Push notifications: where a client wants to be told of a task's changes, and where an operator lets them go."""

from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from caxton.domain.origins import normal_origin

ANYWHERE: Final = "https://*"
"""Any host of the internet, over HTTPS."""

MOST_OF_A_TASK: Final = 10
"""Configurations that one task may have."""


class PushConfig(BaseModel):
    """Where to, and how the receiver knows who sends."""

    model_config = ConfigDict(frozen=True)

    id: str
    url: str
    token: str = ""
    """The client's own, which it gets back, and nobody else does. If it is a secret of Standard Webhooks, deliveries are signed
    with it."""
    principal: str = ""
    """Whose it is."""
    scheme: str = ""
    """Of the header Authorization."""
    credentials: str = ""
    told: str | None = None
    """The state that the receiver was told last."""
    given_up: bool = False
    """Whether the receiver refused, or did not answer for so long that nothing more is sent."""


class PushPolicy:
    """Where push notifications may go."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        """Keep to `origins`, one of which may be :data:`ANYWHERE`."""
        self._anywhere = ANYWHERE in origins
        self._exact = frozenset(normal_origin(origin) for origin in origins if origin != ANYWHERE)

    @property
    def allows_any(self) -> bool:
        """Whether they may go anywhere at all."""
        return self._anywhere or bool(self._exact)

    def is_named(self, url: str) -> bool:
        """Whether an operator has named the very origin of `url`, so that it may be a private address."""
        return origin_of(url) in self._exact

    def problem(self, url: str) -> str | None:
        """Why nothing may be sent to `url`; None if it may, as far as its text tells."""
        origin = origin_of(url)
        if origin is None:
            return "it is no address of the web"
        if origin in self._exact:
            return None
        if not self._anywhere:
            return "no operator has named its origin"
        return None if origin.startswith("https:") else "it is not HTTPS, and no operator has named its origin"


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address; None where it is none."""
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.fragment:
            return None
        return normal_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        return None
