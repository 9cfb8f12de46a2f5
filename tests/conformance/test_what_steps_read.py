"""A step of a long turn reads what is new, and not again all that came before it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from caxton.adapters.store.database import sqlite_url
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.executions import Queue, StepKind, opening_of, step_of
from caxton.domain.ids import ExecutionId
from caxton.domain.records import StepRecord
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.parts import build_parts, step_ports
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from caxton.turns.perform import next_turn, perform
from caxton.turns.step import StepPorts
from tests.conftest import start_server, stop_server
from tests.support.agents import agent
from tests.support.deploying import deploy_files
from tests.support.tools import bundled_tool
from tests.support.turns import turn_request

ROUNDS = 12
CALL = '[[rules.steps]]\ntool = "csv-tools.parse"\narguments = { csv = "a,b\\n1,2" }\n'
RULES = f"delay = 0.01\n[[rules]]\n{CALL * ROUNDS}[[rules.steps]]\nreply = 'done'\n"


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[StepPorts]:
    """A store with an agent that makes one call after another, and nobody else at work."""
    store = sqlite_url(tmp_path / "data" / "caxton.db")
    process, running = start_server(tmp_path / "data", env={"CAXTON_STORE__URL": store})
    try:
        with running.client() as api:
            caller = agent("caller", rules=RULES, more='tools = ["csv-tools"]\n')
            deploy_files(api, tmp_path / "w", {**caller, **bundled_tool("csv-tools")})
    finally:
        stop_server(process)
    settings = Settings.model_validate({"data_dir": str(tmp_path / "data"), "store": {"url": store}})
    parts = build_parts(settings, DataFolder(tmp_path / "data"))
    parts.database.start_writer()
    yield step_ports(parts)
    await parts.close()


@pytest.mark.requirement("PRF-5")
async def test_steps_read_as_much_at_the_end_of_a_turn_as_at_its_beginning(
    ports: StepPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    steps, steps_from = SqlTransaction.steps, SqlTransaction.steps_from

    def counted(self: SqlTransaction, *args: Any) -> dict[ExecutionId, list[StepRecord]]:
        found = steps(self, *args)
        read.extend(len(each) for each in found.values())
        return found

    def counted_from(self: SqlTransaction, *args: Any) -> list[StepRecord]:
        found = steps_from(self, *args)
        read.append(len(found))
        return found

    monkeypatch.setattr(SqlTransaction, "steps", counted)
    monkeypatch.setattr(SqlTransaction, "steps_from", counted_from)
    request = turn_request("caller")
    [accepted] = await accept(ports, [request])
    assert accepted.state == "running"
    begun = await next_turn(ports, Queue(scope=request.scope, conversation_id=request.conversation_id))
    assert begun is not None
    plan = begun.opened.plan
    assert plan is not None
    rounds: list[int] = []
    done = begun.opened
    for number in range(1, ROUNDS + 2):
        read.clear()
        done = await perform(ports, step_of(StepKind.MODEL, opening_of(request), plan, number))
        for call in done.calls:
            await perform(ports, step_of(StepKind.TOOL, opening_of(request), plan, number, call.call))
        rounds.append(sum(read))
    assert done.ended
    assert len(done.calls) == 0
    assert max(rounds) <= 2, rounds  # the step before it and its call
