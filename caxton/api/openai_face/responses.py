"""Responses: each is a turn of a conversation that the server keeps, so that the next one can go on with it after any crash."""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from caxton.api.openai_face.asking import Answer, answer_of, execution_of, failure, response_id, wait_for
from caxton.api.openai_face.bodies import ResponsesBody, check_stream, read_body, responses_request, target_of
from caxton.api.openai_face.chat import facts, finish_reason, said
from caxton.api.openai_face.files import bring
from caxton.api.services import Services
from caxton.api.sse import STILL_HERE, EventStream, encode_event
from caxton.domain.errors import CaxtonError, InvalidState, NotFound
from caxton.domain.executions import TurnView
from caxton.domain.ids import ConversationId, Scope
from caxton.service.context import Caller
from caxton.service.conversations import Start
from caxton.service.turns import Ask

FORMATS: Final = {"format": {"type": "text"}}


async def create(
    caller: Caller, services: Services, content: bytes, *, key: str | None, streams: bool = True
) -> Response:
    """Answers `POST /responses`.

    Args:
        caller: who asks.
        services: the use cases.
        content: the request's body.
        key: its idempotency key.
        streams: whether the answer may be a stream.

    Raises:
        CaxtonError: it cannot be answered.
    """
    body = read_body(ResponsesBody, content)
    check_stream(body.stream, streams=streams)
    target = target_of(body.model)
    text, context, given = responses_request(body)
    files = await bring(services, caller, given) if given else ()
    asked = Ask(target, text, idempotency_key=key, context=context, files=files)
    waits = 0.0 if not body.stream else None
    if body.previous_response_id is not None:
        conversation = await _conversation_after(caller, services, body.previous_response_id, key)
        turn = await services.conversations.send(caller, conversation, asked, wait=waits)
    elif body.store is False:
        turn = await services.turns.ask(caller, asked, wait=waits)
    else:
        started = await services.conversations.start(caller, Start(target, idempotency_key=key))
        turn = await services.conversations.send(caller, started.id, asked, wait=waits)
    headers = {"X-Caxton-Execution": turn.execution_id, "X-Caxton-Conversation": turn.conversation_id}
    if body.stream:
        headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventStream(_streamed(caller, services, body, turn), headers=headers)
    found = Answer(turn) if body.background else await wait_for(services, caller.scope, turn)
    if found.turn.state == "failed":
        raise failure(found.turn)
    if found.turn.state == "completed":
        found = await answer_of(services, caller.scope, found.turn)
    return JSONResponse(_response(body, found), headers=headers)


async def retrieve(caller: Caller, services: Services, identity: str) -> Response:
    """Answers `GET /responses/{id}`.

    Raises:
        NotFound: there is no such response.
    """
    try:
        turn = await services.turns.show(caller.scope, execution_of(identity))
    except NotFound:
        raise NotFound(f'there is no response "{identity[:100]}"', details={"param": "response_id"}) from None
    talk = await services.conversations.show(caller.scope, turn.conversation_id)
    model = talk.capability or (f"agent:{talk.agent}" if talk.agent else f"agent:{turn.agent}")
    body = ResponsesBody(model=model, input="")
    return JSONResponse(_response(body, await answer_of(services, caller.scope, turn)))


async def _conversation_after(caller: Caller, services: Services, previous: str, key: str | None) -> ConversationId:
    """The conversation that goes on behind a response. A request that comes again, with its `key`, goes on where it did.

    Raises:
        NotFound: there is no such response.
        InvalidState: others have come behind it.
    """
    param = {"param": "previous_response_id"}
    try:
        turn = await services.turns.show(caller.scope, execution_of(previous))
    except NotFound:
        raise NotFound(f'there is no response "{previous[:100]}"', details=param) from None
    messages = await services.conversations.messages(
        caller.scope, turn.conversation_id, everything=False, before=None, limit=1
    )
    last = messages[-1].execution_id if messages else None
    if last is not None and last != turn.execution_id and not await _came_before(services, caller.scope, turn, key):
        raise InvalidState(
            f'the conversation has gone on since response "{previous[:100]}", and does not branch',
            f'go on behind "{response_id(last)}"',
            details={**param, "latest": response_id(last)},
        )
    return turn.conversation_id


