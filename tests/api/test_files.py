"""Messages in parts: text, images, files, data."""

import base64
import json
import time
import uuid
from typing import Any

import httpx
import openai
import pytest

from tests.api.conftest import Deploy
from tests.api.test_deletion import eventually
from tests.api.test_openai_face import make_client
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.agui import run_input
from tests.support.files import CSV, PDF, PNG, data_uri, digest, wav
from tests.support.modules import answering
from tests.support.stand_in import Answer, Remote

OCTETS = {"Content-Type": "application/octet-stream"}
LISTS = "{% for file in files %}{{ file.name }} {{ file.media_type }} {{ file.size }};{% endfor %}"


def upload(api: httpx.Client, content: bytes, name: str | None = None) -> dict[str, Any]:
    answer = api.post("/v1/files", params={"name": name} if name else {}, content=content, headers=OCTETS)
    assert answer.status_code == 201, answer.text
    return answer.json()


def part(content: bytes, name: str | None = None) -> dict[str, Any]:
    return {"type": "file", "digest": digest(content), **({"name": name} if name else {})}


def looker(model: str, *, more: str = "") -> dict[str, str | bytes]:
    text = f'name = "looker"\nversion = "1.0.0"\ncapabilities = ["look"]\nmodel = {model}\n'
    return {"agents/looker.toml": text + more}


