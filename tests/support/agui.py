"""A strict client of AG-UI: what it gets fits the official schema, and comes in the order that the protocol demands."""

import json
import uuid
from typing import Any

import httpx
from ag_ui.core import Event, RunAgentInput
from pydantic import TypeAdapter

EVENTS: TypeAdapter[Any] = TypeAdapter(Event)

Frame = tuple[str, dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    """A message of the user."""
    return {"id": uuid.uuid4().hex, "role": "user", "content": text}


def run_input(thread: str, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The input of a new run, which the official schema takes."""
    body = {"threadId": thread, "runId": uuid.uuid4().hex, "messages": list(messages), **more}
    RunAgentInput.model_validate(body)
    return body


def frames(api: httpx.Client, capability: str, body: dict[str, Any], last: str | None = None) -> list[Frame]:
    """The events of a run with their ids."""
    headers = {"Last-Event-ID": last} if last else {}
    found: list[Frame] = []
    with api.stream("POST", f"/v1/agui/{capability}", json=body, headers=headers) as response:
        if response.status_code != 200:
            response.read()
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        identity = ""
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                identity = value
            elif name == "data":
                event = json.loads(value)
                EVENTS.validate_python(event)
                assert not EVENTS.validate_python(event).model_extra, event
                found.append((identity, event))
    return found


def run(api: httpx.Client, capability: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a run, once they are known to be in order."""
    found = [event for _, event in frames(api, capability, body)]
    check_order(found)
    return found


def check_order(events: list[dict[str, Any]]) -> None:
    """Whether a run begins and ends as it should, and whatever is opened in it is closed."""
    assert events[0]["type"] == "RUN_STARTED"
    assert events[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")
    messages, calls, steps = set[str](), set[str](), set[str]()
    for event in events[1:-1]:
        match event["type"]:
            case "TEXT_MESSAGE_START":
                assert event["messageId"] not in messages
                messages.add(event["messageId"])
            case "TEXT_MESSAGE_CONTENT":
                assert event["messageId"] in messages
                assert event["delta"]
            case "TEXT_MESSAGE_END":
                messages.remove(event["messageId"])
            case "TOOL_CALL_START":
                assert event["toolCallId"] not in calls
                calls.add(event["toolCallId"])
            case "TOOL_CALL_ARGS":
                assert event["toolCallId"] in calls
            case "TOOL_CALL_END":
                calls.remove(event["toolCallId"])
            case "STEP_STARTED":
                assert event["stepName"] not in steps
                steps.add(event["stepName"])
            case "STEP_FINISHED":
                steps.remove(event["stepName"])
            case kind:
                assert not kind.startswith("RUN_"), event
    assert not messages | calls | steps


def text_of(events: list[dict[str, Any]]) -> str:
    """What the agent says, message by message."""
    texts: dict[str, str] = {}
    for event in events:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            texts[event["messageId"]] = texts.get(event["messageId"], "") + event["delta"]
    return "\n".join(texts.values())
