"""Bodies are checked before a route reads them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import Message, Receive, Scope

from caxton.api.services import Services
from caxton.domain.strict_json import check_json

LONG_BODY: Final = 64 << 10
"""Bytes of a body that is read in turn: to check one of some megabytes, and to make values of it, takes a tenth of a second."""


async def strict_body(scope: Scope, receive: Receive) -> Receive:
    """What receives the request's body again, once it has been checked; one that is not JSON is not touched.

    Raises:
        InvalidInput: as for :func:`check_json`.
    """
    if not _is_json(scope):
        return receive
    parts: list[bytes] = []
    last: Message = {"more_body": True}
    while last.get("more_body", False):
        last = await receive()
        parts.append(last.get("body", b""))
    content = b"".join(parts)
    if content:
        async with _turn(scope, len(content)):
            check_json(content)
    first: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    if last["type"] != "http.request":
        first = [last]  # the client has gone

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again


@asynccontextmanager
async def _turn(scope: Scope, size: int) -> AsyncGenerator[None]:
    """Waits for the customer's turn, if the body is long. What follows at once is a part of it, for the next one's is later."""
    if size <= LONG_BODY:
        yield
        return
    services: Services = scope["app"].state.services
    async with services.long_bodies.turn(scope["state"]["caller"].scope.customer):
        yield


def _is_json(scope: Scope) -> bool:
    kind = scope["state"]["headers"].get("content-type", "").partition(";")[0].strip().lower()
    return kind.endswith(("/json", "+json"))
