"""A server with another memory than the one that comes with it."""

from pathlib import Path

import httpx
import pytest

from tests.conftest import start_server, stop_server
from tests.support.ports import free_port
from tests.support.qdrant import standing_in

pytestmark = [pytest.mark.slow, pytest.mark.requirement("MEM-8")]

TEA, OFFICE = "Anna drinks tea without sugar", "The office is closed on Fridays"


def remember_and_find(api: httpx.Client) -> None:
    """Adds two memories and relates them."""
    ids = [api.post("/v1/memory", json={"text": text}).raise_for_status().json()["id"] for text in (TEA, OFFICE)]
    assert found(api, "what does she like to drink") == [TEA]
    assert found(api, "Friday", mode="text") == [OFFICE]
    body = {"source": ids[0], "type": "works at", "target": ids[1]}
    assert api.post("/v1/memory/relations", json=body).status_code == 201
    stats = api.get("/v1/memory/stats").json()["workspace"]
    assert (stats["entities"], stats["relations"]) == (2, 1)


def found(api: httpx.Client, text: str, **more: str) -> list[str]:
    """What a search finds first."""
    answer = api.post("/v1/memory/search", json={"text": text, "limit": 1, **more}).raise_for_status()
    return [match["entity"]["observations"][0] for match in answer.json()["matches"]]


def test_qdrant_in_this_process_remembers_over_a_restart(tmp_path: Path) -> None:
    (tmp_path / "caxton.toml").write_text('[memory]\nbackend = "qdrant"\n')
    process, server = start_server(tmp_path)
    try:
        with server.client() as api:
            remember_and_find(api)
    finally:
        assert stop_server(process) == 0
    process, server = start_server(tmp_path)
    try:
        with server.client() as api:
            assert found(api, "what does she like to drink") == [TEA]
            [match, _] = api.post("/v1/memory/search", json={"text": "tea"}).json()["matches"]
            assert match["entity"]["accessed"] >= 1
    finally:
        stop_server(process)
    assert (tmp_path / "memory" / "collection" / "caxton.local.default.entities").is_dir()
    log = (tmp_path / "serve.log").read_text()
    assert "Anna" not in log
    assert "Traceback" not in log


def test_qdrant_as_a_server_may_come_up_after_caxton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_KEY", "the-key-of-qdrant")
    port = free_port()
    options = f'url = "http://127.0.0.1:{port}"\napi_key_env = "QDRANT_KEY"\n'
    (tmp_path / "caxton.toml").write_text(f'[memory]\nbackend = "qdrant"\n[memory.options]\n{options}')
    process, server = start_server(tmp_path)
    try:
        with server.client() as api:
            answer = api.post("/v1/memory", json={"text": TEA})
            assert (answer.status_code, answer.json()["code"]) == (503, "memory_unavailable")
            assert "Qdrant does not answer" in answer.text
            ready = api.get("/ready")
            assert (ready.status_code, ready.json()["status"]) == (200, "ready")
            memory = ready.json()["components"]["memory"]
            assert memory["status"] == "degraded"
            assert memory["detail"].startswith("Qdrant does not answer (")
            with standing_in(tmp_path / "qdrant", key="the-key-of-qdrant", port=port):
                remember_and_find(api)
                memory = api.get("/ready").json()["components"]["memory"]
                assert (memory["status"], memory["detail"]) == ("ok", "qdrant, minilm-l6-v2-int8-1")
    finally:
        stop_server(process)
    log = (tmp_path / "serve.log").read_text()
    assert "the-key-of-qdrant" not in log
    assert "Anna" not in log


def test_health_tells_of_damaged_memories(tmp_path: Path) -> None:
    process, server = start_server(tmp_path)
    try:
        with server.client() as api:
            remember_and_find(api)
    finally:
        stop_server(process)
    files = [path for path in (tmp_path / "memory").rglob("*.lance") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(b"\0" * path.stat().st_size)
    process, server = start_server(tmp_path)
    try:
        with server.client() as api:
            assert api.post("/v1/memory/search", json={"text": "tea"}).json()["code"] == "memory_unavailable"
            memory = api.get("/ready").json()["components"]["memory"]
            assert memory["status"] == "degraded"
            assert "memory" in memory["detail"]
    finally:
        stop_server(process)
