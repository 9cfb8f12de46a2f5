"""A turn with short tools, done as it is accepted: the same comes of it as when its workflow does it step by step."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment

from caxton.activities.steps import StepActivities
from caxton.domain.agents import AgentVersion
from caxton.domain.errors import ExecutionFailed, StoreUnavailable
from caxton.domain.executions import (
    Accepted,
    Queue,
    RequestedCall,
    StepDone,
    StepKind,
    TurnRequest,
    opening_of,
    step_of,
)
from caxton.domain.ids import Scope
from caxton.domain.ports import FunctionCall, ModelGateway, ModelReply, ModelRequest, ToolSandbox
from caxton.domain.records import Records
from caxton.domain.tools import ToolManifest
from caxton.domain.usage import Usage
from caxton.runtime.fast_path_ports import build_fast_path_ports
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from caxton.turns.perform import next_turn, perform
from caxton.turns.short_calls import ShortCalls
from caxton.turns.step import StepPorts
from tests.api.test_failures import FIXTURES, HOSTILE_MANIFEST, calls, hostile
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.tools import bundled_tool
from tests.support.turns import turn_request

TWICE = """
[[rules]]
[[rules.steps]]
tool = 'hostile.ok'
arguments = { first = "{{ request }}" }
[[rules.steps]]
tool = 'hostile.ok'
arguments = { second = "{{ results[0].text }}" }
[[rules.steps]]
reply = '''{{ results[1].text }}'''
"""
FAILS = """
[[rules]]
[[rules.steps]]
tool = 'hostile.ok'
[[rules.steps]]
fail = 'no way'
"""
MORE = 'tools = ["hostile"]\n'

CHART = """
[[rules]]
[[rules.steps]]
tool = 'chart-generator.bar_chart'
arguments = { title = "Fruit", labels = ["apples"], series = [{ name = "n", values = [1] }] }
[[rules.steps]]
reply = 'here'
"""


def tool(name: str, manifest: str) -> dict[str, str | bytes]:
    """The hostile tool by another name."""
    found = manifest.replace('"hostile"', f'"{name}"').replace("hostile.wasm", f"{name}.wasm")
    return {f"tools/{name}/tool.toml": found, f"tools/{name}/{name}.wasm": (FIXTURES / "hostile.wasm").read_bytes()}


AGENTS: dict[str, str | bytes] = {
    **hostile(),
    **agent("plain", rules=replies("{{ request }}")),
    **agent("twice", rules=TWICE, more=MORE),
    **agent("both", rules=replies("never said"), more=MORE),
    **agent("allocate", rules=calls("allocate"), more=MORE),
    **agent("traps", rules=calls("trap"), more=MORE),
    **agent("fails", rules=FAILS, more=MORE),
    **agent("both_fail", capabilities='["both-fail"]', rules=replies("never said"), more=MORE),
    **agent("few", rules=TWICE, more=MORE + "limits = { steps = 2 }\n"),
    **bundled_tool("chart-generator"),
    **agent("chart", rules=CHART, more='tools = ["chart-generator"]\n'),
    **tool("long-tool", HOSTILE_MANIFEST.replace("100_000_000", "20_000_000_000").replace("500ms", "5s")),
    **agent("long", rules=calls("spin").replace("hostile", "long-tool"), more='tools = ["long-tool"]\n'),
    **tool("once", HOSTILE_MANIFEST.replace("[limits]", "idempotent = false\n[limits]")),
    **agent("careful", rules=calls("ok").replace("hostile", "once"), more='tools = ["once"]\n'),
    **agent("governed", rules=calls("ok"), more=MORE + '[tool_policies."hostile.ok"]\napproval_mode = "operator"\n'),
}


@dataclass
class Worker:
    """What accepts requests, in this process, on the database of a server. Nobody tells the server's workflows of them."""

    ports: StepPorts
    api: Any
    scope: Scope

    def requests(self, *agents: str) -> list[TurnRequest]:
        """Requests to `agents`."""
        return [turn_request(name, scope=self.scope) for name in agents]

    async def accept(self, name: str) -> tuple[TurnRequest, Accepted]:
        """A request to `name`, and what becomes of it at the door."""
        [request] = self.requests(name)
        [accepted] = await accept(self.ports, [request])
        return request, accepted

    def events(self, request: TurnRequest) -> list[dict[str, Any]]:
        return self.api.get(f"/v1/executions/{request.execution_id}/events").json()["events"]