async def _came_before(services: Services, scope: Scope, turn: TurnView, key: str | None) -> bool:
    """Whether the request with this key has been accepted in the conversation of `turn`."""
    if key is None:
        return False
    try:
        await services.turns.show(scope, services.turns.execution_id(scope, turn.conversation_id, key))
    except NotFound:
        return False
    return True


def _response(body: ResponsesBody, found: Answer, *, streaming: bool = False) -> dict[str, Any]:
    turn = found.turn
    status = "in_progress" if streaming else {"running": "in_progress"}.get(turn.state, turn.state)
    done = status == "completed"
    cut = finish_reason(turn) if done else "stop"
    if cut != "stop":
        status = "incomplete"
    metadata = {name: str(value) for name, value in (body.metadata or {}).items()}
    if found.approval is not None:
        metadata |= {"caxton_waits_for": "approval", "caxton_approval_id": found.approval.id}
    reason = {"length": "max_output_tokens"}.get(cut, cut)
    created = turn.reply.created_at.timestamp() if turn.reply else time.time()
    return {
        "id": response_id(turn.execution_id),
        "object": "response",
        "created_at": int(created),
        "completed_at": int(created) if done else None,
        "status": status,
        "background": bool(body.background),
        "error": {"code": "server_error", "message": turn.error.message} if turn.error else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": body.instructions,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": body.model,
        "output": [_message(turn, found.text)] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": 1.0,
        "text": FORMATS,
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "usage": _usage(turn) if done else None,
        "user": None,
        "metadata": metadata,
        "caxton": {**facts(turn), "approval_id": found.approval.id if found.approval else None},
    }


def _message(turn: TurnView, text: str, status: str = "completed") -> dict[str, Any]:
    content = [_text(text)] if status == "completed" else []
    return {"id": _message_id(turn), "type": "message", "status": status, "role": "assistant", "content": content}


def _message_id(turn: TurnView) -> str:
    return f"msg_{turn.execution_id.removeprefix('x_')}"


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(turn: TurnView) -> dict[str, Any]:
    used = turn.usage
    return {
        "input_tokens": used.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.tokens,
    }


class _Events:
    """Events of one response, numbered."""

    def __init__(self) -> None:
        self._number = -1

    def event(self, kind: str, **more: Any) -> str:
        """The next one."""
        self._number += 1
        return encode_event(kind, {"type": kind, "sequence_number": self._number, **more})


async def _streamed(caller: Caller, services: Services, body: ResponsesBody, turn: TurnView) -> AsyncIterator[str]:
    events = _Events()
    begun = _response(body, Answer(turn.model_copy(update={"reply": None})), streaming=True)
    yield events.event("response.created", response=begun)
    yield events.event("response.in_progress", response=begun)
    place = {"item_id": _message_id(turn), "output_index": 0, "content_index": 0}
    yield events.event("response.output_item.added", output_index=0, item=_message(turn, "", "in_progress"))
    yield events.event("response.content_part.added", **place, part=_text(""))
    text = ""
    async for piece in said(services, caller, turn):
        if isinstance(piece, CaxtonError):
            for event in _failed(events, body, turn, piece):
                yield event
            return
        if isinstance(piece, Answer):
            yield events.event("response.output_text.done", **place, text=text, logprobs=[])
            yield events.event("response.content_part.done", **place, part=_text(text))
            yield events.event("response.output_item.done", output_index=0, item=_message(turn, text))
            ended = _response(body, Answer(piece.turn, text))
            yield events.event(f"response.{ended['status']}", response=ended)
        elif not piece:
            yield STILL_HERE
        else:
            text += piece
            yield events.event("response.output_text.delta", **place, delta=piece, logprobs=[])


def _failed(events: _Events, body: ResponsesBody, turn: TurnView, error: CaxtonError) -> list[str]:
    told = [events.event("error", code=error.code, message=error.message, param=None)]
    if error.code != "reply_pending":
        failed = _response(body, Answer(turn.model_copy(update={"state": "failed", "error": error.report()})))
        told.append(events.event("response.failed", response=failed))
    return told
