"""Scenario 2 of the requirements: ten agents, five tools, a thousand messages a second, and an agent fails in the middle.

Five capabilities, each offered by two agents; every hundredth message makes its agent call a tool in its sandbox. Half-way an
agent is stopped at once: the router gives its work to the other one. With `--kill` one of its processes is killed
with SIGKILL instead, and clients send again, with the same idempotency key, what got no answer: every message has to have one.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import uvloop

from benchmarks.deploy import deploy
from benchmarks.load import offer, told
from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import processes_of, server

AGENTS, CAPABILITIES, TOOLS = 10, 5, 5
TOOL_EVERY = 100
TEMPLATE = Path(__file__).resolve().parents[1] / "caxton" / "bundled" / "tools" / "csv-tools"

VICTIMS = ("server", "engine", "fast-path worker", "store writer")

AGENT = """
name = "agent-{number}"
version = "1.0.0"
capabilities = ["work-{capability}"]
tools = ["tools-{tool}"]
model = "scripted"
script = "agent-{number}.script.toml"
"""
SCRIPT = """
[[rules]]
when = {{ contains = "reckon" }}
[[rules.steps]]
tool = "tools-{tool}.summarize"
arguments = {{ csv = "month,sales\\n2026-01,10\\n2026-02,12" }}
[[rules.steps]]
reply = "reckoned"
[[rules]]
[[rules.steps]]
reply = "agent-{number}: {{{{ request }}}}"
"""


def write(folder: Path) -> Path:
    """Ten agents that offer five capabilities, and five tools."""
    (folder / "agents").mkdir(parents=True)
    (folder / "caxton.toml").write_text("")
    for number in range(TOOLS):
        tool = folder / "tools" / f"tools-{number}"
        shutil.copytree(TEMPLATE, tool, ignore=shutil.ignore_patterns("src", "*.zig"))
        manifest = next(tool.glob("*.toml"))
        manifest.write_text(manifest.read_text().replace('name = "csv-tools"', f'name = "tools-{number}"', 1))
    for number in range(AGENTS):
        values = {"number": number, "capability": number % CAPABILITIES, "tool": number % TOOLS}
        (folder / "agents" / f"agent-{number}.toml").write_text(AGENT.format(**values))
        (folder / "agents" / f"agent-{number}.script.toml").write_text(SCRIPT.format(**values))
    return folder


def messages(url: str, key: str) -> Callable[[int], bytes]:
    """Requests to the five capabilities in turn; every hundredth needs a tool."""
    host = urlsplit(url).netloc

    def built(capability: int, content: str) -> bytes:
        body = json.dumps({"capability": f"work-{capability}", "content": content}).encode()
        head = f"POST /v1/messages HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    plain = [built(number, "how is the weather?") for number in range(CAPABILITIES)]
    reckoning = [built(number, "reckon") for number in range(CAPABILITIES)]
    return lambda number: (reckoning if number % TOOL_EVERY == 0 else plain)[number % CAPABILITIES]


def figures(rate: float = 1000.0, seconds: float = 60.0, warm_up: float = 5.0) -> list[Figure]:
    """The scenario at that rate, for so many seconds behind a warm-up; an agent is stopped half-way."""
    with server() as running, running.client() as client:
        deploy(client, write(running.folder / "workspace"))

        async def run():
            request = messages(running.url, running.key)
            await offer(running.url, min(200.0, rate), warm_up, request, {})
            processes = {**running.processes(), "generator": psutil.Process()}
            load = asyncio.create_task(offer(running.url, rate, seconds, request, processes))
            await asyncio.sleep(seconds / 2)
            headers = {"Authorization": f"Bearer {running.key}"}
            async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30, trust_env=False) as admin:
                stopped = await admin.post("/v1/agents/agent-3/stop", json={"grace": 0})
            return await load, stopped.status_code

        result, stopped = uvloop.run(run())
        assert stopped == 200, stopped
        return told(
            result,
            f"{rate:g} messages a second, an agent stopped half-way",
            **({"p50": 50.0, "p99": 100.0, "cpu": 80.0} if rate == 1000 else {}),
        )


def killed(victim: str, rate: float = 300.0, seconds: float = 20.0) -> list[Figure]:
    """Messages with idempotency keys while `victim` is killed; unanswered ones are sent again."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        environment = {**os.environ, "CAXTON_ENGINE__UI_PORT": "0"}
        port = _free_port()
        command = [
            sys.executable,
            "-m",
            "caxton",
            "serve",
            "--data-dir",
            str(data),
            "--port",
            str(port),
            "--metrics-port",
            "0",
        ]

        def start() -> subprocess.Popen[bytes]:
            (data / "server.json").unlink(missing_ok=True)
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=folder
            )
            while not (data / "server.json").exists():
                time.sleep(0.02)
            return process

        data.mkdir()
        process = start()
        url = f"http://127.0.0.1:{port}"
        key = (data / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
            deploy(client, write(Path(folder) / "workspace"))
        total = int(rate * seconds)
        answers: dict[int, str] = {}
        finished: list[float] = []
        again = 0

        async def ask(number: int) -> None:
            nonlocal again
            body = {"capability": f"work-{number % CAPABILITIES}", "content": f"number {number}"}
            for _ in range(600):
                status, answer = await post(port, key, body, f"k{number}")
                if status == 200 and answer["state"] == "completed":
                    answers[number] = answer["execution_id"]
                    finished.append(time.perf_counter())
                    return
                again += 1
                await asyncio.sleep(0.1)

        async def run() -> float:
            nonlocal process
            tasks: list[asyncio.Task[None]] = []
            began, killed_at = time.perf_counter(), 0.0
            while len(tasks) < total:
                if not killed_at and len(tasks) >= total // 2:
                    killed_at = time.perf_counter()
                    if victim == "server":
                        os.kill(process.pid, signal.SIGKILL)
                        process.wait()
                        process = await asyncio.to_thread(start)
                    else:
                        processes_of(process.pid)[victim].kill()
                due = int((time.perf_counter() - began) * rate)
                tasks += [asyncio.create_task(ask(n)) for n in range(len(tasks), min(total, due + 1))]
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)
            return killed_at

        killed_at = asyncio.run(run())
        after = sorted(moment for moment in finished if moment > killed_at + 0.05)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    unanswered = total - len(answers)
    doubled = len(answers) - len(set(answers.values()))
    gap = max((b - a for a, b in zip([killed_at, *after], after, strict=False)), default=0.0)
    return [
        Figure(f"{victim} killed: messages without an answer", unanswered, "", 0),
        Figure(f"{victim} killed: answers that two messages share", doubled, "", 0),
        Figure(f"{victim} killed: longest time without any answer", gap, "s", 5),
        Figure(f"{victim} killed: sent again", again, ""),
    ]


async def post(port: int, key: str, body: dict[str, str], idempotency_key: str) -> tuple[int, Any]:
    """One request on a connection of its own; status 0 where that broke."""
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        f"Idempotency-Key: {idempotency_key}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head.encode() + content)
                answer = await reader.read()
            finally:
                writer.close()
        return int(answer[9:12]), json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError, TimeoutError):
        return 0, None


def kills() -> list[Figure]:
    """Each process, killed once in the middle of load."""
    return [figure for victim in VICTIMS for figure in killed(victim)]


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kill", choices=VICTIMS)
    given = parser.parse_args()
    print_machine()
    if given.kill:
        print_figures("a process is killed", killed(given.kill))
    else:
        print_figures("scenario 2", figures(given.rate, given.seconds))
