"""The least that a client over HTTP can do, for it shares the cores with what is measured. Standard library only."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit


class Connection:
    """HTTP/1.1 with one request at a time, on one connection."""

    def __init__(self, url: str, key: str) -> None:
        """A connection to the server at `url`; it is opened by the first request."""
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            RuntimeError: the answer is anything but success; the text holds its status and begins with its body.
        """
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self.streams
        content = json.dumps(body)
        writer.write(f"POST {path} HTTP/1.1\r\n{self.head}Content-Length: {len(content)}\r\n\r\n{content}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201", b"HTTP/1.1 202")):
            raise RuntimeError(f"{head[9:12].decode()} {answer.decode()[:300]}")
        return json.loads(answer)

    async def listen(self, path: str, until: bytes) -> bool:
        """Reads a stream of server-sent events to its end; whether `until` was in it.

        Raises:
            RuntimeError: the answer is anything but success.
        """
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self.streams
        writer.write(f"GET {path} HTTP/1.1\r\n{self.head}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head[9:12].decode())
        found = False
        while length := int(await reader.readuntil(b"\r\n"), 16):
            found |= until in await reader.readexactly(length + 2)
        await reader.readexactly(2)
        return found

    def close(self) -> None:
        """Closes it."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None
