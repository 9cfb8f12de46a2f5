"""Answers that last: a stream, an export or a batch ends with the right to read it.

A request is admitted once. Each piece of an answer that comes in pieces asks again whether the key is still good and may still do
all that it might: a key that was revoked or has expired, or a role that may do less, gets nothing more. So does an answer in one
piece that was long in coming, such as the reply to a message. A stream in which nothing happens is asked about every second
(:class:`Watch`), so that it ends with its key, and its reader is told why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import Message, Send

from caxton.api.ndjson import NDJSON as LINES
from caxton.api.sse import encode_event
from caxton.domain.errors import CaxtonError, NotAuthenticated, NotPermitted, RateLimited
from caxton.service.context import Caller

NDJSON = LINES.encode()

LONG_IN_COMING = 0.5
"""Seconds after which an answer asks again, before it begins, whether its caller may still have it."""

WATCH_EVERY = 1.0
"""Seconds between two looks at answers that have begun and are silent."""

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

    def __init__(
        self, send: Send, recheck: Recheck, refuse: Callable[[CaxtonError], Awaitable[None]], watch: "Watch"
    ) -> None:
        """Send by `send`; to be made in the task of the request.

        Args:
            send: where the answer goes.
            recheck: whether the caller may still have it.
            refuse: answers with an error instead.
            watch: looks at it while it is silent.
        """
        self.cut_off = False
        """The answer was broken off, so the connection has to close."""
        self._send = send
        self._recheck = recheck
        self._refuse = refuse
        self._watch = watch
        self._request = asyncio.current_task()
        self._is_event_stream = False
        self._is_refused = False
        self._ended_by: CaxtonError | None = None
        self._asked_at = time.monotonic()

    async def __call__(self, message: Message) -> None:
        """Sends one message of the answer."""
        if message["type"] == "http.response.start":
            types = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
            self._is_event_stream = any(value.startswith(b"text/event-stream") for value in types)
            if await self._comes_too_late(message["status"]):
                return
            if self._is_event_stream or any(value.startswith(NDJSON) for value in types):
                self._watch.add(self)
        elif self._is_refused:
            if message.get("more_body"):
                await self._break_off()
            return
        elif message.get("more_body"):
            try:
                await self._recheck()
            except CaxtonError as error:
                self._ended_by = error
                await self._break_off()
        await self._send(message)

    async def look(self) -> None:
        """Ends an answer that has begun where its caller may no longer have it."""
        if self.cut_off:
            return
        try:
            await self._recheck()
        except (NotAuthenticated, NotPermitted, RateLimited) as error:
            if self in self._watch.answers and not self.cut_off and self._request is not None:
                self._ended_by = error
                self.cut_off = True
                self._request.cancel()
        except CaxtonError:
            return  # whether it may is not known now; the next piece asks again

    async def finish(self) -> None:
        """Says why a stream was cut off; to be called when whoever made it has ended."""
        if self._is_event_stream and self._ended_by is not None:
            told = encode_event("error", self._ended_by.report().model_dump(mode="json", exclude_none=True))
            await self._send({"type": "http.response.body", "body": told.encode(), "more_body": False})

    def close(self) -> None:
        """Needs to be looked at no more."""
        self._watch.answers.discard(self)

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

    async def _break_off(self) -> None:
        """Cancels whoever makes the answer, which waits here."""
        if self._request is not None and not self.cut_off:
            self.cut_off = True  # so that nobody takes what has come for all of it
            self._request.cancel()
        await asyncio.Event().wait()


class Watch:
    """Looks at answers that have begun, each second, as long as there are any."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.answers: set[LastingAnswer] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, answer: LastingAnswer) -> None:
        """Looks at `answer` until it is closed."""
        self.answers.add(answer)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self.answers:
            await asyncio.sleep(WATCH_EVERY)
            for answer in list(self.answers):
                await answer.look()
