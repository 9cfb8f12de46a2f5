"""Functions of the caller: the model of an agent asks for them, the caller sends what they brought, and the agent goes on."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.api.conftest import Deploy
from tests.api.test_openai_face import error_of, make_client, thinker, user
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.stand_in import Answer, Remote
from tests.support.tools import bundled_tool

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "now", "description": "The time."}}


def as_response_tool(tool: Any) -> Any:
    return {"type": "function", "strict": False, "parameters": None, **tool["function"]}


@pytest.fixture
def client(caxton_server: RunningServer, workspace: str) -> Iterator[openai.OpenAI]:
    with make_client(caxton_server, workspace) as found:
        yield found


def asks(*calls: tuple[str, dict[str, Any]], text: str = "") -> Answer:
    listed = [
        {"id": f"call_{number}", "name": name, "arguments": given} for number, (name, given) in enumerate(calls, 1)
    ]
    return Answer(text=text, calls=listed)


def seen_by(stand_in: Remote, number: int = -1) -> list[tuple[str, Any]]:
    """What the model saw, briefly: role, and content or the names of calls."""
    messages = stand_in.requests()[number]["messages"]
    return [
        (each["role"], [call["function"]["name"] for call in each.get("tool_calls") or ()] or each["content"])
        for each in messages
    ]


@pytest.mark.requirement("FAC-3")
def test_a_chat_goes_on_with_the_results_of_the_callers_functions(
    client: openai.OpenAI, api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(
        asks(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"}), text="Let me look."),
        Answer(text="Oslo 3, Rome 21."),
    )
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, user("Compare Oslo and Rome.")]
    first = client.chat.completions.create(model="think", messages=messages, tools=[WEATHER])
    [choice] = first.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me look.")
    calls: list[Any] = choice.message.tool_calls or []
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert len({call.id for call in calls}) == 2
    assert all(len(call.id) <= 40 for call in calls)
    [offered] = stand_in.requests()[0]["tools"]
    assert (offered["function"]["name"], offered["function"]["parameters"]) == (
        "get_weather",
        WEATHER["function"]["parameters"],
    )
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "3"},
        {"role": "tool", "tool_call_id": calls[1].id, "content": [{"type": "text", "text": "21"}]},
    ]
    second = client.chat.completions.create(model="think", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "Oslo 3, Rome 21."
    assert second.choices[0].finish_reason == "stop"
    assert seen_by(stand_in) == [
        ("system", "You think.\n\nBe brief."),
        ("user", "Compare Oslo and Rome."),
        ("assistant", ["get_weather", "get_weather"]),
        ("tool", "3"),
        ("tool", "21"),
    ]
    usage = api.get(f"/v1/executions/{second.model_dump()['caxton']['execution_id']}").json()["usage"]
    assert usage["model_calls"] == 1  # what was done before is not counted again


@pytest.mark.requirement("FAC-3")
def test_what_the_agent_did_itself_is_not_done_again(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy({**thinker(stand_in, head='tools = ["csv-tools"]\n'), **bundled_tool("csv-tools")})
    parse = ("csv-tools__parse", {"csv": "a,b\n1,2"})
    messages: list[Any] = [user("What time is it?")]
    # Both at a time: the agent's own comes first.
    stand_in.answer(asks(parse), asks(parse, ("now", {})), asks(("now", {})), Answer(text="Noon."))
    first = client.chat.completions.create(model="think", messages=messages, tools=[CLOCK])
    [call] = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "now"
    assert len(stand_in.requests()) == 3
    assert "not called yet" in str(seen_by(stand_in))
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "12:00"},
    ]
    second = client.chat.completions.create(model="think", messages=messages, tools=[CLOCK])
    assert second.choices[0].message.content == "Noon."
    kinds = [role for role, _ in seen_by(stand_in)]
    assert kinds == ["system", "user", "assistant", "tool", "assistant", "tool", "tool", "assistant", "tool"]
    assert seen_by(stand_in)[-1] == ("tool", "12:00")
    assert second.usage is not None
    assert second.usage.prompt_tokens == 50


@pytest.mark.requirement("FAC-3")
def test_a_function_may_have_a_name_like_those_of_the_agents_own(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote
) -> None:
    deploy({**thinker(stand_in, head='tools = ["csv-tools"]\n'), **bundled_tool("csv-tools")})
    mine: Any = {"type": "function", "function": {"name": "csv-tools__parse"}}
    stand_in.answer(Answer(text="Well."))
    client.chat.completions.create(model="think", messages=[user("x")], tools=[mine])
    names = [tool["function"]["name"] for tool in stand_in.requests()[-1]["tools"]]
    assert len(set(names)) == len(names)
    stand_in.answer(asks((names[-1], {"csv": "a"})))
    done = client.chat.completions.create(model="think", messages=[user("x")], tools=[mine])
    [call] = done.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "csv-tools__parse"


@pytest.mark.requirement("FAC-3")
def test_calls_are_streamed(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(asks(("get_weather", {"city": "Oslo"}), text="Let me look."))
    with client.chat.completions.stream(model="think", messages=[user("Oslo?")], tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        final: Any = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.content == "Let me look."
    [call] = final.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Oslo"})


@pytest.mark.requirement("FAC-3")
def test_the_choice_of_a_function_is_the_callers(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(asks(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})))
    done = client.chat.completions.create(
        model="think",
        messages=[user("x")],
        tools=[WEATHER, CLOCK],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
    )
    assert len(done.choices[0].message.tool_calls or []) == 1
    [sent] = stand_in.requests()
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}

    assert sent["parallel_tool_calls"] is False
    stand_in.answer(asks(("get_weather", {"city": "Oslo"})))
    client.chat.completions.create(model="think", messages=[user("x")], tools=[WEATHER], tool_choice="required")
    assert stand_in.requests()[-1]["tool_choice"] == "required"
    stand_in.answer(Answer(text="No."))
    client.chat.completions.create(model="think", messages=[user("x")], tools=[WEATHER], tool_choice="none")
    assert "tools" not in stand_in.requests()[-1]


@pytest.mark.requirement("FAC-8")
def test_a_response_goes_on_with_the_output_of_a_function(
    client: openai.OpenAI, api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in, more='user_prompt_template = "Asked: {{ request }}"\n'))
    stand_in.answer(
        Answer(text="Hello."),
        asks(("get_weather", {"city": "Oslo"})),
        asks(("get_weather", {"city": "Rome"})),
        Answer(text="3 and 21."),
        Answer(text="Rome."),
    )
    tools: Any = [as_response_tool(WEATHER)]
    hello = client.responses.create(model="think", input="Hi")
    first = client.responses.create(model="think", input="Compare.", tools=tools, previous_response_id=hello.id)
    [call] = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments), call.status) == ("get_weather", {"city": "Oslo"}, "completed")
    assert client.responses.retrieve(first.id).output == first.output
    with pytest.raises(openai.BadRequestError, match="no call"):
        client.responses.create(
            model="think",
            previous_response_id=first.id,
            tools=tools,
            input=[{"type": "function_call_output", "call_id": "call_x", "output": "3"}],
        )
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "3"}]
    second = client.responses.create(model="think", input=output, tools=tools, previous_response_id=first.id)
    [call] = second.output
    assert call.type == "function_call"
    output = [{"type": "function_call_output", "call_id": call.call_id, "output": "21"}]
    third = client.responses.create(model="think", input=output, tools=tools, previous_response_id=second.id)
    assert third.output_text == "3 and 21."
    assert seen_by(stand_in) == [
        ("system", "You think."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "Asked: Compare."),
        ("assistant", ["get_weather"]),
        ("tool", "3"),
        ("assistant", ["get_weather"]),
        ("tool", "21"),
    ]
    last = client.responses.create(model="think", input="Which is warm?", previous_response_id=third.id)
    assert last.output_text == "Rome."
    assert [text for _, text in seen_by(stand_in)] == [
        "You think.",
        "Hi",
        "Hello.",
        "Compare.",
        "3 and 21.",
        "Asked: Which is warm?",
    ]


@pytest.mark.requirement("FAC-8")
def test_a_further_message_may_follow_the_results(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(asks(("get_weather", {"city": "Oslo"})), Answer(text="3."))
    tools: Any = [as_response_tool(WEATHER)]
    first = client.responses.create(model="think", input="Weather?", tools=tools)
    [call] = first.output
    assert call.type == "function_call"
    said: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "3"}, user("In Celsius.")]
    client.responses.create(model="think", input=said, tools=tools, previous_response_id=first.id)
    assert seen_by(stand_in)[1:] == [
        ("user", "Weather?"),
        ("assistant", ["get_weather"]),
        ("tool", "3"),
        ("user", "In Celsius."),
    ]


@pytest.mark.requirement("FAC-3")
@pytest.mark.parametrize("sent", ["new", "all"])
def test_a_further_message_may_follow_the_results_in_a_conversation(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote, sent: str
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(asks(("get_weather", {"city": "Oslo"})), Answer(text="3."))
    messages: list[Any] = [user("Weather?")]
    raw = client.chat.completions.with_raw_response.create(
        model="think", messages=messages, tools=[WEATHER], extra_headers={"X-Caxton-Conversation": "new"}
    )
    talk = {"X-Caxton-Conversation": raw.headers["X-Caxton-Conversation"]}
    [choice] = raw.parse().choices
    [call] = choice.message.tool_calls or []
    messages.append(choice.message.model_dump(exclude_none=True))
    new: list[Any] = [{"role": "tool", "tool_call_id": call.id, "content": "3"}, user("In Celsius.")]
    said = new if sent == "new" else [*messages, *new]
    client.chat.completions.create(model="think", messages=said, tools=[WEATHER], extra_headers=talk)
    assert seen_by(stand_in)[1:] == [
        ("user", "Weather?"),
        ("assistant", ["get_weather"]),
        ("tool", "3"),
        ("user", "In Celsius."),
    ]
    new[0]["tool_call_id"] = "call_x"
    with pytest.raises(openai.BadRequestError, match="call_x"):
        client.chat.completions.create(model="think", messages=said, tools=[WEATHER], extra_headers=talk)


@pytest.mark.requirement("FAC-8")
def test_calls_of_a_response_are_streamed(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(asks(("get_weather", {"city": "Oslo"}), text="Let me look."))
    tools: Any = [as_response_tool(WEATHER)]
    with client.responses.stream(model="think", input="Oslo?", tools=tools) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["message", "function_call"]
    assert kinds[-1] == "response.completed"
    assert "response.function_call_arguments.done" in kinds


@pytest.mark.requirement("FAC-3")
@pytest.mark.parametrize("api_of", ["chat", "responses"])
def test_calls_that_were_made_elsewhere_are_seen_as_they_are_told(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote, api_of: str
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="3."))
    if api_of == "chat":
        call = {"id": "abc", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
        messages: list[Any] = [
            user("Weather?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "abc", "content": "3"},
        ]
        client.chat.completions.create(model="think", messages=messages, tools=[WEATHER])
    else:
        items: Any = [
            user("Weather?"),
            {"type": "function_call", "call_id": "abc", "name": "get_weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "abc", "output": "3"},
        ]
        client.responses.create(model="think", input=items, tools=[as_response_tool(WEATHER)], store=False)
    assert seen_by(stand_in)[1:] == [("user", "Weather?"), ("assistant", ["get_weather"]), ("tool", "3")]


@pytest.mark.requirement("FAC-3")
@pytest.mark.requirement("FAC-9")
def test_calls_are_approved_as_replies_are(
    client: openai.OpenAI, api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    offered = '[{ name = "think", approval_mode = "operator" }]'
    files = thinker(stand_in)
    text = str(files["agents/thinker.toml"]).replace('["think"]', offered)
    deploy({"agents/thinker.toml": text})
    stand_in.answer(asks(("get_weather", {"city": "Oslo"})))
    key = {"Idempotency-Key": "weather"}
    with pytest.raises(openai.ConflictError) as waiting:
        client.chat.completions.create(model="think", messages=[user("x")], tools=[WEATHER], extra_headers=key)
    approval = error_of(waiting)["caxton"]["details"]["approval_id"]
    assert "Oslo" in api.get(f"/v1/approvals/{approval}").json()["content"]
    api.post(f"/v1/approvals/{approval}/grant", json={"reason": "fine"}).raise_for_status()
    done = client.chat.completions.create(model="think", messages=[user("x")], tools=[WEATHER], extra_headers=key)
    assert done.choices[0].finish_reason == "tool_calls"


@pytest.mark.requirement("FAC-3")
@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"messages": [user("x"), {"role": "tool", "tool_call_id": "none", "content": "3"}]}, "messages"),
    ],
)
def test_tools_that_cannot_be_are_refused_by_name(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote, options: dict[str, Any], param: str
) -> None:
    deploy(thinker(stand_in))
    given: dict[str, Any] = {"model": "think", "messages": [user("x")], **options}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**given)
    assert (error_of(caught)["param"], error_of(caught)["type"]) == (param, "invalid_request_error")


@pytest.mark.requirement("FAC-3")
def test_a_script_cannot_ask_for_functions(client: openai.OpenAI, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("x")))
    with pytest.raises(openai.BadRequestError, match='agent "echo" answers by a script') as caught:
        client.chat.completions.create(model="echo", messages=[user("x")], tools=[WEATHER])
    assert error_of(caught)["param"] == "tools"
    done = client.chat.completions.create(model="echo", messages=[user("x")], tools=[WEATHER], tool_choice="none")
    assert done.choices[0].message.content == "x"
