"""What comes from outside: digests, paths and names are what they have to be, or nothing is done with them."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.tools import bundled_tool

WRONG_DIGESTS = [
    "",
    ".",
    "..",
    "../admin.key",
    "../../admin.key",
    "/proc/self/environ",
    "/dev/zero",
    "/etc/passwd",
    "\0",
    "a" * 63,
    "a" * 65,
    "A" * 64,
    "é" * 64,
    "a" * 64 + "\n",
    "\n" + "a" * 63,
    "../" + "a" * 61,
    "a" * 1_000_000,
    "\ud800" * 64,
    "０" * 64,
]

WRONG_PATHS = [
    "",
    ".",
    "..",
    "/tool.toml",
    "/etc/passwd",
    "../tool.toml",
    "data/../../x",
    "data/..",
    "./tool.toml",
    "data//x",
    "data/",
    "data\\x",
    "..\\x",
    "C:/x",
    "c:x",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\u202eb",
    "a\u200bb",
    "\ud800",
    "x" * 501,
    "x" * 201,
    "/".join("x" * 300),
]


@pytest.fixture(params=["/v1/deployments", "/v1/deployments/plan"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def post(api: httpx.Client, route: str, body: Any) -> httpx.Response:
    """Sends JSON that httpx itself would refuse to write."""
    return api.post(route, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def uploaded(api: httpx.Client, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    api.put(f"/v1/blobs/{digest}", content=content).raise_for_status()
    return digest


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("digest", WRONG_DIGESTS, ids=lambda text: ascii(text[:20]))
def test_a_digest_is_no_path(api: httpx.Client, caxton_server: RunningServer, route: str, digest: str) -> None:
    for kind, path in (("tool", "tool.toml"), ("agent", "a.toml"), ("tool", "data/x")):
        refused = post(api, route, {"bundles": [{"kind": kind, "name": "a", "files": {path: digest}}]})
        assert refused.status_code == 400, refused.text
        assert refused.json()["code"] == "invalid_input"
        assert caxton_server.api_key not in refused.text
        assert "PATH=" not in refused.text
        assert len(refused.content) < 5_000
    assert api.get("/v1/deployments").json()["deployments"] == []


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("path", WRONG_PATHS, ids=lambda text: ascii(text[:20]))
def test_a_path_stays_in_its_bundle(api: httpx.Client, route: str, path: str) -> None:
    body = {"bundles": [{"kind": "tool", "name": "a", "files": {"tool.toml": "a" * 64, path: "b" * 64}}]}
    refused = post(api, route, body)
    assert refused.status_code == 400, refused.text
    assert len(refused.content) < 5_000
    assert api.get("/v1/deployments").json()["deployments"] == []


@pytest.mark.parametrize(
    "paths",
    [
        ("data/A", "data/a"),
        ("data/é", "data/e\u0301"),
        ("data/straße", "data/STRASSE"),
        ("data", "data/a"),
        ("DATA", "data/a/b"),
    ],
)
def test_files_that_cannot_be_together_are_refused(api: httpx.Client, route: str, paths: tuple[str, str]) -> None:
    body = {"bundles": [{"kind": "tool", "name": "a", "files": dict.fromkeys(paths, "a" * 64)}]}
    refused = api.post(route, json=body)
    assert refused.status_code == 400
    assert "cannot be in one folder" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "A", "a b", "a\0", "a/b", "a" * 64, "é", "a\n"])
def test_a_bundle_has_a_name(api: httpx.Client, route: str, name: str) -> None:
    for kind in ("agent", "tool"):
        body = {"bundles": [{"kind": kind, "name": name, "files": {"tool.toml": "a" * 64}}]}
        assert api.post(route, json=body).status_code == 400


@pytest.fixture
def stranger(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    """A developer of another customer, in a workspace of the same name."""
    body = {"name": "dev", "role": "developer", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
    made = api.post("/v1/keys", json=body)
    assert made.status_code == 201, made.text
    with caxton_server.client(workspace, key=made.json()["key"]) as client:
        yield client


@pytest.mark.requirement("SEC-1")
def test_content_is_its_customers_alone(api: httpx.Client, stranger: httpx.Client) -> None:
    """Who knows a digest, but has not the content, learns nothing: neither what it is nor whether anybody has it."""
    secret = uploaded(api, f"password = {uuid.uuid4()} [not toml".encode())
    nobodys = hashlib.sha256(uuid.uuid4().bytes).hexdigest()

    def seen(digest: str) -> list[tuple[int, str]]:
        answers = [stranger.get(f"/v1/blobs/{digest}")]
        for kind, path in (("agent", "a.toml"), ("tool", "tool.toml")):
            body = {"bundles": [{"kind": kind, "name": "a", "files": {path: digest}}]}
            answers += [stranger.post(route, json=body) for route in ("/v1/deployments/plan", "/v1/deployments")]
        for answer in answers:
            assert "password" not in answer.text
        told = [answer.json() for answer in answers]
        for each in told:
            each.pop("request_id", None)
            for change in each.get("changes", []):
                change.pop("digest")
        return [
            (answer.status_code, json.dumps(each).replace(digest, "D").replace(digest[:12], "D"))
            for answer, each in zip(answers, told, strict=True)
        ]

    assert seen(secret) == seen(nobodys)
    assert [status for status, _ in seen(secret)] == [404, 200, 422, 200, 422]


def test_a_deployed_tool_is_no_way_to_anothers_files(api: httpx.Client, stranger: httpx.Client) -> None:
    """Also what the server keeps ready of another customer's tool (compiled, unpacked) serves nobody else."""
    files = {name.removeprefix("tools/csv-tools/"): content for name, content in bundled_tool("csv-tools").items()}
    contents = {name: content.encode() if isinstance(content, str) else content for name, content in files.items()}
    digests = {name: uploaded(api, content) for name, content in contents.items()}
    body = {"bundles": [{"kind": "tool", "name": "csv-tools", "files": digests}]}
    assert api.post("/v1/deployments", json=body).status_code == 201
    refused = stranger.post("/v1/deployments", json=body)
    assert refused.status_code == 422
    assert "did not arrive" in refused.text
    # With all but one file uploaded, too: the data, of which only the owner has the content.
    for name, content in contents.items():
        if not name.startswith("data/"):
            uploaded(stranger, content)
    refused = stranger.post("/v1/deployments", json=body)
    assert refused.status_code == 422
    assert "did not arrive" in refused.text


