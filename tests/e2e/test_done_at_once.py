"""A turn with short tools, done in one step: the same comes of it as when its workflow does it step by step."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from caxton.activities.batch import Batch, do_steps, end_turns
from caxton.activities.short_calls import WALL_TIME, ShortCalls
from caxton.activities.step import StepPorts
from caxton.domain.agents import AgentVersion
from caxton.domain.errors import ExecutionFailed
from caxton.domain.executions import StepInput, StepKind, StepResult, Usage, opening_of, step_of
from caxton.domain.ids import Scope
from caxton.domain.ports import DeltaSink, FunctionCall, ModelGateway, ModelReply, ModelRequest
from caxton.domain.tools import ToolManifest
from caxton.runtime.settings import Settings
from caxton.runtime.wiring import build_opener_ports
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
    """What does first steps, in this process, on the database of a server."""

    ports: StepPorts
    api: Any
    scope: Scope

    def batch(self, *agents: str) -> Batch:
        """First steps of requests to `agents`."""
        requests = [turn_request(name, scope=self.scope) for name in agents]
        return Batch(self.ports, [opening_of(request, yields=True) for request in requests])

    async def open(self, name: str) -> tuple[str, StepResult]:
        """The execution of a request to `name`, and what its first step brings."""
        batch = self.batch(name)
        await batch.prepare()
        [result] = await batch.finish()
        return batch.inputs[0].execution_id, result

    def events(self, execution_id: str) -> list[dict[str, Any]]:
        return self.api.get(f"/v1/executions/{execution_id}/events").json()["events"]


@pytest.fixture
async def worker(caxton_server: RunningServer, workspace: str, tmp_path: Path) -> AsyncIterator[Worker]:
    customer = f"c-{workspace}"  # with a log of its own
    with caxton_server.client(workspace) as admin:
        made = admin.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": customer})
    with caxton_server.client(workspace, key=made.json()["key"]) as api:
        deploy_files(api, tmp_path / "w", AGENTS)
        ports, close = build_opener_ports(Settings(data_dir=caxton_server.data_dir))
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

    async def respond(self, request: ModelRequest, _on_delta: DeltaSink) -> ModelReply:
        results = [result for part in request.parts for result in part.results]
        if results and self.fails:
            raise ExecutionFailed("no way")
        if results:
            return ModelReply(" and ".join(result.text for result in results), [], "two", Usage())
        calls = [FunctionCall(f"c{n}", "hostile.ok", "tool", {"number": n}) for n in (1, 2)]
        return ModelReply("", calls, "two", Usage())


async def step_by_step(worker: Worker, name: str) -> str:
    """A turn of `name` as a workflow does it."""
    batch = worker.batch(name)
    ports, opening = replace(worker.ports, short_calls=Never()), batch.inputs[0]
    [opened] = await do_steps(ports, batch.inputs)
    await go_on(ports, opening, opened)
    return opening.execution_id


async def go_on(ports: StepPorts, opening: StepInput, opened: StepResult) -> None:
    """What a workflow does after the first step."""
    plan, result, number = opened.plan, opened.first, 1
    while plan is not None and result is not None and result.outcome is None:
        if result.error is not None:
            closing = opening.model_copy(update={"kind": StepKind.CLOSE, "plan": plan, "error": result.error})
            [result] = await do_steps(ports, [closing])
            continue
        await do_steps(ports, [step_of(StepKind.TOOL, opening, plan, number, call.call) for call in result.calls])
        number += 1
        [result] = await do_steps(ports, [step_of(StepKind.MODEL, opening, plan, number)])


def told(worker: Worker, execution_id: str) -> list[Any]:
    """What is known of an execution, without what differs from one to the next."""
    replay = worker.api.get(f"/v1/executions/{execution_id}/replay").json()
    assert replay["differences"] == []
    view = worker.api.get(f"/v1/executions/{execution_id}").json()
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
        for event in worker.events(execution_id)
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
        await worker.open("twice")  # a function that nothing is known of is called once at a time
        worker.ports = replace(worker.ports, models=cast("ModelGateway", AsksForTwo()))
    execution_id, result = await worker.open(name)
    assert result.outcome is not None
    assert result.outcome.state == "completed"
    at_once = told(worker, execution_id)
    assert at_once == told(worker, await step_by_step(worker, name))
    assert at_once[2]["tool_calls"] == (2 if name in ("twice", "both") else 1)


@pytest.mark.parametrize("name", ["fails", "both-fail"])
async def test_a_turn_that_fails_after_its_calls_has_used_the_same(worker: Worker, name: str) -> None:
    if name == "both-fail":
        await worker.open("twice")
        worker.ports = replace(worker.ports, models=cast("ModelGateway", AsksForTwo(fails=True)))
    batch = worker.batch(name)
    await batch.prepare()
    [opened] = await batch.finish()
    assert opened.outcome is None
    assert "tool_executed" in {event["event_type"] for event in worker.events(batch.inputs[0].execution_id)}
    await go_on(worker.ports, batch.inputs[0], opened)
    at_once = told(worker, batch.inputs[0].execution_id)
    assert at_once == told(worker, await step_by_step(worker, name))
    assert at_once[2]["model_calls"] == 1
    assert at_once[2]["tool_calls"] == (1 if name == "fails" else 2)


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
    batch = worker.batch("twice")
    await batch.prepare()
    await asyncio.sleep(0.3)
    [result] = await batch.finish()
    assert result.outcome is not None
    found = worker.events(result.outcome.execution_id)
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


async def test_nothing_is_written_before_it_is_asked_for(worker: Worker) -> None:
    batch = worker.batch("twice", "plain")
    await batch.prepare()
    assert worker.api.get(f"/v1/executions/{batch.inputs[0].execution_id}").status_code == 404
    results = await batch.finish()
    assert [result.outcome.state for result in results if result.outcome] == ["completed", "completed"]


@pytest.mark.requirement("MSG-8")
async def test_where_only_ends_are_wanted_the_rest_is_left_as_it_was(worker: Worker) -> None:
    await worker.open("twice")  # of a burst of calls of an unknown function only one is tried
    batch = worker.batch("plain", "careful", "nobody", "few", "twice")
    outcomes = await end_turns(worker.ports, batch.inputs)
    assert [outcome and outcome.state for outcome in outcomes] == ["completed", None, None, None, "completed"]
    for step, outcome in zip(batch.inputs, outcomes, strict=True):
        is_there = worker.api.get(f"/v1/executions/{step.execution_id}").status_code == 200
        assert is_there == bool(worker.events(step.execution_id) if is_there else ()) == (outcome is not None)
    results = await do_steps(worker.ports, batch.inputs)  # as the workflow does that gets them all the same
    assert [result.outcome for result in (results[0], results[4])] == [outcomes[0], outcomes[4]]
    assert [result.plan is not None for result in (results[1], results[3])] == [True, True]


@pytest.mark.requirement("MSG-8")
async def test_what_two_do_at_the_same_time_is_recorded_once(worker: Worker) -> None:
    inputs = worker.batch("plain", "twice").inputs
    first, second = (Batch(worker.ports, inputs, only_ends=True) for _ in range(2))
    await first.prepare()
    await second.prepare()
    ended = [await batch.finish_ends() for batch in (first, second)]
    assert ended[0] == ended[1] != [None, None]
    for step in inputs:
        told = [event["event_type"] for event in worker.events(step.execution_id)]
        assert told.count("execution_triggered") == told.count("execution_completed") == 1


async def test_a_tool_that_takes_long_holds_up_nobody_and_is_left_to_the_workflow(worker: Worker) -> None:
    worker.ports = replace(worker.ports, short_calls=ShortCalls(patience=0.05))
    batch = worker.batch("plain", "long", "plain")
    began = time.monotonic()
    await batch.prepare()
    results = await batch.finish()
    assert time.monotonic() - began < 1  # its fuel lasts for some seconds
    assert [result.outcome is not None for result in results] == [True, False, True]
    assert results[1].first is not None
    assert [call.name for call in results[1].first.calls] == ["long-tool.spin"]
    # It is in hand still, so it is not called again before it has ended, nor for a while after that.
    while worker.ports.short_calls.in_hand:
        await asyncio.sleep(0.01)
    await worker.open("long")
    assert worker.ports.short_calls.in_hand == 0


async def test_a_tool_that_took_long_is_avoided_for_longer_each_time_until_it_is_short_again() -> None:
    moment = 0.0

    async def takes(seconds: float) -> None:
        nonlocal moment
        moment += seconds

    found, function = ShortCalls(patience=0.02, clock=lambda: moment), ("sha256:1", "sum")
    for seconds in (1, 2, 4):
        await found.make([(function, lambda: takes(0.1))], found.deadline())
        moment += seconds - 0.01
        assert not found.expects(function)
        moment += 0.02
        assert found.expects(function)
    assert await found.make([(function, lambda: takes(0.01))], found.deadline())
    await found.make([(function, lambda: takes(0.1))], found.deadline())
    moment += 1.01
    assert found.expects(function)


async def test_of_a_burst_of_calls_of_an_unknown_function_one_is_tried() -> None:
    found, function, made = ShortCalls(), ("sha256:1", "sum"), 0

    async def takes_long() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0.1)

    done = await asyncio.gather(*(found.make([(function, takes_long)], found.deadline()) for _ in range(60)))
    assert not any(done)
    assert (made, found.in_hand) == (1, 1)
    await asyncio.sleep(0.2)
    assert not found.expects(function)
    await asyncio.sleep(1)  # one burst counts once
    assert found.expects(function)


async def test_calls_beyond_those_at_once_wait_and_what_waits_is_not_noted_as_long() -> None:
    found, made, most = ShortCalls(patience=5), 0, 0

    async def short() -> None:
        nonlocal made, most
        made, most = made + 1, max(most, found.in_hand)
        await asyncio.sleep(0.01)

    calls = [((f"sha256:{number}", "sum"), short) for number in range(20)]
    assert await found.make(calls, found.deadline())
    assert (made, most) == (20, 4)
    # Whose turn does not come in time is not called at all.
    assert not await found.make(calls, found.deadline() - 5)
    assert made == 20
    assert all(found.expects(function) for function, _ in calls)


async def test_limits_hold(worker: Worker) -> None:
    _, result = await worker.open("few")
    assert result.outcome is None  # the workflow tells that it may take two steps only
    answer = worker.api.post("/v1/messages", json={"capability": "few", "content": "x"})
    assert answer.json()["code"] == "step_limit_reached"


@pytest.mark.parametrize("name", ["careful", "governed"])
async def test_what_may_not_be_repeated_or_needs_a_person_is_left_to_the_workflow(worker: Worker, name: str) -> None:
    _, result = await worker.open(name)
    assert result.outcome is None
    assert result.first is not None
    assert len(result.first.calls) == 1


async def test_what_may_not_be_repeated_is_called_in_a_batch_once_it_is_known_to_be_short(worker: Worker) -> None:
    worker.ports = replace(worker.ports, batch_calls=ShortCalls(patience=5))
    for is_known in (False, True):
        batch = worker.batch("careful")
        [opened] = await do_steps(worker.ports, batch.inputs)
        assert opened.plan is not None
        step = step_of(StepKind.TOOL, batch.inputs[0], opened.plan, 1, 1)
        [result] = await do_steps(worker.ports, [step.model_copy(update={"yields": True})])
        called = [event for event in worker.events(step.execution_id) if event["event_type"] == "tool_executed"]
        assert (result.must_wait, len(called)) == (not is_known, is_known)
        if result.must_wait:
            assert await do_steps(worker.ports, [step]) == [StepResult()]


async def test_a_call_that_takes_long_is_ended_in_a_batch_and_nothing_of_it_is_recorded(worker: Worker) -> None:
    batch = worker.batch("long")
    worker.ports = replace(worker.ports, short_calls=Never())
    [opened] = await do_steps(worker.ports, batch.inputs)
    assert opened.plan is not None
    step = step_of(StepKind.TOOL, batch.inputs[0], opened.plan, 1, 1).model_copy(update={"yields": True})
    before = worker.events(step.execution_id)
    assert [result.must_wait for result in await do_steps(worker.ports, [step])] == [True]
    # Nobody tries again soon.
    began = time.monotonic()
    assert [result.must_wait for result in await do_steps(worker.ports, [step] * 10)] == [True] * 10
    assert time.monotonic() - began < WALL_TIME
    assert worker.events(step.execution_id) == before


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
