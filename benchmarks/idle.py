"""Agents that wait: how long they take to deploy, to start, and how much memory they hold. `--agents 10000` takes a while."""

import argparse
import statistics
import time

from benchmarks.deploy import deploy, write_agents
from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import Server, server

AT_ONCE = 2_000
"""Agents of one deployment."""


def resident(running: Server) -> dict[str, float]:
    """Bytes of the server, with all processes that help it, and of its engine."""
    used = {name: process.memory_info().rss for name, process in running.processes().items()}
    engine = used.pop("engine")
    return {"server": sum(used.values()), "engine": engine}


def figures(counts: tuple[int, ...] = (1_000,), rest: float = 5.0) -> list[Figure]:
    """For each number of agents, on a server of its own, whose memory is looked at after `rest` seconds."""
    found: list[Figure] = []
    for count in counts:
        with server() as running, running.client() as client:
            client.timeout = 1800
            deploy(client, write_agents(running.folder / "first", 1, 0))
            time.sleep(rest / 2)
            before = resident(running)
            took = 0.0
            for first in range(0, count, AT_ONCE):
                some = write_agents(running.folder / f"from-{first}", min(AT_ONCE, count - first), 0, first)
                took += deploy(client, some)
            time.sleep(rest)
            after = resident(running)
            name = f"{count:,} agents"
            found.append(Figure(f"{name}: deploy", took, "s"))
            found.append(Figure(f"{name}: deploy, each", took / count * 1000, "ms", 50))
            for process in before:
                each = (after[process] - before[process]) / count / 1000
                target = 100 if process == "server" else None
                found.append(Figure(f"{name}: memory of the {process}, each", each, "KB", target))
            found.append(Figure(f"{name}: memory in all", sum(after.values()) / 1e6, "MB"))
            starts: list[float] = []
            for number in range(20):
                client.post(f"/v1/agents/agent-{number}/stop", json={"grace": 0}).raise_for_status()
                began = time.perf_counter()
                client.post(f"/v1/agents/agent-{number}/start").raise_for_status()
                starts.append((time.perf_counter() - began) * 1000)
            found.append(Figure(f"{name}: start of one, p50", statistics.median(starts), "ms", 50))
            asked: list[float] = []
            for number in range(50):
                began = time.perf_counter()
                body = {"capability": f"agent-{number * 17 % count}", "content": "hello"}
                client.post("/v1/messages", json=body).raise_for_status()
                asked.append((time.perf_counter() - began) * 1000)
            found.append(Figure(f"{name}: a message to one, p50", statistics.median(asked), "ms"))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agents", type=int, nargs="+", default=[1_000])
    given = parser.parse_args()
    print_machine()
    print_figures("idle agents", figures(tuple(given.agents)))
