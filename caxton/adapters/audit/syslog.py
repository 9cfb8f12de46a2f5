"""Events to a syslog server: RFC 5424, over UDP (RFC 5426), TCP or TLS with octet counting (RFC 6587, RFC 5425)."""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from caxton.domain.audit import event_line
from caxton.domain.errors import ChannelUnreachable
from caxton.domain.events import Event

TIMEOUT = 10.0
"""Seconds for one batch."""

NOTICE = 5
"""The severity: normal, but significant."""

WARNING = 4
"""The severity of refusals and failures."""

MOST_DATAGRAM = 60_000
"""Bytes of a message over UDP; a longer event goes without its payload."""

Transport = Literal["udp", "tcp", "tls"]


class SyslogSink:
    """The AuditSink port over syslog. It does not confirm what it takes: after a lost connection the last batch is sent again."""

    def __init__(self, host: str, port: int, transport: Transport, *, facility: int, ca: Path | None = None) -> None:
        """Send to `host`; `ca` is the authority to trust for TLS, the system's if None."""
        self._address = host, port
        self._transport = transport
        self._facility = facility
        self._ca = ca
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._last: list[bytes] = []
        """Sent over the present connection and not confirmed by anybody."""

    async def send(self, events: Sequence[Event]) -> None:
        """Sends events, a message each.

        Raises:
            ChannelUnreachable: the server does not answer.
        """
        messages = [self._message(event) for event in events]
        try:
            async with asyncio.timeout(TIMEOUT):
                if self._transport == "udp":
                    await asyncio.to_thread(self._send_datagrams, messages)
                else:
                    await self._send_stream(messages)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            await self.close()
            raise ChannelUnreachable(f"the syslog server does not take events ({type(error).__name__})") from None

    async def close(self) -> None:
        """Closes the connection."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()

    async def _send_stream(self, messages: list[bytes]) -> None:
        frames = [f"{len(message)} ".encode() + message for message in messages]
        again: list[bytes] = []
        if self._writer is None or self._is_gone():
            again = self._last
            context = ssl.create_default_context(cafile=self._ca) if self._transport == "tls" else None
            self._reader, self._writer = await asyncio.open_connection(*self._address, ssl=context)
        self._writer.writelines([*again, *frames])
        await self._writer.drain()
        await asyncio.sleep(0)  # whether the other side has gone is known with the loop's next turn
        if self._is_gone():
            raise ConnectionResetError
        self._last = frames

    def _is_gone(self) -> bool:
        """Whether there is no connection, or the other side has closed it."""
        reader, writer = self._reader, self._writer
        return reader is None or writer is None or reader.at_eof() or writer.is_closing()

    def _send_datagrams(self, messages: list[bytes]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.connect(address)
            for message in messages:
                sender.send(message)

    def _message(self, event: Event) -> bytes:
        """RFC 5424, section 6. The event is the message: one line of JSON, as exports have it."""
        failed = event.error_code is not None
        priority = self._facility * 8 + (WARNING if failed else NOTICE)
        stamp = event.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        place = (
            f'[caxton@32473 customer="{event.customer_id}" workspace="{event.workspace}" sequence="{event.sequence}"]'
        )
        head = f"<{priority}>1 {stamp} {socket.gethostname()[:255] or '-'} caxton {os.getpid()} {event.event_type[:32]} {place} "
        message = head.encode("ascii", "replace") + event_line(event).rstrip(b"\n")
        if self._transport == "udp" and len(message) > MOST_DATAGRAM:
            short = event.model_copy(update={"payload": {"left_out": "too long for a datagram"}})
            message = head.encode("ascii", "replace") + event_line(short).rstrip(b"\n")
        return message
