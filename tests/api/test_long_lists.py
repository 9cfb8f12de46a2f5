"""What a customer has defined in great numbers is not paid for by others."""

import concurrent.futures
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files

pytestmark = pytest.mark.xdist_group("long-lists")  # one worker makes what they share

AGENTS, EACH = 40, 100


@pytest.fixture(scope="module")
def crowd(caxton_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A customer whose agents offer four thousand capabilities."""
    with caxton_server.client("default") as api:
        body = {"name": "boss", "role": "admin", "customer": f"crowd-{uuid.uuid4().hex[:8]}"}
        key = api.post("/v1/keys", json=body).json()["key"]
    files: dict[str, str | bytes] = {}
    for number in range(AGENTS):
        made = agent(f"c{number}", rules=replies("done"))
        offered = json.dumps([f"turn-table-{number}-of-kind-{kind}-of-many" for kind in range(EACH)])
        text = str(made[f"agents/c{number}.toml"]).splitlines()
        lines = [f"capabilities = {offered}" if line.startswith("capabilities") else line for line in text]
        files |= {**made, f"agents/c{number}.toml": "\n".join(lines)}
    with caxton_server.client("default", key=key) as client:
        deploy_files(client, Path(tmp_path_factory.mktemp("crowd")), files)
        yield client


def slowest(ask: Callable[[], httpx.Response], until: list[concurrent.futures.Future[httpx.Response]]) -> float:
    """The longest time that an answer took while `until` was in progress."""
    took: list[float] = []
    while not all(each.done() for each in until):
        began = time.monotonic()
        assert ask().status_code == 200
        took.append(time.monotonic() - began)
        time.sleep(0.01)
    assert took, "they were over at once"
    return max(took)


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize("path", ["/v1/capabilities", "/v1/capabilities?query=zzzz", "/v1/agents", "/v1/deployments"])
def test_long_lists_are_made_one_at_a_time(crowd: httpx.Client, api: httpx.Client, path: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(crowd.get, path, timeout=60) for _ in range(20)]
        assert slowest(lambda: api.get("/health"), asked) < 1
    assert {each.result().status_code for each in asked} == {200}
    if path == "/v1/capabilities":
        assert len(asked[0].result().json()["capabilities"]) == AGENTS * EACH


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize(
    "path", ["/openai/v1/models", "/openai/v1/models/none", "/a2a/v1/agent:c0/.well-known/agent-card.json"]
)
def test_so_are_those_of_other_protocols(crowd: httpx.Client, api: httpx.Client, path: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(crowd.get, path, timeout=60) for _ in range(20)]
        assert slowest(lambda: api.get("/health"), asked) < 1
    assert {each.result().status_code for each in asked} <= {200, 404}


@pytest.mark.requirement("SEC-3")
def test_long_plans_and_descriptions_are_made_one_at_a_time(crowd: httpx.Client, api: httpx.Client) -> None:
    files = {f"f{number}": f"{number:064x}" for number in range(300)}
    plan = {"bundles": [{"kind": "tool", "name": f"t{number}", "files": files} for number in range(40)]}
    assert crowd.get("/openapi.json").json()["openapi"]
    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        asked = [threads.submit(crowd.post, "/v1/deployments/plan", json=plan, timeout=60) for _ in range(12)]
        asked += [threads.submit(crowd.get, "/openapi.json", timeout=60) for _ in range(12)]
        assert slowest(lambda: api.get("/health"), asked) < 1.5
    assert {each.result().status_code for each in asked} == {200}


@pytest.mark.requirement("EVT-6")
def test_a_customer_has_one_rebuild_of_a_view_under_way(crowd: httpx.Client, api: httpx.Client) -> None:
    with concurrent.futures.ThreadPoolExecutor(10) as threads:
        asked = [threads.submit(crowd.post, "/v1/views/agents/rebuild", timeout=60) for _ in range(10)]
        assert api.post("/v1/views/agents/rebuild").status_code == 200
    answers = [each.result().status_code for each in asked]
    assert 200 in answers
    assert set(answers) <= {200, 429}
    assert crowd.post("/v1/views/agents/rebuild").status_code == 200, "they are all over"


@pytest.mark.requirement("SEC-3", "RTE-4")
def test_who_asks_for_what_nobody_offers_does_not_keep_others_waiting(
    crowd: httpx.Client, api: httpx.Client, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("done")))
    line = json.dumps({"capability": "turn-table-7-of-kind-33-of-man", "content": "x"})
    headers = {"Content-Type": "application/x-ndjson"}
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        content = "\n".join([line] * 500)
        asked = threads.submit(crowd.post, "/v1/messages/batch", content=content, headers=headers, timeout=60)
        assert slowest(lambda: api.post("/v1/messages", json={"agent": "echo", "content": "x"}), [asked]) < 1.5
    told = [json.loads(each) for each in asked.result().text.splitlines()]
    assert len(told) == 500
    assert all(each["error"]["details"]["similar"][0] == "turn-table-7-of-kind-33-of-many" for each in told)
