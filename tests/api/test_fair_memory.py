"""What one customer has remembered does not keep another customer's memory waiting."""

import concurrent.futures
import uuid

import httpx
import pytest

from tests.conftest import RunningServer

ADDED = 40


@pytest.mark.requirement("MEM-3", "SEC-3")
def test_many_long_memories_of_one_customer_come_after_the_search_of_another(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    customer = f"long-{uuid.uuid4().hex[:8]}"
    key = api.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": customer}).json()["key"]
    assert api.post("/v1/memory", json={"text": "the kitchen is closed on Fridays"}).status_code == 201
    with (
        caxton_server.client(workspace, key=key) as other,
        concurrent.futures.ThreadPoolExecutor(ADDED) as threads,
    ):
        adding = [
            threads.submit(other.post, "/v1/memory", json={"text": f"w{number} " * 10_000}, timeout=120)
            for number in range(ADDED)
        ]
        next(concurrent.futures.as_completed(adding))
        before = sum(each.done() for each in adding)
        for _ in range(3):
            assert api.post("/v1/memory/search", json={"text": "kitchen"}).json()["matches"]
        meanwhile = sum(each.done() for each in adding) - before
        assert meanwhile < ADDED / 2, "each search waited for what had come before it"
        assert {each.result().status_code for each in adding} == {201}


@pytest.mark.requirement("SEC-3")
def test_a_search_looks_into_so_many_scopes_and_no_more(api: httpx.Client) -> None:
    def searched(scopes: int) -> httpx.Response:
        asked = [{"kind": "agent", "owner": f"a{number}"} for number in range(scopes)]
        return api.post("/v1/memory/search", json={"text": "kitchen", "scopes": asked})

    assert searched(100).status_code == 200
    refused = searched(101)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("scopes:")
