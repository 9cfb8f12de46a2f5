"""`host.fetch`: HTTP for tools, to granted origins only.

One parser decides what a URL means, for the check and for the connection. No proxy, no cookie, no connection outlives
the request. WASI's own HTTP is never linked: it has no hook by which to check a host, and reaches loopback.
"""

import functools
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urljoin, urlsplit

from caxton.adapters.sandbox.addresses import Check, Forbidden, Unreachable, resolve
from caxton.adapters.sandbox.results import Malformed, parse_json
from caxton.domain.encodings import known_charset, marked_encoding
from caxton.domain.refusals import Why

if TYPE_CHECKING:
    import ssl

    import httpcore

REDIRECTS: Final = 5

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PORTS: Final = {"http": 80, "https": 443}
_RESERVED: Final = "%/:=&?~#+!$,;'@()*[]"
"""Characters of a URL that stay as they are (RFC 3986, section 2.2); a backslash, a space or a line break does not."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_HEADERS_OF_CAXTON: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
    | {"accept-encoding", "proxy-authorization", "proxy-connection"}
)
_DEFAULTS: Final = {"User-Agent": "caxton-tool", "Accept": "*/*"}
_CREDENTIALS: Final = frozenset({"authorization", "cookie"})


class Refused(Exception):
    """The request is not made, or has no answer; the text tells the tool why."""


class NotGranted(Refused):
    """The origin is not granted."""

    def __init__(self, origin: str, *, requested: bool) -> None:
        """Refuse `origin`; `requested` is whether the manifest asks for it."""
        why = "nobody has granted it" if requested else "permissions.network does not name it"
        super().__init__(f"not granted: {origin}: {why}")
        self.origin = origin
        self.requested = requested


OnRefusal = Callable[[str, Why], None]
"""Is told the origin that was refused and why: "not_requested", "not_granted" or "never"."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query, as they go into the request line."""

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Takes `url` apart.

        Raises:
            Refused: it is not an absolute HTTP URL, or one that parsers might read in two ways.
        """
        url = quote(url, safe=_RESERVED)
        if len(url) > 8_192:
            raise Refused("the URL has more than 8,192 characters")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise Refused("the URL cannot be read") from None
        if parts.scheme not in _PORTS or not host or "%" in host:
            raise Refused("the URL must start with http:// or https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise Refused("the URL may not carry a user name or password; send a header")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, path)


@dataclass(frozen=True, slots=True)
class NetworkGrants:
    """The origins that a tool may call."""

    origins: frozenset[tuple[str, str, int]] = frozenset()
    requested: frozenset[tuple[str, str, int]] = frozenset()
    """Those that its manifest asks for."""

    @classmethod
    def of(cls, origins: Iterable[str], requested: Iterable[str] = ()) -> "NetworkGrants":
        """Grants of origins as a manifest has them, such as "https://api.example.com"."""
        return cls(
            frozenset(Target.parse(origin).origin for origin in origins),
            frozenset(Target.parse(origin).origin for origin in requested),
        )

    def check(self, target: Target) -> None:
        """Checks that `target` is granted.

        Raises:
            NotGranted: it is not.
        """
        if target.origin not in self.origins:
            raise NotGranted(f"{target.scheme}://{target.authority}", requested=target.origin in self.requested)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, text: str, size_limit: int) -> "_Request":
        if len(text) > size_limit:
            raise Refused("the request is larger than limits.message_size")
        try:
            value = parse_json(text)
        except Malformed as error:
            raise Refused(f"the request is not valid: {error}") from None
        if not isinstance(value, dict):
            raise Refused("the request is not a JSON object")
        fields = cast("dict[str, Any]", value)
        method, url, body = fields.get("method") or "GET", fields.get("url"), fields.get("body") or ""
        if not isinstance(url, str) or not isinstance(method, str) or not isinstance(body, str):
            raise Refused('the request needs "url" and may have "method", "headers" and "body", all of them text')
        if method.upper() not in _METHODS:
            raise Refused(f"the method must be one of {', '.join(sorted(_METHODS))}")
        return cls(method.upper(), Target.parse(url), _headers(fields.get("headers") or {}), body.encode())

    def redirected(self, status: int, location: str) -> "_Request":
        """The request that a redirect asks for (RFC 9110, section 15.4)."""
        try:
            target = Target.parse(urljoin(self.target.url, location))
        except ValueError:
            raise Refused("the server redirected to something that is not a URL") from None
        method, body = self.method, self.body
        headers = {name.lower(): value for name, value in self.headers.items()}
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method, body = "GET", b""
            headers.pop("content-type", None)
        if target.origin != self.target.origin:
            headers = {name: value for name, value in headers.items() if name not in _CREDENTIALS}
        return _Request(method, target, headers, body)


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Refused('"headers" of the request is not an object')
    headers: dict[str, str] = {}
    for name, content in cast("dict[str, Any]", value).items():
        if not isinstance(content, str) or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(content):
            raise Refused(f'the header "{name[:100]}" is not valid')
        if name.lower() in _HEADERS_OF_CAXTON:
            raise Refused(f'the header "{name}" is not for a tool to set')
        headers[name] = content
    return headers


def fetch(
    grants: NetworkGrants, check: Check, request: str, deadline: float, size_limit: int, on_refusal: OnRefusal
) -> tuple[bool, str]:
    """Makes an HTTP request for a tool.

    Args:
        grants: where to.
        check: refuses addresses that no grant allows.
        request: JSON as the interface `caxton:tool/host` describes it.
        deadline: `time.monotonic()` at which the answer must be there.
        size_limit: most bytes of the request, and of the answer's body.
        on_refusal: is told what was refused.

    Returns:
        Whether an answer came, and it as JSON; else why not. Never raises.
    """
    try:
        return True, _follow(grants, check, _Request.parse(request, size_limit), deadline, size_limit)
    except NotGranted as error:
        on_refusal(error.origin, "not_granted" if error.requested else "not_requested")
        return False, str(error)
    except Forbidden as error:
        on_refusal(error.origin, "never")
        return False, str(error)
    except (Refused, Unreachable) as error:
        return False, str(error)


def _follow(grants: NetworkGrants, check: Check, request: _Request, deadline: float, size_limit: int) -> str:
    for _ in range(REDIRECTS + 1):
        grants.check(request.target)
        status, headers, body = _send(request, check, deadline, size_limit)
        if status not in (301, 302, 303, 307, 308) or "location" not in headers:
            return json.dumps({"status": status, "headers": headers, "body": body}, ensure_ascii=False)
        request = request.redirected(status, headers["location"])
    raise Refused(f"the server redirected more than {REDIRECTS} times")


def _send(request: _Request, check: Check, deadline: float, size_limit: int) -> tuple[int, dict[str, str], str]:
    import httpcore

    target = request.target
    try:
        addresses = resolve(target.host, target.port, deadline - time.monotonic(), check)
    except Forbidden as error:
        error.origin = f"{target.scheme}://{target.authority}"
        raise
    with _Connection(addresses, deadline) as connection:
        try:
            with connection.pool(target.scheme).stream(
                request.method,
                httpcore.URL(
                    scheme=target.scheme.encode(),
                    host=target.host.encode(),
                    port=target.port,
                    target=target.path.encode(),
                ),
                headers=list(_sent_headers(request)),
                content=request.body or None,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), connection.remaining())},
            ) as response:
                headers = _header_map(response.headers)
                body = _read_body(response.iter_stream(), headers, size_limit)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            if time.monotonic() >= deadline:
                raise Refused(f"{target.authority} did not answer within limits.wall_time") from None
            raise Refused(f"{target.authority} could not be asked: {_reason(error)}") from None
    return response.status, headers, body


def _sent_headers(request: _Request) -> Iterator[tuple[bytes, bytes]]:
    headers = {
        "Host": request.target.authority,
        "Accept-Encoding": "identity",
        "Connection": "close",
        **request.headers,
    }
    given = {name.lower() for name in headers}
    headers |= {name: value for name, value in _DEFAULTS.items() if name.lower() not in given}
    return ((name.encode(), value.encode("latin-1")) for name, value in headers.items())


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[:200] if "certificate" in text.lower() or "ssl" in text.lower() else type(error).__name__


def _header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _read_body(chunks: Iterable[bytes], headers: Mapping[str, str], size_limit: int) -> str:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused("the server compressed its answer although it was asked not to")
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > size_limit:
            raise Refused(
                f"the answer has more than {size_limit} bytes, which limits.message_size does not let through"
            )
    charset = re.search(r"charset=\"?([\w.:-]{1,40})", headers.get("content-type", ""), re.IGNORECASE | re.ASCII)
    declared = known_charset(charset[1]) if charset else None
    return body.decode(marked_encoding(body) or declared or "utf-8", errors="replace")  # a mark wins, as in browsers


class _Connection:
    """One connection to one of the checked addresses, which is cut at the deadline, whatever goes on in it.

    Time-outs of single reads would let a server that sends a byte now and then hold a sandbox for hours.
    """

    def __init__(self, addresses: list[str], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._guard: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._pool: httpcore.ConnectionPool | None = None

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._pool is not None:
            self._pool.close()
        if self._guard is not None:
            self._guard.close()

    def remaining(self) -> float:
        """Seconds until the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Refused("there was no time left within limits.wall_time")
        return left

    def pool(self, scheme: str) -> "httpcore.ConnectionPool":
        """A pool that makes this connection only."""
        import httpcore

        connect = self._connect

        class Backend(httpcore.NetworkBackend):
            def connect_tcp(
                self,
                host: str,  # noqa: ARG002 - the address was resolved and checked before
                port: int,
                timeout: float | None = None,  # noqa: ARG002
                local_address: str | None = None,  # noqa: ARG002
                socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
            ) -> httpcore.NetworkStream:
                return connect(port, socket_options)

        context = _tls_context(*_trust()) if scheme == "https" else None
        self._pool = httpcore.ConnectionPool(context, network_backend=Backend(), max_connections=1)
        return self._pool

    def _connect(self, port: int, options: "Iterable[httpcore.SOCKET_OPTION] | None") -> "httpcore.NetworkStream":
        import httpcore

        failure: Exception | None = None
        for address in self._addresses:
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, self.remaining(), socket_options=options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self._cut_at_deadline(stream.get_extra_info("socket"))
            return stream
        raise failure or httpcore.ConnectError("no address")

    def _cut_at_deadline(self, connected: socket.socket) -> None:
        # A duplicate: TLS takes the socket itself over, and shutting down either of them ends both.
        self._guard = guard = connected.dup()

        def cut() -> None:
            with suppress(OSError):
                guard.shutdown(socket.SHUT_RDWR)

        self._timer = threading.Timer(self.remaining(), cut)
        self._timer.daemon = True
        self._timer.start()


def _trust() -> tuple[str | None, str | None]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@functools.lru_cache(maxsize=4)
def _tls_context(_file: str | None, _folder: str | None) -> "ssl.SSLContext":
    """The system's certificates (which SSL_CERT_FILE and SSL_CERT_DIR replace) and Mozilla's."""
    import httpcore

    return httpcore.default_ssl_context()


def preload(grants: NetworkGrants) -> None:
    """Imports and reads what the first request would otherwise do in the tool's own time."""
    if grants.origins:
        import httpcore  # noqa: F401  # pyright: ignore[reportUnusedImport]
    if any(scheme == "https" for scheme, _, _ in grants.origins):
        _tls_context(*_trust())
