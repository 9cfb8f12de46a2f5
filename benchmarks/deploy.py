"""Deploying 1, 10 and 50 agents, new and changed, from the plan to the summary."""

import statistics
import time
from pathlib import Path

import httpx

from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import server
from caxton.definitions.workspace import load_workspace

AGENT = """
name = "{name}"
version = "1.0.{patch}"
capabilities = ["{name}"]
model = "scripted"
script = "{name}.script.toml"
"""
SCRIPT = """
[[rules]]
[[rules.steps]]
reply = "{name} {patch}: {{{{ request }}}}"
"""


def write_agents(folder: Path, count: int, patch: int, first: int = 0) -> Path:
    """A workspace of `count` agents, numbered from `first`."""
    (folder / "agents").mkdir(parents=True, exist_ok=True)
    (folder / "caxton.toml").write_text("")
    for number in range(first, first + count):
        name = f"agent-{number}"
        (folder / "agents" / f"{name}.toml").write_text(AGENT.format(name=name, patch=patch))
        (folder / "agents" / f"{name}.script.toml").write_text(SCRIPT.format(name=name, patch=patch))
    return folder


def deploy(client: httpx.Client, folder: Path) -> float:
    """Seconds for what `caxton deploy` does: read, check, plan, upload, deploy."""
    started = time.perf_counter()
    workspace = load_workspace(folder)
    assert not workspace.errors, workspace.errors
    body = {"bundles": [bundle.model_dump() for bundle in workspace.bundles]}
    for digest in client.post("/v1/deployments/plan", json=body).json()["missing"]:
        client.put(
            f"/v1/blobs/{digest}",
            content=workspace.content(digest),
            headers={"Content-Type": "application/octet-stream"},
        ).raise_for_status()
    client.post("/v1/deployments", json=body).raise_for_status()
    return time.perf_counter() - started


def figures(runs: int = 5) -> list[Figure]:
    """Medians over `runs` deployments, each of them with all agents changed."""
    found: list[Figure] = []
    with server() as running, running.client() as client:
        for count, target in ((1, 0.5), (10, 2.0), (50, 5.0)):
            client.headers["X-Caxton-Workspace"] = f"w{count}"
            times = [deploy(client, write_agents(running.folder / f"w{count}", count, patch)) for patch in range(runs)]
            found.append(Figure(f"deploy {count} agents", statistics.median(times), "s", target))
    return found


if __name__ == "__main__":
    print_machine()
    print_figures("deployment", figures())
