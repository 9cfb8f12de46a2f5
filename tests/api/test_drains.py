"""Draining: what a version has in progress when it is replaced is finished by it, and that is seen."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from caxton.adapters.store import clock
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.schema import deadlines
from caxton.deploying.drains import KIND
from caxton.domain.drains import Drain
from caxton.domain.ids import Scope
from caxton.domain.records import Deadline, Transaction
from caxton.recording import journal
from tests.api.conftest import Deploy
from tests.api.test_failures import calls, hostile
from tests.api.test_rollouts import begin, latest, say, tell
from tests.api.test_schedules import events
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_folder, write_files
from tests.support.waiting import until

SLOW = 2.0


def clerk(number: int, *, delay: float = 0) -> dict[str, str | bytes]:
    return agent("clerk", version=f"{number}.0.0", rules=replies(f"v{number}: {{{{ request }}}}", delay=delay))


def state(api: httpx.Client, deployment: str) -> str:
    return api.get(f"/v1/deployments/{deployment}").raise_for_status().json()["state"]


def drains(api: httpx.Client, **options: Any) -> list[dict[str, Any]]:
    return api.get("/v1/drains", params=options).raise_for_status().json()["drains"]


def begin_turn(api: httpx.Client, capability: str = "clerk") -> str:
    sent = api.post("/v1/messages", params={"wait": "false"}, json={"capability": capability, "content": "x"})
    execution = sent.raise_for_status().json()["execution_id"]
    until(lambda: api.get(f"/v1/executions/{execution}").json().get("agent"))
    return execution


def answer(api: httpx.Client, execution: str) -> str:
    def done() -> str | None:
        found = api.get(f"/v1/executions/{execution}").raise_for_status().json()
        assert found["state"] != "failed", found
        return found["reply"]["content"]["text"] if found["state"] == "completed" else None

    return until(done, seconds=60)


def of_deployment(api: httpx.Client, deployment: str) -> list[str]:
    found = api.get("/v1/events", params={"limit": 1000}).raise_for_status().json()["events"]
    return [each["event_type"] for each in found if each.get("deployment_id") == deployment]


@pytest.mark.requirement("DEP-7")
def test_a_turn_that_began_before_an_update_is_finished_by_its_version(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy(clerk(1, delay=SLOW))["id"]
    assert state(api, first) == "Running"
    turn = begin_turn(api)
    second = deploy(clerk(2))["id"]
    assert state(api, first) == "Draining"
    [drain] = drains(api, deployment=first)
    facts = ("kind", "name", "version", "turns", "conversations", "deployment_id")
    assert tuple(drain[name] for name in facts) == ("agent", "clerk", "1.0.0", 1, 0, first)
    assert drains(api, deployment=second) == []
    assert answer(api, turn) == "v1: x"
    until(lambda: state(api, first) == "Superseded", seconds=30)
    assert drains(api) == []
    assert state(api, second) == "Running"
    found = of_deployment(api, first)
    steps = ["deployment_created", "deployment_configured", "deployment_activated"]
    steps += ["version_draining", "deployment_draining", "version_drained", "deployment_superseded"]
    assert [each for each in found if each in steps] == steps
    [drained] = events(api, "version_drained")
    assert drained["payload"]["reason"] == "finished"


@pytest.mark.requirement("DEP-7")
def test_without_work_in_hand_nothing_drains(api: httpx.Client, deploy: Deploy) -> None:
    both = deploy({**clerk(1), **agent("other", rules=replies("x"))})["id"]
    second = deploy(clerk(2))["id"]
    assert state(api, both) == "Running", "one of its two agents is live"
    deploy({**clerk(3), **agent("other", version="2.0.0", rules=replies("y"))})
    assert (state(api, both), state(api, second)) == ("Superseded", "Superseded")
    assert events(api, "version_draining") == []
    assert len(events(api, "deployment_superseded")) == 2


@pytest.mark.requirement("DEP-7", "DEP-5")
def test_a_conversation_keeps_its_version_draining_until_it_ends(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy(clerk(1))["id"]
    talk = api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"]
    assert say(api, talk, "a") == "v1"
    deploy(clerk(2))
    assert state(api, first) == "Draining"
    assert [each["conversations"] for each in drains(api)] == [1]
    assert say(api, talk, "b") == "v1"
    later = api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"]
    assert say(api, later, "c") == "v2"
    assert [each["conversations"] for each in drains(api)] == [1], "only what began with the old version"
    api.post(f"/v1/conversations/{talk}/end", json={}).raise_for_status()
    until(lambda: state(api, first) == "Superseded", seconds=60)


@pytest.mark.requirement("DEP-7", "DEP-5")
def test_a_deployment_that_is_undone_drains_and_is_rolled_back_after_that(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy(clerk(1))["id"]
    second = deploy(clerk(2, delay=SLOW))["id"]
    turn = begin_turn(api)
    rolled = api.post(f"/v1/deployments/{second}/rollback").raise_for_status().json()
    shown = api.get(f"/v1/deployments/{second}").json()
    assert (shown["state"], shown["becomes"]) == ("Draining", "RolledBack")
    again = api.post(f"/v1/deployments/{second}/rollback")
    assert again.status_code == 409
    assert "undone already" in again.json()["detail"]
    assert answer(api, turn) == "v2: x"
    until(lambda: state(api, second) == "RolledBack", seconds=30)
    assert [state(api, each) for each in (first, rolled["id"])] == ["Superseded", "Running"]
    assert [each["deployment_id"] for each in events(api, "deployment_rolled_back")] == [second]
    assert api.post(f"/v1/deployments/{first}/rollback").status_code == 201, "an older one can be undone as well"


@pytest.mark.requirement("DEP-7")
def test_a_version_that_is_live_again_does_not_drain(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy(clerk(1))["id"]
    talk = api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"]
    assert say(api, talk, "a") == "v1"
    second = deploy(clerk(2))["id"]
    assert state(api, first) == "Draining"
    api.post(f"/v1/deployments/{second}/rollback").raise_for_status()
    assert drains(api) == []
    assert state(api, first) == "Superseded", "its version is live by the rollback now"
    assert [each["payload"]["reason"] for each in events(api, "version_drained")] == ["live_again"]
    assert say(api, talk, "b") == "v1"


@pytest.mark.requirement("DEP-7", "DEP-6")
def test_a_candidate_that_is_taken_back_finishes_what_it_has_in_hand(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, "stages = [{ percent = 99.9, sample = 1000 }]")
    talk = api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"]
    assert say(api, talk, "a") == "v2"
    rollout = latest(api)
    assert tell(api, "abort").json()["state"] == "RolledBack"
    assert state(api, rollout["deployment_id"]) == "Draining"
    assert [(each["version"], each["conversations"]) for each in drains(api)] == [("2.0.0", 1)]
    assert say(api, talk, "b") == "v2", "it finishes with it"
    api.post(f"/v1/conversations/{talk}/end", json={}).raise_for_status()
    until(lambda: state(api, rollout["deployment_id"]) == "RolledBack", seconds=60)


@pytest.mark.requirement("DEP-7", "DEP-6")
def test_a_promotion_drains_the_old_version_and_an_undo_brings_it_back(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy(clerk(1))["id"]
    talk = api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"]
    assert say(api, talk, "a") == "v1"
    more = '\n[rollout]\nlook_every = "0.2s"\nstages = [{ percent = 5, sample = 1000 }]\n'
    second = deploy(agent("clerk", version="2.0.0", rules=replies("v2: x"), more=more))["id"]
    assert (state(api, first), drains(api)) == ("Running", [])
    tell(api, "promote", full=True).raise_for_status()
    assert (state(api, first), state(api, second)) == ("Draining", "Running")
    tell(api, "undo").raise_for_status()
    assert (state(api, first), state(api, second)) == ("Running", "RolledBack")
    assert drains(api) == []


def let_pass(server: RunningServer, workspace: str, *, days: float) -> None:
    """Has the version that drains in a workspace done so for so much longer, and waits until somebody has looked."""
    scope, database = Scope(workspace=workspace), Database(sqlite_url(server.data_dir / "caxton.db"))

    def age(transaction: Transaction) -> Drain:
        [drain] = transaction.drains(scope)
        transaction.put_drain(drain.model_copy(update={"began_at": drain.began_at - timedelta(days=days)}))
        now = journal.now()
        assert transaction.postpone_deadline(Deadline(scope, drain.id, KIND, 0, now, {}), now, 0), "its look is noted"
        return drain

    try:
        aged = database.write_now(age)
        due = select(deadlines.c.due_at).where(deadlines.c.execution_id == aged.id)
        later = clock.from_datetime(journal.now() + timedelta(minutes=5))
        until(lambda: database.read_now(lambda tx: tx.connection.execute(due).scalar_one()) > later, seconds=60)
    finally:
        database.close()


@pytest.mark.requirement("DEP-7", "DEP-5")
def test_conversations_that_outlast_the_time_of_their_version_go_on_with_the_live_one(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str
) -> None:
    first = deploy(clerk(1))["id"]
    talk, other = (api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"] for _ in range(2))
    assert [say(api, each, "a") for each in (talk, other)] == ["v1", "v1"]
    second = deploy(clerk(2))["id"]
    let_pass(caxton_server, workspace, days=6)
    [drain] = drains(api)
    assert (drain["conversations"], drain["moves"]) == (2, False)
    assert [say(api, talk, "b"), state(api, first)] == ["v1", "Draining"], "its week has not passed"
    let_pass(caxton_server, workspace, days=2)
    [drain] = drains(api)
    assert (drain["version"], drain["conversations"], drain["moves"]) == ("1.0.0", 2, True)
    assert state(api, first) == "Superseded", "a deployment waits for its versions, but not for ever"
    assert [say(api, each, "c") for each in (talk, other)] == ["v2", "v2"]
    [drained] = events(api, "version_drained")
    assert (drained["payload"]["reason"], drained["payload"]["conversations"]) == ("time_passed", 2)
    api.post(f"/v1/deployments/{second}/rollback").raise_for_status()
    assert drains(api) == [], "neither what is live again nor what no conversation began with"
    assert say(api, talk, "d") == "v1"
    assert len(events(api, "version_drained")) == 1, "its end was told already"


@pytest.mark.requirement("DEP-7")
def test_a_turn_that_outlasts_the_time_of_its_version_is_finished_by_it(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str
) -> None:
    asks = '[{ name = "clerk", approval_mode = "operator", risk_level = "medium", approval_timeout = "1h" }]'
    first = deploy(agent("clerk", capabilities=asks, rules=replies("v1: {{ request }}")))["id"]
    turn = begin_turn(api)
    [waiting] = until(lambda: api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"])
    deploy(clerk(2))
    let_pass(caxton_server, workspace, days=8)
    [drain] = drains(api)
    assert (drain["turns"], drain["moves"], state(api, first)) == (1, True, "Superseded")
    api.post(f"/v1/approvals/{waiting['id']}/grant", json={}).raise_for_status()
    assert answer(api, turn) == "v1: x"
    assert drains(api) == []
    [drained] = events(api, "version_drained")
    assert (drained["payload"]["reason"], drained["payload"]["turns"]) == ("time_passed", 1)


@pytest.mark.requirement("TOL-9", "DEP-7")
def test_a_call_that_began_before_a_tool_was_updated_is_finished_by_the_old_version(
    api: httpx.Client, deploy: Deploy, tmp_path: Path
) -> None:
    old = hostile(wall_time='"3s"', fuel="1_000_000_000_000")
    first = deploy({**old, **agent("user", rules=calls("spin"), more='tools = ["hostile"]\n')})["id"]
    fuel = {"tool": "hostile", "limits": {"fuel": 10**12}}
    api.post("/v1/tool-grants", json=fuel).raise_for_status()
    turn = begin_turn(api, "user")
    new = {name: content for name, content in old.items() if name.endswith(".wasm")}
    manifest = str(old["tools/hostile/tool.toml"]).replace("1.0.0", "2.0.0").replace('"3s"', '"200ms"')
    folder = write_files(tmp_path / "new", {"tools/hostile/tool.toml": manifest, **new})
    second = deploy_folder(api, folder).raise_for_status().json()["id"]
    assert api.get("/v1/tools/hostile").json()["version"] == "2.0.0"
    [drain] = drains(api)
    assert (drain["kind"], drain["name"], drain["version"], drain["calls"]) == ("tool", "hostile", "1.0.0", 1)
    assert state(api, first) == "Running", "its agent is live"
    text = answer(api, turn)
    assert text.startswith("failed: ")
    assert "3 s" in text, "the limit of the version that it began with"
    until(lambda: [each["payload"]["kind"] for each in events(api, "version_drained")] == ["tool"], seconds=60)
    assert drains(api) == []
    assert state(api, second) == "Running"
