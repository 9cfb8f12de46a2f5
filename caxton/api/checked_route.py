"""Routes that check what is sent before they read it."""

from typing import Any

from fastapi.routing import APIRoute
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from caxton.api.strict_body import strict_body
from caxton.domain.errors import HttpVersionNotSupported, UnsupportedMediaType

JSON = "application/json"

PLAIN = "identity"
"""The content coding of a body that is sent as it is."""

READING = frozenset({"GET", "HEAD"})


class CheckedRoute(APIRoute):
    """A route that takes bodies of the content types that it declares, and no other.

    A page of another site can send forms and plain text without asking; it cannot send these types. So a body that does
    not say what it is is refused as well.
    """

    reads_itself = False
    """Whether the endpoint reads the body, which is not looked at before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Declare a route; see APIRoute."""
        super().__init__(*args, **kwargs)
        extra: dict[str, Any] = self.openapi_extra or {}
        declared = tuple(extra.get("requestBody", {}).get("content", {}))
        self.takes: tuple[str, ...] = declared or (JSON,)
        """Content types of its bodies; a route without a body may be sent an empty JSON one."""
        answers = self.response_class
        self._streams = (
            isinstance(answers, type)
            and issubclass(answers, StreamingResponse)
            and not getattr(answers, "has_length", False)
        )
        """Its answers have no length, which HTTP/1.0 cannot tell."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request that the router has found to be this route's."""
        if scope["method"] not in READING and scope["method"] in (self.methods or ()):
            self._check_type(scope)
            if not self.reads_itself:
                receive = await strict_body(scope, receive)
        if self._streams and scope["http_version"] == "1.0":
            raise HttpVersionNotSupported("a stream cannot be told in HTTP/1.0", "use HTTP/1.1")
        await super().handle(scope, receive, send)

    def _check_type(self, scope: Scope) -> None:
        headers = scope["state"]["headers"]
        if headers.get("content-encoding", PLAIN).strip().lower() != PLAIN:
            raise UnsupportedMediaType(
                "a body that is compressed or otherwise encoded is not taken here",
                "send it as it is, without the header Content-Encoding",
                details={"accept": list(self.takes), "accept_encoding": [PLAIN]},
            )
        given = headers.get("content-type")
        if given is None:
            if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
                return
        elif given.partition(";")[0].strip().lower() in self.takes:
            return
        wanted = " or ".join(self.takes)
        raise UnsupportedMediaType(
            "the body does not say what it is" if given is None else "a body of this type is not taken here",
            f"send it with the header `Content-Type: {wanted}`",
            details={"accept": list(self.takes)},
        )
