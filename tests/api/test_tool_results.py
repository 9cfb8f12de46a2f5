"""What a model sees of the results of tools: all that a person would, whichever way the tool's server says it."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.modules import answering
from tests.support.stand_in import Answer, Remote

PICTURE = base64.b64encode(b"\x89PNG\r\n" + bytes(range(250, 256)) * 12)

RESULTS: list[tuple[dict[str, Any], str]] = [
    ({"content": [], "structuredContent": {"rows": 3}}, '{"rows": 3}'),
    ({"structuredContent": {"name": "Zoë"}}, '{"name": "Zoë"}'),
    ({"content": None, "structuredContent": {"rows": 4}}, '{"rows": 4}'),
    ({"content": None}, "(no content)"),
    ({"isError": True}, "the tool reported an error without a text"),
    ({"content": [], "isError": True}, "the tool reported an error without a text"),
    ({"content": [], "isError": True, "structuredContent": {"code": 7}}, '{"code": 7}'),
    (
        {"content": [{"type": "text", "text": "1 of 2 rows"}], "structuredContent": {"csv": "a\n1", "rows": 1}},
        '1 of 2 rows\n{"csv": "a\\n1"}',
    ),
    (
        {"content": [{"type": "text", "text": '{"b": 2,\n "a": [1]}'}], "structuredContent": {"a": [1], "b": 2}},
        '{"b": 2,\n "a": [1]}',
    ),
    (
        {"content": [{"type": "resource_link", "uri": "file:///a.txt", "name": "a.txt", "mimeType": "text/plain"}]},
        "[link a.txt: file:///a.txt (text/plain)]",
    ),
    (
        {
            "content": [
                {"type": "resource", "resource": {"uri": "note://1", "mimeType": "text/plain", "text": "Buy tea"}}
            ]
        },
        "[file 1, text/plain, 7 bytes, goes to the user]\nBuy tea",
    ),
    (
        {
            "content": [
                {"type": "resource", "resource": {"uri": "x://c.svg", "mimeType": "image/svg+xml", "text": "<svg/>"}}
            ]
        },
        "[file c.svg, image/svg+xml, 6 bytes, goes to the user]",
    ),
    (
        {
            "content": [
                {"type": "image", "mimeType": "image/png", "data": base64.encodebytes(b"\xff\xfe" * 60).decode()}
            ]
        },
        "[file image-1.png, image/png, 120 bytes, goes to the user]",
    ),
    (
        {
            "content": [
                {
                    "type": "image",
                    "mimeType": "image/png",
                    "data": base64.urlsafe_b64encode(b"\xff\xfe\xfd\xfc").decode().rstrip("="),
                }
            ]
        },
        "[file image-1.png, image/png, 4 bytes, goes to the user]",
    ),
    (
        {
            "content": [
                {"type": "audio", "mimeType": "audio/mpeg", "data": "data:audio/mpeg;base64," + PICTURE.decode()}
            ]
        },
        "[file audio-1.mp3, audio/mpeg, 78 bytes, goes to the user]",
    ),
]


@pytest.mark.requirement("TOL-1")
def test_a_model_sees_what_a_tool_says(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    files: dict[str, str | bytes] = {}
    for number, (result, _) in enumerate(RESULTS):
        files[f"tools/t{number}/tool.toml"] = f'name = "t{number}"\nversion = "1.0.0"\nmodule = "m.wasm"\n'
        files[f"tools/t{number}/m.wasm"] = answering(json.dumps(result, ensure_ascii=False))
    names = json.dumps([f"t{number}" for number in range(len(RESULTS))])
    files["agents/reader.toml"] = (
        f'name = "reader"\nversion = "1.0.0"\ncapabilities = ["read"]\nmodel = "{stand_in.model}"\ntools = {names}\n'
    )
    deploy(files)
    calls = [{"id": f"call_{number}", "name": f"t{number}__run"} for number in range(len(RESULTS))]
    stand_in.answer(Answer(calls=calls), Answer(text="done"))
    turn = api.post("/v1/messages", json={"capability": "read", "content": "go on"}, params={"wait": "true"}).json()
    assert turn["state"] == "completed", turn
    messages = [message for message in stand_in.requests()[-1]["messages"] if message["role"] == "tool"]
    assert [_seen(message["content"]) for message in messages] == [wanted for _, wanted in RESULTS]


def _seen(content: str) -> str:
    """Failures go to the model as an object of their own."""
    return json.loads(content)["error"] if content.startswith('{"error"') else content


def test_a_result_without_anything_is_refused(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            "tools/t/tool.toml": 'name = "t"\nversion = "1.0.0"\nmodule = "m.wasm"\n',
            "tools/t/m.wasm": answering('{"toolResult": 1}'),
        }
    )
    answer = api.post("/v1/tools/t/call", json={"function": "run"})
    assert answer.status_code == 502, answer.text
    assert "it has neither" in answer.json()["detail"]


@pytest.mark.requirement("TOL-3")
@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"content": [], "structuredContent": {"rows": [0] * 110_000}}, 502),
        ({"content": [], "_meta": {"rows": [[]] * 60_000}}, 502),
        ({"content": [{"type": "text", "text": "1,2\n" * 60_000}]}, 200),
        ({"content": [], "structuredContent": {"rows": list(range(50_000))}}, 200),
    ],
)
def test_an_answer_of_very_many_values_is_refused(
    api: httpx.Client, deploy: Deploy, result: dict[str, Any], status: int
) -> None:
    deploy(
        {
            "tools/t/tool.toml": 'name = "t"\nversion = "1.0.0"\nmodule = "m.wasm"\n',
            "tools/t/m.wasm": answering(json.dumps(result)),
        }
    )
    answer = api.post("/v1/tools/t/call", json={"function": "run"})
    assert answer.status_code == status, answer.text[:300]
    if status != 200:
        assert answer.json()["code"] == "tool_answer_invalid"
        assert "100,000 values" in answer.json()["detail"]
