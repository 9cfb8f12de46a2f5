"""What MCP clients hear beside answers: changes of lists and resources, log messages; and headers that repeat arguments."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from mcp.client.client import Client

from tests.api.conftest import Deploy, new_key
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.mcp_client import CAPABILITIES, MODERN, VERSION, Raw, Use, messages_of, result_of, text_of

pytestmark = pytest.mark.requirement("FAC-1")

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LEVEL = "io.modelcontextprotocol/logLevel"
REGION = (
    '[{ name = "regional", input = { type = "object", required = ["region"], properties = { region = { type = "string", '
    '"x-mcp-header" = "Region" }, count = { type = "integer", "x-mcp-header" = "Count" } } } }]'
)


@contextmanager
def listening(api: httpx.Client, **notifications: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The messages of a subscription, as they come."""
    meta = {VERSION: MODERN, CAPABILITIES: {}}
    params = {"notifications": notifications, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": "sub-1", "method": "subscriptions/listen", "params": params}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "subscriptions/listen",
    }
    with api.stream("POST", "/mcp", json=message, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: "))


def test_a_client_hears_of_changes_that_it_asked_for(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(agent("count", rules=replies("{{ 1 + history | length // 2 }}")))
    talk = api.post("/v1/conversations", json={"capability": "count"}).json()["id"]
    watched = [f"caxton://conversations/{talk}", "caxton://agents/count", "caxton://nothing"]
    with listening(api, toolsListChanged=True, promptsListChanged=1, resourceSubscriptions=watched) as messages:
        told = next(messages)
        assert told["method"] == "notifications/subscriptions/acknowledged"
        assert told["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": watched[:2]}
        assert told["params"]["_meta"] == {SUBSCRIPTION: "sub-1"}
        with caxton_server.client(workspace) as other:
            other.post(f"/v1/conversations/{talk}/messages", json={"content": "a"}).raise_for_status()
        updated = next(messages)
        assert (updated["method"], updated["params"]["uri"]) == ("notifications/resources/updated", watched[0])
        assert updated["params"]["_meta"] == {SUBSCRIPTION: "sub-1"}
        deploy(agent("another", rules=replies("x")))
        found = {next(messages)["method"]}
        while "notifications/tools/list_changed" not in found:
            found.add(next(messages)["method"])
        assert "notifications/resources/list_changed" not in found


def test_a_subscription_gives_only_what_the_key_may_read(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    with caxton_server.client(workspace, key=new_key(api, "viewer")) as viewer:
        with listening(viewer, toolsListChanged=True, resourcesListChanged=True) as messages:
            assert next(messages)["params"]["notifications"] == {"resourcesListChanged": True}
        raw = Raw(viewer)
        many = {"resourceSubscriptions": ["caxton://agents"] * 101}
        assert messages_of(raw.modern("subscriptions/listen", notifications=many))[0]["error"]["code"] == -32602
        assert messages_of(raw.legacy("subscriptions/listen"))[0]["error"]["code"] == -32601


def test_steps_are_log_messages_for_who_asks_for_them(raw: Raw, deploy: Deploy) -> None:
    slow = agent("slow", rules=replies("done", delay=0.4))
    deploy({**slow, **agent("front", rules=hands_over("slow"), more='delegates = ["slow"]\n')})
    call: dict[str, Any] = {"name": "front", "arguments": {"request": "x"}}

    def logged(answer: httpx.Response) -> list[dict[str, Any]]:
        found = messages_of(answer)
        assert found[-1]["result"]["content"][0]["text"] == "done"
        return [each["params"] for each in found if each.get("method") == "notifications/message"]

    told = logged(raw.modern("tools/call", **call, _meta={LEVEL: "info"}))
    assert len(told) >= 3
    assert {each["level"] for each in told} == {"info"}
    assert "slow" in {each["logger"] for each in told}
    assert logged(raw.modern("tools/call", **call, _meta={LEVEL: "error"})) == []
    assert logged(raw.modern("tools/call", **call)) == []
    raw.begin()
    assert logged(raw.legacy("tools/call", **call)) == []
    assert result_of(raw.legacy("logging/setLevel", level="debug")) == {}
    assert len(logged(raw.legacy("tools/call", **call))) >= 3
    assert raw.legacy("logging/setLevel", level="loud").json()["error"]["code"] == -32602


def test_headers_repeat_the_arguments_that_a_schema_names(use: Use, raw: Raw, deploy: Deploy) -> None:
    deploy(agent("regional", capabilities=REGION, rules=replies("in {{ input.region }}")))

    async def work(client: Client) -> None:
        [tool] = (await client.list_tools()).tools
        assert tool.input_schema["properties"]["region"]["x-mcp-header"] == "Region"
        for region in ("eu", "ü"):
            said = await client.call_tool("regional", {"region": region, "count": 3})
            assert text_of(said) == f"in {region}"

    use(work)
    [old] = result_of(raw.begin().legacy("tools/list"))["tools"]
    assert "x-mcp-header" not in json.dumps(old)
    call: dict[str, Any] = {"name": "regional", "arguments": {"region": "eu", "count": 3}}
    assert result_of(raw.legacy("tools/call", **call))["content"][0]["text"] == "in eu"
    good = {"Mcp-Param-Region": "eu", "Mcp-Param-Count": "3"}
    assert result_of(raw.modern("tools/call", good, **call))["isError"] is False
    assert result_of(raw.modern("tools/call", {**good, "Mcp-Param-Region": "=?base64?ZXU=?="}, **call))
    for wrong in (
        {"Mcp-Param-Region": "us"},
        {"Mcp-Param-Count": "4"},
        {"Mcp-Param-Region": "=?base64?ZXU?="},
        {"Mcp-Param-Region": "=?base64?!!?="},
    ):
        answer = raw.modern("tools/call", {**good, **wrong}, **call)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020), wrong
    for name in good:
        answer = raw.modern("tools/call", {each: value for each, value in good.items() if each != name}, **call)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020), name
    # Clients over standard input and output send no headers, so `caxton mcp` has none to pass on.
    bridged = {"X-Caxton-Channel": "mcp"}
    assert result_of(raw.modern("tools/call", bridged, **call))["isError"] is False
    wrong = {**bridged, "Mcp-Param-Region": "us"}
    assert raw.modern("tools/call", wrong, **call).status_code == 400
