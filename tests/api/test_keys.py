"""API keys: what they look like, how they end, how often they may be used."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from caxton.domain.key_text import KeyForm, form_of, new_key
from tests.api.conftest import Deploy
from tests.conftest import RunningServer

Made = Callable[..., dict[str, Any]]


@pytest.fixture
def owner(api: httpx.Client, caxton_server: RunningServer) -> Iterator[httpx.Client]:
    """An administrator of a customer of its own."""
    body = {"name": "boss", "role": "admin", "customer": f"keys-{uuid.uuid4().hex[:8]}"}
    with caxton_server.client("here", key=api.post("/v1/keys", json=body).json()["key"]) as client:
        yield client


@pytest.fixture
def make(owner: httpx.Client) -> Made:
    def made(**body: Any) -> dict[str, Any]:
        answer = owner.post("/v1/keys", json={"name": "one", "role": "developer", **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return made


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def test_a_key_is_recognised_by_scanners_and_a_mistyped_one_by_its_checksum() -> None:
    key = new_key()
    assert re.fullmatch(r"\bcx_[0-9A-Za-z]{46}\b", key)
    assert form_of(key) is KeyForm.MADE
    for place in range(3, len(key)):
        other = "a" if key[place] != "a" else "b"
        assert form_of(key[:place] + other + key[place + 1 :]) is KeyForm.DAMAGED
    assert form_of("cx_" + "-_aB1" * 8 + "xyz") is KeyForm.MADE, "keys of earlier versions stay valid"
    assert form_of("secret") is KeyForm.OTHER
    assert len({new_key() for _ in range(1000)}) == 1000


@pytest.mark.requirement("SEC-1")
def test_an_expired_key_is_refused_in_words_and_told_once(
    owner: httpx.Client, make: Made, caxton_server: RunningServer
) -> None:
    made = make(name="short", expires_in=2)
    assert datetime.fromisoformat(made["expires_at"]) <= datetime.now(UTC) + timedelta(seconds=2)
    with caxton_server.client("here", key=made["key"]) as client:
        assert client.get("/v1/agents").status_code == 200
        wait_until(lambda: client.get("/v1/agents").status_code == 401)
        for _ in range(20):
            refused = client.get("/v1/agents")
        assert refused.status_code == 401
        assert "expired" in refused.json()["detail"]
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    told = owner.get(
        "/v1/events",
        params={"type": "authentication_failed"},
        headers={"X-Caxton-Workspace": "default"},
    ).json()["events"]
    assert [(event["payload"]["reason"], event["payload"]["name"]) for event in told] == [("expired", "short")]
    assert made["key"] not in str(told)


@pytest.mark.requirement("SEC-1")
def test_a_revoked_key_ends_with_the_next_request(
    make: Made, owner: httpx.Client, caxton_server: RunningServer
) -> None:
    made = make()
    with caxton_server.client("here", key=made["key"]) as client:
        for _ in range(5):
            assert client.get("/v1/agents").status_code == 200
        assert owner.delete(f"/v1/keys/{made['id']}").status_code == 204
        refused = client.get("/v1/agents")
        assert refused.status_code == 401
        assert "revoked" in refused.json()["detail"]
        role = {"permissions": ["agents:read"]}
        assert owner.put("/v1/roles/looker", json=role).status_code == 200
        second = make(role="looker")
        client.headers["Authorization"] = f"Bearer {second['key']}"
        assert client.get("/v1/agents").status_code == 200
        assert owner.put("/v1/roles/looker", json={"permissions": []}).status_code == 200
        assert client.get("/v1/agents").status_code == 403, "a role that is defined again counts at once"


@pytest.mark.requirement("SEC-1")
def test_a_rotated_key_overlaps_with_the_new_one(make: Made, owner: httpx.Client, caxton_server: RunningServer) -> None:
    old = make(name="rotating", workspaces=["here"], expires_in="90d", rate=500)
    answer = owner.post(f"/v1/keys/{old['id']}/rotate", json={"overlap": "24h"})
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert (new["name"], new["grants"], new["rate"]) == (old["name"], old["grants"], old["rate"])
    assert datetime.fromisoformat(new["expires_at"]) - datetime.now(UTC) > timedelta(days=89)
    known = {key["id"]: key for key in owner.get("/v1/keys").json()["keys"]}
    left = datetime.fromisoformat(known[old["id"]]["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    with caxton_server.client("here", key=old["key"]) as before, caxton_server.client("here", key=new["key"]) as after:
        assert before.get("/v1/agents").status_code == after.get("/v1/agents").status_code == 200
        assert owner.post(f"/v1/keys/{old['id']}/rotate", json={"overlap": 0}).status_code == 201
        assert before.get("/v1/agents").status_code == 401
        assert after.get("/v1/agents").status_code == 200
    assert owner.post(f"/v1/keys/{old['id']}/rotate").status_code == 404


def test_when_a_key_was_used_is_listed(make: Made, owner: httpx.Client, caxton_server: RunningServer) -> None:
    made = make(name="used")

    def used() -> Any:
        return next(key for key in owner.get("/v1/keys").json()["keys"] if key["id"] == made["id"])["last_used_at"]

    assert used() is None
    with caxton_server.client("here", key=made["key"]) as client:
        for _ in range(3):
            client.get("/v1/agents")
        wait_until(lambda: used() is not None)
        first = used()
        client.get("/v1/agents")
        assert used() == first, "once a minute at most"


@pytest.mark.requirement("SEC-1")
def test_guessing_keys_is_slowed_down_and_keeps_nobody_else_out(
    api: httpx.Client, caxton_server: RunningServer
) -> None:
    before = api.get("/v1/events", params={"type": "authentication_failed", "limit": 1000}, headers=DEFAULT).json()
    transport = httpx.HTTPTransport(local_address="127.0.0.72")
    with httpx.Client(base_url=caxton_server.url, transport=transport, trust_env=False) as guesser:
        found: list[int] = []
        for number in range(400):
            answer = guesser.get("/v1/agents", headers={"Authorization": f"Bearer guess-{number}"})
            found.append(answer.status_code)
            if answer.status_code == 429:
                break
        assert set(found) == {401, 429}
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["code"] == "rate_limited"
        valid = guesser.get("/v1/agents", headers={"Authorization": api.headers["Authorization"]})
        assert valid.status_code == 200, "who has a valid key is not kept out by others at the same address"
    after = api.get("/v1/events", params={"type": "authentication_failed", "limit": 1000}, headers=DEFAULT).json()
    assert len(after["events"]) - len(before["events"]) <= 2, "the log does not grow with each guess"


DEFAULT = {"X-Caxton-Workspace": "default"}


def test_refusals_of_one_kind_are_counted_not_repeated(
    make: Made, owner: httpx.Client, caxton_server: RunningServer
) -> None:
    viewer = make(name="eyes", role="viewer")
    with caxton_server.client("here", key=viewer["key"]) as client:
        for _ in range(30):
            assert client.get("/v1/keys").status_code == 403
    told = owner.get("/v1/events", params={"type": "change_refused"}).json()["events"]
    assert [event["payload"]["needed"] for event in told] == ["keys:manage"]


def test_a_key_may_be_used_so_often(make: Made, caxton_server: RunningServer, api: httpx.Client) -> None:
    made = make(name="slow", rate=2)
    with caxton_server.client("here", key=made["key"]) as client:
        answers = [client.get("/v1/agents") for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert answers[0].headers["RateLimit-Policy"] == '"key";q=4;w=2'
        assert answers[0].headers["RateLimit"].startswith('"key";r=3;t=')
        assert refused
        assert refused[0].json()["code"] == "rate_limited"
        assert int(refused[0].headers["Retry-After"]) >= 1
        wait_until(lambda: client.get("/v1/agents").status_code == 200)
    assert "RateLimit" not in api.get("/v1/agents").headers, "who is not limited is told nothing"


def test_a_batch_counts_as_many_requests_as_it_has(
    make: Made, owner: httpx.Client, caxton_server: RunningServer, deploy: Deploy
) -> None:
    made = make(name="batches", rate=10)
    line = b'{"capability": "nothing", "content": "x"}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    with caxton_server.client("here", key=made["key"]) as client:
        began = time.monotonic()
        answered = client.post("/v1/messages/batch", content=line * 50, headers=headers)
        took = time.monotonic() - began
        assert answered.status_code == 200
        assert len(answered.text.splitlines()) == 50
        assert took >= 2.5, "20 at once, and 30 more at ten a second"
        assert client.get("/v1/agents").status_code == 429, "and nothing is left"
        assert "slow" not in answered.text
    slow = make(name="slow-batches", rate=1)
    with caxton_server.client("here", key=slow["key"]) as client:
        refused = client.post("/v1/messages/batch", content=line * 1000, headers=headers)
        assert refused.status_code == 429, "it would take longer than a request may"


@pytest.mark.parametrize(
    "body", [{"rate": 5e-324}, {"rate": 1e-9}, {"workspaces": ["here", "here"]}, {"grants": [{"role": "viewer"}] * 51}]
)
def test_a_key_that_makes_no_sense_is_refused_in_words(api: httpx.Client, body: dict[str, Any]) -> None:
    refused = api.post("/v1/keys", json={"name": "odd", **body})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input"), refused.text
