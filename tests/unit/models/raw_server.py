"""A server that sends given bytes, for answers that no mock offers."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """Answers every request with `answer`, and keeps what it was sent."""

    base_url: str = ""
    answer: bytes = b""
    requests: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                self.requests.append(head + await reader.readexactly(int(length.split(b":")[1])))
                writer.write(self.answer)
                await writer.drain()
                if b"Connection: close" in self.answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http_answer(status: str, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    """An HTTP answer as bytes."""
    fields = [f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return f"HTTP/1.1 {status}\r\n".encode() + "\r\n".join(fields).encode() + b"\r\n\r\n" + body
