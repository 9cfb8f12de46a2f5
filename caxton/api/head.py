"""What a request's headers say, read one way by all that listens."""

import base64
from collections.abc import Mapping

from starlette.types import Scope

from caxton.domain.errors import MalformedRequest, NotImplementedHere
from caxton.domain.hook_signatures import HEADERS

BROWSER_LOGIN = 'Basic realm="Caxton - any user name - the API key as password"'
"""Pages for people: a browser asks for the key, in the one form that all browsers know."""

SINGLE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "last-event-id",
        "origin",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "transfer-encoding",
        *HEADERS,
        "x-caxton-channel",
        "x-caxton-workspace",
    }
)
"""Headers that may come once only: of two, a proxy before us may have looked at the other one."""


def read_headers(scope: Scope) -> Mapping[str, str]:
    """Headers by their names in lower case; the last of several of one name."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def check_head(scope: Scope, headers: Mapping[str, str]) -> None:
    """Refuses a request that says twice what can only be said once, for everybody must read the same one, and bodies that
    a proxy before us may have cut elsewhere.

    Raises:
        MalformedRequest: it does.
        NotImplementedHere: the body is in a transfer coding other than chunked.
    """
    if len(scope["headers"]) != len(headers):
        names = [name.decode("latin-1") for name, _ in scope["headers"]]
        twice = sorted({name for name in names if name in SINGLE and names.count(name) > 1})
        if twice:
            raise MalformedRequest(f"the request has more than one header {twice[0]}", "send it once")
    old = scope["http_version"] == "1.0"
    if not old and "host" not in headers:
        raise MalformedRequest("the request has no header Host", "say which server it is for")
    coding = headers.get("transfer-encoding")
    if coding is not None and (old or coding.lower() != "chunked"):
        raise NotImplementedHere(
            "the body comes in a transfer coding that is not taken here", "send it plain or chunked"
        )


def bearer(authorization: str) -> str | None:
    """The key of a program."""
    kind, _, value = authorization.partition(" ")
    return value.strip() or None if kind.lower() == "bearer" else None


def basic(authorization: str) -> str | None:
    """The key of a browser's login: any user name, the key as password."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2] or None
    except ValueError:  # no Base64, or no text
        return None
