"""The hot route: `POST /v1/messages` without FastAPI's machinery, which takes longer than all the rest of a message.

It is no second route. What `routes/messages.py` declares stays what OpenAPI shows, and what everything unusual takes:
parameters in the URL, another content type, a body that is not valid and whose problems are to be told. Only a plain
request goes the short way: through the same gate and the same model into the same function.
"""

from copy import copy
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from caxton.api.errors import caxton_error, problem_response, unexpected_error
from caxton.api.routes import messages
from caxton.api.services import Services
from caxton.domain.errors import CaxtonError, Overloaded

PATH = "/v1/messages"
PLACE = "0123456789abcdef"
"""Stands for a request's id in what is prepared for all of them: as long as one."""

JSON = "application/json"


class HotRoute:
    """Answers plain requests itself, and hands on all others."""

    def __init__(self, api: FastAPI, services: Services) -> None:
        """Stand before `api`."""
        self.api = api
        self._refusal: Response | None = None
        self.services = services
        self.route = next(
            route for route in messages.router.routes if isinstance(route, APIRoute) and route.endpoint is messages.ask
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request that has passed the gate."""
        if scope["path"] != PATH or not _is_plain(scope):
            await self.api(scope, receive, send)
            return
        try:
            self.services.turns.inbox.admission.check(scope["state"]["caller"].scope.customer)
        except Overloaded as error:
            await self._refuse(scope, receive, send, error)
            return
        received = await receive()
        if received.get("more_body", False) or received["type"] != "http.request":
            await self.api(scope, _again(received, receive), send)
            return
        try:
            body = messages.AskBody.model_validate_json(received["body"])
        except ValidationError:
            await self.api(scope, _again(received, receive), send)
            return
        scope["app"], scope["route"] = self.api, self.route
        response = Response(media_type=JSON)
        try:
            view = await messages.ask(body, scope["state"]["caller"], self.services, response, True, _key(scope))
        except CaxtonError as error:
            response = await caxton_error(Request(scope), error)
        except Exception as error:
            response = await unexpected_error(Request(scope), error)
        else:
            response.body = view.model_dump_json().encode()
            response.headers["Content-Length"] = str(len(response.body))
        await response(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: Overloaded) -> None:
        """Refuses before anything is read: under a flood, most of the work is to say no."""
        scope["app"], scope["route"] = self.api, self.route
        if self._refusal is None:
            self._refusal = problem_response(error, PLACE)
        response = copy(self._refusal)
        response.body = bytes(response.body).replace(PLACE.encode(), scope["state"]["request_id"].encode())
        await response(scope, receive, send)


def _is_plain(scope: Scope) -> bool:
    """Whether a request says nothing beyond its JSON body and a key."""
    headers = scope["state"]["headers"]
    return (
        scope["method"] == "POST"
        and not scope["query_string"]
        and headers.get("content-type") == JSON
        and len(headers.get("idempotency-key", "")) <= messages.LONGEST_KEY
    )


def _key(scope: Scope) -> str | None:
    return scope["state"]["headers"].get("idempotency-key")


def _again(received: Message, receive: Receive) -> Receive:
    """`receive` as if the first message had not been taken."""
    first: list[Message] = [received]

    async def receive_again() -> Any:
        return first.pop() if first else await receive()

    return receive_again
