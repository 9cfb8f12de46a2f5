"""Hostile definitions, schemas and modules against a server: what they come to, and what others notice meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.deploy import deploy as deploy_folder
from benchmarks.deploy import write_agents
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server, server
from caxton.domain.ids import digest_of
from tests.support import hostile, modules

MANIFEST = 'name = "t"\nversion = "1.0.0"\nmodule = "m.wasm"\n[limits]\nmemory = "1MB"\nmessage_size = "1MB"\n'
ROOMY = MANIFEST.replace('memory = "1MB"', 'memory = "16MB"')

MODULES: dict[str, Callable[[], bytes]] = {
    "100 tables that grow": lambda: modules.component(*modules.grow_tables(100)),
    "four memories that grow": lambda: modules.component(*modules.grow_memories(3)),
    "100,000 globals": lambda: modules.component(fields=100_000 * "(global (mut i64) (i64.const 7))"),
    "a table of 100 million entries": lambda: modules.component(fields="(table 100000000 funcref)"),
    "20 functions of 2,000 branches": lambda: modules.component(fields=20 * f"(func {2_000 * '(block (br 0))'})"),
    "not a module": lambda: b"\0asm\x0d\0\x01\0" + bytes(range(256)) * 100,
}


class Neighbour:
    """Somebody else: asks for /health, and an agent of another workspace, all the time."""

    def __init__(self, running: Server) -> None:
        self.health: list[float] = []
        self.messages: list[float] = []
        self._running = running
        self._done = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches within the block."""
        threads = [threading.Thread(target=self._watch, args=(ask,)) for ask in (self._health, self._message)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _watch(self, ask: Callable[[httpx.Client], None]) -> None:
        with self._running.client() as client:
            while not self._done.wait(0.02):
                ask(client)

    def _health(self, client: httpx.Client) -> None:
        begun = time.perf_counter()
        client.get("/health").raise_for_status()
        self.health.append((time.perf_counter() - begun) * 1000)

    def _message(self, client: httpx.Client) -> None:
        begun = time.perf_counter()
        body = {"capability": "agent-0", "content": "x"}
        client.post("/v1/messages", json=body, headers={"X-Caxton-Workspace": "neighbour"}).raise_for_status()
        self.messages.append((time.perf_counter() - begun) * 1000)


def attempt(client: httpx.Client, kind: str, name: str, files: dict[str, bytes]) -> httpx.Response:
    """Deploys files as they are."""
    for content in files.values():
        headers = {"Content-Type": "application/octet-stream"}
        client.put(f"/v1/blobs/{digest_of(content)}", content=content, headers=headers).raise_for_status()
    bundle = {"kind": kind, "name": name, "files": {path: digest_of(content) for path, content in files.items()}}
    return client.post("/v1/deployments", json={"bundles": [bundle]})


def definitions(client: httpx.Client) -> tuple[int, int]:
    """Agents and manifests: how many of them there are, and how many were refused in words."""
    answers = [
        attempt(client, "agent", "a", {"a.toml": agent.encode(), "a.script.toml": script.encode()})
        for agent, script in hostile.AGENTS.values()
    ]
    answers += [
        attempt(client, "tool", "t", {"tool.toml": manifest.encode(), "m.wasm": modules.component()})
        for manifest in hostile.MANIFESTS.values()
    ]
    return len(answers), sum(answer.status_code == 422 for answer in answers)


def schemas(client: httpx.Client) -> tuple[int, int]:
    """Schemas that cannot be deployed, and arguments that are costly to check against others."""

    def tool(schema: dict[str, object]) -> dict[str, bytes]:
        return {"tool.toml": ROOMY.encode(), "m.wasm": modules.component(schemas=[schema])}

    refused = [attempt(client, "tool", "t", tool(schema)) for schema in hostile.REFUSED_SCHEMAS.values()]
    contained = sum(answer.status_code == 422 for answer in refused)
    for schema, arguments in hostile.COSTLY_SCHEMAS.values():
        attempt(client, "tool", "t", tool(schema)).raise_for_status()
        answer = client.post("/v1/tools/t/call", json={"function": "run", "arguments": arguments})
        contained += answer.status_code == 200 or "code" in answer.json()
    return len(refused) + len(hostile.COSTLY_SCHEMAS), contained


def wasm(client: httpx.Client) -> tuple[int, int]:
    """Modules that want more memory than they may have, or more of the compiler."""
    contained = 0
    for make in MODULES.values():
        answer = attempt(client, "tool", "t", {"tool.toml": MANIFEST.encode(), "m.wasm": make()})
        if answer.status_code == 201:
            answer = client.post("/v1/tools/t/call", json={"function": "run", "arguments": {}})
        contained += answer.status_code == 200 or "code" in answer.json()
    return len(MODULES), contained


def figures() -> list[Figure]:
    """All of them."""
    found: list[Figure] = []
    with server() as running, running.client() as client:
        client.headers["X-Caxton-Workspace"] = "neighbour"
        deploy_folder(client, write_agents(Path(running.folder) / "neighbour", 1, 0))
        client.headers["X-Caxton-Workspace"] = "hostile"
        process = psutil.Process(running.pid)
        before = process.memory_info().rss
        for name, work in (("definitions", definitions), ("schemas", schemas), ("modules", wasm)):
            neighbour = Neighbour(running)
            with neighbour.watching():
                tried, contained = work(client)
            found.append(Figure(f"hostile {name}: contained of {tried}", contained, "", tried, higher_is_better=True))
            found.append(
                Figure(f"hostile {name}: /health meanwhile, p99", percentile(neighbour.health, 0.99), "ms", 100)
            )
            found.append(Figure(f"hostile {name}: /health meanwhile, worst", max(neighbour.health), "ms"))
            found.append(
                Figure(f"hostile {name}: another's message meanwhile, worst", max(neighbour.messages), "ms", 1_000)
            )
        grown = (process.memory_info().rss - before) / (1 << 20)
        found.append(Figure("server's memory after all of it, more than before", grown, "MB", 50))
    return found


if __name__ == "__main__":
    print_machine()
    print_figures("Hostile input", figures())
