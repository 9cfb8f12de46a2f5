"""Chat completions: one request, or one turn of a conversation that the server keeps."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from caxton.api.openai_face.asking import Answer, answer_of, failure, not_yet, response_id, spoken, wait_for
from caxton.api.openai_face.bodies import ChatBody, check_stream, read_body, target_of
from caxton.api.openai_face.bringing import bring
from caxton.api.openai_face.continuing import calls_of, go_on
from caxton.api.openai_face.errors import error_body
from caxton.api.openai_face.exchange import chat_request
from caxton.api.openai_face.functions import told_arguments
from caxton.api.openai_face.stops import Stops, cut
from caxton.api.services import Services
from caxton.api.sse import STILL_HERE, EventStream
from caxton.domain.errors import CaxtonError, NotFound
from caxton.domain.executions import TurnView
from caxton.domain.given import is_id
from caxton.domain.ids import ConversationId
from caxton.domain.json_text import json_line
from caxton.service.context import Caller
from caxton.service.conversations import Start
from caxton.service.turns import Ask

CONVERSATION: Final = "X-Caxton-Conversation"
"""Header: the conversation that a request belongs to; "new" begins one."""

NEW: Final = "new"

ENDS: Final = "data: [DONE]\n\n"


async def complete(
    caller: Caller,
    services: Services,
    content: bytes,
    *,
    key: str | None,
    conversation: str | None,
    streams: bool = True,
) -> Response:
    """Answers `POST /chat/completions`.

    Args:
        caller: who asks.
        services: the use cases.
        content: the request's body.
        key: its idempotency key.
        conversation: what the header CONVERSATION says.
        streams: whether the answer may be a stream.

    Raises:
        CaxtonError: it cannot be answered.
    """
    body = read_body(ChatBody, content)
    check_stream(body.stream, streams=streams)
    target = target_of(body.model)
    wanted = chat_request(body, keeps_history=conversation not in (None, NEW))
    ready = await go_on(services, caller.scope, wanted, None, "messages")
    ready = await bring(services, caller, wanted, ready)
    asked = Ask(target, ready.content, idempotency_key=key, context=ready.context, files=ready.files)
    at_once = 0.0 if not body.stream else None
    if conversation is None:
        turn = await services.turns.ask(caller, asked, wait=at_once)
    else:
        if conversation == NEW:
            started = await services.conversations.start(caller, Start(target, idempotency_key=key))
            conversation = started.id
        if not is_id(conversation):
            raise NotFound("there is no such conversation", details={"param": CONVERSATION})
        turn = await services.conversations.send(caller, ConversationId(conversation), asked, wait=at_once)
    headers = {"X-Caxton-Execution": turn.execution_id, CONVERSATION: turn.conversation_id}
    if body.stream:
        headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventStream(_streamed(caller, services, body, turn), headers=headers)
    found = await wait_for(services, caller.scope, turn)
    if found.turn.state == "failed":
        raise failure(found.turn)
    if found.turn.state == "running":
        raise not_yet(found)
    return JSONResponse(_whole(body, found), headers=headers)


def _whole(body: ChatBody, found: Answer) -> dict[str, Any]:
    calls = tool_calls(found.turn)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": cut(found.text, body.stops) or (None if calls else ""),
        "refusal": None,
        "annotations": [],
        **({"tool_calls": calls} if calls else {}),
    }
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(found.turn),
    }
    return {
        **_head(body, found.turn, "chat.completion"),
        "choices": [choice],
        "usage": usage(found.turn),
        "caxton": facts(found.turn),
    }


def _head(body: ChatBody, turn: TurnView, kind: str) -> dict[str, Any]:
    identity = f"chatcmpl-{turn.execution_id.removeprefix('x_')}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": body.model}


def usage(turn: TurnView) -> dict[str, int]:
    """What the whole turn used, hand-overs included."""
    used = turn.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.tokens,
    }


def facts(turn: TurnView) -> dict[str, Any]:
    """What OpenAI has no place for."""
    reply = turn.reply
    return {
        "execution_id": turn.execution_id,
        "conversation_id": turn.conversation_id,
        "response_id": response_id(turn.execution_id),
        "agent": turn.agent,
        "scripted": bool(reply and reply.metadata.get("scripted")),
        "artifacts": [artifact.model_dump(mode="json") for artifact in reply.artifacts] if reply else [],
    }


def tool_calls(turn: TurnView) -> list[dict[str, Any]]:
    """The calls that the answer asks its caller for."""
    return [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": told_arguments(call)},
        }
        for call in calls_of(turn)
    ]


def finish_reason(turn: TurnView) -> str:
    """Why the answer ends: "stop", unless the caller is asked for something, or the model was cut off."""
    if calls_of(turn):
        return "tool_calls"
    cut_by = turn.reply.metadata.get("cut_by") if turn.reply else None
    return cut_by if cut_by in ("length", "content_filter") else "stop"


async def _streamed(caller: Caller, services: Services, body: ChatBody, turn: TurnView) -> AsyncIterator[str]:
    head = _head(body, turn, "chat.completion.chunk")
    counts = body.stream_options is not None and body.stream_options.include_usage

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        told = {**head, "choices": [choice], **({"usage": None} if counts else {})}
        return f"data: {json_line(told)}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    stops = Stops(body.stops)
    async for piece in said(services, caller, turn):
        if isinstance(piece, CaxtonError):
            yield f"data: {json.dumps({'error': error_body(piece, None)})}\n\n"
            break
        if isinstance(piece, Answer):
            if rest := stops.rest():
                yield chunk({"content": rest})
            for number, call in enumerate(tool_calls(piece.turn)):
                yield chunk({"tool_calls": [{"index": number, **call}]})
            yield chunk({}, finish_reason(piece.turn))
            if counts:
                told: dict[str, Any] = {**head, "choices": [], "usage": usage(piece.turn), "caxton": facts(piece.turn)}
                yield f"data: {json_line(told)}\n\n"
        elif not piece:
            yield STILL_HERE
        elif text := stops.take(piece):
            yield chunk({"content": text})
    yield ENDS


async def said(services: Services, caller: Caller, turn: TurnView) -> AsyncGenerator[str | Answer | CaxtonError]:
    """What a turn says, and at last its answer, or why there is none."""
    if turn.state != "running":
        found = await answer_of(services, caller.scope, turn)
        if turn.state == "failed":
            yield failure(turn)
            return
        yield found.text
        yield found
        return
    async for piece in spoken(services, caller.scope, turn):
        if not isinstance(piece, Answer) or piece.turn.state == "completed":
            yield piece
        else:
            yield failure(piece.turn) if piece.turn.state == "failed" else not_yet(piece)
