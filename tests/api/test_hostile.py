"""What strangers upload ends with an error of its own, and nobody else notices."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.domain.ids import digest_of
from tests.conftest import RunningServer
from tests.support import hostile, modules
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files

LATE = 5.0
"""Seconds that an answer to /health may take while everything else goes on on this machine; it was half a minute."""

GROWTH = 200 << 20
"""Bytes that the server may grow, over all of it; it was gigabytes."""


SHOWN = (
    "a key of 200,000 parts",
    "40,000 misspelt keys",
    "lists in lists",
    "a template of 100,000 parts",
    "a pattern whose counts multiply",
    "a pattern of 100,000 words",
)
"""Some of the hostile agents; `python -m benchmarks hostile` has them all."""


@contextmanager
def undisturbed(server: RunningServer) -> Iterator[None]:
    """Checks that the server goes on answering within the block, and does not grow."""
    worst, done, before = 0.0, threading.Event(), resident(server.pid)

    def watch() -> None:
        nonlocal worst
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                begun = time.monotonic()
                assert client.get("/health").status_code == 200
                worst = max(worst, time.monotonic() - begun)
                done.wait(0.05)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
    assert worst < LATE
    assert resident(server.pid) - before < GROWTH


def resident(pid: int) -> int:
    """Bytes of a process in memory; 0 where nobody knows."""
    path = Path(f"/proc/{pid}/statm")
    return int(path.read_text().split()[1]) * 4096 if path.exists() else 0


def deploy(api: httpx.Client, kind: str, name: str, files: dict[str, bytes]) -> httpx.Response:
    """Deploys files as they are, without the client's own checks."""
    for content in files.values():
        api.put(f"/v1/blobs/{digest_of(content)}", content=content).raise_for_status()
    bundle = {"kind": kind, "name": name, "files": {path: digest_of(content) for path, content in files.items()}}
    return api.post("/v1/deployments", json={"bundles": [bundle]}, timeout=120)


def problems_of(response: httpx.Response) -> list[dict[str, Any]]:
    """What is wrong with what was deployed."""
    assert response.status_code == 422, response.text[:500]
    found: list[dict[str, Any]] = response.json()["details"]["problems"]
    return found


@pytest.mark.requirement("SEC-3")
def test_hostile_definitions_are_contained(api: httpx.Client, caxton_server: RunningServer) -> None:
    with undisturbed(caxton_server):
        for name in SHOWN:
            definition, script = hostile.AGENTS[name]
            files = {"a.toml": definition.encode(), "a.script.toml": script.encode()}
            assert problems_of(deploy(api, "agent", "a", files)), name
        for name, manifest in list(hostile.MANIFESTS.items())[:2]:
            files = {"tool.toml": manifest.encode(), "m.wasm": modules.component()}
            assert problems_of(deploy(api, "tool", "t", files)), name
    events = api.get("/v1/events", params={"type": "deployment_failed", "limit": 100}).json()["events"]
    assert len(events) == len(SHOWN) + 2


@pytest.mark.requirement("SEC-3")
@pytest.mark.requirement("TOL-6")
def test_hostile_schemas_are_contained(api: httpx.Client, caxton_server: RunningServer) -> None:
    manifest = b'name = "t"\nversion = "1.0.0"\nmodule = "m.wasm"\n[limits]\nmessage_size = "4MB"\n'
    with undisturbed(caxton_server):
        for name, schema in hostile.REFUSED_SCHEMAS.items():
            files = {"tool.toml": manifest, "m.wasm": modules.component(schemas=[schema])}
            messages = [problem["message"] for problem in problems_of(deploy(api, "tool", "t", files))]
            assert any("JSON Schema" in message for message in messages), (name, messages)
        for name, (schema, arguments) in hostile.COSTLY_SCHEMAS.items():
            files = {"tool.toml": manifest, "m.wasm": modules.component(schemas=[schema])}
            assert deploy(api, "tool", "t", files).status_code == 201, name
            body = {"function": "run", "arguments": arguments}
            answer = api.post("/v1/tools/t/call", json=body, timeout=60)
            assert answer.status_code != 500, (name, answer.text[:500])
            assert "code" in answer.json() or answer.status_code == 200, name


@pytest.mark.requirement("SEC-3")
def test_a_range_of_versions_has_a_length(api: httpx.Client, caxton_server: RunningServer) -> None:
    begun = time.monotonic()
    with undisturbed(caxton_server):
        for length in (40, 60_000):
            body = {"capability": "a", "content": "x", "version_range": "||".join(["1.0.0"] * length)}
            for path in ("/v1/messages", "/v1/conversations"):
                refused = api.post(path, json=body)
                assert refused.status_code == 400, (path, refused.text[:300])
                assert "200 characters" in refused.text
    assert time.monotonic() - begun < 20


SLOW_SCRIPTS = {
    "title": replies("{{ ('a b ' * 4200000) | title | length }}"),
    "loops": replies("{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"),
    "compares": replies("{% set l = range(99000) | list %}{% for i in range(2000) %}{% set y = -1 in l %}{% endfor %}"),
    "patterns": "".join(
        f"[[rules]]\nwhen = {{ matches = '''{pattern}''' }}\n[[rules.steps]]\nreply = 'x'\n"
        for pattern in ("(a+)+$", *(f"a{{{least},}}b" for least in range(3, 150)))
    ),
}


@pytest.mark.requirement("SEC-3")
def test_slow_templates_and_patterns_hold_up_nobody(
    api: httpx.Client, caxton_server: RunningServer, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {}
    for name, rules in SLOW_SCRIPTS.items():
        files |= agent(name, rules=rules)
    deploy_files(api, tmp_path, files)
    body = {"content": "a" * 9_000 + "!"}
    with undisturbed(caxton_server):
        for name in SLOW_SCRIPTS:
            begun = time.monotonic()
            failed = api.post("/v1/messages", json={"agent": name, **body}).json()
            assert failed["code"] == "execution_failed", failed
            assert failed["details"]["stopped"], failed
            assert time.monotonic() - begun < LATE, name
        lines = "\n".join(json.dumps({"agent": name, **body}) for name in list(SLOW_SCRIPTS) * 10)
        begun = time.monotonic()
        answers = api.post("/v1/messages/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})
        assert answers.text.count("execution_failed") >= 40, answers.text[:2000]
        assert time.monotonic() - begun < 30
