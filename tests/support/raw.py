"""HTTP as bytes, for what no client library would send."""

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any

from httptools import HttpResponseParser


@dataclass
class RawAnswer:
    """One answer as it came over the line."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem that it tells."""
        assert self.headers["content-type"] == "application/problem+json", self
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        assert found["detail"]
        return found


class _Answers:
    def __init__(self) -> None:
        self.found: list[RawAnswer] = []
        self.parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.found.append(RawAnswer(self.parser.get_status_code(), self._headers, self._body))


class RawConnection:
    """A connection to a server on loopback."""

    def __init__(self, port: int, *, timeout: float = 30) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._answers = _Answers()
        self.closed = False

    def send(self, data: bytes) -> None:
        """Sends, as far as the server lets it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answers(self, count: int | None = None) -> list[RawAnswer]:
        """The answers until there are `count` of them, or until the server closes."""
        while count is None or len(self._answers.found) < count:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self.closed = True
                break
            self._answers.parser.feed_data(data)
        return self._answers.found

    def wait_closed(self, within: float = 30) -> list[RawAnswer]:
        """All answers until the server closes, which it has to."""
        self.socket.settimeout(within)
        found = self.answers()
        assert self.closed
        return found

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def ask(port: int, data: bytes) -> list[RawAnswer]:
    """What a server answers to `data`, until it closes or has said nothing more for a while."""
    with RawConnection(port) as connection:
        connection.send(data)
        connection.socket.settimeout(20)
        found = connection.answers(1)
        connection.socket.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            found = connection.answers()
        return found
