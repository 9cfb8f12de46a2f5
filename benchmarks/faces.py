"""What the protocols beside REST add to a request, in CPU of all processes of the server, and what open streams take.

Each way asks the same agent for the same reply in the same run; what a way adds is what it takes beyond REST. The agent is
scripted, so that nothing but the way is measured. A client of A2A or AG-UI goes on with a context or thread, as in a chat; the
first message of one also begins a conversation, which REST's one-shot messages do not.

Streams are open for as long as a stand-in model takes to answer; memory is what all processes have grown by while they are.
"""

import argparse
import asyncio
import time
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx

from benchmarks.deploy import deploy, write_agents
from benchmarks.model_backed import CHUNKS, cpu_of, thinking_server
from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import Server, server
from benchmarks.stand_in import stand_in

CAPABILITY = "agent-0"
CHAT = "/openai/v1/chat/completions"
WARM_UP = 50
SAID = [{"role": "user", "content": "hello"}]

Request = tuple[str, Any, dict[str, str]]
"""Path, body and headers."""

Way = Callable[[httpx.Client, str], str]
"""Asks once, in a context of a client; the text of the answer."""

A2A = {"A2A-Version": "1.0"}

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
MCP = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Accept": "application/json, text/event-stream"}


def post(client: httpx.Client, path: str, body: Any, headers: dict[str, str] | None = None) -> str:
    """The text of what a request is answered with."""
    answer = client.post(path, json=body, headers=headers)
    answer.raise_for_status()
    return answer.text


def rest(client: httpx.Client, _: str) -> str:
    """REST: a one-shot message."""
    return post(client, "/v1/messages", {"capability": CAPABILITY, "content": "hello"})


@cache
def conversation(client: httpx.Client, _: str) -> str:
    """The path of the messages of a conversation, which is begun with the first of them."""
    begun = client.post("/v1/conversations", json={"capability": CAPABILITY})
    return f"/v1/conversations/{begun.json()['id']}/messages"


def rest_talk(client: httpx.Client, context: str) -> str:
    """REST: a message of a conversation."""
    return post(client, conversation(client, context), {"content": "hello"})


def rest_stream(client: httpx.Client, context: str) -> str:
    """REST: a message of a conversation, and the stream of its turn."""
    sent = client.post(f"{conversation(client, context)}?wait=false", json={"content": "hello"})
    return client.get(f"/v1/executions/{sent.json()['execution_id']}/stream").text


def chat(client: httpx.Client, _: str, *, stream: bool = False) -> str:
    """OpenAI: a chat completion."""
    return post(client, CHAT, {"model": CAPABILITY, "messages": SAID, "stream": stream})


def mcp(client: httpx.Client, _: str) -> str:
    """MCP: a call of a tool, without a session."""
    params = {"name": CAPABILITY, "arguments": {"request": "hello"}, "_meta": META}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return post(client, "/mcp", call, {**MCP, "Mcp-Name": CAPABILITY})


