"""One turn of a thousand model calls, each of which asks for a tool whose result is large: `python -m benchmarks.long_turn`.

What a step takes must not depend on how many came before, beyond what the model itself is sent: all results so far, each
time. The second run, with small results, shows the steps without that. Time and CPU of all processes of the server are taken from
outside: the stand-in counts calls, and a look at it every 50 ms says how far the turn is.
"""

import argparse
import asyncio
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from temporalio.client import Client

from benchmarks.deploy import deploy
from benchmarks.model_backed import cpu_of
from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import Server, server
from benchmarks.stand_in import stand_in
from tests.support.stand_in import Answer, Remote
from tests.support.tools import bundled_tool

WINDOW = 100
"""Steps at the beginning, and at the end, that are compared."""

FLAT = 1.5
"""Times as much as the first steps that the last ones may take."""

MOST_EVENTS = 1_000
"""Of a history that counts as short: it is read again within a second."""

AGENT = """
name = "{name}"
version = "1.0.0"
capabilities = ["{name}"]
model = "stand-in:{name}"
tools = ["csv-tools"]
[limits]
steps = 10000
time = 7200
"""


@dataclass(frozen=True)
class Sample:
    """How far the turn was at one moment."""

    calls: int
    """Model calls begun."""
    at: float
    cpu: float
    """Seconds of CPU of all processes of the server."""
    sent: int
    """Bytes that the model was sent."""


class Watch(threading.Thread):
    """Takes samples until it is told to stop."""

    def __init__(self, running: Server, address: str) -> None:
        """Watch `running` use the stand-in at `address`."""
        super().__init__(daemon=True)
        self.running, self.address = running, address
        self.samples: list[Sample] = []
        self.ended = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.address, trust_env=False, timeout=60) as http:
            while not self.ended.wait(0.05):
                cpu, _ = cpu_of(self.running)
                stats = http.get("/stats").json()
                self.samples.append(Sample(stats["calls"], time.perf_counter(), cpu, stats["bytes"]))

    def between(self, first: int, last: int) -> tuple[float, float, float]:
        """Milliseconds, milliseconds of CPU, and kB sent to the model, each of these steps on average."""
        began = next(sample for sample in self.samples if sample.calls >= first)
        ended = next((sample for sample in self.samples if sample.calls >= last), self.samples[-1])
        steps = max(1, ended.calls - began.calls)
        return (
            1000 * (ended.at - began.at) / steps,
            1000 * (ended.cpu - began.cpu) / steps,
            (ended.sent - began.sent) / 1000 / steps,
        )


def write(folder: Path, size: int) -> Path:
    """An agent that takes a long turn, one for what is loaded at the first call, and their tool with a file of `size` bytes."""
    row = "2026-01-01,some thing of some sort,1234.50\n"
    files = {
        "caxton.toml": "",
        **{f"agents/{name}.toml": AGENT.format(name=name) for name in ("long", "first")},
        **bundled_tool("csv-tools"),
        "tools/csv-tools/data/rows.csv": "day,what,amount\n" + row * (size // len(row)),
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


async def longest_history(engine: dict[str, str]) -> int:
    """Events of the longest history of any workflow."""
    client = await Client.connect(engine["address"], namespace=engine["namespace"])
    lengths = [execution.history_length async for execution in client.list_workflows()]
    return max(lengths, default=0)


def turn(calls: int, size: int) -> list[Figure]:
    """One turn of `calls` model calls, with tool results of `size` bytes."""
    with stand_in(0.0, 1, reads=False) as address:
        service = address.removesuffix("/v1")
        models = {"CAXTON_MODELS__PROVIDERS": json.dumps({"stand-in": {"base_url": address}}), "OPENAI_API_KEY": "none"}
        with server(**models) as running, running.client() as client, httpx.Client(base_url=service) as told:
            deploy(client, write(running.folder / "workspace", size))
            remote = Remote(told)
            asks = Answer(calls=[{"name": "csv-tools__read_csv", "arguments": {"path": "/data/rows.csv"}}])
            remote.answer(asks, asks, Answer(text="done"), name="first")
            remote.answer(*[asks] * (calls - 1), Answer(text="done"), name="long")
            client.post("/v1/messages", json={"capability": "first", "content": "go on"}).raise_for_status()
            before = told.get("/stats").json()["calls"]
            watch = Watch(running, service)
            watch.start()
            client.timeout = 7200
            sent = client.post(
                "/v1/messages", json={"capability": "long", "content": "go on"}, params={"wait": "false"}
            )
            execution = sent.raise_for_status().json()["execution_id"]
            while (answer := client.get(f"/v1/executions/{execution}").json())["state"] == "running":
                time.sleep(0.5)
            watch.ended.set()
            watch.join()
            assert answer["state"] == "completed", answer
            history = asyncio.run(longest_history(client.get("/v1/server").json()["engine"]))
    window = min(WINDOW, calls // 3)
    early = watch.between(before + 1, before + 1 + window)
    late = watch.between(before + calls - window, before + calls)
    name = f"turn of {calls:,} calls, results of {size / 1000:g} kB"
    return [
        Figure(f"{name}: time a step, first {window}", early[0], "ms"),
        Figure(f"{name}: time a step, last {window}", late[0], "ms"),
        Figure(f"{name}: time a step, last by first", late[0] / early[0], "times", FLAT),
        Figure(f"{name}: CPU a step, first {window}", early[1], "ms"),
        Figure(f"{name}: CPU a step, last {window}", late[1], "ms"),
        Figure(f"{name}: CPU a step, last by first", late[1] / early[1], "times", FLAT),
        Figure(f"{name}: sent to the model a call, last {window}", late[2], "kB"),
        Figure(f"{name}: events of the longest history", float(history), "", float(MOST_EVENTS)),
    ]


def figures(calls: int = 1_000, sizes: tuple[int, ...] = (50_000, 500)) -> list[Figure]:
    """A turn for each size of tool results, each on a server of its own."""
    return [figure for size in sizes for figure in turn(calls, size)]


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--bytes", type=int, nargs="+", default=[50_000, 500], help="of each tool result")
    given = parser.parse_args()
    print_machine()
    print_figures("a long turn", figures(given.calls, tuple(given.bytes)))


if __name__ == "__main__":
    main()
