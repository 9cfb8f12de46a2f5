"""A request that cannot be recorded harms nobody but itself, on both stores."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from caxton.adapters.store.database import sqlite_url
from caxton.domain.errors import CaxtonError
from caxton.domain.executions import (
    Accepted,
    ExecutionState,
    Queue,
    StepDone,
    StepKind,
    TurnRequest,
    opening_of,
    step_of,
)
from caxton.domain.messages import Content
from caxton.domain.records import Transaction
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.parts import build_parts, step_ports
from caxton.runtime.settings import Settings
from caxton.service.fast_path import FastPath
from caxton.turns.accept import accept
from caxton.turns.model_step import ModelStep
from caxton.turns.opening import Opening
from caxton.turns.perform import next_turn, perform
from caxton.turns.step import StepPorts
from tests.conftest import start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.postgres import Postgres
from tests.support.turns import turn_request

CANNOT_BE_KEPT = ["half of a character: \ud800", "a NUL: \0"]
"""Neither comes through the door; something like it may, some day."""


@dataclass
class Deployed:
    """A server's folder and store, with agents, and nobody else at work."""

    ports: StepPorts
    is_sqlite: bool


STORES = [pytest.param(store, marks=pytest.mark.xdist_group(f"poison-{store}")) for store in ("sqlite", "postgresql")]
"""One worker makes what the tests of a store share."""


@pytest.fixture(scope="module", params=STORES)
async def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployed]:
    is_sqlite, tmp_path = request.param == "sqlite", tmp_path_factory.mktemp("poison")
    store = sqlite_url(tmp_path / "data" / "caxton.db")
    if not is_sqlite:
        server: Postgres = request.getfixturevalue("postgres")
        store = server.new_store()
    process, running = start_server(tmp_path / "data", env={"CAXTON_STORE__URL": store})
    try:
        with running.client() as api:
            files = {**agent("echo", rules=replies("{{ request }}")), **agent("slow", rules=replies("x", delay=0.1))}
            deploy_files(api, tmp_path / "w", files)
    finally:
        stop_server(process)
    settings = Settings.model_validate({"data_dir": str(tmp_path / "data"), "store": {"url": store}})
    parts = build_parts(settings, DataFolder(tmp_path / "data"))
    parts.database.start_writer()
    yield Deployed(step_ports(parts), is_sqlite)
    await parts.close()


def poisoned(request: TurnRequest, text: str) -> TurnRequest:
    """`request` with a content that the store may not take; the service packs it otherwise."""
    return request.model_copy(update={"content": Content(text=text, size=len(text))})


@pytest.mark.requirement("MSG-9")
@pytest.mark.parametrize("text", CANNOT_BE_KEPT)
async def test_what_the_store_does_not_take_is_refused_alone(deployed: Deployed, text: str) -> None:
    requests = [turn_request("echo", f"request {number}") for number in range(20)]
    requests[7] = poisoned(requests[7], text)
    began = time.monotonic()
    found = await accept(deployed.ports, requests)
    assert time.monotonic() - began < 30
    taken = deployed.is_sqlite and "\0" in text
    assert [each.state for each in found] == ["ended" if n != 7 or taken else "refused" for n in range(20)]
    if taken:
        return
    assert found[7].error is not None
    assert not found[7].error.retryable
    [again] = await accept(deployed.ports, [turn_request("echo", "and on it goes")])
    assert again.state == "ended"


@pytest.mark.requirement("MSG-9")
async def test_a_request_whose_recording_fails_is_refused_alone(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Opening.record

    def fails(self: Opening, transaction: Transaction) -> Any:
        if self.request.content.text == "bad":
            raise ZeroDivisionError
        return record(self, transaction)

    monkeypatch.setattr(Opening, "record", fails)
    fast_path = FastPath(lambda batch: accept(deployed.ports, batch), most_waiting=1_000)
    requests = [turn_request("slow" if n % 2 else "echo", "bad" if n % 10 == 5 else f"{n}") for n in range(60)]
    began = time.monotonic()
    found = await asyncio.gather(*(fast_path.submit(request) for request in requests), return_exceptions=True)
    assert time.monotonic() - began < 30
    for number, each in enumerate(found):
        if number % 10 == 5:
            assert isinstance(each, CaxtonError)
            assert (each.code, each.reason) == ("internal", "ZeroDivisionError")
        else:
            assert isinstance(each, Accepted), each
            assert each.state == ("running" if number % 2 else "ended")


@pytest.mark.requirement("MSG-9")
async def test_a_step_whose_recording_fails_ends_its_turn_and_no_other(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ModelStep.record
    requests = [turn_request("slow", f"request {number}") for number in range(5)]
    bad = requests[2].execution_id

    def fails(self: ModelStep, transaction: Transaction) -> Any:
        if self.input.execution_id == bad:
            raise ZeroDivisionError
        return record(self, transaction)

    monkeypatch.setattr(ModelStep, "record", fails)
    accepted = await accept(deployed.ports, requests)
    assert {each.state for each in accepted} == {"running"}
    began = time.monotonic()
    done = await asyncio.gather(*(first_step(deployed.ports, request) for request in requests))
    assert time.monotonic() - began < 30
    assert all(each.ended for each in done)
    found = await deployed.ports.records.read(
        lambda transaction: transaction.executions(requests[0].scope, [each.execution_id for each in requests])
    )
    for request in requests:
        execution = found[request.execution_id].execution
        if request.execution_id == bad:
            assert execution.state is ExecutionState.FAILED
            assert execution.error is not None
            assert execution.error.code == "internal"
        else:
            assert execution.state is ExecutionState.COMPLETED


async def first_step(ports: StepPorts, request: TurnRequest) -> StepDone:
    """Does what a workflow has done of a turn until its model has answered."""
    begun = await next_turn(ports, Queue(scope=request.scope, conversation_id=request.conversation_id))
    assert begun is not None
    assert begun.opened.plan is not None
    return await perform(ports, step_of(StepKind.MODEL, opening_of(request), begun.opened.plan, 1))
