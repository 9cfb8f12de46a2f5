"""The routes of plain messages, `POST /v1/messages` and its like in conversations, without FastAPI's machinery, which takes
longer than all the rest of a message.

They are no second set of routes. OpenAPI shows what the modules in `routes` declare, and everything unusual goes through them:
parameters in the URL, another content type, a body that is not valid and whose problems are to be told. Only a plain
request goes the short way: through the same gate and the same model into the same function.
"""

from copy import copy
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from caxton.api.errors import caxton_error, problem_response, unexpected_error
from caxton.api.guard import GuardedRoute, check
from caxton.api.routes import conversations, messages
from caxton.api.services import Services
from caxton.domain.errors import CaxtonError, InvalidInput, NotPermitted, Overloaded
from caxton.domain.executions import TurnView
from caxton.domain.given import is_id
from caxton.domain.ids import ConversationId
from caxton.domain.strict_json import check_json

PATH = "/v1/messages"
BEFORE, AFTER = "/v1/conversations/", "/messages"
"""What is around the conversation in the path of its messages."""

PLACE = "0123456789abcdef"
"""Stands for a request's id in what is prepared for all of them: as long as one."""

JSON = "application/json"


class PlainMessages:
    """Answers plain requests itself, and hands on all others."""

    def __init__(self, api: FastAPI, services: Services) -> None:
        """Stand before `api`."""
        self.api = api
        self._refusal: Response | None = None
        self.services = services
        self._ask = _route(messages.router, messages.ask)
        self._send = _route(conversations.router, conversations.send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request that has passed the gate."""
        conversation = _conversation(scope["path"])
        if (conversation is None and scope["path"] != PATH) or not _is_plain(scope):
            await self.api(scope, receive, send)
            return
        route = self._ask if conversation is None else self._send
        try:
            check(route.access, scope)
            self.services.turns.fast_path.check(scope["state"]["caller"].scope.customer)
        except Overloaded as error:
            scope["app"], scope["route"] = self.api, route
            await self._refuse(scope, receive, send, error)
            return
        except NotPermitted as error:
            scope["app"], scope["route"] = self.api, route
            await (await caxton_error(Request(scope), error))(scope, receive, send)
            return
        received = await receive()
        if received.get("more_body", False) or received["type"] != "http.request":
            await self.api(scope, _again(received, receive), send)
            return
        try:
            body = _body(conversation, received["body"])
        except (ValidationError, InvalidInput):
            await self.api(scope, _again(received, receive), send)
            return
        scope["app"], scope["route"] = self.api, route
        response = Response(media_type=JSON)
        try:
            view = await self._answer(conversation, body, scope, response)
        except CaxtonError as error:
            response = await caxton_error(Request(scope), error)
        except Exception as error:
            response = await unexpected_error(Request(scope), error)
        else:
            response.body = view.model_dump_json().encode()
            response.headers["Content-Length"] = str(len(response.body))
        await response(scope, receive, send)

    async def _answer(
        self,
        conversation: ConversationId | None,
        body: messages.AskBody | conversations.MessageBody,
        scope: Scope,
        response: Response,
    ) -> TurnView:
        caller, key = scope["state"]["caller"], _key(scope)
        if isinstance(body, messages.AskBody):
            return await messages.ask(body, caller, self.services, response, True, key)
        assert conversation is not None
        return await conversations.send(conversation, body, caller, self.services, response, True, key)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: Overloaded) -> None:
        """Refuses before anything is read: under a flood, most of the work is to say no."""
        if self._refusal is None:
            self._refusal = problem_response(error, PLACE)
        response = copy(self._refusal)
        response.body = bytes(response.body).replace(PLACE.encode(), scope["state"]["request_id"].encode())
        await response(scope, receive, send)


def _route(router: APIRouter, endpoint: object) -> GuardedRoute:
    return next(route for route in router.routes if isinstance(route, GuardedRoute) and route.endpoint is endpoint)


def _conversation(path: str) -> ConversationId | None:
    """The conversation whose messages `path` names."""
    if not (path.startswith(BEFORE) and path.endswith(AFTER)):
        return None
    found = path[len(BEFORE) : -len(AFTER)]
    return ConversationId(found) if is_id(found) else None


def _body(conversation: ConversationId | None, content: bytes) -> messages.AskBody | conversations.MessageBody:
    check_json(content)
    model = messages.AskBody if conversation is None else conversations.MessageBody
    return model.model_validate_json(content)


def _is_plain(scope: Scope) -> bool:
    """Whether a request says nothing beyond its JSON body and a key."""
    headers = scope["state"]["headers"]
    return (
        scope["method"] == "POST"
        and not scope["query_string"]
        and headers.get("content-type") == JSON
        and "content-encoding" not in headers
        and 1 <= len(headers.get("idempotency-key", "-")) <= messages.LONGEST_KEY
    )


def _key(scope: Scope) -> str | None:
    return scope["state"]["headers"].get("idempotency-key")


def _again(received: Message, receive: Receive) -> Receive:
    """`receive` as if the first message had not been taken."""
    first: list[Message] = [received]

    async def receive_again() -> Any:
        return first.pop() if first else await receive()

    return receive_again
