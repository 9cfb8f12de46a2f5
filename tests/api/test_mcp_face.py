"""Any MCP client uses capabilities as tools: tried with the official SDK, in both ways of the protocol."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from tests.api.conftest import Deploy, new_key
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.mcp_client import MODES, Raw, Use, messages_of, result_of, text_of, with_sdk
from tests.support.modules import answering
from tests.support.waiting import until

PRICE = (
    '[{ name = "price", input = { type = "object", required = ["amount"], additionalProperties = false, properties = '
    '{ amount = { type = "integer", minimum = 1 } } }, output = { type = "object", required = ["total"], properties = '
    '{ total = { type = "integer" } } } }]'
)


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
def test_a_capability_is_a_tool(use: Use, deploy: Deploy, mode: str) -> None:
    price = agent("price", capabilities=PRICE, rules=replies('{"total": {{ input.amount * 2 }} }'))
    deploy({**agent("echo", rules=replies("you said: {{ request }}")), **price})

    async def work(client: Client) -> None:
        assert client.server_info is not None
        assert client.server_info.name == "caxton"
        assert client.protocol_version == {"legacy": "2025-11-25", "auto": "2026-07-28"}[mode]
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["echo", "price"]
        assert tools[0].input_schema["required"] == ["request"]
        assert tools[1].input_schema["properties"]["amount"] == {"type": "integer", "minimum": 1}
        assert tools[1].output_schema is not None
        said = await client.call_tool("echo", {"request": "hello"})
        assert (text_of(said), said.is_error) == ("you said: hello", False)
        priced = await client.call_tool("price", {"amount": 21})
        assert priced.structured_content == {"total": 42}

    use(work, mode)


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
def test_errors_of_the_work_are_results_with_hints_and_those_of_the_protocol_are_not(
    use: Use, deploy: Deploy, mode: str
) -> None:
    price = agent("price", capabilities=PRICE, rules=replies("no object"))
    deploy(
        {**price, **agent("silent", rules="[[rules]]\nwhen = { contains = 'never' }\n[[rules.steps]]\nreply = 'x'\n")}
    )

    async def work(client: Client) -> None:
        wrong = await client.call_tool("price", {"amount": 0})
        assert wrong.is_error
        assert "does not fit" in text_of(wrong)
        assert "caxton capabilities price --json" in text_of(wrong)
        failed = await client.call_tool("silent", {"request": "x"})
        assert failed.is_error
        assert failed.meta is not None
        assert failed.meta["caxton/error"]["code"] == "no_script_rule"
        nothing = await client.call_tool("silent", {})
        assert nothing.is_error
        assert 'takes "request"' in text_of(nothing)
        with pytest.raises(MCPError) as caught:
            await client.call_tool("nothing", {"request": "x"})
        assert caught.value.code == -32602
        with pytest.raises(MCPError) as caught:
            await client.read_resource("caxton://agents/nobody")
        assert caught.value.code == (-32002 if mode == "legacy" else -32602)

    use(work, mode)


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
def test_progress_is_told_step_by_step(use: Use, deploy: Deploy, mode: str) -> None:
    slow = agent("slow", rules=replies("done", delay=0.2))
    deploy({**slow, **agent("front", rules=hands_over("slow"), more='delegates = ["slow"]\n')})
    told: list[tuple[float, str | None]] = []

    async def work(client: Client) -> None:
        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, message))

        done = await client.call_tool("front", {"request": "x"}, progress_callback=hear)
        assert text_of(done) == "done"

    use(work, mode)
    assert [progress for progress, _ in told] == list(range(1, len(told) + 1))
    assert "front: begins front" in [message for _, message in told]
    assert "slow: begins slow" in [message for _, message in told]


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("conversation", [None, "new"])
def test_a_cancelled_request_ends_the_work(
    use: Use, deploy: Deploy, api: httpx.Client, mode: str, conversation: str | None
) -> None:
    deploy(agent("slow", rules=replies("done", delay=30)))
    arguments = {"request": "x", **({"conversation": conversation} if conversation else {})}

    async def work(client: Client) -> None:
        begun = asyncio.Event()

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            begun.set()

        task = asyncio.create_task(client.call_tool("slow", arguments, progress_callback=hear))
        await asyncio.wait_for(begun.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.2)  # the SDK sends the news of it in the background

    use(work, mode)

    def ended() -> bool:
        found = api.get("/v1/events", params={"type": "execution_failed"}).json()["events"]
        return bool(found) and found[0]["error_code"] == "execution_cancelled"

    until(ended, 20)


@pytest.mark.requirement("FAC-1", "SEC-1")
@pytest.mark.parametrize("mode", MODES)
def test_who_may_end_nothing_cancels_nothing_by_going_away(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, api: httpx.Client, mode: str
) -> None:
    deploy(agent("slow", rules=replies("done", delay=2)))
    role = f"asker-{workspace}"
    allowed = ["agents:read", "messages:send", "messages:read"]
    api.put(f"/v1/roles/{role}", json={"permissions": allowed}).raise_for_status()
    key = api.post("/v1/keys", json={"name": role, "role": role}).raise_for_status().json()["key"]

    async def work(client: Client) -> None:
        begun = asyncio.Event()

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            begun.set()

        task = asyncio.create_task(client.call_tool("slow", {"request": "x"}, progress_callback=hear))
        await asyncio.wait_for(begun.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.2)

    with_sdk(caxton_server, workspace, work, mode, key=key)

    def ends() -> list[str]:
        wanted = {"type": ["execution_completed", "execution_failed"]}
        return [each["event_type"] for each in api.get("/v1/events", params=wanted).json()["events"]]

    until(ends, 30)
    assert ends() == ["execution_completed"]
    assert api.get("/v1/events", params={"type": "cancellation_requested"}).json()["events"] == []


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
def test_a_conversation_goes_on_and_a_key_is_answered_once(use: Use, deploy: Deploy, mode: str) -> None:
    deploy(agent("count", rules=replies("{{ 1 + history | length // 2 }}")))

    async def work(client: Client) -> None:
        first = await client.call_tool("count", {"request": "a", "conversation": "new"})
        assert text_of(first) == "1"
        assert first.meta is not None
        talk = first.meta["caxton/conversation"]
        assert talk in text_of(first, 1)
        second = await client.call_tool("count", {"request": "b", "conversation": talk})
        assert (text_of(second), len(second.content)) == ("2", 1)
        third = await client.call_tool("count", {"request": "c"}, meta={"caxton/conversation": talk})  # type: ignore[typeddict-unknown-key]
        assert text_of(third) == "3"
        lost = await client.call_tool("count", {"request": "c", "conversation": "c_nobody"})
        assert lost.is_error
        key: Any = {"caxton/idempotency-key": "order-7"}
        once, again = [await client.call_tool("count", {"request": "d"}, meta=key) for _ in range(2)]
        assert once.meta is not None
        assert again.meta is not None
        assert once.meta["caxton/execution"] == again.meta["caxton/execution"]
        other = await client.call_tool("count", {"request": "another"}, meta=key)
        assert other.is_error

    use(work, mode)


@pytest.mark.requirement("FAC-1")
def test_tools_are_listed_in_order_page_by_page(use: Use, deploy: Deploy) -> None:
    names = [f"c-{number:03}" for number in range(60)]
    deploy(agent("many", capabilities=json.dumps(list(reversed(names))), rules=replies("x")))

    async def work(client: Client) -> None:
        first = await client.list_tools()
        assert first.next_cursor is not None
        second = await client.list_tools(cursor=first.next_cursor)
        assert second.next_cursor is None
        assert [tool.name for tool in [*first.tools, *second.tools]] == names
        with pytest.raises(MCPError):
            await client.list_tools(cursor=first.next_cursor[:-2])

    use(work)


@pytest.mark.requirement("FAC-1")
def test_more_than_a_hundred_capabilities_are_found_and_asked(use: Use, deploy: Deploy) -> None:
    names = [f"c-{number:03}" for number in range(100)]
    price = agent("price", capabilities=PRICE, rules=replies('{"total": {{ input.amount * 2 }} }'))
    deploy({**agent("many", capabilities=json.dumps(names), rules=replies("many: {{ request }}")), **price})

    async def work(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["ask_capability", "find_capability"]
        found = await client.call_tool("find_capability", {"query": "pric"})
        assert found.structured_content is not None
        assert [each["name"] for each in found.structured_content["capabilities"]] == ["price"]
        assert found.structured_content["capabilities"][0]["input"]["required"] == ["amount"]
        said = await client.call_tool("ask_capability", {"capability": "c-007", "request": "hello"})
        assert text_of(said) == "many: hello"
        priced = await client.call_tool("ask_capability", {"capability": "price", "input": {"amount": 4}})
        assert priced.structured_content == {"total": 8}
        wrong = await client.call_tool("ask_capability", {"capability": "prise", "request": "x"})
        assert wrong.is_error
        assert 'did you mean "price"?' in text_of(wrong)

    use(work)


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("MSG-12")
@pytest.mark.parametrize("mode", MODES)
def test_files_come_with_the_result(use: Use, deploy: Deploy, mode: str) -> None:
    dot = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
    made = [
        {"type": "image", "mimeType": "image/png", "data": dot},
        {"type": "resource", "resource": {"uri": "x://c.svg", "mimeType": "image/svg+xml", "text": "<svg/>"}},
        {"type": "resource", "resource": {"uri": "x://d.bin", "blob": base64.b64encode(b"\xff\xfe").decode()}},
    ]
    rules = "[[rules]]\n[[rules.steps]]\ntool = 'camera.run'\n[[rules.steps]]\nreply = 'A dot.'\n"
    files = agent("look", rules=rules, more='tools = ["camera"]\n')
    files["tools/camera/tool.toml"] = 'name = "camera"\nversion = "1.0.0"\nmodule = "m.wasm"\n'
    files["tools/camera/m.wasm"] = answering(json.dumps({"content": made}))
    deploy(files)

    async def work(client: Client) -> None:
        said = await client.call_tool("look", {"request": "x"})
        told = [each.model_dump(by_alias=True, exclude_none=True) for each in said.content]
        assert told[0] == {"type": "text", "text": "A dot."}
        assert told[1] == {"type": "image", "data": dot, "mimeType": "image/png"}
        assert told[2]["resource"]["text"] == "<svg/>"
        assert told[3]["resource"]["blob"] == base64.b64encode(b"\xff\xfe").decode()
        assert len(told) == 4

    use(work, mode)


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
def test_agents_conversations_and_traces_are_resources(use: Use, deploy: Deploy, mode: str) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))

    async def work(client: Client) -> None:
        async def read(uri: str) -> Any:
            [content] = (await client.read_resource(uri)).contents
            return json.loads(content.text)  # type: ignore[union-attr]

        said = await client.call_tool("echo", {"request": "hello", "conversation": "new"})
        assert said.meta is not None
        talk = said.meta["caxton/conversation"]
        listed = [str(each.uri) for each in (await client.list_resources()).resources]
        assert listed == [
            "caxton://agents",
            "caxton://agents/echo",
            "caxton://conversations",
            f"caxton://conversations/{talk}",
        ]
        assert (await read("caxton://agents/echo"))["version"] == "1.0.0"
        assert [each["name"] for each in await read("caxton://agents")] == ["echo"]
        messages = (await read(f"caxton://conversations/{talk}"))["messages"]
        assert [each["content"]["text"] for each in messages] == ["hello", "you said: hello"]
        trace = await read(f"caxton://traces/{said.meta['caxton/execution']}")
        assert (trace["state"], trace["text"]) == ("completed", "you said: hello")
        assert "execution_completed" in [event["event_type"] for event in trace["events"]]
        templates = (await client.list_resource_templates()).resource_templates
        assert [each.name for each in templates] == ["agent", "conversation", "trace"]

    use(work, mode)


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("mode", MODES)
def test_a_key_sees_and_does_what_its_role_allows(use: Use, deploy: Deploy, api: httpx.Client, mode: str) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))

    async def look(client: Client) -> None:
        assert (await client.list_tools()).tools == []
        assert "caxton://agents/echo" in [str(each.uri) for each in (await client.list_resources()).resources]
        with pytest.raises(MCPError) as caught:
            await client.call_tool("echo", {"request": "x"})
        assert "messages:send" in str(caught.value) or mode == "legacy"

    use(look, mode, key=new_key(api, "viewer"))

    async def elsewhere(client: Client) -> None:
        assert (await client.list_tools()).tools == []
        assert [str(each.uri) for each in (await client.list_resources()).resources] == [
            "caxton://agents",
            "caxton://conversations",
        ]
        with pytest.raises(MCPError):
            await client.call_tool("echo", {"request": "x"})

    use(elsewhere, mode, key=new_key(api, "admin", customer="somebody-else"))


@pytest.mark.requirement("FAC-1")
def test_what_is_no_message_is_refused_as_json_rpc_has_it(raw: Raw, api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))

    def code(answer: httpx.Response, status: int) -> int:
        assert answer.status_code == status, answer.text
        told = answer.json()
        assert told["jsonrpc"] == "2.0"
        return told["error"]["code"]

    json_type = {"Content-Type": "application/json"}
    assert code(api.post("/mcp", content=b"{", headers=json_type), 400) == -32700
    assert code(raw.post([]), 400) == -32600
    assert code(raw.post([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]), 400) == -32600
    assert code(raw.post({"id": 1, "method": "ping"}), 400) == -32600
    assert code(raw.post({"jsonrpc": "2.0", "id": None, "method": "ping"}), 400) == -32600
    assert code(raw.post({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}), 200) == -32602
    long = {"_meta": {"progressToken": "x" * 10_000}}
    assert code(raw.post({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": long}), 200) == -32602
    assert code(raw.post({"jsonrpc": "2.0", "id": 1, "result": {}}), 400) == -32600
    assert code(raw.legacy("nothing/here"), 200) == -32601
    assert code(raw.modern("nothing/here"), 404) == -32601
    assert code(raw.modern("ping"), 404) == -32601
    assert code(raw.modern("initialize"), 404) == -32601
    assert code(raw.modern("tools/call", arguments={}), 400) == -32602
    assert api.get("/mcp").status_code == 405
    assert api.delete("/mcp").headers["Allow"] == "POST"
    assert raw.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    with httpx.Client(base_url=api.base_url, trust_env=False) as nobody:
        refused = Raw(nobody).modern("tools/list")
    assert (code(refused, 401), refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="caxton"')
    ping = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
    assert raw.post(ping).json() == {"jsonrpc": "2.0", "id": 7, "result": {}}
    assert raw.post(ping, {"Origin": "https://evil.example"}).status_code == 403
    assert raw.post(ping, {"Host": "evil.example"}).status_code == 421
    plain = api.post(
        "/mcp", json={**ping, "method": "tools/call", "params": {"name": "echo", "arguments": {"request": "x"}}}
    )
    assert plain.headers["content-type"] == "application/json"
    assert plain.json()["result"]["content"][0]["text"] == "you said: x"


@pytest.mark.requirement("FAC-1")
def test_a_request_of_2026_says_in_its_headers_what_it_says_in_its_body(raw: Raw, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("x")))
    found = result_of(raw.modern("server/discover"))
    assert found["supportedVersions"][0] == "2026-07-28"
    assert (found["resultType"], found["cacheScope"]) == ("complete", "private")
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "caxton"
    assert result_of(raw.modern("tools/list"))["ttlMs"] > 0
    call: dict[str, Any] = {"name": "echo", "arguments": {"request": "x"}}
    assert result_of(raw.modern("tools/call", **call))["resultType"] == "complete"
    encoded = {"Mcp-Name": "=?base64?ZWNobw==?="}
    assert result_of(raw.modern("tools/call", encoded, **call))["isError"] is False
    for wrong in (
        {"Mcp-Name": "other"},
        {"Mcp-Name": "=?base64?ZWNobw?="},
        {"Mcp-Method": "tools/list"},
        {"MCP-Protocol-Version": "2025-11-25"},
    ):
        answer = raw.modern("tools/call", wrong, **call)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020), wrong
    unknown = raw.modern(
        "tools/list",
        {"MCP-Protocol-Version": "2031-01-01"},
        _meta={"io.modelcontextprotocol/protocolVersion": "2031-01-01"},
    )
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, -32022)
    assert "2026-07-28" in unknown.json()["error"]["data"]["supported"]
    bare = raw.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"MCP-Protocol-Version": "2026-07-28"})
    assert (bare.status_code, bare.json()["error"]["code"]) == (400, -32602)


@pytest.mark.requirement("FAC-1")
def test_a_session_is_only_what_the_client_said(raw: Raw, api: httpx.Client) -> None:
    raw.begin("2025-06-18")
    assert raw.session is not None
    assert result_of(raw.legacy("tools/list")) == {"tools": []}
    raw.session = raw.session[:-1] + ("A" if raw.session[-1] != "A" else "B")
    assert raw.legacy("tools/list").status_code == 404
    raw.begin()
    other = Raw(api, session=raw.session)
    assert result_of(other.legacy("ping")) == {}
    assert messages_of(other.begin("1999-01-01").legacy("ping"))[0]["result"] == {}


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("mode", MODES)
def test_a_capability_is_a_prompt_that_has_the_model_call_it(use: Use, deploy: Deploy, mode: str) -> None:
    size = '{ type = "string", enum = ["small", "middle", "large"], description = "How large." }'
    schema = f'{{ type = "object", required = ["size"], properties = {{ size = {size} }} }}'
    offered = f'[{{ name = "order", input = {schema} }}]'
    order = agent("order", capabilities=offered, rules=replies("ordered"))
    deploy({**order, **agent("echo", rules=replies("you said: {{ request }}"))})

    async def work(client: Client) -> None:
        found = {each.name: each for each in (await client.list_prompts()).prompts}
        assert sorted(found) == ["echo", "order"]
        for name, argument, value in (("echo", "request", "hello"), ("order", "size", "small")):
            [told] = found[name].arguments or []
            assert (told.name, told.required) == (argument, True)
            got = await client.get_prompt(name, {argument: value})
            text = got.messages[0].content.text  # type: ignore[union-attr]
            assert f'Call the tool "{name}"' in text
            assert f'"{argument}": "{value}"' in text
        for wrong in ({}, {"request": "a", "else": "b"}):
            with pytest.raises(MCPError) as caught:
                await client.get_prompt("echo", wrong)
            assert caught.value.code == -32602
        with pytest.raises(MCPError):
            await client.get_prompt("nothing", {})

    use(work, mode)


@pytest.mark.requirement("FAC-1")
def test_arguments_of_prompts_are_completed(raw: Raw, deploy: Deploy) -> None:
    schema = 'type = "object", properties = { size = { type = "string", enum = ["small", "sky", "large"] } }'
    deploy(agent("order", capabilities=f'[{{ name = "order", input = {{ {schema} }} }}]', rules=replies("x")))
    ref = {"type": "ref/prompt", "name": "order"}
    told = raw.modern("completion/complete", ref=ref, argument={"name": "size", "value": "s"})
    assert result_of(told)["completion"]["values"] == ["small", "sky"]
    other = raw.modern("completion/complete", ref={**ref, "name": "nothing"}, argument={"name": "size", "value": ""})
    assert other.json()["error"]["code"] == -32602
    assert raw.modern("completion/complete", ref=ref, argument={"name": 5}).json()["error"]["code"] == -32602
