"""Releases while messages come in: `python -m benchmarks.releases`, or `--agents 10000` beside so many others.

Every message has an idempotency key, and is sent once more afterwards: the answer has to be the same. A tenth of them goes to
conversations, each of which has to stay with one version.
"""

import argparse
import asyncio
import json
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from benchmarks import breakers
from benchmarks.deploy import deploy, write_agents
from benchmarks.load import PATIENCE, Result, offer, post, with_keys
from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import server

CONVERSATIONS = 20
"""That begin at a time: with the first version, after the switch, and during the canary."""

EACH = 10
"""One of so many messages goes to a conversation."""

AT_ONCE = 2_000
"""Other agents of one deployment."""

AGENT = """
name = "{name}"
version = "{version}.0.0"
capabilities = ["{name}"]
model = "scripted"
script = "{name}.script.toml"
{more}
"""
ANSWERS = '[[rules]]\n[[rules.steps]]\nreply = "v{version}"\n'
FAILS = '[[rules]]\n[[rules.steps]]\nfail = "v{version}"\n'
SWITCH = '[rollout]\nstrategy = "blue_green"\nlook_every = "1s"\n'
CANARY = '[rollout]\nlook_every = "1s"\nstages = [{ percent = 50, sample = 1000000 }]\n'
FAILURES = 5
BREAKER = f'[breaker]\nfailures = {FAILURES}\nopen_for = "1m"\n'

FIRST, SWITCHED, TRIED, DEPLOYED, BAD = "v1", "v2", "v3", "v4", "v5"
"""Versions of the agent, in the order in which they come; the last one fails."""


START, ROLLED_BACK, OPEN = "start another agent", "verdict to rolled back", "breaker opens after the last failure"
TARGETS = {"undo": 1000, "abort": 1000, "roll back": 1000, ROLLED_BACK: 1000, OPEN: 1000, START: 50}
"""Milliseconds."""

REFUSALS = ("overloaded", "rate_limited")
"""Codes of errors by which the server says that it has no room just now."""


@dataclass
class Target:
    """A server under load, as one workspace of it is reached."""

    url: str
    key: str
    folder: Path
    """For files of agents."""
    api: httpx.Client
    workspace: str = "default"


@dataclass
class Found:
    """What came of it."""

    due: int = 0
    refused: int = 0
    """Messages that the server had no room for, and said so."""
    lost: int = 0
    """Messages without an answer, or with an error."""
    executions: int = 0
    """How many more executions there were than messages that were answered."""
    answered_twice: int = 0
    """Messages that were answered otherwise when they came again."""
    not_again: int = 0
    """Messages that had no answer in time when they came again."""
    moved: int = 0
    """Conversations that changed their version."""
    late: int = 0
    """Messages that were sent after a candidate was taken back, and that it answered all the same."""
    versions: set[str] = field(default_factory=set[str])
    """Versions that answered."""
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """How long each command took, and what follows by itself."""


