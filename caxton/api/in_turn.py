"""Answers that may be long, one at a time.

A list of what a customer has defined can have megabytes, and to make and write it takes the interpreter a tenth of a second.
One is nothing; thirty that are asked for at once would keep all others waiting for seconds. So they are made one after
another, customers take turns, and between two of them the server does what else there is to do.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from fastapi import Response
from pydantic import BaseModel

from caxton.api.services import Services
from caxton.service.context import Caller


def in_turn(endpoint: Callable[..., Awaitable[BaseModel]]) -> Callable[..., Awaitable[Response]]:
    """Makes and writes the answer of a route while no other such answer is made.

    The route's parameters `caller` and `services` say whose turn it is.
    """

    @wraps(endpoint)
    async def made(*, caller: Caller, services: Services, **given: Any) -> Response:
        async with services.long_answers.turn(caller.scope.customer):
            page = await endpoint(caller=caller, services=services, **given)
            content = page.model_dump_json(by_alias=True).encode()
        return Response(content, media_type="application/json")

    return made
