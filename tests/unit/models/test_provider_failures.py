"""Providers over real HTTP: each way to fail has its own error, and none of them tells prompts or keys."""

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply, ToolCall
from model_requests import ANALYZE, DIALECTS, KEY, PARSE, agent, request
from raw_server import RawServer, http_answer

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.adapters.models.failures import LONGEST_WAIT
from caxton.domain.errors import (
    ModelAnswerInvalid,
    ModelError,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelTimeout,
    ModelUnavailable,
)

SECRET_PLAN = "the secret plan of project hunter2"


async def failure(models: Models, model: str | list[str], **fields: object) -> ModelError:
    asked = request(agent(model), SECRET_PLAN, functions=[PARSE, ANALYZE], **fields)  # type: ignore[arg-type]
    with pytest.raises(ModelError) as caught:
        await models.respond(asked, lambda _: None)
    report = caught.value.report().model_dump_json()
    assert KEY not in report
    assert "secret plan" not in report
    assert caught.value.__cause__ is None  # causes go into logs and workflow history, with what the provider said
    return caught.value


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("model", DIALECTS)
async def test_too_many_requests_carries_the_time_to_wait(models: Models, llmock: LLMock, model: str):
    llmock.rate_limit(retry_after=7)
    error = await failure(models, model)
    assert (type(error), error.retry_after, error.retryable) == (ModelRateLimited, 7.0, True)
    assert len(llmock.requests) == 1  # trying again is the workflow's decision


@pytest.mark.parametrize("model", DIALECTS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, ModelUnavailable),
        (503, ModelUnavailable),
        (529, ModelUnavailable),
        (400, ModelRefusedRequest),
        (401, ModelRefusedRequest),
        (403, ModelRefusedRequest),
        (404, ModelRefusedRequest),
        (422, ModelRefusedRequest),
    ],
)
async def test_each_status_has_its_error(
    models: Models, llmock: LLMock, model: str, status: int, kind: type[ModelError]
):
    llmock.fail(status)
    error = await failure(models, model)
    assert (type(error), error.details["status"], error.details["model"]) == (kind, status, model)
    assert error.retryable == (status >= 500)
    assert len(llmock.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (401, None, "did not accept the API key", 'check the API key of provider "chat"'),
        (404, None, "knows no such model", "check the model's name"),
        (400, "context_length_exceeded", "longer than chat:gpt-4o can take", "lower history"),
        (429, "insufficient_quota", "no credit or quota left", "credit and spending limits"),
    ],
)
async def test_a_refusal_says_what_to_look_at(
    models: Models, llmock: LLMock, status: int, code: str | None, message: str, hint: str
):
    llmock.fail(status, code=code)
    error = await failure(models, "chat:gpt-4o")
    assert isinstance(error, ModelRefusedRequest)
    assert message in error.message
    assert hint in error.hints[0].text


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("model", DIALECTS)
@pytest.mark.parametrize("hang", ["before the answer", "within the answer"])
async def test_a_hanging_answer_times_out(models: Models, llmock: LLMock, model: str, hang: str):
    await models.respond(request(agent(model)), lambda _: None)  # what it imports does not count
    if hang == "before the answer":
        llmock.delay(2)
    else:
        llmock.stall(after_chunks=2, seconds=2)
    error = await failure(models, model, timeout=0.3)
    assert (type(error), error.retryable) == (ModelTimeout, True)
    assert "within 0.3 s" in error.message


@pytest.mark.parametrize("model", DIALECTS)
async def test_a_connection_that_breaks_is_unavailability(models: Models, llmock: LLMock, model: str):
    llmock.disconnect(after_chunks=2)
    assert type(await failure(models, model)) is ModelUnavailable


@pytest.mark.parametrize("model", DIALECTS)
async def test_an_answer_cut_short_is_not_taken_for_a_whole_one(models: Models, llmock: LLMock, model: str):
    llmock.truncate(after_chunks=3)
    error = await failure(models, model)
    assert (type(error), error.retryable) == (ModelAnswerInvalid, True)


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize(
    "model", ["chat:gpt-4o", "responses:gpt-5"]
)  # Anthropic's SDK skips events that it cannot read
async def test_a_broken_event_is_a_malformed_answer(models: Models, llmock: LLMock, model: str):
    llmock.corrupt(after_chunks=2)
    assert type(await failure(models, model)) is ModelAnswerInvalid


async def mistake(models: Models, model: str) -> str:
    reply = await models.respond(request(agent(model), functions=[PARSE, ANALYZE]), lambda _: None)
    [call] = reply.calls
    assert dict(call.arguments) == {}
    return call.mistake


@pytest.mark.parametrize("model", DIALECTS)
async def test_arguments_that_are_not_json_are_told_to_the_model(models: Models, llmock: LLMock, model: str):
    llmock.call_tool("csv-tools__parse", {"text": "x"}).break_tool_call("malformed_arguments")
    assert 'the text "arguments" of "csv-tools__parse" is not JSON' in await mistake(models, model)


async def test_arguments_that_are_no_object_are_told_to_the_model(models: Models, llmock: LLMock):
    llmock.add(Reply(tool_calls=(ToolCall("csv-tools__parse", ["a"]),)))  # type: ignore[arg-type]
    assert "not a JSON object" in await mistake(models, "chat:gpt-4o")


@pytest.mark.parametrize("model", DIALECTS)
async def test_a_call_of_what_was_not_offered_is_told_to_the_model(models: Models, llmock: LLMock, model: str):
    llmock.call_tool("format_disk", {})
    told = await mistake(models, model)
    assert 'there is no function "format_disk"' in told
    assert "ask__analyze-data, csv-tools__parse" in told


