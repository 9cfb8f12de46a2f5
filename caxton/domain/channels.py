"""Channels: where notices go. The server's settings name them; agents refer to them."""

from pydantic import BaseModel, ConfigDict


class Channel(BaseModel):
    """A webhook."""

    model_config = ConfigDict(frozen=True)

    url: str
    secret_env: str | None = None
    """Name of the environment variable with the secret that notices are signed with."""
