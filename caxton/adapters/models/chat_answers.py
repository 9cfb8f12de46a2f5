"""Answers to Chat Completions requests: whole ones, and streams that become whole while their text goes to a listener."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx2

from caxton.adapters.models.answer_errors import body_of_refusal
from caxton.adapters.models.characters import as_text
from caxton.adapters.models.completion import AnswerFailedError, AnswerRefusedError, Completion, not_understood
from caxton.domain.errors import ModelAnswerInvalid
from caxton.domain.ports import DeltaSink

_PATH = "/chat/completions"

_LARGEST_EVENT = 16 << 20
"""Bytes of one event: nobody sends such a piece of an answer."""

_LARGEST_ANSWER = 64 << 20
"""Bytes of an answer that comes whole."""

_KEPT_HEADERS = ("x-", "openai-", "retry-after")

_BEGINS_EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")


def is_chat(request: httpx2.Request) -> bool:
    """Whether it is a Chat Completions request."""
    return request.url.path.endswith(_PATH)


class ChatAnswer:
    """Reads one answer.

    Whether it is a stream is seen from its content, for some services do not stream although they are asked to, some do without
    being asked, and some say the one and send the other.
    """

    def __init__(
        self,
        on_delta: DeltaSink | None = None,
        on_piece: Callable[[], None] | None = None,
        *,
        plain: bool,
    ) -> None:
        """Prepare to read.

        Args:
            on_delta: gets the text as it comes.
            on_piece: hears of each piece.
            plain: whether to leave out what OpenAI does not have.
        """
        self._on_delta = on_delta
        self._on_piece = on_piece
        self._plain = plain
        self._completion = Completion()
        self.text: str | None = None
        """Of an answer."""
        self.given: dict[str, Any] = {}
        """What the service may want back with the calls of the answer."""

    async def read(self, response: httpx2.Response) -> httpx2.Response:
        """Reads `response` to its end, and returns the answer as OpenAI would have given it whole.

        Raises:
            AnswerFailedError: what came is not a whole answer, or an error in the middle of one that another try may fix.
        """
        headers = {name: value for name, value in response.headers.items() if name.startswith(_KEPT_HEADERS)}
        try:
            try:
                await self._read(response)
            except httpx2.TransportError:
                if not self._completion.ended:
                    raise
                # All of it has come; only the end of the connection was not a clean one.
            body, status = self._completion.as_answer(plain=self._plain), response.status_code
            self.given, self.text = self._completion.to_give_back(), self._completion.text
        except AnswerRefusedError as error:
            body, status = error.body, error.status
        return httpx2.Response(status, headers=headers, json=body, request=response.request)

    async def _read(self, response: httpx2.Response) -> None:
        blocks = response.aiter_bytes()
        start = b""
        async for block in blocks:
            start += block
            if len(start.lstrip(b"\xef\xbb\xbf \t\r\n")) >= len(b"event:"):
                break
        start = start.lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith(_BEGINS_EVENTS) or (
            not start and "event-stream" in response.headers.get("content-type", "")
        ):
            async for name, data in _events(start, blocks):
                if self._on_piece is not None:
                    self._on_piece()
                if data == b"[DONE]":
                    self._completion.ended = True
                    break
                self._take_event(name, data)
        else:
            self._take(_read_json(await _all(start, blocks)))
            self._completion.ended = True
        self._say(self._completion.rest())

    def _take_event(self, name: bytes, data: bytes) -> None:
        try:
            piece = _read_json(data)
        except AnswerFailedError:
            # Some end each event with one line's end: then the lines of several are one event.
            lines = data.split(b"\n")
            if len(lines) == 1:
                raise
            for line in lines:
                if line == b"[DONE]":
                    self._completion.ended = True
                elif line:
                    self._take(_read_json(line))
            return
        self._take(piece, named_error=name == b"error")

    def _take(self, piece: Any, *, named_error: bool = False) -> None:
        self._say(self._completion.add(piece, named_error=named_error))

    def _say(self, text: str) -> None:
        if text and self._on_delta is not None:
            self._on_delta(text)


async def _all(start: bytes, blocks: AsyncIterator[bytes]) -> bytes:
    found = bytearray(start)
    async for block in blocks:
        found += block
        if len(found) > _LARGEST_ANSWER:
            raise AnswerFailedError(ModelAnswerInvalid("the model's answer is too large"))
    return bytes(found)


async def _events(start: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bytes]]:
    """Name and data of each server-sent event."""
    rest, name, data = b"", b"", list[bytes]()

    async def all_blocks() -> AsyncIterator[bytes]:
        yield start
        async for block in blocks:
            yield block

    async for block in all_blocks():
        # At nothing else that Unicode calls the end of a line.
        *lines, rest = (rest + block).replace(b"\r\n", b"\n").split(b"\n")
        if len(rest) > _LARGEST_EVENT:
            raise AnswerFailedError(ModelAnswerInvalid("the model's answer has a piece that is too large"))
        for line in lines:
            if line.rstrip(b"\r"):
                field, _, value = line.partition(b":")
                if field == b"data":
                    data.append(value.strip())
                elif field == b"event":
                    name = value.strip()
                continue
            if any(data):
                yield name, b"\n".join(data)
            name, data = b"", []
    if rest.startswith(b"data:"):  # without a line's end behind it
        data.append(rest[5:].strip())
    if any(data):
        yield name, b"\n".join(data)


def _read_json(data: bytes) -> Any:
    try:
        return json.loads(as_text(data))
    except (ValueError, RecursionError):
        raise AnswerFailedError(not_understood()) from None


def as_refusal(response: httpx2.Response, content: bytes) -> httpx2.Response:
    """An answer whose status tells of an error, with its body in OpenAI's form."""
    try:
        body = body_of_refusal(json.loads(content))
    except (ValueError, RecursionError):
        body = None
    if body is None:
        return response
    headers = {name: value for name, value in response.headers.items() if name.startswith(_KEPT_HEADERS)}
    status = response.status_code
    if status == 500 and cast("dict[str, Any]", body["error"]).get("code") == "context_length_exceeded":
        status = 400
    return httpx2.Response(status, headers=headers, json=body, request=response.request)
