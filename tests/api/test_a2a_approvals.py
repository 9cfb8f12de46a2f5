"""Several approvals of one task of the A2A protocol are told apart."""

import httpx
import pytest
from a2a.types.a2a_pb2 import TaskState
from a2a.utils.errors import InvalidParamsError

from tests.api.conftest import Deploy
from tests.api.test_approvals import guarded, pending
from tests.api.test_failures import calls
from tests.conftest import RunningServer
from tests.support.a2a import a2a_client, plain, said, send, with_data


@pytest.mark.requirement("FAC-9", "SEC-9")
async def test_a_yes_is_not_taken_for_an_approval_that_its_sender_has_not_seen(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy
) -> None:
    files = guarded()
    rules = calls("ok")
    files["agents/teller.script.toml"] = rules.replace("reply =", 'tool = "hostile.ok"\n[[rules.steps]]\nreply =')
    deploy(files)
    async with a2a_client(caxton_server, workspace, "teller", streaming=False) as client:
        task = await send(client, said("x"))
        [first] = pending(api)
        task = await send(client, said("approve", task_id=task.id))
        assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        [second] = pending(api)
        assert second["id"] != first["id"]
        assert f'"approve {second["id"]}"' in plain(task.status.message.parts[0])["text"]
        for again in (said("approve", task_id=task.id), with_data({"decision": "approve"}, task_id=task.id)):
            with pytest.raises(InvalidParamsError, match="several approvals"):  # the first answer was lost, perhaps
                await send(client, again)
        task = await send(client, said(f"approve {first['id']}", task_id=task.id))
        assert [each["id"] for each in pending(api)] == [second["id"]], "it was decided before, and changes nothing"
        task = await send(client, said(f"approve {second['id']}: seen", task_id=task.id))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        assert api.get(f"/v1/approvals/{second['id']}").json()["reason"] == "seen"
