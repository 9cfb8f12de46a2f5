"""Calls of tools: requests to agents, by the same use cases as those of the REST API."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Final

from caxton.api.mcp_face import tools
from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError
from caxton.api.mcp_face.wire import OWN_KEY, Call, Session
from caxton.api.services import Services
from caxton.domain.errors import IdempotencyConflict, InvalidInput, NotFound
from caxton.domain.executions import Target, TurnView
from caxton.domain.given import is_id
from caxton.domain.ids import ConversationId, ExecutionId, digest_of
from caxton.domain.json_text import compact_encoder
from caxton.domain.permissions import Permission
from caxton.observability.trace_context import extract_traceparent
from caxton.service.context import Caller
from caxton.service.conversations import Start
from caxton.service.turns import Ask

LONGEST_KEY: Final = 200
MOST_UNDER_WAY: Final = 20_000
_sorted = compact_encoder(sort_keys=True)

_under_way: OrderedDict[tuple[str, str, str], ExecutionId] = OrderedDict()
"""Executions by principal, session and request: for `notifications/cancelled`, which names a request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was accepted."""

    turn: TurnView
    began: bool
    """Whether it began a conversation, of which its caller does not know yet."""


async def ask(caller: Caller, services: Services, call: Call, wanted: tools.Wanted) -> Asked:
    """Has the request of a call accepted, and does not wait for it.

    Raises:
        CaxtonError: it was refused; nothing was accepted.
    """
    caller.require(Permission.MESSAGES_SEND)
    key = _key(call)
    made = Ask(
        Target(capability=wanted.capability),
        wanted.content,
        idempotency_key=key or _derived_key(call),
        traceparent=_traceparent(call),
    )
    try:
        turn = await _send(caller, services, made, wanted.conversation, key)
    except IdempotencyConflict:
        if key is not None:
            raise
        # The client uses the id of a request again, which it must not: the request is one of its own all the same.
        turn = await _send(caller, services, replace(made, idempotency_key=None), wanted.conversation, None)
    if call.session is not None:
        _under_way[caller.principal, call.session.name, _named(call.id)] = turn.execution_id
        while len(_under_way) > MOST_UNDER_WAY:
            _under_way.popitem(last=False)
    return Asked(turn, wanted.conversation == tools.NEW)


async def _send(caller: Caller, services: Services, made: Ask, talk: str | None, key: str | None) -> TurnView:
    if talk is None:
        return await services.turns.ask(caller, made, wait=None)
    if talk == tools.NEW:
        started = await services.conversations.start(caller, Start(made.target, idempotency_key=key))
        return await services.conversations.send(caller, started.id, made, wait=None)
    if not is_id(talk):
        raise NotFound(f'there is no conversation "{talk}"', f'"{tools.NEW}" begins one')
    found = await services.conversations.show(caller.scope, ConversationId(talk))
    if found.capability != made.target.capability:
        raise InvalidInput(
            f"conversation {talk} is with {found.capability or found.agent}, not with {made.target.capability}",
            f'begin another one with "{tools.NEW}"',
        )
    return await services.conversations.send(caller, found.id, made, wait=None)


async def cancel_request(caller: Caller, services: Services, session: Session | None, request: object) -> None:
    """Ends the work that a request began. Of a request that nobody knows there is nothing to do."""
    if session is None or isinstance(request, bool) or not isinstance(request, str | int):
        return
    if Permission.CONVERSATIONS_END not in caller.permissions:
        return
    name = _named(request)
    # Another replica may have accepted it: then its id follows from the session and the request, unless it was given a key.
    known = _under_way.get((caller.principal, session.name, name)) or services.turns.execution_id(
        caller.scope, "", _session_key(session, name)
    )
    try:
        await services.conversations.cancel_turn(caller, known)
    except NotFound:
        return


def digest(call: Call) -> str:
    """What tells a call from another one: its tool and arguments."""
    return digest_of(_sorted([call.params.get("name"), call.params.get("arguments")]).encode())


def _key(call: Call) -> str | None:
    """The idempotency key that the client gives."""
    key = call.meta.get(OWN_KEY)
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or "\0" in key:
        raise RpcError(INVALID_PARAMS, f'"{OWN_KEY}" in _meta has to be a text of 1 to {LONGEST_KEY} characters')
    return key


def _derived_key(call: Call) -> str | None:
    """In a session, an id names one request only."""
    return _session_key(call.session, _named(call.id)) if call.session is not None else None


def _session_key(session: Session, request: str) -> str:
    return f"mcp {session.name} {request}"


def _named(request: str | int) -> str:
    """The id of a request, as it is remembered: 7 and "7" are two."""
    text = f"{type(request).__name__}:{request}"
    return text if len(text) < 64 else digest_of(text.encode())


def _traceparent(call: Call) -> str | None:
    found: Any = call.meta.get("traceparent")
    return extract_traceparent({"traceparent": found}) if isinstance(found, str) else None
