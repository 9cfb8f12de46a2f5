"""What listens beside the API: the same checks of names, sites and headers, and the same words for what is refused."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping

from starlette.types import Message, Receive, Scope, Send

from caxton.api.errors import problem_response
from caxton.api.head import BROWSER_LOGIN, check_head, read_headers
from caxton.api.web import WebRules, with_security
from caxton.domain.errors import CaxtonError, NotAuthenticated


class SideApp(ABC):
    """An ASGI application that checks each request before it answers."""

    for_browsers = False
    """Whether browsers are to ask people for the key."""

    def __init__(self, rules: WebRules) -> None:
        """Keep to `rules`."""
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        request_id = secrets.token_hex(8)
        headers = read_headers(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_security([*message["headers"], (b"x-request-id", request_id.encode())])
            await send(message)

        try:
            check_head(scope, headers)
            self.rules.check_host(headers.get("host"))
            self.rules.check_site(scope["method"], scope["path"], headers)
            await self.answer(scope, headers, receive, answer)
        except CaxtonError as error:
            response = problem_response(error, request_id)
            if isinstance(error, NotAuthenticated) and self.for_browsers:
                response.headers["WWW-Authenticate"] = BROWSER_LOGIN
            await response(scope, receive, answer)

    @abstractmethod
    async def answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        """Answers a request by a good name and from no other site.

        Raises:
            CaxtonError: what is told instead.
        """
