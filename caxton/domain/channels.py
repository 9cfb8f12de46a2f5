"""Channels: where notices go. The server's settings name them; agents refer to them."""

from pydantic import BaseModel, ConfigDict


class Channel(BaseModel):
    """A webhook."""

    model_config = ConfigDict(frozen=True)

    url: str
    secret: str | None = None
    """Reference to the secret that notices are signed with."""
