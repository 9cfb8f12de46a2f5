"""A model's provider for tests: answers OpenAI's chat completions over HTTP as a function says."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class Said:
    """What the model says to one request."""

    text: str = "hello"
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    """Functions to call, and their arguments."""
    status: int = 200
    delay: float = 0.0
    """Seconds until it answers."""


Says = Callable[[dict[str, Any]], Said]


@dataclass
class Provider:
    """A provider that runs."""

    url: str
    says: Says
    asked: list[tuple[float, dict[str, Any]]] = field(default_factory=list[tuple[float, dict[str, Any]]])
    """When it was asked, by the clock `time.monotonic`, and what."""
    in_flight: int = 0
    lock: Lock = field(default_factory=Lock)

    @property
    def env(self) -> dict[str, str]:
        """Settings of a server that uses it as "mock"."""
        return {"CAXTON_MODELS__PROVIDERS": json.dumps({"mock": {"kind": "ollama", "base_url": self.url}})}


class _Server(ThreadingHTTPServer):
    request_queue_size = 2048
    daemon_threads = True


@contextmanager
def running_provider(says: Says) -> Iterator[Provider]:
    """A provider whose model answers as `says` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with provider.lock:
                provider.asked.append((time.monotonic(), body))
                provider.in_flight += 1
            try:
                said = provider.says(body)
                time.sleep(said.delay)
            finally:
                with provider.lock:
                    provider.in_flight -= 1
            try:
                self._answer(said, streams=bool(body.get("stream")))
            except ConnectionError:
                return  # whoever asked is gone

        def _answer(self, said: Said, *, streams: bool) -> None:
            if said.status != 200:
                self._send(said.status, "application/json", json.dumps({"error": {"message": "not now"}}).encode())
                return
            message: dict[str, Any] = {"role": "assistant", "content": said.text}
            if said.calls:
                message["tool_calls"] = [
                    {
                        "index": n,
                        "id": f"call_{n}",
                        "type": "function",
                        "function": {"name": name, "arguments": json.dumps(arguments)},
                    }
                    for n, (name, arguments) in enumerate(said.calls)
                ]
            finish = "tool_calls" if said.calls else "stop"
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            head = {"id": "m1", "created": 1, "model": "m", "usage": usage}
            if not streams:
                choice = {"index": 0, "finish_reason": finish, "message": message}
                body = json.dumps({**head, "object": "chat.completion", "choices": [choice]}).encode()
                self._send(200, "application/json", body)
                return
            chunks = [{"index": 0, "delta": message, "finish_reason": None}]
            chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
            lines = [json.dumps({**head, "object": "chat.completion.chunk", "choices": [chunk]}) for chunk in chunks]
            self._send(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_address[1]}/v1", says)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def model_agent(name: str, *, more: str = "", version: str = "1.0.0") -> dict[str, str | bytes]:
    """An agent with the provider's model."""
    definition = f'name = "{name}"\nversion = "{version}"\ncapabilities = ["{name}"]\nmodel = "mock:m"\n'
    return {f"agents/{name}.toml": definition + 'system_prompt = "answer"\n' + more}