def message(context: str) -> dict[str, Any]:
    """A message of A2A."""
    said = {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": [{"text": "hello"}]}
    return {"message": {**said, "contextId": context} if context else said}


def a2a(client: httpx.Client, context: str, *, stream: bool = False) -> str:
    """A2A: a message over HTTP+JSON."""
    path = f"/a2a/v1/{CAPABILITY}/message:{'stream' if stream else 'send'}"
    return post(client, path, message(context), A2A)


def a2a_rpc(client: httpx.Client, context: str) -> str:
    """A2A: a message over JSON-RPC."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message(context)}
    return post(client, f"/a2a/v1/{CAPABILITY}", call, A2A)


def run(context: str, capability: str) -> Request:
    """AG-UI: a run."""
    thread, identity = context or uuid.uuid4().hex, uuid.uuid4().hex
    body = {"threadId": thread, "runId": identity, "messages": [{"id": "1", "role": "user", "content": "hello"}]}
    return f"/v1/agui/{capability}", body, {}


WAYS: dict[str, tuple[Way, str]] = {
    "REST": (rest, ""),
    "REST, in a conversation": (rest_talk, ""),
    "REST, streamed": (rest_stream, ""),
    "OpenAI, chat completion": (chat, "REST"),
    "OpenAI, streamed": (lambda client, context: chat(client, context, stream=True), "REST"),
    "MCP, tool call": (mcp, "REST"),
    "A2A, HTTP+JSON": (a2a, "REST, in a conversation"),
    "A2A, JSON-RPC": (a2a_rpc, "REST, in a conversation"),
    "A2A, streamed": (lambda client, context: a2a(client, context, stream=True), "REST, streamed"),
    "AG-UI": (lambda client, context: post(client, *run(context, CAPABILITY)), "REST, streamed"),
}
"""Each with the one of REST that does the same."""

CONTEXT = "benchmark-{0}-{1}"
"""Of a way and a round: whoever goes on with it has some messages behind."""

MESSAGES = 20
"""In one context."""

STREAMS: dict[str, Callable[[], Request]] = {
    "REST": lambda: ("/v1/messages?wait=false", {"capability": "think", "content": "go on"}, {}),
    "OpenAI": lambda: (CHAT, {"model": "think", "messages": SAID, "stream": True}, {}),
    "A2A": lambda: ("/a2a/v1/think/message:stream", message(""), A2A),
    "AG-UI": lambda: run("", "think"),
}
"""Ways of which streams are held open, as many of each."""


def ask(client: httpx.Client, way: Way, name: str, count: int) -> None:
    """Asks so many times, one after another."""
    for number in range(count):
        told = way(client, CONTEXT.format(name, number // MESSAGES))
        if any(sign in told for sign in ('"error":{', "RUN_ERROR", '"isError":true')):
            raise RuntimeError(f"{name}: {told[:500]}")


def costs(requests: int, rounds: int) -> list[Figure]:
    """CPU of a request, each way: the least of some rounds, for others use the machine as well."""
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", 1, 0))
        for name, (way, _) in WAYS.items():
            ask(client, way, f"{_named(name)}-warm", WARM_UP)
        used: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(rounds):
            for name, (way, _) in WAYS.items():
                before, _ = cpu_of(running)
                ask(client, way, f"{_named(name)}-{turn}", requests)
                used[name].append((cpu_of(running)[0] - before) / requests * 1000)
    least = {name: min(each) for name, each in used.items()}
    found = [Figure(f"{name}: CPU", value, "ms") for name, value in least.items()]
    added = [(name, least[name] - least[base], base) for name, (_, base) in WAYS.items() if base]
    return found + [Figure(f"{name}: CPU beyond that of {base}", value, "ms", 2) for name, value, base in added]


def _named(way: str) -> str:
    return "".join(letter for letter in way if letter.isalnum())


def memory(running: Server) -> tuple[float, float]:
    """MB of the process that holds the streams, and of all processes of the server."""
    return running.processes()["server"].memory_info().rss / 1e6, cpu_of(running)[1]


async def hold(running: Server, count: int, latency: float) -> tuple[int, float, float]:
    """Opens so many streams, and reads them to the end: how many ended with a reply, and by how many MB the process that holds
    them grew, and all processes."""
    before = most = memory(running)
    whole, limits = 0, httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {running.key}"}
    each_way = [*STREAMS.items()]

    async def one(number: int) -> None:
        nonlocal whole
        await asyncio.sleep(latency / 3 * number / count)
        name, way = each_way[number % len(each_way)]
        path, body, more = way()
        method = "POST"
        if name == "REST":
            sent = await client.post(path, json=body)
            method, path, body = "GET", f"/v1/executions/{sent.json()['execution_id']}/stream", None
        async with client.stream(method, path, json=body, headers=more) as stream:
            told = "".join([line async for line in stream.aiter_lines()])
            whole += any(sign in told for sign in ("event: reply", "[DONE]", "TASK_STATE_COMPLETED", "RUN_FINISHED"))

    async def look() -> None:
        nonlocal most
        while True:
            now = memory(running)
            most = max(most[0], now[0]), max(most[1], now[1])
            await asyncio.sleep(1)

    async with httpx.AsyncClient(
        base_url=running.url, headers=headers, timeout=latency + 300, limits=limits, trust_env=False
    ) as client:
        looking = asyncio.create_task(look())
        await asyncio.gather(*(one(number) for number in range(count)))
        looking.cancel()
    return whole, most[0] - before[0], most[1] - before[1]


def streams(count: int, latency: float) -> list[Figure]:
    """What open streams take."""
    room = {"CAXTON_SERVER__CONNECTIONS_PER_ADDRESS": "4096"}  # all clients are at one address here
    with stand_in(latency, CHUNKS) as address, thinking_server(address, **room) as running, running.client() as client:
        client.post("/v1/messages", json={"capability": "think", "content": "warm up"}).raise_for_status()
        time.sleep(1)
        whole, held, grown = asyncio.run(hold(running, count, latency))
    name = f"{count:,} open streams"
    return [
        Figure(f"{name}: memory of the process that holds them", held, "MB", 500.0),
        Figure(f"{name}: memory in all, with the turns that they follow", grown, "MB"),
        Figure(f"{name}: that did not end with a reply", float(count - whole), "", 0.0),
    ]


def figures(requests: int = 500, rounds: int = 3, count: int = 1_000, latency: float = 40.0) -> list[Figure]:
    """Both.

    Args:
        requests: of each way and round.
        rounds: of which the least counts.
        count: streams that are open at a time.
        latency: seconds that the model takes while they are.
    """
    return [*costs(requests, rounds), *streams(count, latency)]


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=40.0, help="seconds that the model of the streams takes")
    given = parser.parse_args()
    print_machine()
    print_figures("protocols", figures(given.requests, given.rounds, given.streams, given.latency))


if __name__ == "__main__":
    main()
