"""Triggers: signed deliveries become requests, each once, and are acknowledged when they are accepted."""

import base64
import hashlib
import hmac
import json
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from standardwebhooks import Webhook

from tests.api.conftest import Deploy
from tests.api.test_schedules import events
from tests.conftest import HOOK_SECRETS, RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.waiting import until

BODY = json.dumps({"id": "evt_1", "type": "order.paid", "order": {"number": 7}}).encode()


def triggered(scheme: str, *, name: str = "clerk", more: str = "", delay: float = 0) -> dict[str, str | bytes]:
    """An agent with one trigger, "orders"."""
    table = (
        f'\n[[triggers]]\nname = "orders"\nscheme = "{scheme}"\nsecret = "env:HOOK_{scheme.upper()}"\n'
        f'content = "{{{{ event }}}}: order {{{{ body.order.number }}}}"\n{more}'
    )
    return agent(name, rules=replies("done: {{ request }}", delay=delay), more=table)


def github(body: bytes, delivery: str, event: str = "order.paid") -> dict[str, str]:
    """As GitHub's documentation says it."""
    digest = hmac.new(HOOK_SECRETS["HOOK_GITHUB"].encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": delivery, "X-GitHub-Event": event}


def stripe(body: bytes, _delivery: str, at: float | None = None) -> dict[str, str]:
    """As Stripe's documentation says it."""
    moment = int(at or time.time())
    signed = f"{moment}.".encode() + body
    digest = hmac.new(HOOK_SECRETS["HOOK_STRIPE"].encode(), signed, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={'0' * 64},v1={digest},v0=abc"}


def standard(body: bytes, delivery: str, at: float | None = None) -> dict[str, str]:
    """As the reference implementation does it."""
    moment = datetime.fromtimestamp(int(at or time.time()), UTC)
    signature = Webhook(HOOK_SECRETS["HOOK_STANDARD"]).sign(delivery, moment, body.decode())
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": f"v1,{base64.b64encode(b'0' * 32).decode()} {signature}",
    }


SIGNERS: dict[str, Callable[..., dict[str, str]]] = {"github": github, "stripe": stripe, "standard": standard}


@pytest.fixture
def outside(caxton_server: RunningServer) -> Any:
    """A client without a key."""
    with httpx.Client(base_url=caxton_server.url, timeout=60, trust_env=False) as client:
        yield client


def path_of(api: httpx.Client, name: str = "clerk") -> str:
    return api.get(f"/v1/triggers/{name}/orders").raise_for_status().json()["path"]


def post(outside: httpx.Client, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return outside.post(path, content=body, headers={"Content-Type": "application/json; charset=utf-8", **headers})


def reply(api: httpx.Client, execution_id: str) -> str:
    turn = until(lambda: (found := api.get(f"/v1/executions/{execution_id}").json())["state"] != "running" and found)
    return turn["reply"]["content"]["text"]


@pytest.mark.requirement("AGT-10")
@pytest.mark.parametrize("scheme", SIGNERS)
def test_a_signed_delivery_is_accepted_once(
    scheme: str, api: httpx.Client, deploy: Deploy, outside: httpx.Client
) -> None:
    deploy(triggered(scheme))
    path, sign = path_of(api), SIGNERS[scheme]
    answer = post(outside, path, BODY, sign(BODY, "evt_1"))
    assert (answer.status_code, answer.json()["state"]) == (202, "accepted"), answer.text
    execution = answer.json()["execution_id"]
    assert reply(api, execution) == "done: order.paid: order 7"
    again = post(outside, path, BODY, sign(BODY, "evt_1"))
    assert (again.status_code, again.json()) == (202, {"state": "repeated", "execution_id": execution})
    other = BODY.replace(b"evt_1", b"evt_2")
    assert post(outside, path, other, sign(other, "evt_2")).json()["execution_id"] != execution
    told = events(api, "delivery_accepted")
    assert len(told) == len(events(api, "execution_completed")) == 2
    mine = next(each for each in told if each["execution_id"] == execution)
    assert mine["payload"] == {
        "trigger": "orders",
        "delivery_id": "evt_1",
        "kind": "order.paid",
        "size_bytes": len(BODY),
        "body_hash": hashlib.sha256(BODY).hexdigest(),
        "origin": mine["payload"]["origin"],
    }
    assert (mine["channel_type"], mine["agent"]) == ("webhook", "clerk")
    sent = next(each for each in events(api, "message_sent") if each["execution_id"] == execution)
    assert sent["channel_type"] == "webhook"


@pytest.mark.requirement("AGT-10")
@pytest.mark.parametrize("scheme", SIGNERS)
def test_what_is_not_signed_is_refused_and_told_once(
    scheme: str, api: httpx.Client, deploy: Deploy, outside: httpx.Client
) -> None:
    deploy(triggered(scheme))
    path, sign = path_of(api), SIGNERS[scheme]
    good = sign(BODY, "evt_9")
    name = next(key for key in good if "ignature" in key)
    wrong: list[tuple[str, bytes, dict[str, str]]] = [
        ("missing", BODY, {key: value for key, value in good.items() if key != name}),
        ("missing", BODY, {}),
        ("wrong", BODY + b" ", good),
        ("malformed" if scheme != "standard" else "wrong", BODY, {**good, name: "nonsense"}),
    ]
    if scheme != "github":
        wrong += [
            ("old", BODY, SIGNERS[scheme](BODY, "evt_9", time.time() - 400)),
            ("old", BODY, SIGNERS[scheme](BODY, "evt_9", time.time() + 400)),
        ]
    if scheme == "standard":
        wrong += [
            ("wrong", BODY, {**good, "webhook-id": "evt_8"}),
            ("malformed", BODY, {**good, "webhook-id": "a.b"}),
            ("malformed", BODY, {**good, "webhook-timestamp": "yesterday"}),
        ]
    if scheme == "stripe":
        wrong += [("malformed", BODY, {name: good[name].replace("t=", "t=1,t=")})]
    for reason, body, headers in wrong:
        answer = post(outside, path, body, headers)
        problem = answer.json()
        assert answer.status_code == 401, (reason, answer.text)
        assert (problem["code"], problem["details"]["reason"]) == ("signature_refused", reason)
    for _ in range(30):
        assert post(outside, path, BODY, {}).status_code == 401
    told = events(api, "deliveries_refused")
    assert {each["payload"]["reason"] for each in told} == {f"signature {reason}" for reason, _, _ in wrong}
    assert len(told) == len({each["payload"]["reason"] for each in told}), "a flood is told in one event a minute"
    assert {each["agent"] for each in told} == {"clerk"}
    assert not events(api, "delivery_accepted")
    assert post(outside, path, BODY, good).status_code == 202


@pytest.mark.requirement("AGT-10")
def test_a_webhook_has_an_address_of_its_own(
    api: httpx.Client, deploy: Deploy, outside: httpx.Client, caxton_server: RunningServer
) -> None:
    deploy(triggered("github"))
    path = path_of(api)
    assert len(path.removeprefix("/v1/hooks/hook_")) == 32
    deploy(triggered("github", more='events = ["push"]\n'))
    assert path_of(api) == path, "it stays when the trigger changes"
    ignored = post(outside, path, BODY, github(BODY, "d1", "ping"))
    assert (ignored.status_code, ignored.json()) == (202, {"state": "ignored", "execution_id": None})
    assert post(outside, path, BODY, github(BODY, "d1", "push")).json()["state"] == "accepted"

    gone = deploy(agent("clerk", rules=replies("x")), prune=True)
    assert post(outside, path, BODY, github(BODY, "d2", "push")).status_code == 404
    assert post(outside, "/v1/hooks/hook_none", BODY, {}).status_code == 404
    assert api.get("/v1/triggers").json()["triggers"] == []
    api.post(f"/v1/deployments/{gone['id']}/rollback").raise_for_status()
    assert path_of(api) == path
    assert post(outside, path, BODY, github(BODY, "d2", "push")).status_code == 202
    with caxton_server.client(f"other-{uuid.uuid4().hex[:6]}") as elsewhere:
        assert elsewhere.get("/v1/triggers/clerk/orders").status_code == 404
    assert outside.get(path).status_code in (404, 405)
    kinds = Counter(each["event_type"] for each in events(api, "trigger_deployed") + events(api, "trigger_removed"))
    assert kinds == {"trigger_deployed": 3, "trigger_removed": 1}


@pytest.mark.requirement("AGT-10")
def test_what_cannot_be_taken_is_not_acknowledged(api: httpx.Client, deploy: Deploy, outside: httpx.Client) -> None:
    deploy(triggered("github", more='max_body = "1KB"\n'))
    path = path_of(api)
    large = b'"' + b"x" * 2000 + b'"'
    answer = post(outside, path, large, github(large, "d1"))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert events(api, "deliveries_refused")[0]["payload"]["reason"] == "too large"
    for body in (b"{", b'{"order": 1}', b"[]", b"[" * 500, b'{"a": 1, "a": 2}'):
        answer = post(outside, path, body, github(body, "d2"))
        assert 400 <= answer.status_code < 500, body
    answer = outside.post(
        path, content=b"payload=%7B%7D", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 415
    twice = [("X-Hub-Signature-256", "a"), ("X-Hub-Signature-256", "b"), ("Content-Type", "application/json")]
    assert outside.post(path, content=BODY, headers=twice).status_code == 400

    api.post("/v1/agents/clerk/stop", json={"grace": 0}).raise_for_status()
    refused = post(outside, path, BODY, github(BODY, "d3"))
    assert (refused.status_code, refused.json()["code"]) == (503, "all_agents_unavailable")
    reasons = {each["payload"]["reason"] for each in events(api, "deliveries_failed")}
    assert reasons >= {"invalid_input", "all_agents_unavailable"}
    assert not events(api, "delivery_accepted")
    api.post("/v1/agents/clerk/start").raise_for_status()
    assert post(outside, path, BODY, github(BODY, "d3")).json()["state"] == "accepted"


@pytest.mark.requirement("AGT-10")
def test_the_same_delivery_at_the_same_time_is_one_execution(
    api: httpx.Client, deploy: Deploy, outside: httpx.Client
) -> None:
    deploy(triggered("github", delay=0.2))
    path = path_of(api)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, *zip(*[(outside, path, BODY, github(BODY, "same"))] * 8, strict=True)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    assert len(events(api, "execution_triggered")) == len(events(api, "delivery_accepted")) == 1


@pytest.mark.requirement("AGT-10", "AGT-2")
def test_a_trigger_without_its_secret_is_not_deployed(api: httpx.Client, deploy: Deploy, tmp_path: Any) -> None:
    from tests.support.deploying import deploy_folder, write_files

    words = tmp_path / "hooks" / "words"
    words.parent.mkdir()
    words.write_text("these, here, are words")
    empty = words.with_name("empty")
    empty.write_text("whsec_\n")
    files = triggered("standard")
    text = str(files["agents/clerk.toml"])
    for reference, message in (
        ("env:HOOK_NOBODY_SET", "is not set"),
        (f"file:{words}", "is not base64"),
        (f"file:{empty}", "a secret has 8 at the least"),
        (f"file:{tmp_path}/hooks/none", "cannot be read"),
    ):
        files["agents/clerk.toml"] = text.replace("env:HOOK_STANDARD", reference)
        answer = deploy_folder(api, write_files(tmp_path / "w", files))
        assert answer.status_code == 422, answer.text
        [problem] = answer.json()["details"]["problems"]
        assert message in problem["message"]
        assert (problem["line"], problem["path"]) == (10, "triggers[0].secret")
    place = tmp_path / "hooks" / "clerk"
    place.write_text(HOOK_SECRETS["HOOK_STANDARD"] + "\n")
    files["agents/clerk.toml"] = text.replace("env:HOOK_STANDARD", f"file:{place}")
    deploy(files)


@pytest.mark.requirement("AGT-10", "SEC-4")
@pytest.mark.parametrize("scheme", ["github", "stripe", "standard"])
@pytest.mark.parametrize("left", ["whsec_", "   \n"])
def test_nobody_signs_with_the_empty_secret_that_a_mistake_leaves(
    api: httpx.Client, deploy: Deploy, outside: httpx.Client, tmp_path: Any, scheme: str, left: str
) -> None:
    place = tmp_path / "hooks" / "clerk"
    place.parent.mkdir()
    place.write_text(HOOK_SECRETS["HOOK_STANDARD"])
    files = triggered(scheme)
    text = str(files["agents/clerk.toml"]).replace(f"env:HOOK_{scheme.upper()}", f"file:{place}")
    deploy({**files, "agents/clerk.toml": text})
    place.write_text(left)
    now = int(time.time())
    for key in {b"", left.strip().encode()}:

        def mac(signed: bytes, key: bytes = key) -> Any:
            return hmac.new(key, signed, hashlib.sha256)

        begin = f"{now}.".encode()
        headers = {
            "X-Hub-Signature-256": f"sha256={mac(BODY).hexdigest()}",
            "X-GitHub-Delivery": "forged",
            "Stripe-Signature": f"t={now},v1={mac(begin + BODY).hexdigest()}",
            "webhook-id": "forged",
            "webhook-timestamp": str(now),
            "webhook-signature": f"v1,{base64.b64encode(mac(b'forged.' + begin + BODY).digest()).decode()}",
        }
        answer = post(outside, path_of(api), BODY, headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "trigger_unavailable")
    assert events(api, "execution_triggered") == []


@pytest.mark.requirement("SEC-3")
def test_slow_deliveries_of_one_customer_take_no_room_from_those_of_another(tmp_path: Path) -> None:
    customers = ("slow", "quick")
    secrets = {f"HOOK_{each.upper()}__X": f"the secret of {each}" for each in customers}
    process, server = start_server(tmp_path / "data", env=secrets)
    held: list[socket.socket] = []
    paths: dict[str, str] = {}
    keys: dict[str, str] = {}
    try:
        with server.client("default") as boss:
            for each in customers:
                body = {"name": each, "role": "admin", "customer": each}
                keys[each] = boss.post("/v1/keys", json=body).raise_for_status().json()["key"]
        for each in customers:
            with server.client("default", key=keys[each]) as own:
                files = triggered("github", more='max_body = "4MB"\n')
                definition = files["agents/clerk.toml"]
                assert isinstance(definition, str)
                files["agents/clerk.toml"] = definition.replace("env:HOOK_GITHUB", f"env:HOOK_{each.upper()}__X")
                deploy_files(own, tmp_path / each, files)
                paths[each] = path_of(own)
        address = urlsplit(server.url)
        for _ in range(16):
            connection = socket.create_connection((address.hostname, address.port), timeout=20)
            held.append(connection)
            head = f"POST {paths['slow']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {4 << 20}\r\n\r\n".encode() + b" " * 70_000)
        large = json.dumps({"order": {"number": 1}, "x": "x" * 100_000}).encode()

        def sign(each: str) -> dict[str, str]:
            digest = hmac.new(secrets[f"HOOK_{each.upper()}__X"].encode(), large, hashlib.sha256).hexdigest()
            return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": "d1", "X-GitHub-Event": "push"}

        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as outside:
            until(lambda: post(outside, paths["slow"], large, sign("slow")).status_code == 429)
            assert post(outside, paths["quick"], large, sign("quick")).status_code == 202
        with server.client("default", key=keys["slow"]) as own:
            asked = own.post("/v1/messages", json={"capability": "clerk", "content": "x" * 200_000})
            assert asked.status_code == 429, "they count among all that the customer sends"
        with server.client("default", key=keys["quick"]) as own:
            asked = own.post("/v1/messages", json={"capability": "clerk", "content": "x" * 200_000})
            assert asked.status_code == 200, asked.text
    finally:
        for connection in held:
            connection.close()
        stop_server(process)


@pytest.mark.requirement("AGT-10", "EVT-9")
def test_a_delivery_is_known_when_what_it_set_off_has_been_deleted(
    api: httpx.Client, deploy: Deploy, outside: httpx.Client
) -> None:
    deploy(triggered("github"))
    path = path_of(api)
    execution = post(outside, path, BODY, github(BODY, "d1")).json()["execution_id"]
    assert reply(api, execution)
    conversation = api.get(f"/v1/executions/{execution}").json()["conversation_id"]
    api.delete(f"/v1/conversations/{conversation}").raise_for_status()
    until(lambda: api.get(f"/v1/executions/{execution}").status_code == 404)
    again = post(outside, path, BODY, github(BODY, "d1"))
    assert (again.status_code, again.json()) == (202, {"state": "repeated", "execution_id": execution})
    assert api.get(f"/v1/executions/{execution}").status_code == 404


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize(
    "text", ["\\ud800", "\\u0000", "\u202e", "\ufeff", "{{ 7 * 7 }}{% raw %}", "\U0001f468\u200d\U0001f469", "a" * 999]
)
def test_odd_texts_of_a_delivery_are_refused_or_answered(
    text: str, api: httpx.Client, deploy: Deploy, outside: httpx.Client
) -> None:
    deploy(triggered("standard"))
    path = path_of(api)
    body = f'{{"type": "{text}", "order": {{"number": "{text}"}}}}'.encode()
    answer = post(outside, path, body, standard(body, "d1"))
    assert answer.status_code in (202, 400, 422), answer.text
    if answer.status_code != 202:
        return
    reply(api, answer.json()["execution_id"])
    content = api.get(f"/v1/executions/{answer.json()['execution_id']}").json()["reply"]["content"]
    said = content["text"] or api.get(f"/v1/blobs/{content['digest']}").text  # what no database takes is kept as a file
    assert said.endswith(f"order {json.loads(body)['order']['number']}"), "what came is content, and never a template"
    (told,) = events(api, "delivery_accepted")
    assert told["payload"]["kind"] == json.loads(body)["type"][:100]
