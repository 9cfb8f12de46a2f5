"""Whole replies and streamed ones: the same answer, whichever way it comes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from model_requests import ANALYZE, PARSE, agent, request
from raw_server import RawServer, http_answer

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.domain.errors import ModelAnswerInvalid, ModelError, ModelUnavailable
from tests.support.stand_in import Answer, StandIn

WAYS = [pytest.param(False, id="whole"), pytest.param(True, id="streamed")]


@pytest.fixture
async def stand_in() -> AsyncIterator[tuple[StandIn, Models]]:
    service = StandIn()
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    providers = {"stand-in": ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1")}
    models = Models(ModelsSettings(providers=providers), templates)
    yield service, models
    await models.aclose()
    server.should_exit = True
    await serving


def pieces(*deltas: dict[str, Any], finish: str | None = "stop", **more: Any) -> bytes:
    chunks: list[dict[str, Any]] = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **more})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.requirement("PRF-4")
async def test_a_reply_is_streamed_only_while_somebody_listens(stand_in: tuple[StandIn, Models]) -> None:
    service, models = stand_in
    whole = await models.respond(request(agent("stand-in:m")))
    heard: list[str] = []
    streamed = await models.respond(request(agent("stand-in:m")), heard.append)
    assert [bool(asked.get("stream")) for asked in service.requests["m"]] == [False, True]
    assert whole.text == streamed.text == "".join(heard)
    assert len(heard) == 40
    assert whole.usage == streamed.usage
    assert whole.metadata == streamed.metadata
    first, second = ({name: sent[name] for name in ("messages", "model")} for sent in service.requests["m"])
    assert first == second


@pytest.mark.parametrize("streamed", WAYS)
async def test_calls_come_with_their_text(stand_in: tuple[StandIn, Models], streamed: bool) -> None:
    service, models = stand_in
    calls = [
        {"id": "a", "name": "csv-tools__parse", "arguments": {"text": "x"}},
        {"id": "b", "name": "ask__analyze-data", "arguments": {"content": "y"}},
    ]
    service.answers["m"] = [Answer(text="Let me look.", calls=calls)]
    asked = request(agent("stand-in:m"), functions=[PARSE, ANALYZE])
    reply = await models.respond(asked, print if streamed else None)
    assert reply.text == "Let me look."
    assert [(call.name, dict(call.arguments)) for call in reply.calls] == [
        ("csv-tools.parse", {"text": "x"}),
        ("analyze-data", {"content": "y"}),
    ]


@pytest.mark.requirement("PRF-4")
async def test_hundreds_of_calls_are_in_flight_at_once(stand_in: tuple[StandIn, Models]) -> None:
    service, models = stand_in
    service.answers["m"] = [Answer(took=1.0)]
    service.remembers = False
    replies = await asyncio.gather(*(models.respond(request(agent("stand-in:m"))) for _ in range(300)))
    assert len(replies) == 300
    assert service.stats["most"] > 250


@pytest.mark.parametrize("streamed", WAYS)
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (pieces({"role": "assistant", "content": ""}, {"content": "The whole."}, finish="eos"), "The whole."),
        (pieces({"content": "Fine "}, {"content": None}, {"content": "anyway."}, usage=None), "Fine anyway."),
        (pieces({"content": "x"}, usage={"prompt_tokens": None, "completion_tokens": None}), "x"),
        (b": PROCESSING\r\n\r\n" + pieces({"content": "a\u2028b\u0085c"}).replace(b"\n", b"\r\n"), "a\u2028b\u0085c"),
        (pieces({"content": [{"type": "text", "text": "part"}]}), "part"),
        (pieces({"content": "no end"})[: -len(b"data: [DONE]\n\n")].rstrip(b"\n"), "no end"),
    ],
)
async def test_services_have_habits_of_their_own(
    raw_models: Models,
    raw_server: RawServer,
    body: bytes,
    text: str,
    streamed: bool,
) -> None:
    """Some stream although nobody asked them to."""
    raw_server.answer = http_answer("200 OK", body, content_type="text/event-stream; charset=utf-8")
    heard: list[str] = []
    reply = await raw_models.respond(request(agent("raw:m")), heard.append if streamed else None)
    assert reply.text == text
    assert "".join(heard) == (text if streamed else "")


async def test_calls_without_numbers_are_put_together(raw_models: Models, raw_server: RawServer) -> None:
    def call(identity: str | None, name: str | None, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"id": identity, "function": {"name": name, "arguments": arguments}}]}

    parts = [
        call("a", "csv-tools__parse", '{"te'),
        call(None, None, 'xt": "1"}'),
        call("b", "csv-tools__parse", '{"text": "2"}'),
    ]
    raw_server.answer = http_answer("200 OK", pieces(*parts, finish="tool_calls"), content_type="text/event-stream")
    reply = await raw_models.respond(request(agent("raw:m"), functions=[PARSE]), print)
    assert [dict(found.arguments) for found in reply.calls] == [{"text": "1"}, {"text": "2"}]


@pytest.mark.parametrize("streamed", WAYS)
@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (pieces({"content": "half"}, finish=None)[:-14], ModelAnswerInvalid, "broke off before its end"),
        (b'data: {"error": {"code": 502, "message": "upstream is full"}}\n\n', ModelUnavailable, "with an error"),
        (b"data: [1]\n\ndata: [DONE]\n\n", ModelAnswerInvalid, "could not be understood"),
        (b'data: {"choices": [{"delta": {"tool_calls": 7}}]}\n\n', ModelAnswerInvalid, "could not be understood"),
        (b'data: {"choices": [7]}\n\n', ModelAnswerInvalid, "could not be understood"),
        (b"data: \xff\xfe\n\n", ModelAnswerInvalid, "could not be understood"),
        (b"", ModelAnswerInvalid, "broke off before its end"),
    ],
)
async def test_what_is_no_whole_answer_is_none(
    raw_models: Models,
    raw_server: RawServer,
    body: bytes,
    kind: type[ModelError],
    message: str,
    streamed: bool,
) -> None:
    raw_server.answer = http_answer("200 OK", body, content_type="text/event-stream")
    with pytest.raises(ModelError) as caught:
        await raw_models.respond(request(agent("raw:m")), print if streamed else None)
    assert type(caught.value) is kind
    assert message in caught.value.message
    assert caught.value.details["model"] == "raw:m"
    assert "upstream" not in caught.value.report().model_dump_json()
