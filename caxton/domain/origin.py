"""From where something was asked for: what an audit wants to know besides who did it."""

from contextvars import ContextVar

from pydantic import BaseModel, ConfigDict


class Origin(BaseModel):
    """The request that led to an event."""

    model_config = ConfigDict(frozen=True)

    peer: str = ""
    """Network address of the other side: the client's, or a proxy's."""
    channel: str = ""
    """As the client calls it: "api", "cli", "dashboard"."""
    key: str = ""
    """Id of the API key."""
    request: str = ""
    """Id of the request, as its answer and the server's logs have it."""


ORIGIN: ContextVar[tuple[str, str, str, str] | None] = ContextVar("caxton_origin", default=None)
"""Of the request that is being answered: the fields of :class:`Origin` in their order. A tuple, for every message sets it."""


def current_origin() -> Origin | None:
    """Where the request that is being answered comes from; None outside of requests."""
    found = ORIGIN.get()
    if found is None:
        return None
    peer, channel, key, request = found
    return Origin.model_construct(peer=peer, channel=channel, key=key, request=request)
