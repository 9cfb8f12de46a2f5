"""Random work under random kills, and what must hold of the log afterwards: `python -m tests.e2e.chaos --minutes 10`.

Requests of many kinds (hand-overs, tools that fail, approvals that are granted, refused or forgotten, replies that wait,
promises that are broken, budgets, conversations, cancellations) run while `kill -9` hits the server or its engine. Then the
log must verify, keep its five invariants, and lead to the recorded outcome of every turn by itself.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.api.test_failures import calls, hostile
from tests.conftest import RunningServer, running_server, start_server, stop_server
from tests.e2e.test_durability import kill_engine, kill_server
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files

CLIENTS = 12
PATIENCE = 120.0
"""Seconds until a request counts as not answered: it may meet several kills, each followed by a start on a busy machine."""
TOOLS = 'tools = ["hostile"]\n'


def agents() -> dict[str, str | bytes]:
    """Agents of every kind."""
    guarded = (
        TOOLS + '[tool_policies.hostile]\napproval_mode = "operator"\nrisk_level = "high"\napproval_timeout = "3s"\n'
    )
    reviewed = '[{ name = "reviewed", approval_mode = "operator", approval_timeout = "3s" }]'
    promised = '[{ name = "promised", sla = { respond_within = "200ms" } }]'
    return {
        **hostile(),
        **agent("echo", rules=replies("you said: {{ request }}")),
        **agent("front", rules=hands_over("back", on_error="nobody"), more='delegates = ["back"]\n'),
        **agent("back", rules=calls("ok"), more=TOOLS),
        **agent("breaker", rules=calls("trap"), more=TOOLS),
        **agent("guarded", rules=calls("ok"), more=guarded),
        **agent("reviewed", capabilities=reviewed, rules=replies("draft")),
        **agent("promised", capabilities=promised, rules=replies("late", delay=0.4)),
        **agent("slow", rules=replies("slow", delay=0.3)),
        **agent("failing", rules="[[rules]]\nwhen = { contains = 'never' }\n[[rules.steps]]\nreply = 'no'\n"),
        **agent("office", rules=hands_over("guarded"), more='delegates = ["guarded"]\n'),
    }


CAPABILITIES = ["echo", "front", "back", "breaker", "guarded", "reviewed", "promised", "slow", "failing", "office"]


@dataclass
class Chaos:
    """One run."""

    data_dir: Path
    random: random.Random
    process: subprocess.Popen[bytes]
    server: RunningServer
    asked: dict[str, str] = field(default_factory=dict[str, str])
    """Executions that were acknowledged, by idempotency key."""
    outcomes: Counter[str] = field(default_factory=Counter[str])
    kills: Counter[str] = field(default_factory=Counter[str])
    stopping: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.api_key}", "X-Caxton-Workspace": "chaos"}

    async def client(self, http: httpx.AsyncClient, name: int) -> None:
        """Asks until it is told to stop; every request until it is answered."""
        number = 0
        while not self.stopping:
            number += 1
            kind = self.random.choice([*CAPABILITIES, "conversation", "cancelled"])
            key = f"c{name}-{number}"
            if kind in CAPABILITIES:
                await self.ask(http, "/v1/messages", {"capability": kind, "content": key}, key)
            else:
                await self.talk(http, key, cancel=kind == "cancelled")

    async def talk(self, http: httpx.AsyncClient, key: str, *, cancel: bool) -> None:
        """A conversation of two messages; perhaps its second turn is cancelled, and then it ends."""
        body = {"capability": "slow" if cancel else "front"}
        begun = await self.send(http, "POST", "/v1/conversations", body, key)
        if begun is None:
            return
        path = f"/v1/conversations/{begun.json()['id']}"
        await self.ask(http, f"{path}/messages", {"content": key}, f"{key}-1")
        if cancel:
            sent = await self.send(http, "POST", f"{path}/messages?wait=false", {"content": key}, f"{key}-2")
            if sent is not None and sent.status_code == 202:
                execution = sent.json()["execution_id"]
                await self.send(http, "POST", f"/v1/executions/{execution}/cancel", None, None)
        await self.send(http, "POST", f"{path}/end", {}, None)

    async def ask(self, http: httpx.AsyncClient, path: str, body: dict[str, Any], key: str) -> None:
        """One request, with the same key until there is an answer."""
        answer = await self.send(http, "POST", path, body, key)
        if answer is None:
            return
        found = answer.json()
        execution = found.get("execution_id") or found.get("details", {}).get("execution_id")
        self.outcomes[found.get("state") or found.get("code")] += 1
        if execution:
            self.asked[key] = execution

    async def send(
        self, http: httpx.AsyncClient, method: str, path: str, body: Any, key: str | None
    ) -> httpx.Response | None:
        deadline = time.monotonic() + PATIENCE
        headers = {**self.headers, **({"Idempotency-Key": key} if key else {})}
        while time.monotonic() < deadline:
            try:
                answer = await http.request(method, self.server.url + path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            waits = answer.status_code == 202 and key is not None and "wait=false" not in path
            if waits or answer.status_code in (429, 503):
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == 500:
                raise AssertionError(f"{method} {path}: {answer.text}")
            return answer
        raise AssertionError(f"{method} {path} was not answered")

    async def approver(self, http: httpx.AsyncClient) -> None:
        """Decides on some of what waits, and forgets the rest."""
        while True:
            await asyncio.sleep(0.2)
            with suppress(httpx.TransportError, KeyError, ValueError):
                answer = await http.get(
                    f"{self.server.url}/v1/approvals", params={"state": "Pending"}, headers=self.headers
                )
                for approval in answer.json()["approvals"]:
                    verdict = self.random.choice(["grant", "grant", "reject", None])
                    if verdict:
                        path = f"{self.server.url}/v1/approvals/{approval['id']}/{verdict}"
                        await http.post(path, json={"reason": "chaos"}, headers=self.headers)

    async def killer(self, pauses: tuple[float, float]) -> None:
        """Kills something now and then, once some work was done since the last time, however long that takes."""
        while True:
            before = self.outcomes.total()
            await asyncio.sleep(self.random.uniform(*pauses))
            while not self.stopping and self.outcomes.total() < before + CLIENTS:
                await asyncio.sleep(0.1)
            if self.stopping:
                return
            kill = self.random.choice([kill_server, kill_engine])
            self.kills[kill.__name__] += 1
            self.process = await asyncio.to_thread(kill, self.process, self.data_dir)
            self.server = running_server(self.data_dir)

    async def check(self, http: httpx.AsyncClient) -> dict[str, Any]:
        """What must hold when all is quiet."""
        deadline = time.monotonic() + 60
        while True:
            found = (await self.send(http, "GET", "/v1/events/verify", None, None)).json()  # type: ignore[union-attr]
            if found["open_executions"] == 0 or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        assert found["ok"], json.dumps(found, indent=1)
        assert found["open_executions"] == 0, found
        assert len(set(self.asked.values())) == len(self.asked)
        for execution in self.asked.values():
            replay = await self.send(http, "GET", f"/v1/executions/{execution}/replay", None, None)
            assert replay is not None
            assert replay.status_code == 200, replay.text
            assert replay.json()["differences"] == [], replay.text
        return found


async def run(data_dir: Path, seconds: float, seed: int, pauses: tuple[float, float] = (3.0, 8.0)) -> dict[str, Any]:
    """Works and kills for so long, then checks. Returns what was seen."""
    process, server = await asyncio.to_thread(start_server, data_dir)
    chaos = Chaos(data_dir, random.Random(seed), process, server)
    try:
        with server.client("chaos") as client:
            await asyncio.to_thread(deploy_files, client, data_dir / "workspace", agents())
        limits = httpx.Limits(max_connections=CLIENTS + 10)
        async with httpx.AsyncClient(timeout=90, trust_env=False, limits=limits) as http:
            helpers = [asyncio.create_task(chaos.approver(http)), asyncio.create_task(chaos.killer(pauses))]
            clients = [asyncio.create_task(chaos.client(http, number)) for number in range(CLIENTS)]
            done, _ = await asyncio.wait([*clients, *helpers], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            chaos.stopping = True
            for task in done:
                task.result()
            await asyncio.gather(*clients, helpers[1])
            found = await chaos.check(http)
            helpers[0].cancel()
        return {
            "seed": seed,
            "requests": len(chaos.asked),
            "outcomes": dict(chaos.outcomes),
            "kills": dict(chaos.kills),
            "events": found["checked"],
        }
    finally:
        stop_server(chaos.process)


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(run(Path(folder) / "data", given.minutes * 60, given.seed)), indent=1))


if __name__ == "__main__":
    main()
