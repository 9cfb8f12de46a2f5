"""What the face for OpenAI's clients adds to a request: CPU of all processes of the server, beside the same request over REST."""

import argparse

import httpx

from benchmarks.deploy import deploy, write_agents
from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import Server, server

CAPABILITY = "agent-0"
SAID = [{"role": "user", "content": "hello"}]
WAYS = {
    "REST": ("/v1/messages", {"capability": CAPABILITY, "content": "hello"}),
    "chat completion": ("/openai/v1/chat/completions", {"model": CAPABILITY, "messages": SAID}),
    "chat completion, streamed": (
        "/openai/v1/chat/completions",
        {"model": CAPABILITY, "messages": SAID, "stream": True},
    ),
}


def cpu(running: Server) -> float:
    """Seconds of CPU that all processes of the server have used."""
    return sum(sum(process.cpu_times()[:2]) for process in running.processes().values())


def ask(client: httpx.Client, path: str, body: object, count: int) -> None:
    """Sends so many requests, one after another."""
    for _ in range(count):
        client.post(path, json=body).raise_for_status()


def figures(requests: int = 1_000, rounds: int = 3) -> list[Figure]:
    """The least of some rounds: others use the machine as well."""
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", 1, 0))
        for path, body in WAYS.values():
            ask(client, path, body, 50)
        used: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(rounds):
            for name, (path, body) in WAYS.items():
                before = cpu(running)
                ask(client, path, body, requests)
                used[name].append((cpu(running) - before) / requests * 1000)
    least = {name: min(each) for name, each in used.items()}
    found = [Figure(f"{name}: CPU", value, "ms") for name, value in least.items()]
    added = [(name, value - least["REST"]) for name, value in least.items() if name != "REST"]
    return found + [Figure(f"{name}: CPU added", value, "ms", 2) for name, value in added]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    given = parser.parse_args()
    print_machine()
    print_figures("the face for OpenAI's clients", figures(given.requests))
