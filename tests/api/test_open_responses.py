"""Responses and their events fit the schema of Open Responses, for what its compliance suite asks.

One thing is left out: the schema wants `text.format.schema` of a response to be null, and OpenAI's clients have it told.
"""

import json
from typing import Any, cast

import httpx
import pytest
from pydantic import BaseModel

from tests.api.conftest import Deploy
from tests.api.test_openai_face import thinker, user
from tests.support.agents import agent, replies
from tests.support.files import PNG, data_uri
from tests.support.stand_in import Answer, Remote

schema: Any = pytest.importorskip("openresponses_types.types")

pytestmark = pytest.mark.requirement("FAC-8")

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALLS = Answer(text="Let me look.", calls=[{"id": "1", "name": "get_weather", "arguments": {"city": "Oslo"}}])


def _events() -> dict[str, type[BaseModel]]:
    """The models of events by their types."""
    found: dict[str, type[BaseModel]] = {}
    named = cast("dict[str, Any]", vars(schema))
    for name, model in named.items():
        if name.endswith("StreamingEvent"):
            [kind] = model.model_fields["type"].annotation
            found[str(kind)] = model
    return found


EVENTS = _events()


def ask(api: httpx.Client, **body: Any) -> dict[str, Any]:
    """A response, once it is known to fit."""
    answer = api.post("/openai/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    schema.ResponseResource.model_validate_json(answer.content, strict=True)
    return answer.json()


def stream(api: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """The events of a response, once each is known to fit, and to come in its turn."""
    answer = api.post("/openai/v1/responses", json={**body, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    events: list[dict[str, Any]] = []
    for frame in answer.text.strip().split("\n\n"):
        lines: dict[str, str] = {}
        for line in frame.splitlines():
            name, _, value = line.partition(": ")
            lines |= {name: value} if name else {}
        if not lines:
            continue
        event = json.loads(lines["data"])
        assert lines["event"] == event["type"]
        EVENTS[event["type"]].model_validate_json(lines["data"], strict=True)
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    return events


def of_type(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == f"response.{kind}"]


def test_messages_of_all_roles_and_an_image_are_answered(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(
        {
            "agents/looker.toml": f'name = "looker"\nversion = "1.0.0"\ncapabilities = ["look"]\nmodel = "{stand_in.seeing}"\n'
        }
    )
    stand_in.answer(Answer(text="Hello there, friend."))
    message = {"type": "message", **user("Say hello.")}
    system = {"type": "message", "role": "system", "content": "You are a pirate."}
    earlier = {"type": "message", "role": "assistant", "content": "Hello Alice!"}
    image = [
        {"type": "input_text", "text": "What do you see?"},
        {"type": "input_image", "image_url": data_uri(PNG, "image/png")},
    ]
    for given in ([message], [system, message], [message, earlier, user("Who?")], [{"type": "message", **user(image)}]):
        response = ask(api, model="look", input=given, metadata={"k": "v"})
        assert response["status"] == "completed"
        assert response["output"][0]["content"][0]["text"] == "Hello there, friend."
        assert response["usage"]["total_tokens"] > 0
        assert response["metadata"]["k"] == "v"


def test_a_text_is_streamed(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="one two three", chunks=3))
    events = stream(api, model="think", input=[user("Count.")], text={"format": {"type": "text"}})
    assert events[-1]["type"] == "response.completed"
    deltas = [event["delta"] for event in of_type(events, "output_text.delta")]
    [done] = of_type(events, "output_text.done")
    assert "".join(deltas) == done["text"] == events[-1]["response"]["output"][0]["content"][0]["text"]


def test_calls_of_functions_are_told(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(CALLS)
    choices: list[Any] = ["auto", "required", {"type": "function", "name": "get_weather"}]
    for choice in choices:
        response = ask(api, model="think", input=[user("Oslo?")], tools=[WEATHER], tool_choice=choice)
        assert response["tool_choice"] == choice
        assert response["tools"][0]["name"] == "get_weather"
        [call] = [item for item in response["output"] if item["type"] == "function_call"]
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Oslo"})
    events = stream(api, model="think", input=[user("Oslo?")], tools=[WEATHER])
    for kind in ("output_item.added", "output_item.done"):
        assert [event["item"]["type"] for event in of_type(events, kind)] == ["message", "function_call"]
    [done] = of_type(events, "function_call_arguments.done")
    assert "".join(event["delta"] for event in of_type(events, "function_call_arguments.delta")) == done["arguments"]
    assert events[-1]["response"]["output"][1] == of_type(events, "output_item.done")[1]["item"]


def test_what_has_failed_is_incomplete_or_in_the_background_fits_as_well(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    sad = agent("sad", rules="[[rules]]\n[[rules.steps]]\nfail = 'I cannot'\n")
    deploy({**thinker(stand_in), **sad, **agent("echo", rules=replies("x"))})
    events = stream(api, model="sad", input="x")
    [error] = [event["error"] for event in events if event["type"] == "error"]
    assert (error["code"], error["type"]) == ("execution_failed", "server_error")
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["message"]
    assert ask(api, model="echo", input="x", background=True)["background"] is True
    assert ask(api, model="echo", input="x", store=False)["store"] is False
    stand_in.answer(Answer(text="{}"))
    assert ask(api, model="think", input="x", text={"format": {"type": "json_object"}})["output"]
    refused = api.post("/openai/v1/responses", json={"model": "nobody", "input": "x"})
    schema.Error.model_validate(refused.json()["error"])
