"""What a key decided for later ends with the key; what it set up is told, and ends if one wants."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_approval_rules import SMALL, clerk, send
from tests.api.test_approvals import finished, pending
from tests.api.test_events import listed
from tests.conftest import RunningServer

pytestmark = pytest.mark.requirement("SEC-1")


class Person:
    """Somebody with a key of their own."""

    def __init__(self, admin: httpx.Client, server: RunningServer, workspace: str, name: str, **key: Any) -> None:
        self.admin = admin
        self.name = f"{name}-{workspace}"
        made = admin.post("/v1/keys", json={"name": self.name, "role": "operator", **key}).raise_for_status().json()
        self.key_id = str(made["id"])
        self.client = server.client(workspace, key=made["key"])

    def revoke(self, **params: Any) -> None:
        assert self.admin.delete(f"/v1/keys/{self.key_id}", params=params).status_code == 204


@pytest.fixture
def person(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> Iterator[Any]:
    made: list[Person] = []

    def make(name: str, **key: Any) -> Person:
        made.append(Person(api, caxton_server, workspace, name, **key))
        return made[-1]

    yield make
    for each in made:
        each.client.close()


def remember(api: httpx.Client, decider: httpx.Client) -> str:
    """Lets `decider` approve a call and have that remembered. Returns the remembered grant's id."""
    execution = send(api, "clerk", SMALL)
    (approval,) = pending(api)
    body = {"remember": {"for": "1h"}}
    assert decider.post(f"/v1/approvals/{approval['id']}/grant", json=body).status_code == 200
    assert finished(api, execution)["reply"]["content"]["text"] == "total 12"
    (grant,) = api.get("/v1/approvals/remembered").json()["grants"]
    return str(grant["id"])


