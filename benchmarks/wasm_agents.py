"""One-shot requests to agents that are WebAssembly components, beside scripted ones: `python -m benchmarks.wasm_agents`.

The component is that of the template `checklist`, 94 KB of Rust, which reads what it keeps before it answers.
"""

import argparse
from pathlib import Path

import psutil
import uvloop

from benchmarks.deploy import deploy, write_agents
from benchmarks.load import messages_to, offer, told
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server, server
from benchmarks.turns import one_client
from caxton.definitions.templates import instantiate

AGENTS = 5
"""Of each kind."""


def write(folder: Path) -> Path:
    """Scripted agents, and as many that are components."""
    write_agents(folder, AGENTS, 0)
    for number in range(AGENTS):
        name = f"checklist-{number}"
        instantiate("checklist", name, folder)
        path = folder / "agents" / f"{name}.toml"
        path.write_text(path.read_text().replace("keep-checklist", name))
    return folder


def figures(rate: float = 1000.0, seconds: float = 20.0, turns: int = 300) -> list[Figure]:
    """Latencies of one client, then of an open loop at that rate, of both kinds."""
    found: list[Figure] = []
    with server() as running, running.client() as client:
        deploy(client, write(running.folder / "workspace"))
        kinds = {
            "scripted": [f"agent-{n}" for n in range(AGENTS)],
            "component": [f"checklist-{n}" for n in range(AGENTS)],
        }
        for kind, names in kinds.items():
            for name in names:  # each is loaded once, in each process
                one_client(client, "/v1/messages", {"capability": name, "content": "list"}, 1)
            times = one_client(client, "/v1/messages", {"capability": names[0], "content": "list"}, turns)
            target = 3.0 if kind == "component" else None
            found.append(Figure(f"{kind}, one client: p50", percentile(times, 0.5), "ms", target))
            found.append(Figure(f"{kind}, one client: p99", percentile(times, 0.99), "ms"))
        for kind, names in kinds.items():
            found += _open_loop(running, f"{kind}, {rate:g} a second", rate, seconds, names)
    return found


def _open_loop(running: Server, name: str, rate: float, seconds: float, names: list[str]) -> list[Figure]:
    request = messages_to(running.url, running.key, names, "list")
    uvloop.run(offer(running.url, min(200.0, rate), 5.0, request, {}))
    processes = {**running.processes(), "generator": psutil.Process()}
    result = uvloop.run(offer(running.url, rate, seconds, request, processes))
    if result.sample:
        print(f"{name}: {dict(result.statuses)}, such as {result.sample[:300]!r}")
    return told(result, name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    print_machine()
    print_figures("agents that are components", figures(given.rate, given.seconds))
