"""Answers of a service that speaks Chat Completions, and the one who asks it."""

import json
from typing import Any

import pytest
from model_requests import ANALYZE, PARSE, agent, request
from raw_server import RawServer, http_answer

from caxton.adapters.models import Models
from caxton.domain.errors import (
    ModelError,
)
from caxton.domain.ports import ModelReply

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


def said(*texts: str, finish: Any = "stop", **more: Any) -> bytes:
    return b"".join(chunk({"content": text}) for text in texts) + chunk({}, finish, **more) + DONE


def piece(
    arguments: Any = None, name: str | None = None, identity: str | None = None, index: Any = ..., **more: Any
) -> dict[str, Any]:
    call: dict[str, Any] = {**more, "function": {"name": name, "arguments": arguments}}
    if identity is not None:
        call["id"] = identity
    return call if index is ... else {**call, "index": index}


def called(*pieces: dict[str, Any], finish: str = "tool_calls") -> bytes:
    return b"".join(chunk({"tool_calls": [each]}) for each in pieces) + chunk({}, finish) + DONE


def whole(message: dict[str, Any], finish: Any = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}
    ).encode()


class Service:
    """A service with one answer, and what its caller heard."""

    def __init__(self, models: Models, server: RawServer) -> None:
        self.models = models
        self.server = server
        self.heard: list[str] = []

    async def ask(self, body: bytes, *, streamed: bool = True, kind: str | None = None) -> ModelReply:
        sniffed = (
            "text/event-stream" if body.startswith((b"data", b"event", b":", b"\xef\xbb\xbf")) else "application/json"
        )
        self.server.answer = http_answer("200 OK", body, content_type=kind or sniffed)
        asked = request(agent("raw:m"), functions=[PARSE, ANALYZE])
        return await self.models.respond(asked, self.heard.append if streamed else None)

    async def failure(self, body: bytes, *, streamed: bool = True) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await self.ask(body, streamed=streamed)
        assert len(self.server.requests) == 1
        return caught.value
