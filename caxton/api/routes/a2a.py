"""The routes for clients of the A2A protocol: agent cards, JSON-RPC and HTTP+JSON.

What they do is loaded with the first request that wants it. Each operation of HTTP+JSON is there twice: for the workspace, and
below the name of a capability, or `agent:NAME`, whose card has that address.
"""

from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import APIRouter, Request, Response

from caxton.api.a2a_face.errors import A2A_JSON, CARD, KEYS, OLDER, PREFIX
from caxton.api.guard import GuardedRoute, needs, open_to_all
from caxton.api.services import Services
from caxton.domain.permissions import Permission
from caxton.service.context import Caller

if TYPE_CHECKING:
    from caxton.api.a2a_face.tasks import Asking


class A2ARoute(GuardedRoute):
    """A route that reads its body itself: what is wrong with it is told in the protocol's form."""

    reads_itself = True


router = APIRouter(route_class=A2ARoute, tags=["A2A"])

_JSON: Final = "application/json"
_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object", "additionalProperties": True}}
_EVENTS: Final[dict[str, Any]] = {"text/event-stream": {"schema": {"type": "string"}}}

_MESSAGE: Final = {"message": {"messageId": "one", "role": "ROLE_USER", "parts": [{"text": "How did sales develop?"}]}}
_CALL: Final = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": _MESSAGE}

SENDING: Final = {
    Permission.MESSAGES_SEND: "to send a message",
    Permission.APPROVALS_DECIDE: "to decide on what a task waits for",
    Permission.APPROVALS_DECIDE_FOUNDER: "when the approval is for the founder",
}
CALLING: Final = {
    **SENDING,
    Permission.CONVERSATIONS_END: "to cancel a task",
    Permission.AGENTS_READ: "for the extended card",
}


