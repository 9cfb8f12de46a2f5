"""Responses: each is a turn of a conversation that the server keeps, so that the next one can go on with it after any crash."""

from starlette.responses import JSONResponse, Response

from caxton.api.openai_face.approving import answers_in, decide, may_see
from caxton.api.openai_face.asking import Answer, answer_of, execution_of, failure, response_id, wait_for
from caxton.api.openai_face.bodies import ResponsesBody, check_stream, read_body, target_of, wrong
from caxton.api.openai_face.bringing import bring
from caxton.api.openai_face.continuing import context_of, go_on
from caxton.api.openai_face.exchange import responses_request
from caxton.api.openai_face.response_events import streamed
from caxton.api.openai_face.response_forms import as_response, tools_of
from caxton.api.services import Services
from caxton.api.sse import EventStream
from caxton.domain.errors import InvalidState, NotFound
from caxton.domain.executions import TurnView
from caxton.domain.ids import Scope
from caxton.service.context import Caller
from caxton.service.conversations import Start
from caxton.service.turns import Ask


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
    answers = answers_in(body)
    before = None
    if body.previous_response_id is not None:
        before = await _turn_before(caller, services, body.previous_response_id, key)
    if answers and before is not None:
        await decide(caller, services, before, answers)
        return await _answer(caller, services, body, await services.turns.show(caller.scope, before.execution_id))
    wanted = responses_request(body)
    ready = await go_on(services, caller.scope, wanted, before, "input")
    ready = await bring(services, caller, wanted, ready)
    asked = Ask(target, ready.content, idempotency_key=key, context=ready.context, files=ready.files)
    waits = 0.0 if not body.stream else None
    if before is not None:
        turn = await services.conversations.send(caller, before.conversation_id, asked, wait=waits)
    elif body.store is False:
        turn = await services.turns.ask(caller, asked, wait=waits)
    else:
        started = await services.conversations.start(caller, Start(target, idempotency_key=key))
        turn = await services.conversations.send(caller, started.id, asked, wait=waits)
    return await _answer(caller, services, body, turn)


async def _answer(caller: Caller, services: Services, body: ResponsesBody, turn: TurnView) -> Response:
    """The response that a turn is, once it has ended or waits for a person; or its events."""
    headers = {"X-Caxton-Execution": turn.execution_id, "X-Caxton-Conversation": turn.conversation_id}
    if body.stream:
        headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventStream(streamed(caller, services, body, turn), headers=headers)
    found = Answer(turn) if body.background else await wait_for(services, caller.scope, turn)
    if found.turn.state == "failed":
        raise failure(found.turn)
    if found.turn.state == "completed":
        found = await answer_of(services, caller.scope, found.turn)
    return JSONResponse(as_response(body, found, shows_approval=may_see(caller)), headers=headers)


async def retrieve(caller: Caller, services: Services, identity: str) -> Response:
    """Answers `GET /responses/{id}`.

    Raises:
        NotFound: there is no such response.
    """
    return await _shown(caller, services, await _turn(caller, services, identity))


async def follow(
    caller: Caller, services: Services, identity: str, starting_after: int | None, *, streams: bool = True
) -> Response:
    """Answers `GET /responses/{id}?stream=true`: with all events, for whoever has lost the line.

    Raises:
        NotFound: there is no such response.
        InvalidInput: the events are to begin behind one; how the text came in pieces is not kept.
    """
    check_stream(True, streams=streams)
    turn = await _turn(caller, services, identity)
    if starting_after is not None:
        raise wrong("a response is told from its beginning: leave starting_after out", "starting_after")
    return EventStream(
        streamed(caller, services, await _body(caller, services, turn), turn),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def cancel(caller: Caller, services: Services, identity: str) -> Response:
    """Answers `POST /responses/{id}/cancel`.

    Raises:
        NotFound: there is no such response.
    """
    turn = await _turn(caller, services, identity)
    return await _shown(caller, services, await services.conversations.cancel_turn(caller, turn.execution_id))


async def _shown(caller: Caller, services: Services, turn: TurnView) -> Response:
    body = await _body(caller, services, turn)
    found = await answer_of(services, caller.scope, turn)
    return JSONResponse(as_response(body, found, shows_approval=may_see(caller)))


async def _turn(caller: Caller, services: Services, identity: str) -> TurnView:
    try:
        return await services.turns.show(caller.scope, execution_of(identity))
    except NotFound:
        raise NotFound(f'there is no response "{identity[:100]}"', details={"param": "response_id"}) from None


async def _body(caller: Caller, services: Services, turn: TurnView) -> ResponsesBody:
    """What was asked, as far as a response tells it."""
    talk = await services.conversations.show(caller.scope, turn.conversation_id)
    model = talk.capability or (f"agent:{talk.agent}" if talk.agent else f"agent:{turn.agent}")
    context = await context_of(services, caller.scope, turn.execution_id)
    return ResponsesBody(
        model=model, input="", instructions=context.instructions or None, tools=tools_of(context.functions)
    )


async def _turn_before(caller: Caller, services: Services, previous: str, key: str | None) -> TurnView:
    """The turn of the response that is gone on with. A request that comes again, with its `key`, goes on where it did.

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
    return turn


async def _came_before(services: Services, scope: Scope, turn: TurnView, key: str | None) -> bool:
    """Whether the request with this key has been accepted in the conversation of `turn`."""
    if key is None:
        return False
    try:
        await services.turns.show(scope, services.turns.execution_id(scope, turn.conversation_id, key))
    except NotFound:
        return False
    return True