def needs_a_decision(api: httpx.Client) -> bool:
    """Whether a call like the one that was approved waits for a person; it is refused then."""
    execution = send(api, "clerk", SMALL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        waiting = api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"]
        if waiting:
            api.post(f"/v1/approvals/{waiting[0]['id']}/reject").raise_for_status()
            finished(api, execution)
            return True
        if api.get(f"/v1/executions/{execution}").json()["state"] != "running":
            return False
        time.sleep(0.05)
    raise AssertionError("the call is neither made nor waits")


@pytest.mark.requirement("GOV-1")
def test_a_remembered_approval_ends_with_the_key_that_gave_it(api: httpx.Client, deploy: Deploy, person: Any) -> None:
    deploy(clerk())
    anna = person("anna")
    grant = remember(api, anna.client)
    assert not needs_a_decision(api)
    anna.revoke()
    assert api.get("/v1/approvals/remembered").json()["grants"] == []
    assert needs_a_decision(api)
    (told,) = listed(api, type="remembered_grant_revoked")
    found = told["payload"]["grant_id"], told["payload"]["key_id"], told["actor"]
    assert found == (grant, anna.key_id, "founder:admin")


@pytest.mark.requirement("GOV-1")
def test_a_key_in_the_place_of_another_keeps_what_is_remembered_until_it_ends_too(
    api: httpx.Client, deploy: Deploy, person: Any
) -> None:
    deploy(clerk())
    anna = person("anna")
    remember(api, anna.client)
    new = api.post(f"/v1/keys/{anna.key_id}/rotate", json={"overlap": 0}).raise_for_status().json()
    assert not needs_a_decision(api), "the same person has another key"
    assert api.delete(f"/v1/keys/{new['id']}").status_code == 204
    assert needs_a_decision(api)


@pytest.mark.requirement("GOV-1")
def test_a_remembered_approval_ends_when_its_key_expires(api: httpx.Client, deploy: Deploy, person: Any) -> None:
    deploy(clerk())
    anna = person("anna", expires_in=1_000)
    remember(api, anna.client)
    (grant,) = api.get("/v1/approvals/remembered").json()["grants"]
    (key,) = [each for each in api.get("/v1/keys").json()["keys"] if each["id"] == anna.key_id]
    assert grant["expires_at"] == key["expires_at"], "no longer than the key, though an hour was asked for"


@pytest.mark.requirement("GOV-1")
def test_a_remembered_approval_rests_while_its_key_may_not_decide(
    api: httpx.Client, deploy: Deploy, person: Any, workspace: str
) -> None:
    deploy(clerk())
    role = f"decider-{workspace}"
    may, may_not = ["approvals:read", "approvals:decide"], ["approvals:read"]
    assert api.put(f"/v1/roles/{role}", json={"permissions": may}).status_code == 200
    anna = person("anna", role=role)
    remember(api, anna.client)
    assert not needs_a_decision(api)
    assert api.put(f"/v1/roles/{role}", json={"permissions": may_not}).status_code == 200
    assert api.get("/v1/approvals/remembered").json()["grants"] == []
    assert needs_a_decision(api)


@pytest.mark.requirement("GOV-1")
def test_what_an_operator_let_be_remembered_does_not_decide_for_the_founder(
    api: httpx.Client, deploy: Deploy, person: Any
) -> None:
    deploy(clerk())
    remember(api, person("anna").client)
    assert not needs_a_decision(api)
    mild, strict = 'approval_mode = "operator"', 'approval_mode = "founder"'
    stricter = clerk()
    stricter["agents/clerk.toml"] = str(stricter["agents/clerk.toml"]).replace(mild, strict)
    assert strict in stricter["agents/clerk.toml"]
    deploy(stricter)
    assert needs_a_decision(api)


@pytest.mark.requirement("GOV-1")
def test_a_vote_does_not_count_when_its_key_has_ended(api: httpx.Client, deploy: Deploy, person: Any) -> None:
    deploy(clerk("approvals_needed = 2\n"))
    anna, ben, cleo = person("anna"), person("ben"), person("cleo")
    execution = send(api, "clerk", SMALL)
    (approval,) = pending(api)
    path = f"/v1/approvals/{approval['id']}/grant"
    assert anna.client.post(path).json()["state"] == "Pending"
    anna.revoke()
    assert ben.client.post(path).json()["state"] == "Pending", "only one who may still decide has agreed"
    (told,) = listed(api, type="vote_dropped")
    assert told["payload"]["approver"] == f"key:{anna.name}"
    assert cleo.client.post(path).json()["state"] == "Granted"
    assert finished(api, execution)["reply"]["content"]["text"] == "total 12"
    (granted,) = listed(api, type="approval_granted")
    assert granted["payload"]["approvers"] == [f"operator:{ben.name}", f"operator:{cleo.name}"]


@pytest.mark.requirement("TOL-12")
def test_what_a_key_granted_to_tools_is_told_and_can_be_taken_back_with_it(
    api: httpx.Client, caxton_server: RunningServer, person: Any
) -> None:
    anna, ben = person("anna"), person("ben")
    grant = {"tool": "weather", "network": ["https://api.example.com"]}
    ids = [each.client.post("/v1/tool-grants", json=grant).raise_for_status().json()["id"] for each in (anna, ben)]
    anna.revoke()
    with caxton_server.client() as default:
        revoked = listed(default, type="key_revoked", order="newest")
    (told,) = [each for each in revoked if each["payload"]["key_id"] == anna.key_id]
    assert told["payload"]["tool_grants_left"] == ids[:1]
    assert [each["id"] for each in api.get("/v1/tool-grants").json()["grants"]] == ids, "it holds on"
    anna.revoke(with_grants=True)
    assert [each["id"] for each in api.get("/v1/tool-grants").json()["grants"]] == ids[1:]
    ben.revoke(with_grants=True)
    assert api.get("/v1/tool-grants").json()["grants"] == []
    assert [each["payload"]["grant_id"] for each in listed(api, type="tool_grant_revoked")] == ids


def test_taking_grants_back_needs_the_right_to_give_them(api: httpx.Client, person: Any, workspace: str) -> None:
    role = f"keykeeper-{workspace}"
    assert api.put(f"/v1/roles/{role}", json={"permissions": ["keys:manage", "approvals:read"]}).status_code == 200
    keeper, victim = person("keeper", role=role), person("victim", role=role)
    refused = keeper.client.delete(f"/v1/keys/{victim.key_id}", params={"with_grants": True})
    assert (refused.status_code, refused.json()["details"]["needed"]) == (403, "tools:grant")
    assert keeper.client.delete(f"/v1/keys/{victim.key_id}").status_code == 204