async def test_nobody_there_is_unavailability(unused_tcp_port: int):
    provider = ProviderSettings(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    models = Models(ModelsSettings(providers={"gone": provider}), templates)
    assert type(await failure(models, "gone:m")) is ModelUnavailable
    await models.aclose()


async def test_when_all_fail_the_first_that_may_mend_is_told(models: Models, llmock: LLMock):
    llmock.fail(404).rate_limit(retry_after=3).rate_limit(retry_after=11)
    error = await failure(models, ["chat:gpt-4o", "responses:gpt-5", "claude:claude-haiku-4-5"])
    assert (type(error), error.retry_after) == (ModelRateLimited, 11.0)
    assert error.details["model"] == "responses:gpt-5"
    assert error.details["models"] == [
        {"model": "chat:gpt-4o", "code": "model_refused_request"},
        {"model": "responses:gpt-5", "code": "model_rate_limited"},
        {"model": "claude:claude-haiku-4-5", "code": "model_rate_limited"},
    ]


async def test_when_none_may_mend_the_last_is_told(models: Models, llmock: LLMock):
    llmock.fail(404).fail(401)
    error = await failure(models, ["chat:gpt-4o", "responses:gpt-5"])
    assert (type(error), error.details["status"]) == (ModelRefusedRequest, 401)


async def test_a_malformed_answer_is_passed_on_to_the_next_model(models: Models, llmock: LLMock):
    llmock.truncate(after_chunks=2).reply("The second one.", provider="anthropic")
    reply = await models.respond(request(agent(["chat:gpt-4o", "claude:claude-haiku-4-5"])), lambda _: None)
    assert reply.text == "The second one."
    [passed] = reply.metadata["fallback_from"]
    assert (passed["model"], passed["code"]) == ("chat:gpt-4o", "model_answer_invalid")


# --- what the mock cannot do: given bytes ---


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("Retry-After: 3600", LONGEST_WAIT, LONGEST_WAIT),
        ("Retry-After: {date}", 25, 30),
        ("Retry-After: soon", None, None),
        ("Retry-After-Ms: 1500", 1.5, 1.5),
    ],
)
async def test_the_time_to_wait_is_read_and_bounded(
    raw_models: Models,
    raw_server: RawServer,
    header: str,
    least: float | None,
    most: float | None,
):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    raw_server.answer = http_answer("429 Too Many Requests", b"{}", header.format(date=date))
    error = await failure(raw_models, "raw:m")
    assert type(error) is ModelRateLimited
    if least is None or most is None:
        assert error.retry_after is None
    else:
        assert error.retry_after is not None
        assert least <= error.retry_after <= most


async def test_a_page_instead_of_an_answer_is_a_malformed_answer(raw_models: Models, raw_server: RawServer):
    raw_server.answer = http_answer("200 OK", b"<html>Welcome to the proxy</html>", content_type="text/html")
    assert type(await failure(raw_models, "raw:m")) is ModelAnswerInvalid


async def test_a_body_cut_in_the_middle_is_unavailability(raw_models: Models, raw_server: RawServer):
    raw_server.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\nConnection: close\r\n\r\n"
        b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"ind'
    )
    assert type(await failure(raw_models, "raw:m")) is ModelUnavailable


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        ("400 Bad Request", f"cannot handle: {SECRET_PLAN}", False),
        ("400 Bad Request", "unsupported value 'secret plan'", False),
        ("400 Bad Request", f"bad header {KEY}", False),
        ("401 Unauthorized", "Incorrect API key provided: sk-te****nter2", False),
        ("400 Bad Request", "this model takes no tools", True),
    ],
)
async def test_what_a_provider_says_is_told_unless_it_quotes(
    raw_models: Models,
    raw_server: RawServer,
    caplog: pytest.LogCaptureFixture,
    status: str,
    message: str,
    told: bool,
):
    raw_server.answer = http_answer(status, b'{"error": {"message": "%s", "code": "odd"}}' % message.encode())
    with caplog.at_level(logging.DEBUG):
        error = await failure(raw_models, "raw:m")
    assert (message in (error.reason or "")) == told
    assert error.details["provider_code"] == "odd"
    assert "hunter2" not in caplog.text
    assert "secret plan" not in caplog.text


async def test_keys_and_headers_travel_and_connections_are_used_again(raw_models: Models, raw_server: RawServer):
    raw_server.answer = http_answer("500 Oops", b"{}")
    for _ in range(2):
        await failure(raw_models, "raw:m")
    assert len(raw_server.requests) == 2
    assert raw_server.connections == 1
    for sent in raw_server.requests:
        head = sent.decode().lower()
        assert f"authorization: bearer {KEY}" in head
        assert "x-team: team-token" in head


async def test_calls_with_one_id_are_told_apart(raw_models: Models, raw_server: RawServer):
    call = b'{"index": %d, "id": "call_0", "function": {"name": "csv-tools__parse", "arguments": "{}"}}'
    chunk = b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [%s]}\n\n'
    delta = b'{"index": 0, "delta": {"tool_calls": [%s, %s]}, "finish_reason": "tool_calls"}' % (call % 0, call % 1)
    raw_server.answer = http_answer("200 OK", chunk % delta + b"data: [DONE]\n\n", content_type="text/event-stream")
    reply = await raw_models.respond(request(agent("raw:m"), functions=[PARSE]), lambda _: None)
    assert len(reply.calls) == len({found.id for found in reply.calls}) == 2