class Load:
    """Messages that are sent while versions change, and their answers."""

    def __init__(self, target: Target, rate: float) -> None:
        self.target, self.rate = target, rate
        self.talks: list[str] = []
        """Conversations so far."""
        self.chosen: dict[int, str] = {}
        """The conversation of a message, by its number."""
        self.result = Result(bodies={})
        self.over = threading.Event()
        self._keyed = with_keys(self._request, uuid4().hex)
        self._alone = self._post("/v1/messages", capability="clerk", content="x")

    def begin_conversations(self) -> None:
        """A first message decides on the version of each."""
        for _ in range(CONVERSATIONS):
            talk = self.target.api.post("/v1/conversations", json={"capability": "clerk"}).raise_for_status().json()
            path = f"/v1/conversations/{talk['id']}/messages"
            self.target.api.post(path, json={"content": "x"}).raise_for_status()
            self.talks.append(path)

    @contextmanager
    def offered(self) -> Generator[None]:
        """Sends messages meanwhile."""
        thread = threading.Thread(target=self._send, args=(self.result, self.rate, self.over.is_set, 3600.0))
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def wait(self, messages: int) -> None:
        """Waits until so many more have been sent and answered."""
        enough, deadline = self.result.due + messages, time.perf_counter() + messages / self.rate + PATIENCE
        while sum(self.result.statuses.values()) < enough:
            assert time.perf_counter() < deadline, "messages are not answered"
            time.sleep(0.01)

    def again(self) -> Result:
        """All messages once more."""
        found = Result(bodies={})
        self._send(found, self.rate, lambda: found.due >= self.result.due, self.result.due / self.rate + 1)
        return found

    def _send(self, result: Result, rate: float, over: Callable[[], bool], seconds: float) -> None:
        asyncio.run(offer(self.target.url, rate, seconds, self._keyed, {}, over=over, result=result))

    def _request(self, number: int) -> bytes:
        if number % EACH:
            return self._alone
        talk = self.chosen.setdefault(number, self.talks[number // EACH % len(self.talks)])
        return self._post(talk, content="x")

    def _post(self, path: str, **body: str) -> bytes:
        return post(self.target.url, self.target.key, path, body, self.target.workspace)


def run(target: Target, rate: float, between: int, starts: int = 20) -> Found:
    """Offers messages while versions change, so many of them between two changes; another agent starts so often."""
    found, load, taken_back = Found(), Load(target, rate), dict[str, float]()
    release(target, FIRST)
    release(target, "v1", name="other")
    load.begin_conversations()
    with load.offered():
        for name, command in steps(target, load, taken_back, starts):
            load.wait(between)
            began = time.perf_counter()
            took = command()
            found.seconds[name] = took if isinstance(took, float) else time.perf_counter() - began
        load.wait(between)
        judged = verdict_at(target)
    texts = answers(load.result)
    answered = {number: text for number, text in texts.items() if text}
    found.due = load.result.due
    found.refused = sum(text is None for text in texts.values())
    found.lost = found.due - found.refused - len(answered)
    found.executions = executions(target, len(answered) + len(load.talks)) - len(answered) - len(load.talks)
    found.versions = set(answered.values())
    found.late = sum(
        number not in load.chosen and text in taken_back and load.result.dues[number] > taken_back[text]
        for number, text in answered.items()
    )
    of_bad = [load.result.dues[number] for number, text in answered.items() if text == BAD]
    found.seconds[ROLLED_BACK] = max(0.0, max(of_bad, default=judged) - judged)
    same = answers(load.again())
    found.answered_twice = sum(bool(same[number]) and same[number] != text for number, text in answered.items())
    found.not_again = sum(not same[number] for number in answered)
    said: defaultdict[str, set[str]] = defaultdict(set)
    for number, talk in load.chosen.items():
        said[talk].update({answered[number]} if number in answered else ())
    found.moved = sum(len(versions) > 1 for versions in said.values())
    return found


def steps(
    target: Target, load: Load, taken_back: dict[str, float], starts: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is done meanwhile, in this order; notes when each candidate was taken back."""

    def begins(version: str, more: str) -> None:
        release(target, version, more)

    def takes_back(version: str, command: Callable[[], object]) -> float:
        began = time.perf_counter()
        command()
        taken_back[version] = time.perf_counter()
        return taken_back[version] - began

    yield "switch to a new version", lambda: begins(SWITCHED, SWITCH)
    load.begin_conversations()
    yield "promote", lambda: tell(target, "promote", full=True)
    yield "undo", lambda: takes_back(SWITCHED, lambda: tell(target, "undo"))
    yield "begin a canary", lambda: begins(TRIED, CANARY)
    load.begin_conversations()
    yield "abort", lambda: takes_back(TRIED, lambda: tell(target, "abort"))
    yield "deploy", lambda: begins(DEPLOYED, "")
    yield "roll back", lambda: takes_back(DEPLOYED, lambda: roll_back(target))
    yield START, lambda: start_time(target, starts)
    yield "find a candidate that fails", lambda: takes_back(BAD, lambda: fail(target))
    yield OPEN, lambda: opened_after(target)


def release(target: Target, version: str, more: str = "", name: str = "clerk") -> None:
    """Deploys a version of an agent."""
    folder = target.folder / name
    (folder / "agents").mkdir(parents=True, exist_ok=True)
    (folder / "caxton.toml").write_text("")
    (folder / "agents" / f"{name}.toml").write_text(AGENT.format(name=name, version=version[1:], more=more))
    script = FAILS if version == BAD else ANSWERS
    (folder / "agents" / f"{name}.script.toml").write_text(script.format(version=version[1:]))
    deploy(target.api, folder)


def latest(target: Target) -> dict[str, Any]:
    """The latest rollout."""
    found = target.api.get("/v1/rollouts", params={"agent": "clerk", "limit": 1}).raise_for_status()
    return found.json()["rollouts"][0]


def tell(target: Target, command: str, **body: Any) -> None:
    """Tells the latest rollout what to do."""
    target.api.post(f"/v1/rollouts/{latest(target)['id']}/{command}", json=body).raise_for_status()


def roll_back(target: Target) -> None:
    """Undoes the latest deployment."""
    found = target.api.get("/v1/deployments", params={"limit": 1}).raise_for_status()
    target.api.post(f"/v1/deployments/{found.json()['deployments'][0]['id']}/rollback").raise_for_status()


def start_time(target: Target, times: int) -> float:
    """Median seconds until another agent of the workspace takes work again."""
    took: list[float] = []
    for _ in range(times):
        target.api.post("/v1/agents/other/stop", json={"grace": 0}).raise_for_status()
        began = time.perf_counter()
        target.api.post("/v1/agents/other/start").raise_for_status()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def fail(target: Target) -> None:
    """Begins a canary of a version that fails, and waits until it is rolled back."""
    release(target, BAD, CANARY)
    deadline = time.perf_counter() + PATIENCE
    while latest(target)["state"] != "RolledBack":
        assert time.perf_counter() < deadline, "a candidate that fails is not found"
        time.sleep(0.05)


def verdict_at(target: Target) -> float:
    """When the latest verdict was made, by the clock of this process."""
    judged = {"type": "rollout_judged", "order": "newest", "limit": 1}
    found = target.api.get("/v1/events", params=judged).raise_for_status().json()["events"]
    at = datetime.fromisoformat(found[0]["timestamp"])
    return at.timestamp() - time.time() + time.perf_counter()


def opened_after(target: Target) -> float:
    """Seconds from the failure that opens an agent's breaker to the first request that is refused."""
    release(target, BAD, BREAKER, name="fragile")
    failed_at: list[float] = []
    while True:
        answer = target.api.post("/v1/messages", json={"capability": "fragile", "content": "x"}).json()
        if answer["code"] == "circuit_breaker_open":
            return time.perf_counter() - failed_at[FAILURES - 1]
        assert answer["code"] in ("execution_failed", *REFUSALS), answer
        if answer["code"] == "execution_failed":
            failed_at.append(time.perf_counter())
        assert len(failed_at) < FAILURES + 1000, "the breaker does not open"


def executions(target: Target, expected: int) -> int:
    """How many messages the agent has answered, as its statistics have it, which follow the log."""
    deadline = time.perf_counter() + PATIENCE
    while True:
        shown = target.api.get("/v1/agents/clerk").raise_for_status().json()
        calls: int = shown["statistics"]["calls"]
        if calls >= expected or time.perf_counter() > deadline:
            return calls
        time.sleep(0.1)


def answers(result: Result) -> dict[int, str | None]:
    """The version that answered each message, by its number; None where it was refused, empty where that is an error."""
    found: dict[int, str | None] = {}
    for number, due in enumerate(result.dues):
        body = json.loads((result.bodies or {}).get(due, b"{}"))
        if body.get("state") == "completed":
            found[number] = body["reply"]["content"]["text"]
        elif body.get("code") == "execution_failed" and BAD in body["detail"]:
            found[number] = BAD
        else:
            found[number] = None if body.get("code") in REFUSALS else ""
    return found


def figures(rate: float = 500.0, between: int = 1_500, agents: int = 0) -> list[Figure]:
    """What is lost, answered twice or moved, and how long commands take, beside so many other agents."""
    with server() as running, running.client() as client:
        client.timeout = 600
        for first in range(0, agents, AT_ONCE):
            count = min(AT_ONCE, agents - first)
            deploy(client, write_agents(running.folder / f"from-{first}", count, 0, first))
        found = run(Target(running.url, running.key, running.folder, client), rate, between)
    name = f"releases at {rate:g} messages a second"
    counts = {
        "messages lost": found.lost,
        "messages refused": found.refused,
        "executions that nobody asked for": found.executions,
        "answered by two versions": found.answered_twice,
        "no answer in time to a message that came again": found.not_again,
        "conversations that changed their version": found.moved,
        "answers of a candidate after it was taken back": found.late,
    }
    beside = f" of {agents:,}" if agents else ""
    return [
        Figure(f"{name}: messages", found.due, ""),
        *(Figure(f"{name}: {what}", count, "", 0) for what, count in counts.items()),
        *(
            Figure(f"{name}: {what}{beside if what == START else ''}", took * 1000, "ms", TARGETS.get(what))
            for what, took in found.seconds.items()
        ),
        *breakers.figures(),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--between", type=int, default=1_500, help="messages between two changes")
    parser.add_argument("--agents", type=int, default=0, help="others of the same workspace")
    given = parser.parse_args()
    print_machine()
    print_figures("releases under load", figures(given.rate, given.between, given.agents))