@pytest.mark.parametrize("digest", ["/dev/zero", "../admin.key", ""])
async def test_a_deployment_that_an_older_version_began_fails_and_ends(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, digest: str
) -> None:
    found = api.get("/v1/server").json()["engine"]
    engine = await Client.connect(found["address"], namespace=found["namespace"])
    begun = {
        "scope": {"customer": "local", "workspace": workspace},
        "deployment_id": "d_old",
        "request": {"bundles": [{"kind": "tool", "name": "a", "files": {"tool.toml": digest}}]},
    }
    workflow = await engine.start_workflow(
        "Deployment", begun, id=f"old-{uuid.uuid4()}", task_queue="caxton", result_type=str
    )
    assert await workflow.result() == "Failed"
    history = await workflow.fetch_history()
    failed = [e for e in history.events if e.HasField("activity_task_failed_event_attributes")]
    assert len(failed) == 1
    assert caxton_server.api_key not in str(history)
    assert api.get("/health").status_code == 200


def test_paths_that_people_use_go(api: httpx.Client) -> None:
    """Spaces, letters of all scripts, dots, long names."""
    paths = [
        "data/Umsätze 2025.csv",
        "data/売上.csv",
        "data/.hidden",
        "data/a.b.c",
        "data/c:d",
        f"data/{'x' * 200}",
        "data/…",
    ]
    body = {"bundles": [{"kind": "tool", "name": "a", "files": dict.fromkeys(paths, "a" * 64)}]}
    plan = api.post("/v1/deployments/plan", json=body)
    assert plan.status_code == 200, plan.text
    assert plan.json()["missing"] == ["a" * 64]


def test_a_plain_agent_still_deploys(api: httpx.Client) -> None:
    files = {name.removeprefix("agents/"): content for name, content in agent("a", rules=replies("hello")).items()}
    digests = {
        name: uploaded(api, content.encode() if isinstance(content, str) else content)
        for name, content in files.items()
    }
    body = {"bundles": [{"kind": "agent", "name": "a", "files": digests}]}
    assert api.post("/v1/deployments", json=body).status_code == 201


def test_the_zone_of_a_time_survives_a_url_that_nobody_encoded(api: httpx.Client) -> None:
    answer = api.get("/v1/events?since=2026-01-01T00:00:00+02:00")  # + is a space there
    assert answer.status_code == 200, answer.text
    assert api.get("/v1/events?since=2026-01-01T00:00:00").status_code == 400
