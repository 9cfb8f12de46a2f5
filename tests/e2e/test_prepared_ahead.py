"""First steps that are prepared while their requests are on their way: what is prepared is only used if nothing has changed."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from caxton.activities.batch import Batch, do_steps_as_json
from caxton.activities.step import StepPorts
from caxton.domain.executions import StepResult, opening_of
from caxton.domain.ids import Scope
from caxton.runtime import ahead
from caxton.runtime.ahead import Ahead
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.payloads import data_converter
from caxton.runtime.settings import Settings
from caxton.runtime.wiring import build_parts, step_ports
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.turns import turn_request


@dataclass
class Opener:
    """What opens turns, in this process, on the database of a server."""

    ports: StepPorts
    ahead: Ahead
    api: Any
    scope: Scope
    folder: Path

    def steps(self, *texts: str, conversation: str | None = None) -> bytes:
        """First steps, as a workflow asks for them; of one-shot requests, unless they belong to a conversation."""
        requests = [turn_request("echo", text, scope=self.scope, conversation=conversation) for text in texts]
        steps = [opening_of(request, yields=True) for request in requests]
        return data_converter.payload_converter.to_payload(steps).data

    def turn(self, batch: Batch, number: int = 0) -> Any:
        return self.api.get(f"/v1/executions/{batch.inputs[number].execution_id}")


@pytest.fixture
async def opener(caxton_server: RunningServer, workspace: str, tmp_path: Path) -> AsyncIterator[Opener]:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", agent("echo", rules=replies("{{ request }}")))
        settings = Settings(data_dir=caxton_server.data_dir)
        parts = build_parts(settings, DataFolder(caxton_server.data_dir))
        ports = replace(step_ports(parts), only_opens=True)
        made = Ahead(lambda steps: Batch.of_json(ports, steps))
        try:
            yield Opener(ports, made, api, Scope(workspace=workspace), tmp_path)
        finally:
            await parts.close()


@pytest.mark.requirement("PRF-2")
async def test_nothing_is_written_before_it_is_asked_for(opener: Opener) -> None:
    steps = opener.steps("one", "two")
    opener.ahead.begin(steps)
    batch = await opener.ahead.take(steps)
    assert batch is not None
    assert opener.turn(batch).status_code == 404
    results = await batch.finish()
    assert [result.outcome.state for result in results if result.outcome] == ["completed", "completed"]
    assert [opener.turn(batch, number).json()["reply"]["content"]["text"] for number in (0, 1)] == ["one", "two"]
    assert await opener.ahead.take(steps) is None


async def test_only_the_same_steps_are_taken(opener: Opener) -> None:
    opener.ahead.begin(opener.steps("one"))
    assert await opener.ahead.take(opener.steps("one")) is None


async def test_what_was_prepared_for_other_agents_than_are_there_now_is_not_used(opener: Opener) -> None:
    steps = opener.steps("one")
    opener.ahead.begin(steps)
    await asyncio.sleep(0.1)
    deploy_files(opener.api, opener.folder / "w", agent("echo", rules=replies("better"), version="1.0.1"))
    assert await opener.ahead.take(steps) is None


async def test_what_was_prepared_before_another_message_of_the_conversation_is_not_used(opener: Opener) -> None:
    conversation = opener.api.post("/v1/conversations", json={"capability": "echo"}).json()["id"]
    for is_used in (True, False):
        steps = opener.steps("one", conversation=conversation)
        opener.ahead.begin(steps)
        await asyncio.sleep(0.1)
        if not is_used:
            opener.api.post(f"/v1/conversations/{conversation}/messages", json={"content": "two"}).raise_for_status()
        batch = await opener.ahead.take(steps)
        assert (batch is not None) == is_used


async def test_what_was_prepared_long_ago_is_not_used(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "KEPT_FOR", 0.05)
    steps = opener.steps("one")
    opener.ahead.begin(steps)
    assert len(opener.ahead) == 1
    await asyncio.sleep(0.1)
    assert len(opener.ahead) == 0
    assert await opener.ahead.take(steps) is None


async def test_what_another_attempt_recorded_meanwhile_is_found_recorded(opener: Opener) -> None:
    steps = opener.steps("one", "two")
    opener.ahead.begin(steps)
    batch = await opener.ahead.take(steps)
    assert batch is not None
    first = TypeAdapter(list[StepResult]).validate_json(await do_steps_as_json(opener.ports, steps))
    assert await batch.finish() == first
    for step in batch.inputs:
        told = opener.api.get(f"/v1/executions/{step.execution_id}/events").json()["events"]
        assert [event["event_type"] for event in told].count("execution_triggered") == 1


def test_a_server_prepares_what_is_on_its_way(caxton_server: RunningServer, workspace: str, tmp_path: Path) -> None:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", agent("echo", rules=replies("{{ request }}")))
        conversation = api.post("/v1/conversations", json={"capability": "echo"}).json()["id"]
        before, until = prepared(api), time.monotonic() + 20
        while prepared(api) < before + 3:  # its helper may still be starting
            assert time.monotonic() < until
            answer = api.post(f"/v1/conversations/{conversation}/messages", json={"content": "hello"})
            assert answer.json()["reply"]["content"]["text"] == "hello"


def prepared(api: Any) -> float:
    lines = api.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith('caxton_batches_opened_total{how="prepared"')
    )
