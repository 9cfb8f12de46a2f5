"""Whatever is sent to the MCP face is answered in the protocol's own form, and never with a fault of the server."""

import json
import random
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy, new_key
from tests.api.test_approvals import guarded
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.mcp_client import CAPABILITIES, MODERN, VERSION, Raw, result_of

pytestmark = pytest.mark.requirement("FAC-1")

MUTATIONS = 10_000
CALL: dict[str, Any] = {"name": "teller", "arguments": {"request": "x"}}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

METHODS = (
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tasks/cancel",
    "notifications/cancelled",
    "prompts/list",
    "nothing",
    "",
)
NAMES = (
    *("name", "arguments", "uri", "cursor", "taskId", "task", "level", "ref", "argument", "protocolVersion"),
    *("capabilities", "requestState", "inputResponses", "notifications", "_meta", "requestId"),
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, 2**70, "", "x", "\0", "\ud800", "ü" * 3_000, "echo", "caxton://agents/../x", [], {}),
    *([[[[]]]], {"": {}}, {"request": "x"}, {"request": 5}, {"type": "ref/resource", "uri": "caxton://agents/{name}"}),
    *({"resourceSubscriptions": "x"}, {"resourceSubscriptions": [1]}, {"progressToken": {}}, "caxton://traces/x_1"),
)


def mutated(state: str, chance: random.Random) -> str:
    """A seal with something changed, left out, added or moved."""
    at = chance.randrange(max(1, len(state)))
    return chance.choice(
        [
            state[:at] + chance.choice(ALPHABET) + state[at + 1 :],
            state[:at] + state[at + 1 :],
            state[:at] + chance.choice(ALPHABET) + state[at:],
            state[at:] + state[:at],
            state[: max(10, at)],
            state[::-1],
            state + state,
            state.swapcase(),
        ]
    )


def test_ten_thousand_changed_states_are_refused(
    raw: Raw, deploy: Deploy, api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(guarded())
    raw.capabilities = {"elicitation": {}}
    asked = result_of(raw.modern("tools/call", **CALL))
    [identity] = asked["inputRequests"]
    state, chance = asked["requestState"], random.Random(7)
    answers = {identity: {"action": "accept", "content": {"decision": "approve"}}}
    tried = {state}
    while len(tried) <= MUTATIONS:
        wrong = state
        for _ in range(chance.randrange(1, 4)):
            wrong = mutated(wrong, chance)
        if wrong in tried or len(wrong) > 4_000:
            continue
        tried.add(wrong)
        answer = raw.modern("tools/call", **CALL, inputResponses=answers, requestState=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602), wrong
    assert api.get(f"/v1/approvals/{identity}").json()["state"] == "Pending"
    with caxton_server.client(workspace, key=new_key(api, "admin")) as other:
        stolen = Raw(other, raw.capabilities).modern("tools/call", **CALL, requestState=state)
        assert stolen.json()["error"]["code"] == -32602


def odd_bodies(chance: random.Random, count: int) -> list[tuple[Any, dict[str, str]]]:
    """Messages with odd values in odd places, with headers that may go with them."""
    found: list[tuple[Any, dict[str, str]]] = []
    for number in range(count):
        method: Any = chance.choice((*METHODS, *METHODS, *ODD))
        params: Any = {name: chance.choice(ODD) for name in chance.sample(NAMES, chance.randrange(6))}
        headers: dict[str, str] = {}
        if chance.random() < 0.5:
            known = {VERSION: chance.choice((MODERN, MODERN, MODERN, "2031-01-01", 5)), CAPABILITIES: {}}
            params["_meta"] = chance.choice((known, known, known, {**known, CAPABILITIES: chance.choice(ODD)}))
            headers = {"MCP-Protocol-Version": MODERN}
            if isinstance(method, str) and method.isascii() and method.isprintable():
                headers["Mcp-Method"] = method
            named = params.get("name", params.get("uri", params.get("taskId")))
            if isinstance(named, str) and named.isascii() and named.isprintable():
                headers["Mcp-Name"] = named
        identity = chance.choice((number, str(number), *ODD))
        message: Any = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        if chance.random() < 0.2:
            message[chance.choice(("jsonrpc", "id", "method", "params", "result", "error"))] = chance.choice(ODD)
        if chance.random() < 0.1:
            message.pop(chance.choice(("jsonrpc", "id", "method", "params")), None)
        if chance.random() < 0.05:
            message = chance.choice((*ODD, [message], [message] * 3))
        found.append((message, headers))
    return found


def test_odd_bodies_are_answered_as_json_rpc_has_it(raw: Raw, deploy: Deploy, api: httpx.Client) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    raw.begin()
    chance = random.Random(25)
    for message, headers in odd_bodies(chance, 600):
        told = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        if chance.random() < 0.3:
            told["Mcp-Session-Id"] = str(raw.session)
        body = json.dumps(message).encode()
        answer = api.post("/mcp", content=body, headers=told)
        assert answer.status_code < 500, (message, headers, answer.text)
        if answer.status_code == 202:
            assert answer.content == b""
            continue
        found = answer.json()
        assert found["jsonrpc"] == "2.0", (message, answer.text)
        assert ("result" in found) != ("error" in found), (message, answer.text)
        if "error" in found:
            assert isinstance(found["error"]["code"], int)
            assert found["error"]["message"]
    for body in (
        b"",
        b"{",
        b"\xff\xfe",
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping"',
        b"[" * 10_000,
        b"NaN",
        b'"x"',
    ):
        answer = api.post("/mcp", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, body
        assert answer.json()["error"]["code"] in (-32700, -32600), answer.text


def test_a_customer_sees_nothing_of_another(
    raw: Raw, deploy: Deploy, api: httpx.Client, caxton_server: RunningServer
) -> None:
    deploy(agent("slow", rules=replies("you said: {{ request }}", delay=0.3)))
    raw.begin()
    task = result_of(raw.legacy("tools/call", name="slow", arguments={"request": "a"}, task={}))["task"]["taskId"]
    result_of(raw.legacy("tasks/result", taskId=task))
    talk = result_of(raw.legacy("tools/call", name="slow", arguments={"request": "a", "conversation": "new"}))
    said = talk["_meta"]["caxton/conversation"]
    uris = [f"caxton://conversations/{said}", f"caxton://traces/{task}", "caxton://agents/slow"]
    key = new_key(api, "admin", customer="stranger")
    with caxton_server.client(str(api.headers["X-Caxton-Workspace"]), key=key) as other:
        stranger = Raw(other).begin()
        assert result_of(stranger.legacy("tools/list"))["tools"] == []
        assert result_of(stranger.legacy("tasks/list"))["tasks"] == []
        for uri in uris:
            result_of(raw.legacy("resources/read", uri=uri))
            assert stranger.legacy("resources/read", uri=uri).json()["error"]["code"] == -32002
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            assert stranger.legacy(method, taskId=task).json()["error"]["code"] == -32602
        ref = {"type": "ref/resource", "uri": "caxton://agents/{name}"}
        told = stranger.legacy("completion/complete", ref=ref, argument={"name": "name", "value": ""})
        assert result_of(told)["completion"]["values"] == []
        mine = raw.legacy("completion/complete", ref=ref, argument={"name": "name", "value": "sl"})
        assert result_of(mine)["completion"] == {"values": ["slow"], "total": 1, "hasMore": False}
        stranger.session = raw.session
        assert stranger.legacy("ping").status_code == 404