def ask(api: httpx.Client, capability: str, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/messages", json={"capability": capability, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.requirement("MSG-12")
def test_files_go_along_by_reference_and_scripts_see_what_they_are(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("clerk", rules=replies("{{ request }}: " + LISTS)))
    made = upload(api, PNG, "../a photo.png")
    assert made == {"name": "a photo.png", "media_type": "image/png", "size": len(PNG), "digest": digest(PNG)}
    assert upload(api, CSV, "sales.csv")["media_type"] == "text/csv"
    parts = [
        {"type": "text", "text": "File these"},
        part(PNG, "photo.png"),
        part(CSV, "sales.csv"),
        {"type": "data", "data": {"customer": 7}},
    ]
    turn = ask(api, "clerk", parts=parts)
    told = turn["reply"]["content"]["text"]
    assert (
        told
        == f"File these: photo.png image/png {len(PNG)};sales.csv text/csv {len(CSV)};data-3.json application/json 14;"
    )
    said = api.get(f"/v1/executions/{turn['execution_id']}/contents").json()["contents"]
    assert [file["name"] for file in said[0]["artifacts"]] == ["photo.png", "sales.csv", "data-3.json"]
    assert api.get(f"/v1/blobs/{digest(PNG)}").content == PNG
    beside = ask(api, "clerk", content="This", parts=[part(PNG)])["reply"]["content"]["text"]
    assert beside == f"This: file-{digest(PNG)[:8]}.png image/png {len(PNG)};"


@pytest.mark.requirement("MSG-12")
def test_a_model_that_takes_them_gets_images_recordings_documents_and_texts(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(looker(f'"{stand_in.seeing}"'))
    for content in (PNG, PDF, CSV, wav()):
        upload(api, content)
    stand_in.answer(Answer(text="I see."))
    parts = [part(PNG, "p.png"), part(PDF, "d.pdf"), part(wav(), "r.wav"), part(CSV, "s.csv")]
    assert ask(api, "look", content="What is it?", parts=parts)["reply"]["content"]["text"] == "I see."
    [request] = stand_in.requests()
    text, image, document, sound = request["messages"][-1]["content"]
    assert text["text"].startswith("What is it?")
    assert CSV.decode().strip() in text["text"]
    assert image["image_url"]["url"] == data_uri(PNG, "image/png")
    assert document["file"]["file_data"] == data_uri(PDF, "application/pdf")
    assert sound["input_audio"] == {"data": base64.b64encode(wav()).decode(), "format": "wav"}


@pytest.mark.requirement("MSG-12")
def test_a_model_that_does_not_take_them_refuses_with_a_hint_or_another_one_is_asked(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(looker(f'"{stand_in.model}"'))
    upload(api, PNG)
    upload(api, CSV)
    body = {"capability": "look", "content": "What is it?", "parts": [part(PNG, "p.png")]}
    refused = api.post("/v1/messages", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "model_input_unsupported"), refused.text
    assert "takes = " in refused.json()["hints"][0]["text"]
    assert stand_in.requests() == []
    stand_in.answer(Answer(text="A table."))
    assert ask(api, "look", content="And this?", parts=[part(CSV)])["reply"]["content"]["text"] == "A table."
    deploy(looker(f'["{stand_in.model}", "{stand_in.seeing}"]', more='description = "sees"\n').copy())
    stand_in.answer(Answer(text="A dot."))
    assert ask(api, "look", content="What is it?", parts=[part(PNG)])["reply"]["content"]["text"] == "A dot."


@pytest.mark.requirement("MSG-12")
def test_a_conversation_goes_on_with_its_images(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(looker(f'"{stand_in.seeing}"'))
    upload(api, PNG)
    stand_in.answer(Answer(text="ok"))
    path = f"/v1/conversations/{api.post('/v1/conversations', json={'capability': 'look'}).json()['id']}/messages"
    api.post(path, json={"parts": [part(PNG, "p.png")]}).raise_for_status()
    api.post(path, json={"content": "And now?"}).raise_for_status()
    first, second = stand_in.requests()
    [seen] = first["messages"][-1]["content"]
    assert seen["image_url"]["url"] == data_uri(PNG, "image/png")
    again = second["messages"][0]["content"]
    assert again[-1] == seen


@pytest.mark.requirement("MSG-12")
def test_what_a_tool_returns_is_shown_to_a_model_that_sees(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    encoded = base64.b64encode(PNG).decode()
    result = {
        "content": [
            {"type": "image", "mimeType": "image/png", "data": encoded},
            {"type": "image", "mimeType": "image/png", "data": encoded, "annotations": {"audience": ["user"]}},
            {"type": "resource", "resource": {"uri": "x://d.pdf", "blob": base64.b64encode(PDF).decode()}},
        ],
        "structuredContent": {"rows": 3},
    }
    files = looker(f'"{stand_in.seeing}"', more='tools = ["camera"]\n')
    files["tools/camera/tool.toml"] = 'name = "camera"\nversion = "1.0.0"\nmodule = "m.wasm"\n'
    files["tools/camera/m.wasm"] = answering(json.dumps(result))
    deploy(files)
    stand_in.answer(Answer(calls=[{"id": "1", "name": "camera__run"}]), Answer(text="A dot."))
    turn = ask(api, "look", content="Take a picture")
    assert [file["media_type"] for file in turn["reply"]["artifacts"]] == [
        "image/png",
        "image/png",
        "application/octet-stream",
    ]
    told, shown = stand_in.requests()[-1]["messages"][-2:]
    assert '{"rows": 3}' in told["content"]
    kinds = [each["type"] for each in shown["content"]]
    assert kinds[:2] == ["text", "image_url"]


@pytest.mark.requirement("MSG-12")
def test_what_is_wrong_with_files_is_said(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(agent("clerk", rules=replies("ok")))
    program = api.post("/v1/files", content=b"\x7fELF\x02\x01\x01\0", headers=OCTETS)
    assert (program.status_code, program.json()["code"]) == (415, "unsupported_media_type")
    assert "image/png" in program.json()["details"]["accept"]
    assert api.post("/v1/files", content=b"", headers=OCTETS).status_code == 400
    assert api.post("/v1/files", content=CSV, headers={"Content-Type": "text/plain"}).status_code == 415
    large = api.post("/v1/files", content=PNG + bytes(16 << 20), headers=OCTETS)
    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")

    def refused(**body: Any) -> dict[str, Any]:
        answer = api.post("/v1/messages", json={"capability": "clerk", **body})
        assert answer.status_code == 400, answer.text
        return answer.json()

    assert "no file" in refused(content="x", parts=[part(b"nobody has this")])["detail"]
    assert "text among" in str(refused(content="x", parts=[{"type": "text", "text": "y"}]))
    assert "text among" in str(refused())
    upload(api, PNG)
    assert "20 files" in refused(content="x", parts=[part(PNG)] * 21)["detail"]
    with caxton_server.client(f"other-{workspace}") as other:
        answer = other.post("/v1/messages", json={"capability": "clerk", "content": "x", "parts": [part(PNG)]})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), "another workspace has it not"


@pytest.mark.requirement("MSG-12")
def test_the_same_request_with_another_file_is_another_request(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("clerk", rules=replies(LISTS)))
    upload(api, PNG)
    upload(api, CSV)
    key = {"Idempotency-Key": "one"}
    body = {"capability": "clerk", "content": "x", "parts": [part(PNG)]}
    first, again = (api.post("/v1/messages", json=body, headers=key).json() for _ in range(2))
    assert first["execution_id"] == again["execution_id"]
    other = api.post("/v1/messages", json={**body, "parts": [part(CSV)]}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.requirement("MSG-12", "EVT-9")
def test_retention_lets_go_of_files(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("clerk", rules=replies("ok")))
    unique = b"a note " + uuid.uuid4().hex.encode()
    turn = ask(api, "clerk", content="x", parts=[{**part(unique), "digest": upload(api, unique, "n.txt")["digest"]}])
    time.sleep(1.1)
    api.put("/v1/retention", json={"contents": 1}).raise_for_status()
    eventually(lambda: _outside(api, "contents") == 0)
    path = f"/v1/blobs/{digest(unique)}"
    assert api.get(path).status_code == 200, "a message refers to it"
    api.put("/v1/retention", json={"contents": 1, "conversations": 1}).raise_for_status()
    eventually(lambda: api.get(f"/v1/executions/{turn['execution_id']}").status_code == 404)
    assert api.get(path).status_code == 404


def _outside(api: httpx.Client, kind: str) -> int:
    found = api.get("/v1/retention").json()["periods"]
    return next(each["outside"] for each in found if each["kind"] == kind)


@pytest.mark.requirement("MSG-12", "FAC-3")
def test_openais_client_sends_images_and_files(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(looker(f'"{stand_in.seeing}"'))
    stand_in.answer(Answer(text="A dot."))
    uploaded = upload(api, PDF, "d.pdf")
    image = {"type": "image_url", "image_url": {"url": data_uri(PNG, "image/png")}}
    with make_client(caxton_server, workspace) as client:
        content: Any = [{"type": "text", "text": "What is it?"}, image]
        earlier: Any = [{"role": "user", "content": content}, {"role": "assistant", "content": "A dot."}]
        question: Any = {"role": "user", "content": [{"type": "text", "text": "And?"}, image]}
        done = client.chat.completions.create(model="look", messages=[*earlier, question])
        assert done.choices[0].message.content == "A dot."
        last = stand_in.requests()[-1]["messages"][-1]["content"]
        assert [each["type"] for each in last] == ["text", "image_url"], "each image once"
        items: Any = [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": data_uri(PNG, "image/png")},
                    {"type": "input_file", "file_id": f"file-{uploaded['digest']}", "filename": "d.pdf"},
                    {"type": "input_file", "file_data": data_uri(CSV, "text/csv"), "filename": "s.csv"},
                ],
            }
        ]
        assert client.responses.create(model="look", input=items).output_text == "A dot."
        kinds = [each["type"] for each in stand_in.requests()[-1]["messages"][-1]["content"]]
        assert kinds == ["text", "image_url", "file"]
        far: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
        with pytest.raises(openai.BadRequestError, match="no address is fetched"):
            client.chat.completions.create(model="look", messages=[{"role": "user", "content": far}])


@pytest.mark.requirement("MSG-12")
@pytest.mark.requirement("FAC-2", "FAC-3", "FAC-7", "FAC-8")
@pytest.mark.parametrize("way", ["rest", "conversation", "chat", "responses", "a2a", "agui"])
def test_files_stay_where_they_stand_among_the_texts(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, way: str
) -> None:
    deploy(looker(f'"{stand_in.seeing}"', more='user_prompt_template = "Look! {{ request }} Now."\n'))
    stand_in.answer(Answer(text="The second one."))
    order: list[str | bytes] = ["Compare", PNG, "with", PDF, CSV, "and decide."]
    repeats = way not in ("chat", "responses")  # whose clients send images again, so each counts once
    if repeats:
        order = [PNG, *order]
    post_in_parts(api, way, order)
    seen = stand_in.requests()[-1]["messages"][-1]["content"]
    kinds = ["text", "image_url", "text", "file", "text"]
    assert [each["type"] for each in seen] == (["image_url", *kinds] if repeats else kinds)
    texts = [each["text"] for each in seen if each["type"] == "text"]
    assert texts[:2] == ["Look! Compare", "with"]
    assert texts[2].startswith("[file ")
    assert texts[2].endswith("and decide. Now.")
    assert CSV.decode().strip() in texts[2]


def post_in_parts(api: httpx.Client, way: str, order: list[str | bytes]) -> None:
    """Sends a message in parts, as each protocol has them."""
    types = {PNG: "image/png", PDF: "application/pdf", CSV: "text/csv"}
    for content in types:
        upload(api, content)

    def part_of(said: str | bytes) -> dict[str, Any]:
        if isinstance(said, str):
            return (
                {"text": said}
                if way == "a2a"
                else {"type": "input_text" if way == "responses" else "text", "text": said}
            )
        data, encoded = data_uri(said, types[said]), base64.b64encode(said).decode()
        kind = "image" if said == PNG else "file"
        named = {"file_data": data, "filename": "f"}
        match way:
            case "chat":
                return (
                    {"type": "image_url", "image_url": {"url": data}}
                    if kind == "image"
                    else {"type": "file", "file": named}
                )
            case "responses":
                return (
                    {"type": "input_image", "image_url": data} if kind == "image" else {"type": "input_file", **named}
                )
            case "a2a":
                return {"raw": encoded, "mediaType": types[said]}
            case "agui":
                source = {"type": "data", "value": encoded, "mimeType": types[said]}
                return {"type": "image" if kind == "image" else "document", "source": source}
            case _:
                return part(said)

    parts = [part_of(each) for each in order]
    path, body = _post_of(api, way, parts)
    answer = api.post(path, json=body, headers={"A2A-Version": "1.0"})
    assert answer.status_code == 200, answer.text


def _post_of(api: httpx.Client, way: str, parts: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    spoken = {"role": "user", "content": parts}
    match way:
        case "chat":
            return "/openai/v1/chat/completions", {"model": "look", "messages": [spoken]}
        case "responses":
            return "/openai/v1/responses", {"model": "look", "input": [spoken]}
        case "a2a":
            message = {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": parts}
            call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
            return "/a2a/v1/look", call
        case "agui":
            return "/v1/agui/look", run_input(uuid.uuid4().hex, {"id": "m", **spoken})
        case "conversation":
            talk = api.post("/v1/conversations", json={"capability": "look"}).json()["id"]
            return f"/v1/conversations/{talk}/messages", {"parts": parts}
        case _:
            return "/v1/messages", {"capability": "look", "parts": parts}


@pytest.mark.requirement("MSG-12")
def test_work_that_is_handed_over_has_the_files_and_a_model_that_does_not_take_them_is_told(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    files = looker(f'"{stand_in.model}"')
    files |= agent("desk", rules=hands_over("look"), more='delegates = ["look"]\n')
    deploy(files)
    upload(api, PNG)
    upload(api, CSV)
    stand_in.answer(Answer(text="A table, and a picture that I cannot see."))
    ask(api, "desk", content="What is it?", parts=[part(PNG, "p.png"), part(CSV, "s.csv")])
    [request] = stand_in.requests()
    seen = request["messages"][-1]["content"]
    assert f"[file p.png, image/png, {len(PNG)} B, which is not shown to you]" in seen
    assert "2025-02,12" in seen


@pytest.mark.requirement("MSG-12")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Ort;Umsatz\nK\u00f6ln;5\n".encode("cp1252"), "line 2 has the byte 0xF6"),
        (b"a,b\n" * 2_000 + b"K\xf6ln,5\n", "line 2001 has the byte 0xF6"),  # far behind its first bytes
        ("Ort;Umsatz\n".encode("utf-16"), "it is in UTF-16"),
    ],
)
def test_a_text_in_another_encoding_is_refused_with_its_place(api: httpx.Client, content: bytes, told: str) -> None:
    refused = api.post("/v1/files", params={"name": "sales.csv"}, content=content, headers=OCTETS)
    assert refused.status_code == 415
    assert told in refused.json()["detail"]
    assert "UTF-8" in str(refused.json()["hints"])


@pytest.mark.requirement("MSG-12")
@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            [{"type": "picture"}],
            "parts.0: has the type \"picture\", which is not known: it must be one of 'text', 'file', 'data'",
        ),
        ([{"text": "x"}], 'parts.0: must be an object with a "type"'),
        ([{"type": "text", "text": 5}], "must be text"),
        ([{"type": "file", "digest": "x"}], "parts.0"),
        (["x"], "parts.0: must be an object"),
    ],
)
def test_what_is_wrong_with_parts_is_told_in_plain_words(api: httpx.Client, parts: Any, told: str) -> None:
    refused = api.post("/v1/messages", json={"capability": "x", "parts": parts})
    assert refused.status_code == 400
    detail = refused.json()["detail"]
    assert told in detail
    assert "Input" not in detail
    assert "discriminator" not in detail


@pytest.mark.requirement("MSG-12")
def test_what_is_wrong_with_a_message_of_openais_client_is_told_in_plain_words(api: httpx.Client) -> None:
    def said(messages: Any) -> str:
        refused = api.post("/openai/v1/chat/completions", json={"model": "x", "messages": messages})
        assert refused.status_code == 400, refused.text
        return refused.json()["error"]["message"]

    assert said([{"role": "user", "content": 5}]).startswith("messages.0.content must be")
    assert said([{"role": "user", "content": [{"text": "x"}]}]).startswith("messages.0.content.0.type is missing")
    assert said([{"role": "boss", "content": "x"}]).startswith("messages.0.role must be 'system'")
    assert said([]).startswith("messages must not be empty")