@pytest.fixture
async def worker(caxton_server: RunningServer, workspace: str, tmp_path: Path) -> AsyncIterator[Worker]:
    customer = f"c-{workspace}"  # with a log of its own
    with caxton_server.client(workspace) as admin:
        made = admin.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": customer})
    with caxton_server.client(workspace, key=made.json()["key"]) as api:
        deploy_files(api, tmp_path / "w", AGENTS)
        ports, close = build_fast_path_ports(Settings(data_dir=caxton_server.data_dir))
        # Machines that run tests are busy: what is short takes long.
        found = Worker(
            replace(ports, short_calls=ShortCalls(patience=5, wall_time=5)),
            api,
            Scope(customer=customer, workspace=workspace),
        )
        try:
            yield found
        finally:
            close()


class Never(ShortCalls):
    """Leaves all calls to the workflow."""

    def expects(self, function: tuple[str, str]) -> bool:
        return False


class AsksForTwo:
    """A model that asks for two calls side by side, and then replies, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def is_scripted(self, _agent: AgentVersion) -> bool:
        return True

    async def respond(self, request: ModelRequest, *_listeners: object) -> ModelReply:
        results = [result for part in request.parts for result in part.results]
        if results and self.fails:
            raise ExecutionFailed("no way")
        if results:
            return ModelReply(" and ".join(result.text for result in results), [], "two", Usage())
        calls = [FunctionCall(f"c{n}", "hostile.ok", "tool", {"number": n}) for n in (1, 2)]
        return ModelReply("", calls, "two", Usage())


class SlowToWrite:
    """Records that are slow to write, or fail at it."""

    def __init__(self, records: Records, seconds: float = 0, error: Exception | None = None) -> None:
        self.records = records
        self.seconds = seconds
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.records, name)

    async def commit(self, prepared: Any) -> bool:
        await self._wait()
        return await self.records.commit(prepared)

    async def write(self, work: Any) -> Any:
        await self._wait()
        return await self.records.write(work)

    async def _wait(self) -> None:
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error


async def step_by_step(worker: Worker, name: str) -> TurnRequest:
    """A turn of `name` as a workflow does it: each call as a step of its own."""
    ports, [request] = replace(worker.ports, short_calls=Never()), worker.requests(name)
    [accepted] = await accept(ports, [request])
    assert accepted.state == "running"
    await go_on(ports, request)
    return request


async def go_on(ports: StepPorts, request: TurnRequest) -> None:
    """What a workflow does with a turn in progress."""
    queue = Queue(scope=request.scope, conversation_id=request.conversation_id)
    begun = await next_turn(ports, queue)
    assert begun is not None
    assert begun.execution_id == request.execution_id
    opening, plan, last, number = opening_of(request), begun.opened.plan, begun.opened.last, begun.opened.at
    assert plan is not None
    while True:
        if last is None:
            last = await perform(ports, step_of(StepKind.MODEL, opening, plan, number))
        if last.ended:
            return
        for call in last.calls:
            assert await perform(ports, step_of(StepKind.TOOL, opening, plan, number, call.call)) == StepDone()
        last, number = None, number + 1


def told(worker: Worker, request: TurnRequest) -> list[Any]:
    """What is known of an execution, without what differs from one to the next."""
    replay = worker.api.get(f"/v1/executions/{request.execution_id}/replay").json()
    assert replay["differences"] == []
    view = worker.api.get(f"/v1/executions/{request.execution_id}").json()
    payloads = (
        "tool",
        "function",
        "action_id",
        "step",
        "is_error",
        "reason",
        "content_hash",
        "tool_calls",
        "model_calls",
    )
    events = [
        (event["event_type"], event["actor"], event["error_code"], [event["payload"].get(name) for name in payloads])
        for event in worker.events(request)
    ]
    [execution] = replay["executions"]
    return [
        events,
        execution["actions"],
        execution["usage"],
        *(view[name] for name in ("state", "agent", "usage")),
        *(view["reply"][name] for name in ("type", "content", "metadata", "artifacts", "receiver")),
    ]


@pytest.mark.requirement("PRF-2")
@pytest.mark.parametrize("name", ["twice", "both", "allocate", "chart"])
async def test_the_same_comes_of_it_as_step_by_step(worker: Worker, name: str) -> None:
    if name == "both":
        await worker.accept("twice")  # a function that nothing is known of is called once at a time
        worker.ports = replace(worker.ports, models=cast("ModelGateway", AsksForTwo()))
    request, accepted = await worker.accept(name)
    assert accepted.outcome is not None
    assert accepted.outcome.state == "completed"
    in_one_go = told(worker, request)
    assert in_one_go == told(worker, await step_by_step(worker, name))
    assert in_one_go[2]["tool_calls"] == (2 if name in ("twice", "both") else 1)


class Counts:
    """A sandbox that counts its calls."""

    def __init__(self, sandbox: ToolSandbox) -> None:
        self.sandbox = sandbox
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)

    async def call(self, *given: Any, **more: Any) -> Any:
        self.calls += 1
        return await self.sandbox.call(*given, **more)


@pytest.mark.requirement("TOL-9")
async def test_a_tool_that_traps_is_tried_as_often_as_its_policy_says_on_either_way(worker: Worker) -> None:
    sandbox = Counts(worker.ports.sandbox)
    worker.ports = replace(worker.ports, sandbox=cast("ToolSandbox", sandbox))
    request, accepted = await worker.accept("traps")
    assert accepted.outcome is not None, "it is answered at once: the script has a word for the failure"
    assert sandbox.calls == 2
    await step_by_step(worker, "traps")
    assert sandbox.calls == 4
    failed = [event for event in worker.events(request) if event["event_type"] == "tool_execution_failed"]
    assert [event["error_code"] for event in failed] == ["tool_trapped"]


@pytest.mark.parametrize("name", ["fails", "both-fail"])
async def test_a_turn_that_fails_after_its_calls_has_used_the_same(worker: Worker, name: str) -> None:
    if name == "both-fail":
        await worker.accept("twice")
        worker.ports = replace(worker.ports, models=cast("ModelGateway", AsksForTwo(fails=True)))
    request, accepted = await worker.accept(name)
    assert accepted.state == "running"
    assert "tool_executed" in {event["event_type"] for event in worker.events(request)}
    await go_on(worker.ports, request)
    in_one_go = told(worker, request)
    assert in_one_go == told(worker, await step_by_step(worker, name))
    assert in_one_go[2]["model_calls"] == 1
    assert in_one_go[2]["tool_calls"] == (1 if name == "fails" else 2)


async def quiet(worker: Worker) -> None:
    """Waits until all is told of what was deployed: a time in a log is never before that of the last event.

    The last is the milestone, which the server tells when it next looks for such: some seconds later.
    """
    deadline = time.monotonic() + 60
    wanted = {"type": "onboarding_milestone_reached"}
    while not worker.api.get("/v1/events", params=wanted).json()["events"]:
        assert time.monotonic() < deadline, "the first deployment is not told"
        await asyncio.sleep(0.1)


async def test_events_tell_when_each_step_happened_not_when_all_were_recorded(worker: Worker) -> None:
    await quiet(worker)
    worker.ports = replace(worker.ports, records=cast("Records", SlowToWrite(worker.ports.records, 0.3)))
    request, accepted = await worker.accept("twice")
    assert accepted.state == "ended"
    found = worker.events(request)
    moments = [datetime.fromisoformat(event["timestamp"]) for event in found]
    assert moments == sorted(moments)
    ended = found[-1]
    assert ended["event_type"] == "execution_completed"
    assert (datetime.now(UTC) - moments[-1]).total_seconds() > 0.3
    took = (moments[-1] - moments[0]).total_seconds() * 1000
    assert took == pytest.approx(ended["latency_ms"], abs=1)
    calls = [event["latency_ms"] for event in found if event["event_type"] == "tool_executed"]
    assert len(calls) == 2
    assert took > sum(calls)


async def test_nothing_is_there_of_what_could_not_be_written(worker: Worker) -> None:
    requests, away = (
        worker.requests("twice", "plain"),
        SlowToWrite(worker.ports.records, error=StoreUnavailable("away")),
    )
    with pytest.raises(StoreUnavailable):
        await accept(replace(worker.ports, records=cast("Records", away)), requests)
    for request in requests:
        assert worker.api.get(f"/v1/executions/{request.execution_id}").status_code == 404
    results = await accept(worker.ports, requests)
    assert [result.outcome.state for result in results if result.outcome] == ["completed", "completed"]


@pytest.mark.requirement("MSG-8")
async def test_each_of_a_batch_is_answered_goes_on_or_is_refused_by_itself(worker: Worker) -> None:
    await worker.accept("twice")  # of a burst of calls of an unknown function only one is tried
    requests = worker.requests("plain", "careful", "nobody", "few", "twice")
    found = await accept(worker.ports, requests)
    assert [each.state for each in found] == ["ended", "running", "refused", "running", "ended"]
    assert found[2].error is not None
    assert found[2].error.code == "no_capable_agent"
    assert worker.api.get(f"/v1/executions/{requests[2].execution_id}").status_code == 404
    again = await accept(worker.ports, requests)  # as those ask again who have heard nothing
    assert [each.state for each in again] == [each.state for each in found]
    assert [each.outcome for each in again] == [each.outcome for each in found]
    for request, accepted in zip(requests, found, strict=True):
        types = [event["event_type"] for event in worker.events(request)] if accepted.state != "refused" else []
        assert types.count("execution_triggered") == (accepted.state != "refused")
        assert types.count("execution_completed") == (accepted.state == "ended")


@pytest.mark.requirement("MSG-8")
async def test_what_two_do_at_the_same_time_is_recorded_once(worker: Worker) -> None:
    await worker.accept("twice")  # of a burst of calls of an unknown function only one is tried
    requests = worker.requests("plain", "twice")
    slow = replace(
        worker.ports, records=cast("Records", SlowToWrite(worker.ports.records, 0.3))
    )  # so that both have read
    first, second = await asyncio.gather(accept(slow, requests), accept(slow, requests))
    assert [each.state for each in first] == ["ended", "ended"]
    assert first == second
    for request in requests:
        told = [event["event_type"] for event in worker.events(request)]
        assert told.count("execution_triggered") == told.count("execution_completed") == 1


async def test_a_tool_that_takes_long_holds_up_nobody_and_is_left_to_the_workflow(worker: Worker) -> None:
    worker.ports = replace(worker.ports, short_calls=ShortCalls(patience=0.05))
    requests = worker.requests("plain", "long", "plain")
    found = await accept(worker.ports, requests)
    assert worker.ports.short_calls.in_hand == 1  # its fuel lasts for some seconds, and nobody waited for it
    assert [each.state for each in found] == ["ended", "running", "ended"]
    assert [call.name for call in await calls_left(worker, requests[1])] == ["long-tool.spin"]
    # It is in progress still, so it is not called again before it has ended, nor for a while after that.
    while worker.ports.short_calls.in_hand:
        await asyncio.sleep(0.01)
    await worker.accept("long")
    assert worker.ports.short_calls.in_hand == 0


async def calls_left(worker: Worker, request: TurnRequest) -> list[RequestedCall]:
    """Calls that are left to the workflow of `request`."""
    queue = Queue(scope=request.scope, conversation_id=request.conversation_id)
    begun = await next_turn(worker.ports, queue)
    assert begun is not None
    assert begun.opened.last is not None
    return begun.opened.last.calls


async def test_limits_hold(worker: Worker) -> None:
    _, accepted = await worker.accept("few")
    assert accepted.state == "running"  # the workflow tells that it may take two steps only
    answer = worker.api.post("/v1/messages", json={"capability": "few", "content": "x"})
    assert answer.json()["code"] == "step_limit_reached"


@pytest.mark.parametrize("name", ["careful", "governed"])
async def test_what_may_not_be_repeated_or_needs_a_person_is_left_to_the_workflow(worker: Worker, name: str) -> None:
    request, accepted = await worker.accept(name)
    assert accepted.state == "running"
    assert "tool_executed" not in {event["event_type"] for event in worker.events(request)}
    assert len(await calls_left(worker, request)) == 1


class CountedSandbox:
    """A sandbox whose calls take a while, and are counted."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)

    async def call(self, *given: Any, **more: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(0.3)
        return await self.sandbox.call(*given, **more)


@pytest.mark.requirement("MSG-8")
@pytest.mark.parametrize("name", ["call_tool", "run_step"])
async def test_of_two_attempts_of_a_step_in_one_process_the_second_finds_it_done(worker: Worker, name: str) -> None:
    """After a restart there may be the one that the dead worker left in the queue, and the one that began again."""
    request, accepted = await worker.accept("careful")
    assert accepted.state == "running"
    begun = await next_turn(worker.ports, Queue(scope=request.scope, conversation_id=request.conversation_id))
    assert begun is not None
    assert begun.opened.plan is not None
    step = step_of(StepKind.TOOL, opening_of(request), begun.opened.plan, 1, 1)
    sandbox = CountedSandbox(worker.ports.sandbox)
    activities = StepActivities(replace(worker.ports, sandbox=cast("ToolSandbox", sandbox)))
    done = await asyncio.gather(*(ActivityEnvironment().run(getattr(activities, name), step) for _ in range(3)))
    assert done == [StepDone()] * 3
    assert sandbox.calls == 1


@pytest.mark.parametrize(
    ("permissions", "is_closed"),
    [
        ({}, True),
        ({"files": [{"path": "data", "at": "/data"}]}, True),
        ({"files": [{"path": "/srv/data", "at": "/data"}]}, False),
        ({"files": [{"path": "data", "at": "/data", "write": True}]}, False),
        ({"network": ["https://api.example.com"]}, False),
    ],
)
def test_only_tools_that_reach_nothing_outside_are_called_at_once(permissions: dict[str, Any], is_closed: bool) -> None:
    manifest = ToolManifest.model_validate(
        {"name": "t", "version": "1.0.0", "module": "t.wasm", "permissions": permissions}
    )
    assert manifest.is_closed == is_closed
