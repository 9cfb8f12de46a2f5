"""An execution that a killed worker began, and nobody asked for again, gets its end."""

from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from caxton.activities.batch import do_steps
from caxton.domain.executions import StepInput, StepKind
from caxton.domain.ids import Scope
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.settings import Settings
from caxton.runtime.temporal import connect
from caxton.runtime.wiring import build_parts, step_ports
from caxton.service.engine import Engine
from caxton.service.forsaken import Forsaken
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.turns import turn_request


@pytest.mark.requirement("EVT-2")
async def test_what_nobody_works_on_any_more_is_ended_and_what_is_at_work_is_not(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    with caxton_server.client(workspace) as api:
        files = {
            **agent("slow", rules=replies("done", delay=3)),
            **agent("echo", rules=replies("{{ request }}", delay=0.1)),
        }
        deploy_files(api, tmp_path / "w", files)
        at_work = api.post("/v1/messages", json={"capability": "slow", "content": "x"}, params={"wait": "false"})
        address = api.get("/v1/server").json()["engine"]["address"]
        settings = Settings(data_dir=caxton_server.data_dir)
        parts = build_parts(settings, DataFolder(caxton_server.data_dir))
        try:
            client: Client = await connect(settings.temporal, address)
            ports = step_ports(parts)
            scope = Scope(workspace=workspace)
            request = turn_request("echo", scope=scope)
            left = request.execution_id
            # What a worker does before it is killed: the opening is recorded, and the engine never hears of it.
            [opened] = await do_steps(
                ports, [StepInput(kind=StepKind.OPEN, scope=scope, execution_id=left, root_id=left, request=request)]
            )
            assert opened.plan is not None
            while api.get(f"/v1/executions/{at_work.json()['execution_id']}").status_code != 200:
                pass
            forsaken = Forsaken(
                parts.database, Engine(client, settings.temporal.task_queue), lambda s: do_steps(ports, s), timedelta(0)
            )
            await forsaken.sweep()
        finally:
            await parts.close()
        ended = api.get(f"/v1/executions/{left}").json()
        assert ended["state"] == "failed"
        assert ended["error"]["code"] == "execution_abandoned"
        assert ended["error"]["hints"][0]["text"] == "ask again"
        assert api.get(f"/v1/executions/{at_work.json()['execution_id']}").json()["state"] == "running"
        assert api.get(f"/v1/executions/{left}/replay").json()["differences"] == []
        types = [event["event_type"] for event in api.get(f"/v1/executions/{left}/events").json()["events"]]
        assert types[0] == "execution_triggered"
        assert types[-1] == "execution_failed"
