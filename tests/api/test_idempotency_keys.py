"""Idempotency keys of conversations and deployments: the same key stands for the same request, and for no other one."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.adapters.store.database import Database, sqlite_url
from caxton.domain.deployments import DeploymentRequest
from caxton.domain.ids import DeploymentId, Scope, new_id
from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files

ECHO = agent("echo", rules=replies("{{ request }}"))


def start(api: httpx.Client, key: str, **more: Any) -> httpx.Response:
    return api.post("/v1/conversations", json={"capability": "echo", **more}, headers={"Idempotency-Key": key})


@pytest.mark.requirement("MSG-8")
@pytest.mark.parametrize(
    "other",
    [
        {"topic": "other"},
        {"idle_timeout": 60},
        {"metadata": {"a": 1}},
        {"version_range": ">=1"},
        {"strategy": "Stochastic"},
    ],
)
def test_a_conversations_key_is_for_one_body(api: httpx.Client, deploy: Deploy, other: dict[str, Any]) -> None:
    deploy(ECHO)
    first = start(api, "k")
    assert first.status_code == 201
    again = start(api, "k")
    assert again.json()["id"] == first.json()["id"]
    refused = start(api, "k", **other)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_conflict")
    assert refused.json()["details"]["conversation_id"] == first.json()["id"]


@pytest.mark.requirement("MSG-8")
def test_of_requests_that_race_with_one_key_one_wins_and_is_answered_each_time(
    api: httpx.Client, deploy: Deploy
) -> None:
    deploy(ECHO)

    def ask(number: int) -> httpx.Response:
        body = {"capability": "echo", "content": f"content {number % 2}"}
        return api.post("/v1/messages", json=body, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(ask, range(40)))
    answers = [answer.json()["reply"]["content"]["text"] for answer in found if answer.status_code == 200]
    assert len(set(answers)) == 1
    assert len(answers) == 20, "whoever sent the other one keeps nobody from the answer"
    assert {answer.json()["code"] for answer in found if answer.status_code != 200} == {"idempotency_conflict"}


@pytest.mark.requirement("MSG-8")
def test_of_starts_that_race_with_one_key_one_wins(api: httpx.Client, deploy: Deploy) -> None:
    deploy(ECHO)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: start(api, "race", topic=f"topic {n % 4}"), range(24)))
    begun = [(answer.json()["id"], answer.json()["topic"]) for answer in found if answer.status_code == 201]
    assert len(set(begun)) == 1
    assert len(begun) == 6
    assert {answer.json()["code"] for answer in found if answer.status_code != 201} == {"idempotency_conflict"}
    events = api.get("/v1/events", params={"type": "conversation_started"}).json()["events"]
    assert [event["conversation_id"] for event in events] == [begun[0][0]]


def bundles(api: httpx.Client, folder: Path, text: str) -> list[dict[str, Any]]:
    """Bundles whose contents the server has; they are deployed meanwhile, and something else after them."""
    from caxton.definitions.workspace import load_workspace

    deploy_files(api, folder, agent("echo", rules=replies(text)))
    return [bundle.model_dump() for bundle in load_workspace(folder).bundles]


@pytest.mark.requirement("MSG-8")
def test_a_deployments_key_is_for_one_body(api: httpx.Client, tmp_path: Path) -> None:
    one, two = (bundles(api, tmp_path / name, name) for name in ("one", "two"))

    def deploy(**body: Any) -> httpx.Response:
        return api.post("/v1/deployments", json=body, headers={"Idempotency-Key": "k"})

    first = deploy(bundles=one)
    assert first.status_code == 201
    assert deploy(bundles=one).json() == first.json()
    for other in ({"bundles": two}, {"bundles": one, "prune": True}, {"bundles": one, "message": "other"}):
        refused = deploy(**other)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_conflict")
        assert refused.json()["details"]["deployment"] == first.json()["id"]
    assert (
        api.post("/v1/messages", json={"capability": "echo", "content": "x"}).json()["reply"]["content"]["text"]
        == "one"
    )


@pytest.mark.requirement("DEP-1")
async def test_a_deployment_whose_server_died_before_it_began_is_gone_on_with(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, tmp_path: Path
) -> None:
    one, two = (bundles(api, tmp_path / name, name) for name in ("one", "two"))
    database = Database(sqlite_url(caxton_server.data_dir / "caxton.db"))
    scope, ids = Scope(workspace=workspace), [DeploymentId(new_id("d")) for _ in range(2)]
    try:
        for identity, given in zip(ids, (two, one), strict=True):  # what a server writes before it tells the engine
            request = DeploymentRequest.model_validate({"bundles": given})
            await database.write(
                lambda tx, identity=identity, request=request: tx.add_deployment(
                    scope, identity, request, actor="boss", rollback_of=None
                )
            )
    finally:
        database.close()
    deadline, found = time.monotonic() + 90, dict[str, Any]()
    while time.monotonic() < deadline:
        found = {each["id"]: each for each in api.get("/v1/deployments").json()["deployments"] if each["id"] in ids}
        if not {"Validating", "Deploying"} & {each["state"] for each in found.values()}:
            break
        time.sleep(0.2)
    assert [found[identity]["state"] for identity in ids] == ["Failed", "Running"], (
        found
    )  # the latest is what is wanted
    assert found[ids[0]]["error"]["hints"][0]["text"] == "deploy again if it is still wanted"
    assert (
        api.post("/v1/messages", json={"capability": "echo", "content": "x"}).json()["reply"]["content"]["text"]
        == "one"
    )
    assert deploy_files(api, tmp_path / "w", agent("echo", rules=replies("after")))["state"] == "Running"
