"""The embedded engine's UI, behind a key.

The UI itself asks nobody who they are, and answers to any name: a page of whatever site could read and end every workflow
through it (DNS rebinding). So it listens where nobody looks for it, and people reach it through here, with the login that the
pages of the documentation have.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from caxton.api.head import basic, bearer
from caxton.api.side_app import SideApp
from caxton.api.web import WebAccess, WebRules
from caxton.domain.errors import EngineUnavailable, NotAuthenticated, PayloadTooLarge
from caxton.domain.permissions import Permission
from caxton.service.authentication import Authentication

if TYPE_CHECKING:
    import httpx

NOT_FORWARDED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "date",
        "host",
        "keep-alive",
        "proxy-authorization",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection, and the key, which the UI has no business with."""

MOST_BYTES = 4 << 20
"""Of a request's body."""


class EngineUi(SideApp):
    """Passes requests on to the UI for whoever may inspect the server."""

    for_browsers = True

    def __init__(self, access: WebAccess, authentication: Authentication, url: str) -> None:
        """Stand before the UI that is at `url`. What it takes to ask it is loaded when somebody comes."""
        super().__init__(WebRules(access, is_page=lambda _: True))
        self._authentication = authentication
        self._url = url
        self._opened: httpx.AsyncClient | None = None

    @property
    def _client(self) -> "httpx.AsyncClient":
        import httpx

        if self._opened is None:
            self._opened = httpx.AsyncClient(base_url=self._url, timeout=60, trust_env=False, follow_redirects=False)
        return self._opened

    async def close(self) -> None:
        """Gives the connections to the UI up."""
        if self._opened is not None:
            await self._opened.aclose()

    async def answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        """Passes a request on, and the answer back.

        Raises:
            NotAuthenticated: there is no good key.
            NotPermitted: the key is none of the server's own administrators.
            EngineUnavailable: the UI does not answer.
        """
        import httpx

        authorization = headers.get("authorization", "")
        key = bearer(authorization) or basic(authorization)
        if key is None:
            raise NotAuthenticated("an API key is needed", "any user name; the password is the key")
        client = scope.get("client")
        caller = await self._authentication.authenticate(key, None, "api", client[0] if client else "")
        caller.require(Permission.SERVER_INSPECT)
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        forwarded = [(name, value) for name, value in scope["headers"] if name.decode("latin-1") not in NOT_FORWARDED]
        url = self._client.base_url.copy_with(raw_path=target)
        body = _body(receive) if scope["method"] not in ("GET", "HEAD") else None
        try:
            async with self._client.stream(scope["method"], url, headers=forwarded, content=body) as response:
                told = [
                    (name.lower(), value)
                    for name, value in response.headers.raw
                    if name.decode("latin-1").lower() not in NOT_FORWARDED
                ]
                if b"text/html" in dict(told).get(b"content-type", b"") and b"content-security-policy" not in dict(
                    told
                ):
                    told.append((b"content-security-policy", b"frame-ancestors 'none'"))
                await send({"type": "http.response.start", "status": response.status_code, "headers": told})
                async for piece in response.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except httpx.ConnectError:
            raise EngineUnavailable(
                "the engine's UI does not answer", "try again in a moment", retry_after=1.0
            ) from None


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    seen = 0
    while True:
        message = await receive()
        piece = message.get("body", b"")
        seen += len(piece)
        if seen > MOST_BYTES:
            raise PayloadTooLarge("the request is larger than what the engine's UI sends")
        if piece:
            yield piece
        if not message.get("more_body", False):
            return
