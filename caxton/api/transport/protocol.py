"""HTTP/1.1 with bounds: uvicorn's protocol over httptools, which has none of its own.

httptools checks the grammar (llhttp is strict about lengths, transfer codings and line ends, so that nobody smuggles requests
past a proxy). What is added here is what costs before a key is known: size and time of headers, pace of bodies, requests that
pile up on a connection, answers that nobody takes. Everything refused here is told in the same words as all other problems.
"""

import asyncio
import secrets
from enum import Enum, auto
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from caxton.api.errors import problem_response
from caxton.api.transport.connections import Connections
from caxton.api.transport.limits import OVERHEAD, PIECE
from caxton.api.web import with_security
from caxton.domain.errors import (
    CaxtonError,
    HeadTooLarge,
    HttpVersionNotSupported,
    MalformedRequest,
    NotImplementedHere,
    RequestTooSlow,
    TargetTooLong,
)


class _Phase(Enum):
    """What the next bytes of a connection belong to."""

    HEAD = auto()
    BODY = auto()
    NONE = auto()
    """Nothing: all of a request is there, and the next one has not begun."""


class _ClosedBehind:
    """The transport that an answer is written to while its request's body may not have come.

    Such an answer says that the connection closes, so that the client sends nothing else on it. uvicorn would close at once, and
    an answer that is not read yet would be lost: the protocol closes instead, when the client has had time to read it.
    """

    def __init__(self, protocol: "BoundedProtocol") -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.close_behind()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `listener` is set by :func:`protocol_of`."""

    listener: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See HttpToolsProtocol."""
        super().__init__(*args, **kwargs)
        self.limits = self.listener.limits
        self.peer = ""
        self.since = 0.0
        self.over = False
        """Nothing that still comes is looked at."""
        self._phase = _Phase.HEAD
        self._trouble: CaxtonError | None = None
        """Found by a callback of the parser."""
        self._head_fed = 0
        self._head_bytes = 0
        self._fed = 0
        self._body_bytes = 0
        self._slack = 0.0
        self._counted = 0
        self._close_after = False
        self._kept_alive = True
        self._linger_until: float | None = None
        self._stalled: tuple[int, float] | None = None

    # --- the connection --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A client has connected."""
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self.since = self.loop.time()
        self.listener.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, by whomever."""
        self.over = True
        self.listener.leave(self)
        super().connection_lost(exc)
        self._forget_body()

    def data_received(self, data: bytes) -> None:
        """Parses what has come, a piece at a time."""
        if self.over:
            return
        self._unset_keepalive_if_required()
        if self._phase is _Phase.NONE:
            self._phase = _Phase.HEAD
            self._head_fed = 0
        if len(data) <= PIECE:
            self._feed(data)
        else:
            view = memoryview(data)
            for start in range(0, len(view), PIECE):
                if not self.over:
                    self._feed(view[start : start + PIECE])
        if self._phase is _Phase.HEAD and not self.over and self not in self.listener.silent:
            self.since = self.loop.time()
            self.listener.begins(self)

    def _feed(self, piece: bytes | memoryview) -> None:
        assert self.parser is not None  # there is one as long as there is a connection
        before = self._phase
        if before is _Phase.HEAD:
            self._head_fed += len(piece)
        elif before is _Phase.BODY:
            self._fed += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.over = True  # what follows is of another protocol, or nobody's
        except httptools.HttpParserInvalidMethodError:
            self._trouble = self._trouble or NotImplementedHere("this is not a request, or of an unknown method")
        except httptools.HttpParserError as error:
            self._trouble = self._trouble or MalformedRequest(f"this is not an HTTP request: {error}")
        if self._trouble is None:
            if self._phase is _Phase.HEAD and self._head_fed > self.limits.head_bytes:
                self._trouble = self._too_large()
            elif before is _Phase.BODY and self._fed - self._body_bytes > self._framing():
                self._trouble = MalformedRequest("the body is nearly all framing", "send it in larger chunks")
        if self._trouble is not None:
            self.refuse(self._trouble)
        elif before is _Phase.HEAD and self._phase is _Phase.BODY:
            self.flow.pause_reading()  # until somebody wants the body: its key may not be good

    def _framing(self) -> int:
        return self.limits.head_bytes + OVERHEAD * self._body_bytes

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"the request's headers are larger than {self.limits.head_bytes} bytes, or more than {self.limits.headers}",
            "send less in headers",
        )

    # --- callbacks of the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._trouble is not None:
            return
        self._phase = _Phase.HEAD
        self._head_fed = self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        if self._trouble is not None:
            return
        super().on_url(url)
        if len(self.url) > self.limits.target_bytes:
            self._trouble = TargetTooLong(
                f"the request's target has more than {self.limits.target_bytes} bytes", "send what is long in a body"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer: those come after a body, where nobody expects one, and are ignored."""
        if self._trouble is not None or self._phase is not _Phase.HEAD:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.limits.head_bytes or len(self.headers) >= self.limits.headers:
            self._trouble = self._too_large()
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """All headers are there: the request goes to the application."""
        if self._trouble is None:
            self._trouble = self._unusual()
        if self._trouble is not None:
            return
        self._phase = _Phase.BODY
        self._fed = self._body_bytes = self._counted = 0
        self._slack = self.limits.body_grace
        self.listener.works(self)
        super().on_headers_complete()
        if self._has_body():
            self._kept_alive = self.cycle.keep_alive
            self.cycle.keep_alive = False
            self.cycle.transport = cast("asyncio.Transport", _ClosedBehind(self))

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._trouble is not None:
            return
        self._body_bytes += len(body)
        super().on_body(body)
        if self._linger_until is not None and self._body_bytes > self._linger_bytes:
            self.drop()

    def on_message_complete(self) -> None:
        """All of a request is there."""
        if self._trouble is not None:
            return
        self._phase = _Phase.NONE
        if self._has_body() and not self.cycle.response_started:
            self.cycle.keep_alive = self._kept_alive
        super().on_message_complete()
        if self._linger_until is not None:
            self._linger_until = None
            self._rest()

    def on_response_complete(self) -> None:
        """A request is answered."""
        next_begins = bool(self.pipeline)
        super().on_response_complete()
        if next_begins:
            return
        self._forget_body()
        if self._phase is _Phase.BODY and not self.transport.is_closing():
            self._linger_until = self.loop.time() + self.limits.linger_seconds
            self._linger_bytes = self._body_bytes + self.limits.linger_bytes
        else:
            self._rest()

    def _forget_body(self) -> None:
        """Lets go of what nobody will read: a connection and its requests hold one another until the collector comes by."""
        cycle = cast("Any", self.cycle)
        if cycle is not None:  # as long as nothing was asked
            cycle.body = bytearray()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says to what is not HTTP."""
        self.refuse(MalformedRequest(msg))

    def close_behind(self) -> None:
        """The last answer of the connection is written."""
        self._close_after = True
        if not cast("Any", self.cycle).response_complete:
            self.transport.close()

    def _rest(self) -> None:
        """Nothing is in progress on the connection."""
        if self._close_after or self.over:
            self.transport.close()
            return
        if self._phase is _Phase.HEAD:
            return
        self.listener.rests(self)
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    # --- what is not taken ---------------------------------------------------------------------------------------------

    def _unusual(self) -> CaxtonError | None:
        """What is wrong with a request that httptools takes, if anything is."""
        assert self.parser is not None
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            return HttpVersionNotSupported(f"HTTP/{version} is not spoken here", "use HTTP/1.1")
        if len(self.pipeline) >= self.limits.pipelined:
            return MalformedRequest("too many requests wait on one connection", "wait for answers before you send more")
        if self.parser.should_upgrade():
            return self._upgrade()
        if self.url[:1] != b"/":
            return self._other_target()
        return None

    def _upgrade(self) -> CaxtonError | None:
        assert self.parser is not None
        if self.parser.get_method() == b"CONNECT":
            return NotImplementedHere("this server is not a proxy")
        if self._get_upgrade() == b"websocket":
            return NotImplementedHere(
                "no WebSockets are spoken here",
                "follow a turn with GET /v1/executions/{id}/stream (server-sent events)",
            )
        if self._has_body():
            return NotImplementedHere("the connection cannot be upgraded", "send the request without Upgrade")
        # An offer of HTTP/2 may be declined by answering as if it had not been made.
        self._close_after = True
        return None

    def _other_target(self) -> CaxtonError | None:
        """A target with a host in it, as proxies get it: the request is for that host, whatever its header says."""
        if self.url == b"*":
            return None
        try:
            parsed = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            return MalformedRequest("the request's target is none")
        if not parsed.host or parsed.schema not in (b"http", b"https"):
            return MalformedRequest("the request's target is none")
        named = [value for name, value in self.headers if name == b"host"]
        authority = self.url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
        if named != [authority]:
            return MalformedRequest("the request's target and its Host header are two hosts")
        self.url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        return None

    def refuse(self, error: CaxtonError) -> None:
        """Answers with `error` and closes; behind what is still to be answered it only closes, and says so there."""
        if self.over and self._trouble is None:
            return
        self.over = True
        self.listener.refused(error.code)
        self.listener.works(self)  # nobody's turn is left
        if self.transport.is_closing():
            return
        cycle = cast("Any", self.cycle)
        if cycle is not None and not cycle.response_complete:
            if self._phase is not _Phase.BODY:  # the requests before it get their answers
                self.flow.pause_reading()
                cycle.keep_alive = False
                if (
                    not cycle.response_started
                ):  # so that the client knows which of its requests is the last one that is taken
                    cycle.default_headers = [*cycle.default_headers, (b"connection", b"close")]
                return
            cycle.disconnected = True  # no more of its body will come
            cycle.message_event.set()
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
        self._write(error)
        self.transport.close()

    def drop(self) -> None:
        """Closes without an answer."""
        self.over = True
        self.listener.works(self)
        self.transport.close()

    def _write(self, error: CaxtonError) -> None:
        request_id = secrets.token_hex(8)
        response = problem_response(error, request_id)
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"x-request-id", request_id.encode())]
        lines = [b"%s: %s\r\n" % header for header in with_security([*headers, (b"connection", b"close")])]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(response.body)]))

    # --- time --------------------------------------------------------------------------------------------------------

    def look(self, now: float, elapsed: float) -> None:
        """Ends the connection if its client takes or sends too slowly."""
        self._look_at_answer(now)
        if self.over or self._phase is not _Phase.BODY:
            return
        if self._linger_until is not None:
            if now > self._linger_until:
                self.drop()
            return
        if self.flow.read_paused:  # it is we who wait
            return
        self._slack += (self._body_bytes - self._counted) / self.limits.body_rate - elapsed
        self._slack = min(self._slack, self.limits.body_grace)
        self._counted = self._body_bytes
        if self._slack < 0:
            self.refuse(
                RequestTooSlow(
                    f"the body comes more slowly than {self.limits.body_rate:g} bytes a second",
                    "send it faster, or in parts",
                )
            )

    def _look_at_answer(self, now: float) -> None:
        closing = self.transport.is_closing()
        if not (closing or self.flow.write_paused):  # what is written and not taken is little
            self._stalled = None
            return
        waiting = self.transport.get_write_buffer_size()
        if self._stalled is None or waiting < self._stalled[0]:
            self._stalled = (waiting, now)
            return
        patience = self.limits.linger_seconds if closing else self.limits.stalled_seconds
        if now - self._stalled[1] > patience:
            self.over = True
            self.transport.abort()


def protocol_of(listener: Connections) -> type[BoundedProtocol]:
    """The protocol for the connections of one listener."""
    return type("BoundedProtocol", (BoundedProtocol,), {"listener": listener})
