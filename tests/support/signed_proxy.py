"""A proxy that adds headers to each request, and changes nothing else: for clients that can be given no key."""

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def with_headers(url: str, headers: dict[str, str]) -> Iterator[str]:
    """A place where `url` is, with `headers` on each request."""
    target = urlsplit(url)
    more = [f"{name}: {value}\r\n".encode() for name, value in headers.items()]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head: list[bytes] = []
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head.append(line)
            if not head:
                return
            lengths = [int(line.partition(b":")[2]) for line in head if line.lower().startswith(b"content-length:")]
            body = self.rfile.read(sum(lengths))
            kept = [line for line in head[1:] if not line.lower().startswith(b"connection:")]
            with socket.create_connection((target.hostname, target.port)) as server, suppress(OSError):
                server.sendall(b"".join([head[0], *more, *kept, b"Connection: close\r\n\r\n", body]))
                while True:
                    ready, _, _ = select.select([server, self.connection], [], [])
                    if self.connection in ready:  # it has gone
                        return
                    block = server.recv(65_536)
                    if not block:
                        return
                    self.wfile.write(block)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}"
        finally:
            made.shutdown()
