"""The embedder behind an OpenAI-compatible address, against a server that plays one."""

import math
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from llmock.pytest_plugin import LLMock
from pydantic import SecretStr

from caxton.adapters.memory.minilm import MiniLM
from caxton.adapters.memory.openai_embedder import OpenAIEmbedder
from caxton.domain.errors import InvalidSettings, MemoryUnavailable
from caxton.domain.memory_port import MemoryBackend
from caxton.runtime.memory import build_backend, build_embedder
from caxton.runtime.settings_sections import EmbedderSettings, MemorySection


def test_vectors_come_in_order_as_unit_vectors(llmock: LLMock) -> None:
    embedder = OpenAIEmbedder("text-embedding-3-small", 1536, base_url=llmock.base_url("openai"), key=SecretStr("k"))
    texts = [f"text {number}" for number in range(300)]
    found = embedder.embed(texts)
    assert len(found) == 300
    assert all(math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-6) for vector in found)
    assert found[7] == pytest.approx(embedder.embed(["text 7"])[0], abs=1e-9)


def test_vectors_of_another_length_and_a_service_that_is_away_are_told(llmock: LLMock) -> None:
    with pytest.raises(MemoryUnavailable, match="1536"):
        OpenAIEmbedder("m", 3, base_url=llmock.base_url("openai"), key=None).embed(["x"])
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        with pytest.raises(MemoryUnavailable) as told:
            OpenAIEmbedder("m", 3, base_url=url, key=SecretStr("secret-key")).embed(["private text"])
    assert "private" not in str(told.value.report())
    assert "secret" not in str(told.value.report())


def test_settings_choose_embedder_and_back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(build_embedder(EmbedderSettings()), MiniLM)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InvalidSettings, match="dimensions"):
        build_embedder(EmbedderSettings(kind="openai", model="m"))
    with pytest.raises(InvalidSettings, match="OPENAI_API_KEY"):
        build_embedder(EmbedderSettings(kind="openai", model="m", dimensions=3))
    local = EmbedderSettings(kind="openai", model="m", dimensions=3, base_url="http://127.0.0.1:9/v1")
    assert build_embedder(local).id == "m:3"
    assert isinstance(build_backend(MemorySection(), tmp_path, MiniLM()), MemoryBackend)
    with pytest.raises(InvalidSettings, match='no back end "pinecone"') as told:
        build_backend(MemorySection(backend="pinecone"), tmp_path, MiniLM())
    assert "lancedb" in told.value.hints[0].text
    with pytest.raises(InvalidSettings, match='no option "url"'):
        build_backend(MemorySection(options={"url": "x"}), tmp_path, MiniLM())


class Nonsense(BaseHTTPRequestHandler):
    """Answers 200 with what stands in the path."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = {"html": "<html>", "null": '{"data": null}', "text": '{"data": [{"index": 0, "embedding": "x"}]}'}.get(
            self.path.split("/")[1], '{"data": [{"index": 0, "embedding": [NaN, 1, 1]}]}'
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.mark.parametrize("kind", ["html", "null", "text", "nan"])
def test_nonsense_is_told_as_such(kind: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/{kind}"
    with pytest.raises(MemoryUnavailable, match="embedder"):
        OpenAIEmbedder("m", 3, base_url=url, key=None).embed(["x"])
    server.shutdown()
    server.server_close()
