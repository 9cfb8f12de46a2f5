"""Whoever is told something may answer as slowly, and with as much, as they like: it holds up and fills nothing here."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from caxton.adapters import pushing, webhooks
from caxton.adapters.sandbox.addresses import Address
from caxton.domain.channels import Channel
from caxton.domain.errors import ChannelUnreachable
from caxton.domain.push import PushConfig, PushPolicy

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]
Sending = Callable[[str], Awaitable[int]]


def _allow(address: Address, port: int) -> None:
    """Lets everything be called."""


async def _push(url: str) -> int:
    sender = pushing.PushSender(PushPolicy((url,)), _allow, None)
    return await sender.post(PushConfig(id="a", url=url), "msg", {})


async def _notify(url: str) -> int:
    return await webhooks.post(Channel(url=url), "msg", {})


@asynccontextmanager
async def receiver(answer: Answering) -> AsyncGenerator[str]:
    """The address of somebody who answers like that."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await answer(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.requirement("SEC-4")
@pytest.mark.parametrize("send", [_push, _notify])
async def test_an_answer_without_end_is_not_read(send: Sending) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while sent < 1 << 30:
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16

    async with receiver(endless) as url, asyncio.timeout(20):
        assert await send(url) == 200
    assert sent < 64 << 20


@pytest.mark.requirement("SEC-4")
@pytest.mark.parametrize("send", [_push, _notify])
async def test_an_answer_that_comes_drop_by_drop_is_given_up(send: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 1_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    for module in (pushing, webhooks):
        monkeypatch.setattr(module, "TIMEOUT", 0.5)
    async with receiver(drip) as url, asyncio.timeout(10):
        with pytest.raises(ChannelUnreachable, match=r"within 0\.5 s"):
            await send(url)
