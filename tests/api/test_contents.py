"""Content is stored once a customer; a workspace has what was brought there or made there, and no more."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_approvals import finished, pending, send
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.tools import bundled_tool

ClientOf = Callable[..., httpx.Client]

UNKNOWN = hashlib.sha256(b"nobody has this").hexdigest()


@pytest.fixture
def client_of(api: httpx.Client, caxton_server: RunningServer) -> Iterator[ClientOf]:
    """Clients of developers who may use one workspace of the same customer."""
    customer, made = f"contents-{uuid.uuid4().hex[:8]}", list[httpx.Client]()

    def make(workspace: str) -> httpx.Client:
        body: dict[str, Any] = {
            "name": f"dev-{workspace}",
            "role": "developer",
            "customer": customer,
            "workspaces": [workspace],
        }
        made.append(caxton_server.client(workspace, key=api.post("/v1/keys", json=body).json()["key"]))
        return made[-1]

    yield make
    for client in made:
        client.close()


SECRET = agent("private", rules=replies("only here"), more='system_prompt = "the secret of the lab"\n')


def digests_of(files: dict[str, str | bytes]) -> dict[str, str]:
    texts = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    return {path: hashlib.sha256(text).hexdigest() for path, text in texts.items()}


def named(files: dict[str, str]) -> dict[str, Any]:
    return {"bundles": [{"kind": "agent", "name": "private", "files": files}]}


@pytest.mark.requirement("SEC-2", "SEC-9")
def test_a_draft_is_read_by_nobody_before_it_is_let_go_out(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    offered = '[{ name = "write", approval_mode = "operator" }]'
    deploy_files(api, tmp_path, agent("writer", capabilities=offered, rules=replies("Dear {{ request }}")))
    asked = f"{uuid.uuid4()}{'.' * 100_000}"
    address = hashlib.sha256(f"Dear {asked}".encode()).hexdigest()  # which the log tells, too
    execution = send(api, "write", asked)
    [approval] = pending(api)
    role = f"reader-{workspace}"
    api.put(f"/v1/roles/{role}", json={"permissions": ["messages:read"]}).raise_for_status()
    key = api.post("/v1/keys", json={"name": role, "role": role}).json()["key"]
    with caxton_server.client(workspace, key=key) as reader:
        assert reader.get(f"/v1/blobs/{address}").status_code == 404
        api.post(f"/v1/approvals/{approval['id']}/grant", json={}).raise_for_status()
        finished(api, execution)
        assert reader.get(f"/v1/blobs/{address}").text == f"Dear {asked}"


@pytest.mark.requirement("SEC-3", "SEC-9")
def test_naming_a_digest_opens_nothing(client_of: ClientOf, tmp_path: Path) -> None:
    lab, shop = client_of("lab"), client_of("shop")
    deploy_files(lab, tmp_path / "lab", SECRET)
    files = digests_of(SECRET)
    foreign = files["agents/private.toml"]
    assert lab.get(f"/v1/blobs/{foreign}").status_code == 200
    unknown = {path: hashlib.sha256(path.encode()).hexdigest() for path in files}
    plans = [shop.post("/v1/deployments/plan", json=named(each)).json() for each in (files, unknown)]
    assert [sorted(plan["missing"]) for plan in plans] == [sorted(files.values()), sorted(unknown.values())]
    answers = [shop.post("/v1/deployments", json=named(each)) for each in (files, unknown)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json()["details"] == answers[1].json()["details"], (
        "what is elsewhere is as missing as what is not"
    )
    echo = agent("echo", rules=replies("{{ request }}"))
    reads = agent(
        "reads",
        rules=f"[[rules]]\n[[rules.steps]]\ntool = 'csv-tools.summarize'\narguments = {{ digest = '{foreign}' }}\n"
        "on_error = 'no'\n[[rules.steps]]\nreply = 'ok'\n",
        more='tools = ["csv-tools"]\n',
    )
    deploy_files(shop, tmp_path / "shop", {**bundled_tool("csv-tools"), **echo, **reads})
    artifact = json.dumps({"artifacts": [{"digest": foreign}]})
    for name, content in (("echo", foreign), ("echo", artifact), ("reads", "x")):
        assert shop.post("/v1/messages", json={"agent": name, "content": content}).status_code == 200
    assert shop.get(f"/v1/blobs/{foreign}").status_code == shop.get(f"/v1/blobs/{UNKNOWN}").status_code == 404


@pytest.mark.requirement("SEC-3")
def test_whoever_has_the_content_may_use_it(client_of: ClientOf, tmp_path: Path) -> None:
    lab, shop = client_of("lab"), client_of("shop")
    deploy_files(lab, tmp_path / "lab", SECRET)
    deploy_files(shop, tmp_path / "shop", SECRET)
    for digest in digests_of(SECRET).values():
        assert shop.get(f"/v1/blobs/{digest}").status_code == 200
    foreign = digests_of(SECRET)["agents/private.toml"]
    wrong = shop.put(f"/v1/blobs/{UNKNOWN}", content=b"another")
    assert wrong.status_code == 400
    other = client_of("third")
    assert other.put(f"/v1/blobs/{foreign}", content=b"a guess").status_code == 400
    assert other.get(f"/v1/blobs/{foreign}").status_code == 404, "only who sends all of it has it"


@pytest.mark.requirement("TOL-1")
def test_files_that_a_call_by_hand_made_are_of_its_workspace(client_of: ClientOf, tmp_path: Path) -> None:
    lab, shop = client_of("lab"), client_of("shop")
    deploy_files(lab, tmp_path / "lab", bundled_tool("chart-generator"))
    arguments = {"title": "t", "labels": ["a", "b"], "series": [{"name": "s", "values": [5, 7]}]}
    answer = lab.post("/v1/tools/chart-generator/call", json={"function": "line_chart", "arguments": arguments})
    assert answer.status_code == 200, answer.text
    (made,) = answer.json()["artifacts"]
    assert lab.get(f"/v1/blobs/{made['digest']}").status_code == 200
    assert shop.get(f"/v1/blobs/{made['digest']}").status_code == 404
