"""Bodies of other protocols with something odd in each place: refused in words, and never by a fault of the server."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies

pytestmark = pytest.mark.requirement("SEC-9")

ODD: tuple[Any, ...] = (None, {"": ""}, [["a"]], 2**63, "\u202e", "a\x00b", True)

FILE = {"type": "file", "file": {"file_data": "aGk=", "filename": "a.txt"}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
}
CHAT = {
    "model": "echo",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, FILE]},
        CALLED,
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "tools": [FUNCTION],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "stop": ["a"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
}
SAID = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}]
RESPONSE = {
    "model": "echo",
    "input": [*SAID, {"type": "mcp_approval_response", "approval_request_id": "ap_1", "approve": True}],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "text": {"format": {"type": "text"}},
}
RUN = {
    "threadId": "t",
    "runId": "r",
    "messages": [{"id": "1", "role": "user", "content": [{"type": "text", "text": "x"}]}],
    "context": [{"description": "d", "value": "v"}],
    "resume": [{"interruptId": "ap_1", "status": "resolved", "payload": {"approved": True, "editedArgs": {}}}],
}
PUSH = {"url": "https://client.example/x", "token": "t", "authentication": {"scheme": "Bearer", "credentials": "c"}}
OLDER_PUSH = {**PUSH, "authentication": {"schemes": ["Bearer"], "credentials": "c"}}
PARTS = [{"text": "x"}, {"data": {"a": 1}}, {"raw": "aGk=", "filename": "a.txt"}]
SENT = {
    "message": {"messageId": "m", "role": "ROLE_USER", "parts": PARTS, "metadata": {"skill": "echo"}},
    "configuration": {"acceptedOutputModes": ["text/plain"], "historyLength": 1, "taskPushNotificationConfig": PUSH},
}
OLDER_PARTS = [{"kind": "text", "text": "x"}, {"kind": "file", "file": {"bytes": "aGk=", "name": "a.txt"}}]
OLDER_SENT = {
    "message": {"messageId": "m", "role": "user", "parts": OLDER_PARTS, "metadata": {"skill": "echo"}},
    "configuration": {"blocking": False, "pushNotificationConfig": OLDER_PUSH},
}
REST_PARTS = [{"text": "x"}, {"file": {"fileWithBytes": "aGk=", "name": "a.txt"}}, {"data": {"data": {}}}]
REST_SENT = {
    "message": {"messageId": "m", "role": "ROLE_USER", "content": REST_PARTS},
    "configuration": {"blocking": False, "pushNotification": OLDER_PUSH},
}
LISTED = {"contextId": "c_1", "status": "TASK_STATE_COMPLETED", "pageSize": 5, "pageToken": "x"}


def rpc(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


BODIES = {
    "chat": ("/openai/v1/chat/completions", CHAT),
    "response": ("/openai/v1/responses", RESPONSE),
    "embeddings": ("/openai/v1/embeddings", {"model": "m", "input": ["a"], "encoding_format": "float"}),
    "AG-UI": ("/v1/agui/echo", RUN),
    "A2A message": ("/a2a/v1", rpc("SendMessage", SENT)),
    "A2A list": ("/a2a/v1", rpc("ListTasks", LISTED)),
    "A2A push": ("/a2a/v1", rpc("CreateTaskPushNotificationConfig", {"taskId": "x_1", **PUSH})),
    "A2A 0.3 message": ("/a2a/v1", rpc("message/send", OLDER_SENT)),
    "A2A 0.3 push": (
        "/a2a/v1",
        rpc("tasks/pushNotificationConfig/set", {"taskId": "x_1", "pushNotificationConfig": OLDER_PUSH}),
    ),
    "A2A 0.3 message over HTTP": ("/a2a/v0.3/echo/v1/message:send", REST_SENT),
    "A2A 0.3 push over HTTP": (
        "/a2a/v0.3/v1/tasks/x_1/pushNotificationConfigs",
        {"config": {"pushNotificationConfig": OLDER_PUSH}},
    ),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that is in a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def with_odd(body: dict[str, Any], path: tuple[Any, ...], odd: Any) -> bytes:
    found: Any = copy.deepcopy(body)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    return json.dumps(found).encode()


@pytest.mark.parametrize("name", BODIES)
def test_something_odd_in_any_place_is_no_fault_of_the_server(api: httpx.Client, deploy: Deploy, name: str) -> None:
    deploy(agent("echo", rules=replies("{{ request }}")))
    path, body = BODIES[name]
    faults: list[tuple[Any, ...]] = []
    for place in places(body):
        for odd in ODD:
            content = with_odd(body, place, odd)
            answer = api.post(path, content=content, headers={"Content-Type": "application/json"})
            if answer.status_code >= 500 and answer.status_code != 501:
                faults.append((place, odd, answer.status_code))
            elif b"-32603" in answer.content or b'"internal"' in answer.content:
                faults.append((place, odd, answer.text[:200]))
    assert faults == []