def _parameter(name: str, longest: int, what: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": longest}
    return {"name": name, "in": "path", "required": True, "description": what, "schema": schema}


_PARAMETERS: Final = {
    "target": _parameter("target", 300, 'A capability, or "agent:NAME".'),
    "task_id": _parameter("task_id", 200, "A task."),
    "path": _parameter("path", 700, "An operation of version 0.3."),
    "config_id": _parameter("config_id", 100, "A configuration of push notifications."),
}
"""Parameters of paths. Endpoints read them themselves: FastAPI takes a millisecond for each that it is told of."""


def _described(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the description of the API has of a path and its body."""
    found = [told for name, told in _PARAMETERS.items() if f"{{{name}}}" in path]
    return {**({"parameters": found} if found else {}), **(body or {})}


def _answers(what: str, *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": what, "content": _EVENTS if stream else {_JSON: _OBJECT, A2A_JSON: _OBJECT}}}


def _body(example: dict[str, Any], *kinds: str, required: bool = True) -> dict[str, Any]:
    """The description of a body: the protocol's own, which this does not repeat."""
    content = {kind: {**_OBJECT, "example": example} for kind in kinds or (A2A_JSON, _JSON)}
    return {"requestBody": {"required": required, "content": content}}


def asking_of(request: Request) -> "Asking":
    """Who asks, from which address of the server, and with which extensions."""
    from caxton.api.a2a_face.tasks import Asking
    from caxton.views.a2a import EXTENSION

    given = ",".join(request.headers.getlist("a2a-extensions") + request.headers.getlist("x-a2a-extensions"))
    extended = EXTENSION in (each.strip() for each in given.split(","))
    return Asking(request.state.caller, _services(request), base_of(request), extended=extended)


def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


def base_of(request: Request) -> str:
    """Address of the server, as the client knows it."""
    return str(request.base_url).rstrip("/")


@router.get(CARD, response_class=Response, responses={200: {"content": {_JSON: _OBJECT}}})
@open_to_all
async def card(request: Request) -> Response:
    """The agent card: without a key that of the server, with one that of the workspace, with its capabilities as skills."""
    from caxton.api.a2a_face.cards import PRIVATE, PUBLIC, public_card, workspace_card

    caller: Caller | None = getattr(request.state, "caller", None)
    base, services = base_of(request), _services(request)
    if caller is None or Permission.AGENTS_READ not in caller.permissions:
        return _card(request, public_card(services, base), PUBLIC)
    services.rates.take(caller)
    return _card(request, await workspace_card(caller, services, base), PRIVATE)


@router.get(KEYS, response_class=Response, responses={200: {"content": {_JSON: _OBJECT}}})
@open_to_all
async def card_keys(request: Request) -> Response:
    """The public keys that agent cards are signed with, as a JSON Web Key Set; none where cards are not signed."""
    from caxton.api.a2a_face.cards import keys_response

    return keys_response(_services(request).card_signer)


@router.get(f"{PREFIX}{CARD}", response_class=Response, responses={200: {"content": {_JSON: _OBJECT}}})
@needs(Permission.AGENTS_READ)
async def card_of_workspace(request: Request) -> Response:
    """The card of the workspace, with its capabilities as skills."""
    from caxton.api.a2a_face.cards import PRIVATE, workspace_card

    asking = asking_of(request)
    return _card(request, await workspace_card(asking.caller, asking.services, asking.base), PRIVATE)


@router.get(
    f"{PREFIX}/{{target}}{CARD}",
    response_class=Response,
    responses={200: {"content": {_JSON: _OBJECT}}},
    openapi_extra=_described("{target}"),
)
@needs(Permission.AGENTS_READ)
async def card_of_target(request: Request) -> Response:
    """The card of one capability, or of an agent."""
    from caxton.api.a2a_face.cards import PRIVATE, target_card

    asking, target = asking_of(request), request.path_params["target"]
    return _card(request, await target_card(asking.caller, asking.services, asking.base, target), PRIVATE)


def _card(request: Request, told: dict[str, Any], cache: str) -> Response:
    from caxton.api.a2a_face.cards import card_response
    from caxton.api.a2a_face.rpc import version_of

    return card_response(
        told,
        version=version_of(request),
        signer=_services(request).card_signer,
        base=base_of(request),
        cache=cache,
        known=request.headers.get("if-none-match"),
    )


async def _rpc(request: Request, target: str | None = None) -> Response:
    from caxton.api.a2a_face.rpc import answer_rpc

    return await answer_rpc(request, asking_of(request), target, request.state.request_id)


RPC: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {200: {"description": "JSON-RPC's answer, or a stream.", "content": {_JSON: _OBJECT, **_EVENTS}}},
}
_CALLED: Final = _body(_CALL, _JSON, A2A_JSON)


@router.post(f"{PREFIX}/", **RPC, include_in_schema=False)  # some clients end addresses with a slash
@router.post(PREFIX, **RPC, openapi_extra=_CALLED)
@needs(Permission.MESSAGES_READ, also=CALLING)
async def rpc(request: Request) -> Response:
    """All operations over JSON-RPC; a message names its skill in its metadata."""
    return await _rpc(request)


def _operation(
    verb: str,
    path: str,
    method: str,
    permission: Permission,
    what: str,
    *,
    also: dict[Permission, str] | None = None,
    stream: bool = False,
    body: dict[str, Any] | None = None,
) -> None:
    """Adds an operation of HTTP+JSON, for the workspace and for a target.

    Args:
        verb: of HTTP.
        path: below the address of the binding.
        method: the operation, as JSON-RPC calls it.
        permission: what it needs.
        what: what it does, for the description of the API.
        also: what some requests need besides.
        stream: whether its answer is a stream.
        body: description of its body.
    """

    async def endpoint(request: Request) -> Response:
        from caxton.api.a2a_face import rest
        from caxton.api.a2a_face.operations import FIND_OUT
        from caxton.api.a2a_face.sending import check_target

        given: dict[str, str] = dict(request.path_params)
        target, asking = given.pop("target", None), asking_of(request)
        if method not in FIND_OUT:
            await check_target(asking, target)
        answer = rest.stream if stream else rest.answer
        return await answer(request, asking, target, method, {named[name]: value for name, value in given.items()})

    named = {"config_id": "id", "task_id": "taskId" if "push" in path else "id"}
    guarded = needs(permission, also=also)(endpoint)
    for place, whose in ((PREFIX, ""), (f"{PREFIX}/{{target}}", ", of a capability or agent")):
        router.add_api_route(
            f"{place}{path}",
            guarded,
            name=method,
            summary=f"{what}{whose}",
            response_class=Response,
            responses=_answers(f"{what}{whose}.", stream=stream),
            methods=[verb],
            openapi_extra=_described(f"{place}{path}", body),
        )


_READ: Final = Permission.MESSAGES_READ
_PUSH: Final = {"url": "https://client.example/notified", "token": "mine"}

_operation("POST", "/message:send", "SendMessage", _READ, "Send a message", also=SENDING, body=_body(_MESSAGE))
_operation(
    "POST",
    "/message:stream",
    "SendStreamingMessage",
    _READ,
    "Send a message, and follow its task",
    also=SENDING,
    stream=True,
    body=_body(_MESSAGE),
)
_operation("GET", "/extendedAgentCard", "GetExtendedAgentCard", Permission.AGENTS_READ, "The card with all skills")
_operation("GET", "/tasks", "ListTasks", _READ, "Tasks, the latest change first")
for _verb in ("POST", "GET"):
    _operation(
        _verb,
        "/tasks/{task_id}:subscribe",
        "SubscribeToTask",
        _READ,
        "Follow a task",
        stream=True,
        body=_body({}, required=False) if _verb == "POST" else None,
    )
_operation(
    "POST",
    "/tasks/{task_id}:cancel",
    "CancelTask",
    Permission.CONVERSATIONS_END,
    "Cancel a task",
    body=_body({}, required=False),
)
_operation("GET", "/tasks/{task_id}", "GetTask", _READ, "A task as it stands")
_operation(
    "POST",
    "/tasks/{task_id}/pushNotificationConfigs",
    "CreateTaskPushNotificationConfig",
    Permission.MESSAGES_SEND,
    "Have a task's changes pushed",
    body=_body(_PUSH),
)
_operation(
    "GET",
    "/tasks/{task_id}/pushNotificationConfigs",
    "ListTaskPushNotificationConfigs",
    Permission.MESSAGES_SEND,
    "Where a task's changes are pushed",
)
_operation(
    "GET",
    "/tasks/{task_id}/pushNotificationConfigs/{config_id}",
    "GetTaskPushNotificationConfig",
    Permission.MESSAGES_SEND,
    "One of those",
)
_operation(
    "DELETE",
    "/tasks/{task_id}/pushNotificationConfigs/{config_id}",
    "DeleteTaskPushNotificationConfig",
    Permission.MESSAGES_SEND,
    "Push no more",
)


OLDER_PATH: Final = f"{OLDER}/{{path:path}}"
OLDER_WAYS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {200: {"description": "What version 0.3 answers.", "content": {_JSON: _OBJECT, **_EVENTS}}},
}


@router.get(OLDER_PATH, **OLDER_WAYS, openapi_extra=_described("{path}"))
@router.post(OLDER_PATH, **OLDER_WAYS, openapi_extra=_described("{path}", _body(_MESSAGE, _JSON, required=False)))
@needs(Permission.MESSAGES_READ, also=CALLING)
async def older(request: Request) -> Response:
    """All operations of version 0.3 over HTTP+JSON: `v1/message:send`, or `CAPABILITY/v1/message:send` of one capability."""
    from caxton.api.a2a_face import older_rest

    return await older_rest.answer(request, asking_of(request), request.path_params["path"])


# Last, for its path would take those of the operations above.
@router.post(f"{PREFIX}/{{target}}/", **RPC, include_in_schema=False)
@router.post(f"{PREFIX}/{{target}}", **RPC, openapi_extra=_described("{target}", _CALLED))
@needs(Permission.MESSAGES_READ, also=CALLING)
async def rpc_of_target(request: Request) -> Response:
    """All operations over JSON-RPC, of one capability or agent."""
    return await _rpc(request, request.path_params["target"])
