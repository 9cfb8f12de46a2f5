"""Providers over real HTTP: what goes out, what comes back."""

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply, ToolCall
from model_requests import ANALYZE, DIALECTS, PARSE, agent, request, result

from caxton.adapters.models import Models
from caxton.domain.ports import FunctionCall, ModelReply, PromptPart

CALL = FunctionCall("call_1", "csv-tools.parse", "tool", {"text": "a,b"})
ASK = FunctionCall("call_2", "analyze-data", "capability", {"content": "look"})


def passed_over(reply: ModelReply) -> list[dict[str, str]]:
    passed = reply.metadata["fallback_from"]
    assert all(each["reason"] for each in passed)
    return [{"model": each["model"], "code": each["code"]} for each in passed]


def no_deltas(_: str) -> None:
    pass


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("model", DIALECTS)
async def test_a_plain_answer(models: Models, llmock: LLMock, model: str):
    llmock.reply("Sales are rising.")
    reply = await models.respond(request(agent(model)), no_deltas)
    assert (reply.text, list(reply.calls), reply.model) == ("Sales are rising.", [], model)
    assert reply.metadata["scripted"] is False
    assert reply.metadata["finish_reason"] == "stop"
    assert (reply.usage.model_calls, reply.usage.input_tokens > 0, reply.usage.output_tokens > 0) == (1, True, True)


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("model", DIALECTS)
async def test_text_streams_in_pieces(models: Models, llmock: LLMock, model: str):
    llmock.reply("one two three four five six")
    deltas: list[str] = []
    reply = await models.respond(request(agent(model)), deltas.append)
    assert "".join(deltas) == reply.text == "one two three four five six"
    assert len(deltas) > 3


@pytest.mark.parametrize("model", DIALECTS)
async def test_a_tool_call_and_its_result_make_a_round_trip(models: Models, llmock: LLMock, model: str):
    version = agent(model)
    llmock.call_tool("csv-tools__parse", {"text": "a,b"}).reply("Two columns.")
    first = await models.respond(request(version, functions=[PARSE, ANALYZE]), no_deltas)
    (call,) = first.calls
    assert (call.name, call.kind, call.arguments) == ("csv-tools.parse", "tool", {"text": "a,b"})

    answered = result("columns: a, b", {"columns": ["a", "b"]})
    answered = type(answered)(call.id, call.name, answered.text, answered.structured)
    second = await models.respond(
        request(version, results=[answered], functions=[PARSE, ANALYZE], calls=[call]), no_deltas
    )
    assert second.text == "Two columns."
    sent = str(llmock.last_request.body)
    assert "columns: a, b" in sent
    assert sent.count("call00001") == 2
    assert call.id not in sent
    assert "ask__analyze-data" in sent


@pytest.mark.parametrize("model", DIALECTS)
async def test_several_calls_at_once(models: Models, llmock: LLMock, model: str):
    calls = (ToolCall("csv-tools__parse", {"text": "x"}), ToolCall("ask__analyze-data", {"content": "y"}))
    llmock.add(Reply(tool_calls=calls))
    reply = await models.respond(request(agent(model), functions=[PARSE, ANALYZE]), no_deltas)
    assert [(call.name, call.kind, dict(call.arguments)) for call in reply.calls] == [
        ("csv-tools.parse", "tool", {"text": "x"}),
        ("analyze-data", "capability", {"content": "y"}),
    ]
    assert len({call.id for call in reply.calls}) == 2


