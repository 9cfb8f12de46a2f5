"""Answers that last: a stream, an export or a batch ends with the right to read it.

A request is admitted once. Each piece of an answer that comes in pieces asks again whether the key is still good and may still do
all that it might: a key that was revoked or has expired, or a role that may do less, gets nothing more. So does an answer in one
piece that was long in coming, such as the reply to a message.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import Message, Send

from caxton.domain.errors import CaxtonError, NotPermitted
from caxton.service.context import Caller

LONG_IN_COMING = 0.5
"""Seconds after which an answer asks again, before it begins, whether its caller may still have it."""

TELLS_WHAT_WAS_DONE = frozenset({201, 202, 204})
"""Answers that a key gets that has just ended itself, such as the key in its place."""

Recheck = Callable[[], Awaitable[None]]
"""Raises the error for a caller who may no longer do what it might when its request was admitted."""


def recheck_of(caller: Caller, authenticate: Callable[[], Awaitable[Caller]]) -> Recheck:
    """Makes the check that asks again for `caller`, by authenticating as its request did."""

    async def recheck() -> None:
        now = await authenticate()
        lost = (caller.permissions - now.permissions) | (caller.everywhere - now.everywhere)
        if lost:
            raise NotPermitted("the key may do less than when this request began", "send the request again")

    return recheck


class LastingAnswer:
    """Sends an answer. Before each piece of one that lasts it asks again; the answer ends where that fails."""

    def __init__(self, send: Send, recheck: Recheck, refuse: Callable[[CaxtonError], Awaitable[None]]) -> None:
        """Send by `send`; to be made in the task of the request.

        Args:
            send: where the answer goes.
            recheck: whether the caller may still have it.
            refuse: answers with an error instead.
        """
        self.cut_off = False
        """The answer was broken off, so the connection has to close."""
        self._send = send
        self._recheck = recheck
        self._refuse = refuse
        self._request = asyncio.current_task()
        self._is_event_stream = False
        self._is_refused = False
        self._asked_at = time.monotonic()

    async def __call__(self, message: Message) -> None:
        """Sends one message of the answer."""
        if message["type"] == "http.response.start":
            types = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
            self._is_event_stream = any(value.startswith(b"text/event-stream") for value in types)
            if await self._comes_too_late(message["status"]):
                return
        elif self._is_refused:
            if message.get("more_body"):
                await self._break_off()
            return
        elif message.get("more_body"):
            try:
                await self._recheck()
            except CaxtonError:
                await self._end()
        await self._send(message)

    async def _comes_too_late(self, status: int) -> bool:
        """Whether the key has ended while the answer was made; then its caller has been told so instead."""
        if status in TELLS_WHAT_WAS_DONE or time.monotonic() - self._asked_at < LONG_IN_COMING:
            return False
        try:
            await self._recheck()
        except CaxtonError as error:
            self._is_refused = True
            await self._refuse(error)
        return self._is_refused

    async def _end(self) -> None:
        """Ends the answer; whoever makes it is cancelled while it waits here."""
        if self._is_event_stream:
            # It may end anywhere: its client comes back, and is told why it may not.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            await asyncio.Event().wait()
        await self._break_off()

    async def _break_off(self) -> None:
        """Cancels whoever makes the answer."""
        if self._request is not None:
            self.cut_off = True  # so that nobody takes what has come for all of it
            self._request.cancel()
        await asyncio.Event().wait()
