"""Deployments."""

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from caxton.definitions.workspace import load_workspace
from tests.api.conftest import Deploy
from tests.api.test_failures import hostile
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_folder, write_files


def ask(api: httpx.Client, capability: str) -> str:
    return str(
        api.post("/v1/messages", json={"capability": capability, "content": "x"}).json()["reply"]["content"]["text"]
    )


@pytest.mark.requirement("DEP-1")
@pytest.mark.requirement("DEP-2")
def test_only_what_changed_is_touched(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy({**agent("a", rules=replies("a1")), **agent("b", rules=replies("b1"))})
    assert first["summary"] == {"deployed": 2, "updated": 0, "removed": 0, "unchanged": 0}
    before = {found["name"]: found for found in api.get("/v1/agents").json()["agents"]}
    second = deploy({**agent("a", rules=replies("a2")), **agent("b", rules=replies("b1"))})
    assert second["summary"] == {"deployed": 0, "updated": 1, "removed": 0, "unchanged": 1}
    after = {found["name"]: found for found in api.get("/v1/agents").json()["agents"]}
    assert after["b"]["digest"] == before["b"]["digest"]
    assert after["b"]["updated_at"] == before["b"]["updated_at"]
    assert after["a"]["digest"] != before["a"]["digest"]
    assert ask(api, "a") == "a2"


@pytest.mark.requirement("DEP-2")
def test_the_plan_asks_only_for_content_that_is_missing(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    deploy({**agent("a", rules=replies("a1")), **agent("b", rules=replies("b1"))})
    unique = replies(f"never sent before {uuid.uuid4()}")
    folder = write_files(tmp_path / "workspace", agent("a", rules=unique))
    body = {"bundles": [bundle.model_dump() for bundle in load_workspace(folder).bundles]}
    plan = api.post("/v1/deployments/plan", json=body).json()
    assert len(plan["missing"]) == 1
    assert {change["name"]: change["action"] for change in plan["changes"]} == {"a": "modified", "b": "unchanged"}


@pytest.mark.requirement("DEP-3")
def test_one_bad_file_changes_nothing(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    deploy(agent("a", rules=replies("a1")))
    good = load_workspace(write_files(tmp_path / "good", agent("a", rules=replies("a2"))))
    broken = b'name = "b"\nversion = "1.0"\ncapabilites = ["b"]\n'
    digests = {}
    for content in (broken, *(good.content(d) for bundle in good.bundles for d in bundle.files.values())):
        digest = hashlib.sha256(content).hexdigest()
        digests[content] = digest
        api.put(f"/v1/blobs/{digest}", content=content).raise_for_status()
    bad = {"kind": "agent", "name": "b", "files": {"b.toml": digests[broken]}}
    body = {"bundles": [*(bundle.model_dump() for bundle in good.bundles), bad]}
    refused = api.post("/v1/deployments", json=body)
    assert refused.status_code == 422
    problems = refused.json()["details"]["problems"]
    assert {problem["file"] for problem in problems} == {"agents/b.toml"}
    assert any('did you mean "capabilities"' in (problem.get("hint") or "") for problem in problems)
    assert any("1.0.0" in problem["message"] + (problem.get("hint") or "") for problem in problems)
    assert ask(api, "a") == "a1"
    assert [found["name"] for found in api.get("/v1/agents").json()["agents"]] == ["a"]
    assert api.get("/v1/deployments").json()["deployments"][0]["state"] == "Failed"


@pytest.mark.requirement("SEC-4")
@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("agents/b.toml", '[parameters]\nheader = "Bearer {secret}"\n'),
        ("agents/b.toml", '[parameters]\ndatabase = {{ password = "hunter2hunter2" }}\n'),
        ("agents/b.script.toml", '# the last\n[[rules]]\n[[rules.steps]]\nreply = "use {secret}"\n'),
    ],
)
def test_a_literal_secret_is_not_deployed_and_not_repeated(
    api: httpx.Client, tmp_path: Path, file: str, line: str
) -> None:
    secret = "sk-proj-" + "A1b2" * 10
    files = {"agents/b.toml": "", "agents/b.script.toml": "", **agent("b", rules=replies("b"))}
    files[file] += "\n" + line.format(secret=secret)
    folder = write_files(tmp_path / "workspace", files)
    found = load_workspace(folder).errors
    assert [problem.file for problem in found] == [file], "`caxton deploy` says it before anything is sent"
    assert found[0].concealed
    assert found[0].hint
    contents = {name: (folder / name).read_bytes() for name in files if name.startswith("agents/b.")}
    digests = {name.removeprefix("agents/"): hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    for content in contents.values():
        api.put(f"/v1/blobs/{hashlib.sha256(content).hexdigest()}", content=content).raise_for_status()
    refused = api.post("/v1/deployments", json={"bundles": [{"kind": "agent", "name": "b", "files": digests}]})
    assert refused.status_code == 422, refused.text
    assert secret not in refused.text
    assert "hunter2" not in refused.text
    assert {problem["file"] for problem in refused.json()["details"]["problems"]} == {file}
    events = api.get("/v1/events", params={"limit": 1000}).text
    assert secret not in events
    assert "hunter2" not in events


def test_prune_removes_what_the_workspace_lacks(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    deploy({**agent("a", rules=replies("a")), **agent("b", rules=replies("b"))})
    folder = write_files(tmp_path / "smaller", agent("a", rules=replies("a")))
    kept = deploy_folder(api, folder).json()
    assert kept["summary"]["removed"] == 0
    pruned = deploy_folder(api, folder, prune=True).json()
    assert pruned["summary"]["removed"] == 1
    assert api.post("/v1/messages", json={"capability": "b", "content": "x"}).status_code == 404


@pytest.mark.requirement("DEP-5")
def test_a_rollback_brings_back_what_was_there(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("a", rules=replies("a1")))
    second = deploy({**agent("a", rules=replies("a2"), version="2.0.0"), **agent("b", rules=replies("b"))})
    rolled = api.post(f"/v1/deployments/{second['id']}/rollback").json()
    assert rolled["rollback_of"] == second["id"]
    assert ask(api, "a") == "a1"
    assert [found["name"] for found in api.get("/v1/agents").json()["agents"]] == ["a"]
    states = [found["state"] for found in api.get("/v1/deployments").json()["deployments"]]
    assert states == ["Running", "RolledBack", "Superseded"]
    assert api.post(f"/v1/deployments/{second['id']}/rollback").status_code == 409


@pytest.mark.requirement("DEP-5")
def test_a_running_conversation_stays_on_its_version(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("a", rules=replies("a1")))
    conversation = api.post("/v1/conversations", json={"capability": "a"}).json()["id"]

    def say() -> str:
        sent = api.post(f"/v1/conversations/{conversation}/messages", json={"content": "x"})
        return str(sent.json()["reply"]["content"]["text"])

    assert say() == "a1"
    deploy(agent("a", rules=replies("a2")))
    assert say() == "a1"
    assert ask(api, "a") == "a2"


def test_two_deployments_at_once_are_one_after_the_other_or_refused(api: httpx.Client, tmp_path: Path) -> None:
    folders = [write_files(tmp_path / f"w{n}", agent("a", rules=replies(f"a{n}"))) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        codes = sorted(
            response.status_code for response in pool.map(lambda folder: deploy_folder(api, folder), folders)
        )
    assert codes[0] == 201
    assert set(codes) <= {201, 409}
    assert ask(api, "a").startswith("a")


def test_content_must_be_what_its_address_says(api: httpx.Client) -> None:
    assert api.put(f"/v1/blobs/{'0' * 64}", content=b"something else").status_code == 400


def test_a_bundle_whose_content_was_not_sent_is_refused(api: httpx.Client) -> None:
    body = {"bundles": [{"kind": "agent", "name": "ghost", "files": {"ghost.toml": "1" * 64}}]}
    refused = api.post("/v1/deployments", json=body)
    assert refused.status_code == 422
    assert "did not arrive" in refused.json()["details"]["problems"][0]["message"]


def test_the_same_deployment_asked_for_again_while_it_runs_is_one(api: httpx.Client, tmp_path: Path) -> None:
    """What a client does whose server was killed in the middle."""
    workspace = load_workspace(write_files(tmp_path / "w", hostile()))
    body = {"bundles": [bundle.model_dump() for bundle in workspace.bundles]}
    for digest in api.post("/v1/deployments/plan", json=body).json()["missing"]:
        api.put(f"/v1/blobs/{digest}", content=workspace.content(digest)).raise_for_status()

    def deploy(_: int) -> httpx.Response:
        return api.post("/v1/deployments", json=body, headers={"Idempotency-Key": "again"})

    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(deploy, range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(api.get("/v1/deployments").json()["deployments"]) == 1


def test_a_deployment_that_is_too_large_is_refused_with_what_to_do(api: httpx.Client) -> None:
    bundles = [{"kind": "agent", "name": f"a{n}", "files": {f"a{n}.toml": "1" * 64}} for n in range(15_000)]
    refused = api.post("/v1/deployments", json={"bundles": bundles})
    assert refused.status_code == 413
    assert refused.json()["code"] == "payload_too_large"
    assert "in parts" in refused.json()["hints"][0]["text"]
    assert api.get("/v1/deployments").json()["deployments"] == []