async def test_what_is_sent_is_the_conversation(models: Models, llmock: LLMock):
    history = [
        PromptPart("assistant", "the end of something older"),
        PromptPart("user", "and yesterday?"),
        PromptPart("assistant", "nothing"),
    ]
    failed = type(result())("call_2", "analyze-data", "nobody there", is_error=True)
    asked = request(
        agent("chat:gpt-4o"),
        "today?",
        [result("3 rows"), failed],
        functions=[PARSE],
        history=history,
        calls=[CALL, ASK],
        temperature=0.5,
        max_tokens=100,
        seed=7,
    )
    await models.respond(asked, no_deltas)
    body = llmock.last_request.body
    assert [message["role"] for message in body["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "tool", "tool"
    ]  # fmt: skip
    assert body["messages"][0]["content"] == "You analyse data."
    assert [call["function"]["name"] for call in body["messages"][4]["tool_calls"]] == [
        "csv-tools__parse", "ask__analyze-data"
    ]  # fmt: skip
    assert body["messages"][5]["content"] == "3 rows"
    assert "nobody there" in body["messages"][6]["content"]
    assert body["tools"][0]["function"]["parameters"]["required"] == ["text"]
    assert (body["temperature"], body["seed"]) == (0.5, 7)
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 100


async def test_a_failed_call_is_marked_for_a_dialect_that_can(models: Models, llmock: LLMock):
    asked = request(agent("claude:claude-haiku-4-5"), results=[result("broken", is_error=True)], calls=[CALL])
    await models.respond(asked, no_deltas)
    returned = llmock.last_request.body["messages"][-1]["content"][0]
    assert (returned["type"], returned["is_error"]) == ("tool_result", True)


async def test_any_other_provider_goes_the_same_way(models: Models, llmock: LLMock):
    llmock.reply("from next door")
    reply = await models.respond(request(agent("other:llama3.2")), no_deltas)
    assert (reply.text, reply.model, reply.metadata["provider"]) == ("from next door", "other:llama3.2", "other")


async def test_configured_prices_give_the_cost(models: Models, llmock: LLMock):
    llmock.reply("cheap")
    priced = await models.respond(request(agent("auto")), no_deltas)
    assert priced.usage.cost_usd == priced.usage.input_tokens * 2 + priced.usage.output_tokens
    unpriced = await models.respond(request(agent("claude:claude-haiku-4-5")), no_deltas)
    assert unpriced.usage.cost_usd is None


@pytest.mark.requirement("FAC-4")
async def test_the_next_model_answers_when_one_cannot(models: Models, llmock: LLMock):
    llmock.fail(500, provider="openai").reply("from the second", provider="anthropic")
    version = agent(["openai:gpt-5", "chat:gpt-4o", "claude:claude-haiku-4-5"])
    reply: ModelReply = await models.respond(request(version), no_deltas)
    assert (reply.text, reply.model) == ("from the second", "claude:claude-haiku-4-5")
    assert passed_over(reply) == [
        {"model": "openai:gpt-5", "code": "model_not_configured"},
        {"model": "chat:gpt-4o", "code": "model_unavailable"},
    ]


async def test_a_script_can_stand_in_for_a_provider(models: Models, llmock: LLMock):
    llmock.outage()
    version = agent(["chat:gpt-4o", "scripted"], [{"steps": [{"reply": "The model is away."}]}])
    reply = await models.respond(request(version), no_deltas)
    assert (reply.text, reply.metadata["scripted"]) == ("The model is away.", True)
    assert passed_over(reply) == [{"model": "chat:gpt-4o", "code": "model_unavailable"}]


@pytest.mark.parametrize("model", DIALECTS)
async def test_ids_of_calls_are_ours(models: Models, llmock: LLMock, model: str):
    """What one provider calls its calls, another one may refuse: for length, for signs, for being used twice."""
    odd = ["x" * 200, "führ/ö €", "functions.parse:0"]
    calls = [FunctionCall(identity, "csv-tools.parse", "tool", {"text": "a"}) for identity in odd]
    results = [type(result())(call.id, call.name, f"result {number}") for number, call in enumerate(calls)]
    again = FunctionCall(odd[0], "csv-tools.parse", "tool", {"text": "b"})
    history = [
        PromptPart("user", "before"),
        PromptPart("assistant", calls=[again]),
        PromptPart("results", results=[type(result())(again.id, again.name, "earlier")]),
        PromptPart("assistant", "done"),
    ]
    await models.respond(request(agent(model), results=results, calls=calls, history=history, functions=[PARSE]))
    sent = str(llmock.last_request.body)
    assert not any(identity in sent for identity in odd)
    assert [sent.count(f"call0000{number}") for number in range(1, 5)] == [2, 2, 2, 2]
