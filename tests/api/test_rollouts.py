"""Rollouts: a new version gets a part of the traffic, is compared, and goes live or goes away by itself."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_schedules import events
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_folder, write_files
from tests.support.waiting import until

HALF = "stages = [{ percent = 50, sample = 5 }]"


def version(number: int, *, rollout: str = "", text: str | None = None, name: str = "clerk") -> dict[str, str | bytes]:
    """A version of an agent that says which one it is."""
    more = f'\n[rollout]\nlook_every = "0.2s"\n{rollout}\n' if rollout else ""
    return agent(name, version=f"{number}.0.0", rules=text or replies(f"v{number}: {{{{ request }}}}"), more=more)


FAILS = "[[rules]]\n[[rules.steps]]\nfail = 'no'\n"


def begin(deploy: Deploy, rollout: str, *, candidate: str | None = None) -> None:
    """Deploys version 1, and version 2 as a candidate."""
    deploy(version(1))
    [change] = [c for c in deploy(version(2, rollout=rollout, text=candidate))["changes"] if c["action"] == "modified"]
    assert change["rollout"]


def latest(api: httpx.Client, agent_name: str = "clerk") -> dict[str, Any]:
    return api.get("/v1/rollouts", params={"agent": agent_name}).raise_for_status().json()["rollouts"][0]


def tell(api: httpx.Client, command: str, **body: Any) -> httpx.Response:
    return api.post(f"/v1/rollouts/{latest(api)['id']}/{command}", json=body)


def ask(api: httpx.Client, text: str = "hello") -> str:
    """The version that answered, or "failed"."""
    answer = api.post("/v1/messages", params={"wait": "true"}, json={"capability": "clerk", "content": text}).json()
    return answer["reply"]["content"]["text"].partition(":")[0] if answer.get("state") == "completed" else "failed"


def shares(api: httpx.Client, count: int = 40) -> Counter[str]:
    return Counter(ask(api) for _ in range(count))


def live_version(api: httpx.Client) -> str:
    return api.get("/v1/agents/clerk").raise_for_status().json()["version"]


@pytest.mark.requirement("DEP-6", "DEP-7")
def test_a_canary_gets_its_share_and_conversations_never_change_side(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, "stages = [{ percent = 30, sample = 1000 }, { percent = 60, sample = 1000 }]")
    talks: dict[str, str] = {}
    for number in range(12):
        made = api.post("/v1/conversations", json={"capability": "clerk"}).raise_for_status().json()["id"]
        talks[made] = say(api, made, f"{number}")
    assert live_version(api) == "1.0.0"
    first = shares(api, 60)
    assert set(first) == {"v1", "v2"}
    assert 4 <= first["v2"] <= 35  # 18 are expected
    assert {talk: say(api, talk, "again") for talk in talks} == talks
    assert tell(api, "promote").json()["percent"] == 60
    assert {talk: say(api, talk, "and again") for talk in talks} == talks
    assert tell(api, "promote", full=True).json()["state"] == "Promoted"
    assert shares(api, 5) == {"v2": 5}
    assert live_version(api) == "2.0.0"
    assert {talk: say(api, talk, "still") for talk in talks} == talks
    assert [each["event_type"] for each in events(api, "rollout_started")] == ["rollout_started"]
    assert events(api, "rollout_promoted")[0]["payload"]["candidate"] == "2.0.0"


def say(api: httpx.Client, talk: str, text: str) -> str:
    answer = api.post(f"/v1/conversations/{talk}/messages", params={"wait": "true"}, json={"content": text})
    return answer.raise_for_status().json()["reply"]["content"]["text"].partition(":")[0]


@pytest.mark.requirement("DEP-6", "DEP-9")
def test_a_worse_candidate_is_rolled_back_by_itself_and_a_good_one_goes_live(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, HALF, candidate=FAILS)

    def over() -> dict[str, Any] | None:
        ask(api)
        found = latest(api)
        return found if found["state"] != "Progressing" else None

    found = until(over, seconds=120)
    assert (found["state"], found["verdict"], found["percent"]) == ("RolledBack", "bad", None)
    assert "messages failed" in found["reason"]
    known = api.get("/v1/breakers").raise_for_status().json()["breakers"]
    assert not [each for each in known if each["state"] != "Closed"], "a bad candidate does not stop the live version"
    assert shares(api, 10) == {"v1": 10}
    [event] = events(api, "rollout_rolled_back")
    assert event["agent"] == "clerk"
    assert {each["payload"]["verdict"] for each in events(api, "rollout_judged")} >= {"bad"}
    # A turn that the candidate had begun is finished first.
    until(lambda: api.get(f"/v1/deployments/{found['deployment_id']}").json()["state"] == "RolledBack")

    deploy(version(3, rollout=HALF))
    found = until(over, seconds=120)
    assert (found["state"], found["verdict"]) == ("Promoted", "good")
    assert live_version(api) == "3.0.0"


@pytest.mark.requirement("DEP-9")
def test_no_messages_are_no_verdict(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, HALF + '\nlongest = "1s"\non_inconclusive = "pause"')
    found = until(lambda: (each := latest(api))["state"] == "Paused" and each, seconds=60)
    assert (found["verdict"], found["percent"]) == ("inconclusive", 50)
    assert "not enough to tell" in found["reason"]
    assert set(shares(api)) == {"v1", "v2"}  # the shares stay as they are


@pytest.mark.requirement("DEP-6")
def test_commands_are_legal_in_their_states_and_abort_always_wins(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, "stages = [{ percent = 50, sample = 1000 }]\nafter_abort = 'move'")
    talk = next(
        made
        for made in (api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"] for _ in range(60))
        if say(api, made, "hello") == "v2"
    )
    for command in ("resume", "retry", "undo"):
        refused = tell(api, command)
        assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state"), command
        assert refused.json()["details"]["legal"] == ["pause", "promote", "abort"]
    assert tell(api, "pause", reason="lunch").json()["state"] == "Paused"
    assert tell(api, "resume").json()["state"] == "Progressing"
    assert tell(api, "pause").json()["state"] == "Paused"
    assert tell(api, "abort", reason="I do not like it").json()["state"] == "RolledBack"
    assert shares(api, 10) == {"v1": 10}
    assert say(api, talk, "where are you?") == "v1"  # it moved
    assert tell(api, "retry").json()["percent"] == 50
    assert set(shares(api)) == {"v1", "v2"}
    assert tell(api, "promote").json()["state"] == "Promoted"  # there is one stage
    until(lambda: live_version(api) == "2.0.0")
    assert tell(api, "undo").json()["state"] == "RolledBack"
    assert (shares(api, 10), live_version(api)) == ({"v1": 10}, "1.0.0")
    assert {each["payload"]["reason"] for each in events(api, "rollout_paused")} == {"lunch", "by founder:admin"}


@pytest.mark.requirement("DEP-6")
def test_other_deployments_during_a_canary(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    begin(deploy, "stages = [{ percent = 50, sample = 1000 }]")
    canary = latest(api)["id"]
    again = deploy(version(2, rollout="stages = [{ percent = 50, sample = 1000 }]"))
    assert [change["action"] for change in again["changes"]] == ["unchanged"]
    assert latest(api)["state"] == "Progressing"
    deploy(version(1, name="other"))  # of another agent: the canary goes on
    assert latest(api)["state"] == "Progressing"

    deploy(version(3))  # a hotfix goes live at once, and the canary ends
    assert shares(api, 10) == {"v3": 10}
    ended = api.get(f"/v1/rollouts/{canary}").json()
    assert (ended["state"], ended["percent"]) == ("Superseded", None)
    assert tell(api, "abort").status_code == 409

    folder = write_files(tmp_path / "hot", version(4))
    answer = deploy_folder(api, folder, strategy="canary")
    assert answer.json()["changes"][0]["strategy"] == "canary"
    assert latest(api)["state"] == "Progressing"
    deploy_folder(api, write_files(tmp_path / "back", version(3))).raise_for_status()  # what is live: the canary ends
    assert latest(api)["state"] == "Superseded"
    assert shares(api, 10) == {"v3": 10}


@pytest.mark.requirement("DEP-6")
def test_blue_green_switches_at_once_and_keeps_a_way_back(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, 'strategy = "blue_green"\nkeep = "1h"')
    assert shares(api, 10) == {"v2": 10}
    assert live_version(api) == "1.0.0"
    assert tell(api, "abort").json()["state"] == "RolledBack"
    assert shares(api, 10) == {"v1": 10}
    deploy(version(3, rollout='strategy = "blue_green"\nkeep = "0s"'))
    until(lambda: latest(api)["state"] == "Promoted")
    assert shares(api, 5) == {"v3": 5}


@pytest.mark.requirement("DEP-6")
def test_a_rollback_of_the_deployment_ends_its_canary(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, "stages = [{ percent = 50, sample = 1000 }]")
    deployment = latest(api)["deployment_id"]
    api.post(f"/v1/deployments/{deployment}/rollback").raise_for_status()
    assert latest(api)["state"] == "Superseded"
    assert shares(api, 10) == {"v1": 10}


@pytest.mark.requirement("DEP-6")
@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ("stages = [{ percent = 50 }, { percent = 20 }]", "each stage needs a larger `percent`"),
        ("stages = [{ percent = 100 }]", "nothing to compare with"),
        ("stages = []", "must not be empty"),
        ('stages = [{ percent = 5, duration = "2h" }]\nlongest = "1h"', "ends the stage before it has lasted"),
        ('strategy = "yolo"', '"yolo" is not possible here'),
        ("stages = [{ percent = 0 }]", "must be more than 0"),
    ],
)
def test_plans_that_cannot_work_are_told_with_their_place(tmp_path: Path, rollout: str, message: str) -> None:
    from caxton.definitions.workspace import load_workspace

    found = load_workspace(write_files(tmp_path, version(1, rollout=rollout)))
    assert any(message in error.message for error in found.errors), [error.message for error in found.errors]
    assert all(error.line and error.line >= 6 for error in found.errors)


@pytest.mark.requirement("DEP-6")
def test_a_candidate_offers_what_the_live_version_offers(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    deploy(version(1))
    files = agent(
        "clerk", version="2.0.0", capabilities='["clerk", "more"]', rules=replies("hi"), more=f"\n[rollout]\n{HALF}\n"
    )
    answer = deploy_folder(api, write_files(tmp_path / "more", files))
    assert answer.status_code == 422
    [problem] = answer.json()["details"]["problems"]
    assert "offers other capabilities" in problem["message"]
    assert "more" in problem["message"]


@pytest.mark.requirement("DEP-5", "DEP-6")
def test_the_deployment_of_a_rollout_that_is_retried_is_in_force_again(api: httpx.Client, deploy: Deploy) -> None:
    begin(deploy, "stages = [{ percent = 50, sample = 1000 }]")
    path = f"/v1/deployments/{latest(api)['deployment_id']}"
    tell(api, "abort").raise_for_status()
    assert api.get(path).json()["state"] == "RolledBack"
    tell(api, "retry").raise_for_status()
    assert api.get(path).json()["state"] == "Running"
    api.post(f"{path}/rollback").raise_for_status()
    assert latest(api)["state"] == "Superseded", "the way back is of what is tried, not of what was before"
    assert live_version(api) == "1.0.0"


@pytest.mark.requirement("SEC-2")
def test_rollouts_are_of_their_workspace(api: httpx.Client, deploy: Deploy, caxton_server: RunningServer) -> None:
    begin(deploy, "stages = [{ percent = 50, sample = 1000 }]")
    rollout = latest(api)["id"]
    with caxton_server.client("w-elsewhere") as other:
        assert other.get(f"/v1/rollouts/{rollout}").status_code == 404
        assert other.post(f"/v1/rollouts/{rollout}/abort", json={}).status_code == 404
        assert other.get("/v1/rollouts").json() == {"rollouts": []}
    assert latest(api)["state"] == "Progressing"
