"""A real HTTP server whose answers a test has written down."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class CannedServer:
    """Answers in the order given, and remembers what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def headers(self, name: str) -> list[str | None]:
        """The header `name` of each request."""
        return [headers.get(name) for _, _, headers, _ in self.requests]


def ok(body: Any, **headers: str) -> Answer:
    """200 with JSON."""
    return answer(200, body, **headers)


def problem(status: int, code: str, message: str = "it failed", **more: Any) -> Answer:
    """Problem details as Caxton sends them."""
    headers = {"Retry-After": str(more["retry_after"])} if "retry_after" in more else {}
    return answer(status, {"status": status, "code": code, "detail": message, "hints": [], **more}, **headers)


def answer(status: int, body: Any, **headers: str) -> Answer:
    """Any answer; text goes as it is."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return send


def lost(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends without an answer, as when the server is killed."""
    handler.close_connection = True
    handler.connection.close()


def events(*texts: str, complete: bool = True) -> Answer:
    """A stream of server-sent events; one that is not complete breaks off in the middle."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for text in texts:
            content = text.encode()
            handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        if complete:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return send


def event(identity: str, kind: str, data: Any) -> str:
    """One event of a stream."""
    return f"id: {identity}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"


@contextmanager
def canned(*answers: Answer) -> Iterator[CannedServer]:
    """Runs such a server on a free port."""
    server = CannedServer(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append((self.command, self.path, dict(self.headers), body))
            server.answers.pop(0)(self)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the library calls them so

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
