"""A stand-in for an OpenAI-compatible model service, for tests and benchmarks: it answers as it was told to.

    python -m tests.support.stand_in PORT

What it answers depends on the model's name, so that tests share one. `PUT /answers/MODEL` takes a list of answers, one a call
(the last one for all further calls); `GET /requests/MODEL` gives what it was asked; `GET /stats` counts. `/pushed/NAME` and
`/hook` take webhooks. A model that nobody told anything says "word0 word1 …". An answer is an object of what is to differ from
that; :class:`Answer` names the fields.
"""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class Answer:
    """How one call is answered."""

    text: str | None = None
    chunks: int = 40
    """Pieces of the text, when it is streamed."""
    delay: float = 0.0
    """Seconds until the first byte."""
    took: float = 0.0
    """Seconds from the first byte to the last."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: dict[str, Any] | None = None
    """Instead of an answer, such as an error."""
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Calls that the model asks for: `id`, `name`, `arguments`."""
    stall_after: int | None = None
    """Streamed: pieces after which nothing comes any more."""
    cut_after: int | None = None
    """Streamed: pieces after which the connection is cut."""
    usage: dict[str, int] | None = None
    sent: str | None = None
    """Instead of all that: what is sent as it is, whether a stream was asked for or not."""
    sent_as: str = "text/event-stream"
    """Its content type."""

    @property
    def words(self) -> list[str]:
        """The text in pieces."""
        if self.text is None:
            return [] if self.calls else [f"word{number} " for number in range(self.chunks)]
        size = max(1, -(-len(self.text) // max(1, self.chunks)))
        return [self.text[start : start + size] for start in range(0, len(self.text), size)]

    @property
    def tokens(self) -> dict[str, int]:
        """What the call used."""
        used = self.usage or {"prompt_tokens": 50, "completion_tokens": max(1, len(self.words))}
        return {**used, "total_tokens": used["prompt_tokens"] + used["completion_tokens"]}


class StandIn:
    """The service, as an ASGI application."""

    def __init__(self, default: Answer | None = None) -> None:
        """Answer with `default` where nothing else is said."""
        self.default = default or Answer()
        self.answers: dict[str, list[Answer]] = {}
        self.requests: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.pushed: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.stats = {"calls": 0, "bytes": 0, "streams": 0, "now": 0, "most": 0, "cancelled": 0}
        self.remembers = True

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path: str = scope["path"]
        if path.endswith("/chat/completions"):
            self.stats["bytes"] += len(body)
            await self._complete(self.read(body), receive, send)
        elif path == "/hook":
            await self._hear(scope, bytes(body), send)
        elif path.startswith("/answers/"):
            self.answers[path.removeprefix("/answers/")] = [Answer(**each) for each in json.loads(body)]
            await _json(send, {})
        elif path.startswith("/requests/"):
            await _json(send, self.requests[path.removeprefix("/requests/")])
        elif path.startswith("/pushed/"):
            await self._take_push(scope, path.removeprefix("/pushed/"), bytes(body), send)
        elif path == "/stats":
            await _json(send, self.stats)
        else:
            await _json(send, {"error": {"message": "no such path"}}, 404)

    async def _take_push(self, scope: Message, name: str, body: bytes, send: Send) -> None:
        """Takes a push notification, but for as many as the name says that it refuses first; GET tells what has come."""
        came = self.pushed[name]
        if scope["method"] == "GET":
            await _json(send, came)
            return
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        came.append({"headers": headers, "body": body.decode()})
        refused = int(name.partition("refuse-")[2] or 0)
        await _json(send, {}, 503 if len(came) <= refused else 204)

    async def _hear(self, scope: Message, body: bytes, send: Send) -> None:
        """A channel: what came is filed under "hook-WORKSPACE", and answered as that was told to (200 if it was not)."""
        name = f"hook-{json.loads(body)['data']['workspace']}"
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.requests[name].append({"headers": headers, "body": body.decode()})
        await _json(send, {}, self.next_answer({"model": name}).status)

    def read(self, body: bytearray) -> dict[str, Any]:
        """What a model is asked, from the body of a request."""
        return json.loads(body)

    def next_answer(self, request: dict[str, Any]) -> Answer:
        """How this request is answered."""
        told = self.answers.get(str(request["model"]))
        if not told:
            return self.default
        return told.pop(0) if len(told) > 1 else told[0]

    async def _complete(self, request: dict[str, Any], receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        model = str(request["model"])
        if self.remembers:
            self.requests[model].append(request)
        answer, stats = self.next_answer(request), self.stats
        stats["calls"] += 1
        stats["streams"] += bool(request.get("stream"))
        stats["now"] += 1
        stats["most"] = max(stats["most"], stats["now"])
        answering = asyncio.ensure_future(self._answer(answer, model, bool(request.get("stream")), send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                stats["cancelled"] += 1
                return
            answering.result()
        finally:
            answering.cancel()
            leaving.cancel()
            stats["now"] -= 1

    async def _answer(self, answer: Answer, model: str, streamed: bool, send: Send) -> None:
        await asyncio.sleep(answer.delay)
        if answer.status != 200 or answer.body is not None:
            error = {"error": {"message": "told to fail", "type": "stand_in"}}
            await _json(send, error if answer.body is None else answer.body, answer.status, answer.headers)
        elif answer.sent is not None:
            headers = {"content-type": answer.sent_as, **answer.headers}
            await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
            await send({"type": "http.response.body", "body": answer.sent.encode()})
        elif streamed:
            await self._stream(answer, model, send)
        else:
            await asyncio.sleep(answer.took)
            if answer.stall_after is not None:
                await asyncio.sleep(3600)
            calls = [_call(call) for call in answer.calls]
            message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.words) or None}
            if calls:
                message["tool_calls"] = calls
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
            await _json(
                send,
                {**_head(model, "chat.completion"), "choices": [choice], "usage": answer.tokens},
                headers=answer.headers,
            )

    async def _stream(self, answer: Answer, model: str, send: Send) -> None:
        def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return _sse({**_head(model, "chat.completion.chunk"), "choices": [choice]})

        headers = {"content-type": "text/event-stream", **answer.headers}
        await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
        await _part(send, event({"role": "assistant", "content": ""}))
        begin, words = time.monotonic(), answer.words
        for number, word in enumerate(words, 1):
            if number - 1 == answer.stall_after:
                await asyncio.sleep(3600)
            if number - 1 == answer.cut_after:
                raise ConnectionError("told to cut the connection")
            await asyncio.sleep(max(0.0, begin + answer.took * number / len(words) - time.monotonic()))
            await _part(send, event({"content": word}))
        for number, call in enumerate(answer.calls):
            await _part(send, event({"tool_calls": [{"index": number, **_call(call)}]}))
        usage = _sse({**_head(model, "chat.completion.chunk"), "choices": [], "usage": answer.tokens})
        finish = event({}, "tool_calls" if answer.calls else "stop")
        await send({"type": "http.response.body", "body": finish + usage + b"data: [DONE]\n\n"})


async def _gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def in_pieces(*deltas: dict[str, Any], finish: str | None = "stop", **more: Any) -> Answer:
    """An answer whose pieces have just these deltas, and whose last one says `finish`."""
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **more})
    return Answer(sent="".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n")


def whole(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> Answer:
    """An answer that comes whole, also where a stream is asked for."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Answer(sent=json.dumps({"choices": [choice], **more}), sent_as="application/json")


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": model}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call.get("id", "call_1"), "type": "function", "function": {"name": call["name"], "arguments": text}}


def _sse(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def _part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _json(send: Send, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(value).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(fields)})
    await send({"type": "http.response.body", "body": body})


class Remote:
    """A model of one test's own at a stand-in elsewhere."""

    def __init__(self, client: "httpx.Client") -> None:
        """Talk to it by `client`."""
        self.client = client
        self.name = f"m-{uuid.uuid4().hex[:12]}"
        self.model = f"stand-in:{self.name}"
        self.seeing = f"seeing:{self.name}"
        """The same model, at a provider whose models take files."""

    def answer(self, *answers: Answer, name: str | None = None) -> None:
        """Answers the next calls so, and all further ones like the last."""
        body = [asdict(answer) for answer in answers]
        self.client.put(f"/answers/{name or self.name}", json=body).raise_for_status()

    def requests(self, name: str | None = None) -> list[dict[str, Any]]:
        """What the model was asked."""
        return self.client.get(f"/requests/{name or self.name}").json()


def as_provider(port: int) -> dict[str, str]:
    """Environment of a server whose agents may use the stand-in, and which may push to it."""
    origin = f"http://127.0.0.1:{port}"
    url = f"{origin}/v1"
    providers = {
        "stand-in": {"base_url": url},
        "seeing": {"base_url": url, "takes": {"*": ["images", "audio", "documents"]}},
    }
    return {
        "CAXTON_MODELS__PROVIDERS": json.dumps(providers),
        "CAXTON_A2A__PUSH_ORIGINS": json.dumps(["https://*", origin]),
    }


def serve(port: int, default: Answer | None = None, *, remembers: bool = True) -> None:
    """Serves until it is told to stop."""
    import uvicorn

    service = StandIn(default)
    service.remembers = remembers
    uvicorn.run(
        service,
        host="127.0.0.1",
        port=port,
        log_level="critical",
        access_log=False,
        backlog=4096,
        timeout_keep_alive=120,
    )


@contextlib.contextmanager
def running(default: Answer | None = None, *, remembers: bool = True) -> Generator[str]:
    """The URL of a stand-in in a process of its own, so that its work does not count as ours."""
    import multiprocessing

    import httpx

    from tests.support.ports import free_port

    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(port, default), kwargs={"remembers": remembers}, daemon=True
    )
    process.start()
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30
    try:
        while True:
            try:
                httpx.get(f"{url}/stats", trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.join(10)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
