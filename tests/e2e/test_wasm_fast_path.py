"""Agents that are components, as they are accepted: those that can be are answered in one transaction."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from caxton.domain.ids import Scope
from caxton.runtime.fast_path_ports import build_fast_path_ports
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from caxton.turns.short_calls import ShortCalls
from tests.conftest import RunningServer
from tests.e2e.test_run_to_completion import Worker
from tests.support.deploying import deploy_files
from tests.support.tools import bundled_tool
from tests.support.turns import turn_request
from tests.support.wasm_agents import wasm_agent

AGENTS: dict[str, str | bytes] = {
    **wasm_agent(),
    **wasm_agent("with-tools", more='tools = ["csv-tools"]'),
    **wasm_agent("shared", wasm='state = "agent"'),
    **wasm_agent("online", wasm='permissions = { network = ["https://example.com"] }'),
    **bundled_tool("csv-tools"),
}


@pytest.fixture
async def worker(caxton_server: RunningServer, workspace: str, tmp_path: Path) -> AsyncIterator[Worker]:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", AGENTS)
        ports, close = build_fast_path_ports(Settings(data_dir=caxton_server.data_dir))
        patient = replace(ports, short_calls=ShortCalls(5, 5, of_agents=10))  # machines that run tests are busy
        try:
            yield Worker(patient, api, Scope(workspace=workspace))
        finally:
            close()


async def accepted(worker: Worker, *requests: tuple[str, str]) -> list[str]:
    """What becomes of requests, by agent and text, in one batch."""
    batch = [turn_request(name, text, scope=worker.scope) for name, text in requests]
    return [each.state for each in await accept(worker.ports, batch)]


@pytest.mark.requirement("AGT-7")
async def test_what_reaches_nothing_outside_is_answered_in_one_transaction(worker: Worker) -> None:
    assert await accepted(worker, ("clerk", "echo first")) == ["ended"]  # what nothing is known of is tried by one
    several = [("clerk", "echo hello"), ("clerk", "count"), ("with-tools", "tool csv-tools.parse")]
    assert await accepted(worker, *several) == ["ended"] * 3


@pytest.mark.requirement("AGT-7")
async def test_what_may_not_be_done_twice_or_shares_its_state_is_left_to_the_workflow(worker: Worker) -> None:
    assert await accepted(worker, ("shared", "count"), ("online", "echo hello"), ("clerk", "trap")) == ["running"] * 3


@pytest.mark.requirement("AGT-7")
async def test_what_takes_long_keeps_nobody_waiting(worker: Worker) -> None:
    # All is long, however fast the machine; and time goes slowly, however long a busy one takes from one to the next.
    hardly_any = ShortCalls(1e-6, of_agents=10, clock=lambda: time.monotonic() / 100)
    impatient = replace(worker, ports=replace(worker.ports, short_calls=hardly_any))
    assert await accepted(impatient, ("clerk", "spin")) == ["running"]
    assert await accepted(impatient, ("clerk", "echo hello")) == ["running"]  # it is avoided for a while


@pytest.mark.requirement("AGT-7")
async def test_state_is_recorded_with_the_step_in_one_transaction(worker: Worker) -> None:
    requests = [
        turn_request("clerk", "count", scope=worker.scope, conversation="c_1k57w0g6nrk3v3e5y2q8zt") for _ in range(3)
    ]
    for request in requests:
        [done] = await accept(worker.ports, [request])
        assert done.state == "ended"
        [again] = await accept(worker.ports, [request])  # who asks again gets the same answer, and counts nothing
        assert again.outcome is not None
        assert done.outcome is not None
        assert again.outcome.reply_id == done.outcome.reply_id
    kept = await worker.ports.records.read(
        lambda transaction: transaction.agent_state(worker.scope, "clerk", requests[0].conversation_id)
    )
    assert (kept.values, kept.revision) == ({"count": "3"}, 3)
