"""Services that speak Chat Completions, each in a dialect of its own: one call, and the answer that was meant."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from chat_service import DONE, USAGE, Service, called, chunk, event, piece, said, whole
from model_requests import PARSE, agent, request
from raw_server import RawServer, http_answer

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.domain.agents import ModelSettings
from caxton.domain.errors import (
    ModelAnswerCut,
    ModelAnswerInvalid,
    ModelError,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelUnavailable,
)
from caxton.domain.ports import FunctionCall, FunctionResult, PromptPart

pytestmark = pytest.mark.requirement("FAC-4")


class PickyServer(RawServer):
    """Refuses requests that have a field of the name `answer`."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                self.requests.append(await reader.readexactly(int(length.split(b":")[1])))
                refusal = {"error": {"message": f"property '{self.answer.decode()}' is unsupported"}}
                refused = self.answer in self.requests[-1]
                writer.write(
                    http_answer("400 Bad Request", json.dumps(refusal).encode())
                    if refused
                    else http_answer("200 OK", said("Fine."), content_type="text/event-stream")
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def picky() -> AsyncIterator[PickyServer]:
    server = PickyServer()
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    yield server
    listener.close()


@pytest.fixture
def service(raw_models: Models, raw_server: RawServer) -> Service:
    return Service(raw_models, raw_server)


WAYS = [pytest.param(True, id="streamed"), pytest.param(False, id="whole")]


@pytest.mark.parametrize("streamed", WAYS)
@pytest.mark.parametrize(
    "finish", ["eos", "end_turn", "COMPLETE", "stop_sequence", "STOP", "FinishReason.STOP", "", None, "null"]
)
async def test_every_word_for_a_whole_answer_is_one(service: Service, finish: Any, streamed: bool) -> None:
    body = said("All of it.", finish=finish) if streamed else whole({"content": "All of it."}, finish)
    reply = await service.ask(body, streamed=streamed)
    assert (reply.text, "".join(service.heard)) == ("All of it.", "All of it." if streamed else "")
    assert "cut_by" not in reply.metadata
    assert len(service.server.requests) == 1


@pytest.mark.parametrize("streamed", WAYS)
@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "max_tokens", "model_length"])
async def test_an_answer_that_was_cut_says_so(service: Service, finish: str, streamed: bool) -> None:
    body = said("Half of", finish=finish) if streamed else whole({"content": "Half of"}, finish)
    reply = await service.ask(body, streamed=streamed)
    assert (reply.text, reply.metadata["cut_by"]) == ("Half of", "length")


@pytest.mark.parametrize(
    ("body", "kind", "retryable"),
    [
        (said("", finish="length"), ModelAnswerCut, False),
        (called(piece('{"text": "a', "csv-tools__parse", "a", 0), finish="length"), ModelAnswerCut, False),
        (said("", finish="SAFETY"), ModelRefusedRequest, False),
        (said("  \n", finish="stop"), ModelAnswerInvalid, True),
        (chunk({"reasoning_content": "I think."}) + chunk({}, "stop") + DONE, ModelAnswerInvalid, True),
        (said("", finish="MALFORMED_FUNCTION_CALL"), ModelAnswerInvalid, True),
        (said("Half", finish="error"), ModelUnavailable, True),
        (said("Half", finish="abort"), ModelUnavailable, True),
        (said("Half", finish="insufficient_system_resource"), ModelUnavailable, True),
        (chunk({"content": "Half"}), ModelAnswerInvalid, True),
        (whole({"content": "\n\n"}), ModelAnswerInvalid, True),
        (whole({"content": None}, "stop"), ModelAnswerInvalid, True),
        (b'{"choices": []}', ModelAnswerInvalid, True),
        (b'{"choices": null}', ModelAnswerInvalid, True),
        (b"[" * 100_000, ModelAnswerInvalid, True),
        (b'data: {"choices": ' + b"[" * 100_000 + b"\n\n", ModelAnswerInvalid, True),
    ],
)
async def test_an_answer_without_use_is_an_error_of_its_own(
    service: Service, body: bytes, kind: type[ModelError], retryable: bool
) -> None:
    error = await service.failure(body)
    assert (type(error), error.retryable) == (kind, retryable)


ERRORS: list[tuple[dict[str, Any], type[ModelError], str]] = [
    ({"error": {"code": 502, "message": "upstream is full"}}, ModelUnavailable, "broke its answer off with an error"),
    ({"error": {"code": 429, "message": "Rate limit"}}, ModelRateLimited, "too many requests"),
    ({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, ModelRateLimited, "too many requests"),
    ({"error": {"error": "Too many tokens, wait", "error_code": 4001}}, ModelRateLimited, "too many requests"),
    (
        {"error": {"object": "error", "type": "BadRequestError", "code": 400}},
        ModelRefusedRequest,
        "refused the request",
    ),
    ({"object": "error", "message": "not multimodal", "code": 400}, ModelRefusedRequest, "refused the request"),
    ({"error": {"code": 500, "type": "exceed_context_size_error"}}, ModelRefusedRequest, "longer than raw:m can take"),
    ({"error": "model is overloaded"}, ModelUnavailable, "broke its answer off with an error"),
    ({"error": {"code": 401, "message": "no"}}, ModelRefusedRequest, "did not accept the API key"),
    ({"detail": "Model not found"}, ModelRefusedRequest, "knows no such model"),
    ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None}, ModelRateLimited, "too many"),
    (
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429}}]},
        ModelRateLimited,
        "too many",
    ),
]


@pytest.mark.parametrize("form", ["in the middle of a stream", "at its beginning", "as a whole answer"])
@pytest.mark.parametrize(("error", "kind", "message"), ERRORS)
async def test_an_error_inside_an_answer_is_that_error(
    service: Service, error: dict[str, Any], kind: type[ModelError], message: str, form: str
) -> None:
    body = json.dumps(error).encode() if form == "as a whole answer" else event(error) + DONE
    if form == "in the middle of a stream":
        body = chunk({"content": "Half "}) + body
    found = await service.failure(body)
    assert (type(found), found.details["model"]) == (kind, "raw:m")
    assert message in found.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (
            "400 Bad Request",
            b'[{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}]',
            400,
            "refused",
        ),
        ("400 Bad Request", b'{"error": {"code": 400, "type": "exceed_context_size_error"}}', 400, "longer than"),
        ("500 Server Error", b'{"error": {"code": 500, "type": "exceed_context_size_error"}}', 400, "longer than"),
        ("422 Unprocessable Entity", b'{"detail": [{"loc": ["body"], "msg": "bad"}]}', 422, "refused"),
        ("404 Not Found", b'{"error": "model \\"m\\" not found, try pulling it first"}', 404, "knows no such model"),
        ("503 Unavailable", b"<html>Loading model</html>", 503, "failure of its own"),
    ],
)
async def test_every_form_of_an_error_is_read(
    service: Service, status: str, body: bytes, kind: int, message: str
) -> None:
    service.server.answer = http_answer(status, body)
    with pytest.raises(ModelError) as caught:
        await service.models.respond(request(agent("raw:m")), print)
    assert message in caught.value.message
    assert caught.value.details["status"] == kind
    assert len(service.server.requests) == 1


TWO = [("csv-tools.parse", {"text": "1"}), ("csv-tools.parse", {"text": "2"})]
BARE: list[tuple[str, dict[str, Any]]] = [("csv-tools.parse", {})]
ONE, OTHER = '{"text": "1"}', '{"text": "2"}'
NAME = "csv-tools__parse"


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        pytest.param(called(piece(ONE, NAME, "a", 0), piece(OTHER, NAME, "b", 0)), TWO, id="all numbered 0"),
        pytest.param(called(piece(ONE, NAME, "a"), piece(OTHER, NAME, "b")), TWO, id="no numbers"),
        pytest.param(called(piece(ONE, NAME), piece(OTHER, NAME)), TWO, id="neither numbers nor ids"),
        pytest.param(called(piece(ONE, NAME, "", 0), piece(OTHER, NAME, "", 0)), TWO, id="empty ids"),
        pytest.param(called(piece(ONE, NAME, "a", 0), piece(OTHER, NAME, "a", 1)), TWO, id="one id for all"),
        pytest.param(called(piece(ONE, NAME, "a", 1), piece(OTHER, NAME, "b", 2)), TWO, id="numbered from 1"),
        pytest.param(called(piece(ONE, NAME, "a", None), piece(OTHER, NAME, "b", None)), TWO, id="numbers are null"),
        pytest.param(
            called(piece('{"text"', NAME, "a", 0), piece(': "1"}', None, "b", 0), piece(OTHER, NAME, "c", 1)),
            TWO,
            id="an id for each piece",
        ),
        pytest.param(
            called(piece('{"text"', NAME, "a", 0), piece(': "1"}', NAME, "a", 0), piece(OTHER, NAME, "b", 1)),
            TWO,
            id="the name with each piece",
        ),
        pytest.param(
            called(piece("", "csv-tools", "a", 0), piece(None, "__parse", None, 0), piece(ONE, None, None, 0)),
            TWO[:1],
            id="a name in pieces",
        ),
        pytest.param(called(piece({"text": "1"}, NAME, "a", 0), finish="stop"), TWO[:1], id="arguments as an object"),
        pytest.param(called(piece(json.dumps(ONE), NAME, "a", 0)), TWO[:1], id="JSON in JSON"),
        pytest.param(called({"index": 0, "name": NAME, "arguments": ONE}), TWO[:1], id="nothing around it"),
        pytest.param(chunk({"tool_calls": piece(ONE, NAME)}) + chunk({}, "stop") + DONE, TWO[:1], id="no list"),
        pytest.param(
            chunk({"function_call": {"name": NAME, "arguments": '{"text": '}})
            + chunk({"function_call": {"arguments": '"1"}'}}, "function_call")
            + DONE,
            TWO[:1],
            id="as they were called before",
        ),
        pytest.param(called(piece("", NAME, "a", 0)), BARE, id="no arguments"),
        pytest.param(called(piece("null", NAME, "a", 0)), BARE, id="null arguments"),
        pytest.param(
            whole(
                {"content": None, "tool_calls": [piece(ONE, NAME, type="function"), piece({"text": "2"}, NAME)]}, "stop"
            ),
            TWO,
            id="a whole answer without ids",
        ),
    ],
)
async def test_calls_are_put_together(service: Service, body: bytes, calls: list[Any]) -> None:
    reply = await service.ask(body)
    assert [(call.name, dict(call.arguments)) for call in reply.calls] == calls
    assert not any(call.mistake for call in reply.calls)
    assert len({call.id for call in reply.calls}) == len(calls)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            piece("{}", "csv-tools__parse_magic", "a"),
            'no function "csv-tools__parse_magic". Did you mean "csv-tools__parse"?',
        ),
        (piece("{}", "format_disk", "a"), "There are: ask__analyze-data, csv-tools__parse"),
        (piece("{}", "a\x00b\ud83d\n", "a"), 'no function "a\ufffdb\ufffd"'),
        (piece("\x00", NAME, "a"), "You sent: \ufffd"),
        (piece("{'text': 1}", NAME, "a"), "You sent: {'text': 1}"),
        (piece('{"text": "1"', NAME, "a"), "is not JSON"),
        (piece("[1]", NAME, "a"), "are not a JSON object"),
        (piece('{"text": NaN}', NAME, "a"), "is not JSON"),
        (piece('{"text": "\\ud83d"}', NAME, "a"), "half of a surrogate pair"),
        (piece('{"text": ' + "[" * 5000 + "]" * 5000 + "}", NAME, "a"), "nested too deep"),
        (piece('{"text": 1, "text": 2}', NAME, "a"), "twice"),
        (piece('{"task": "look"}', "ask__analyze-data", "a"), 'takes one argument, "content"'),
        (piece('{"content": "look", "data": "1,2"}', "ask__analyze-data", "a"), 'You sent "data"'),
        (piece('{"content": " "}', "ask__analyze-data", "a"), "Nothing was handed over"),
    ],
)
async def test_a_mistake_in_a_call_is_told_to_the_model(service: Service, call: dict[str, Any], told: str) -> None:
    reply = await service.ask(called(call, piece(ONE, NAME, "b")))
    mistaken, other = reply.calls
    assert told in mistaken.mistake
    assert dict(mistaken.arguments) == {}
    assert (other.mistake, dict(other.arguments)) == ("", {"text": "1"})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(whole({"content": "All at once."}), "All at once.", id="a whole answer"),
        pytest.param(b"\n\n  " + whole({"content": "All at once."}), "All at once.", id="behind keep-alive spaces"),
        pytest.param(said("A ", "\ud83d", "\ude00", " B"), "A \U0001f600 B", id="half a pair in each piece"),
        pytest.param(said("A ", "\ud83d", " B"), "A \ufffd B", id="half a pair alone"),
        pytest.param(said("\ud83d"), "\ufffd", id="half a pair at the end"),
        pytest.param(
            b'data: {"choices": [{"delta": {"content": "a \xf0\x9f"}}]}\n\n'
            b'data: {"choices": [{"delta": {"content": "\x98\x80 b"}, "finish_reason": "stop"}]}\n\n',
            "a \U0001f600 b",
            id="half the bytes of a character in each piece",
        ),
        pytest.param(said("<thi", "nk>Let me ", "see.</th", "ink>\n\n", "The answer."), "The answer.", id="thoughts"),
        pytest.param(said("Write <think> and </think>."), "Write <think> and </think>.", id="no thoughts"),
        pytest.param(said("<", "b> is bold"), "<b> is bold", id="no thoughts either"),
        pytest.param(said("a", "b").replace(b"\n\n", b"\n"), "ab", id="one line's end between events"),
        pytest.param(b"\xef\xbb\xbf" + said("a", "b"), "ab", id="a byte order mark"),
        pytest.param(b"event: message\n" + said("a"), "a", id="named events"),
        pytest.param(said("a", "b")[: -len(DONE)], "ab", id="no [DONE]"),
        pytest.param(chunk({"content": "a"}) + DONE, "a", id="no finish at all"),
        pytest.param(chunk({"content": "a"}) + event({"choices": [], "usage": USAGE}), "a", id="usage is the end"),
        pytest.param(event({"choices": [{"delta": {"content": "a"}, "finishReason": "stop"}]}), "a", id="finishReason"),
        pytest.param(event({"choices": [{"index": 1, "delta": {"content": "a"}}]}) + DONE, "a", id="numbered from 1"),
        pytest.param(event([{"choices": [{"delta": {"content": "a"}}]}]) + DONE, "a", id="in a list"),
        pytest.param(
            chunk({"content": ""}) + chunk({"refusal": "I may not."}) + DONE,
            "I may not.",
            id="a refusal",
        ),
        pytest.param(chunk({"content": {"type": "text", "text": "a"}}) + DONE, "a", id="one part"),
        pytest.param(
            chunk({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}]}) + DONE,
            "a",
            id="parts",
        ),
        pytest.param(
            json.dumps(
                {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "created": None, "id": 7}
            ).encode(),
            "a",
            id="odd fields",
        ),
    ],
)
async def test_every_listener_hears_the_reply(service: Service, body: bytes, text: str) -> None:
    reply = await service.ask(body)
    assert (reply.text, "".join(service.heard)) == (text, text)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream"])
async def test_a_stream_is_one_whatever_it_is_called(service: Service, kind: str) -> None:
    assert (await service.ask(said("a", "b"), kind=kind)).text == "ab"
    assert (await service.ask(whole({"content": "c"}), kind="text/event-stream")).text == "c"


@pytest.mark.parametrize(
    "body",
    [
        said("a", usage=USAGE),
        said("a", usage={"prompt_tokens": 11, "completion_tokens": 7}),
        said("a", usage={"input_tokens": 11, "output_tokens": 7, "prompt_tokens": None}),
        said("a", x_groq={"usage": USAGE}),
        said("a", timings={"prompt_n": 11, "predicted_n": 7}),
        said("a", usage={**USAGE, "prompt_tokens_details": {"cached_tokens": None}, "cost": "0.1"}),
        said("a", usage={"prompt_tokens": 11.0, "completion_tokens": "7", "completion_tokens_details": None}),
        event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop", "usage": USAGE}]}),
        chunk({"content": "a"}, usage={"prompt_tokens": 11, "completion_tokens": 1}) + said("", usage=USAGE),
        whole({"content": "a"}, usage=USAGE),
        whole({"content": "a"}, prompt_eval_count=11, eval_count=7),
    ],
)
async def test_usage_is_found_wherever_it_is_told(service: Service, body: bytes) -> None:
    reply = await service.ask(body)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 7)


@pytest.mark.parametrize("body", [said("a", usage=None), said("a", usage={"prompt_tokens": None}), said("a", usage=7)])
async def test_no_usage_is_none(service: Service, body: bytes) -> None:
    assert (await service.ask(body)).usage.tokens == 0


CALL = FunctionCall("call_0", "csv-tools.parse", "tool", {"text": "1"})


async def second_request(service: Service, first: bytes, second: bytes | None = None) -> dict[str, Any]:
    """What goes out behind the call of the answer `first`."""
    reply = await service.ask(first)
    assert reply.calls
    results = [FunctionResult(call.id, call.name, "done") for call in reply.calls]
    said = PromptPart("assistant", reply.text, calls=reply.calls, model=reply.model, given=reply.given)
    asked = request(agent("raw:m"), functions=[PARSE])
    asked = replace(asked, parts=[*asked.parts, said, PromptPart("results", results=results)])
    service.server.answer = http_answer("200 OK", second or whole({"content": "Seen."}))
    assert (await service.models.respond(asked)).text == "Seen."
    sent = json.loads(service.server.requests[-1].partition(b"\r\n\r\n")[2])
    return next(message for message in sent["messages"] if message["role"] == "assistant")


GIVEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"reasoning_content": "I think."}, {"reasoning_content": "I think."}),
    ({"reasoning_content": ""}, {"reasoning_content": ""}),
    ({"reasoning": "I think.", "reasoning_details": [{"type": "x", "data": "y"}]}, {"reasoning": "I think."}),
    ({"reasoning_details": [{"type": "x", "data": "y"}]}, {"reasoning_details": [{"type": "x", "data": "y"}]}),
    (
        {"thinking_blocks": [{"thinking": "a", "signature": "b"}]},
        {"thinking_blocks": [{"thinking": "a", "signature": "b"}]},
    ),
    ({"something_new": {"id": 7}}, {"something_new": {"id": 7}}),
]


@pytest.mark.parametrize("streamed", WAYS)
@pytest.mark.parametrize(("came", "goes_back"), GIVEN)
async def test_what_came_with_calls_goes_back_with_them(
    service: Service, came: dict[str, Any], goes_back: dict[str, Any], streamed: bool
) -> None:
    message = {**came, "tool_calls": [piece(ONE, NAME, "a", 0)]}
    sent = await second_request(
        service, chunk(message) + chunk({}, "tool_calls") + DONE if streamed else whole(message, "tool_calls")
    )
    assert {name: sent[name] for name in goes_back} == goes_back


async def test_thoughts_that_came_in_pieces_go_back_whole(service: Service) -> None:
    def detail(number: int, **fields: Any) -> bytes:
        return chunk({"reasoning_details": [{"type": "reasoning.text", "index": number, "signature": None, **fields}]})

    def block(**fields: Any) -> bytes:
        return chunk({"thinking_blocks": [{"type": "thinking", **fields}]})

    pieces = detail(0, text="I th") + detail(0, text="ink.") + detail(0, signature="abc") + detail(1, text="More.")
    blocks = block(thinking="I th") + block(thinking="ink.") + block(signature="abc") + block(thinking="More.")
    sent = await second_request(service, pieces + blocks + called(piece(ONE, NAME, "a", 0)))
    assert [(each["text"], each["signature"]) for each in sent["reasoning_details"]] == [
        ("I think.", "abc"),
        ("More.", None),
    ]
    assert [(each["thinking"], each.get("signature")) for each in sent["thinking_blocks"]] == [
        ("I think.", "abc"),
        ("More.", None),
    ]


async def test_signatures_of_thoughts_go_back_with_their_call(service: Service) -> None:
    signature = {"google": {"thought_signature": "c2lnbmVk"}}
    sent = await second_request(
        service,
        called(piece(ONE, NAME, "a", 0, extra_content=signature), piece(OTHER, NAME, "b", 0), finish="stop"),
    )
    first, second = sent["tool_calls"]
    assert first["extra_content"] == signature
    assert "extra_content" not in second
    assert first["function"] == {"name": NAME, "arguments": '{"text":"1"}'}


async def test_another_model_gets_nothing_of_it(service: Service) -> None:
    asked = request(agent("raw:other"), functions=[PARSE])
    said = PromptPart("assistant", calls=[CALL], model="raw:m", given={"message": {"reasoning_content": "x"}})
    results = PromptPart("results", results=[FunctionResult("call_0", "csv-tools.parse", "done")])
    service.server.answer = http_answer("200 OK", whole({"content": "Seen."}))
    await service.models.respond(replace(asked, parts=[*asked.parts, said, results]))
    assert b"reasoning_content" not in service.server.requests[-1]


@pytest.mark.parametrize("field", ["stream_options", "reasoning_content", '"max_tokens"'])
async def test_a_service_that_refuses_a_field_is_asked_without_it(picky: PickyServer, field: str) -> None:
    picky.answer = field.encode()
    asked = request(agent("picky:m"), functions=[PARSE])
    said = PromptPart("assistant", calls=[CALL], model="picky:m", given={"message": {"reasoning_content": "x"}})
    results = PromptPart("results", results=[FunctionResult("call_0", "csv-tools.parse", "done")])
    settings = ModelsSettings(providers={"picky": ProviderSettings(base_url=picky.base_url)})
    gateway = Models(settings, templates, environment={})
    heard: list[str] = []
    sent = replace(asked, parts=[*asked.parts, said, results], settings=ModelSettings(max_tokens=100))
    reply = await gateway.respond(sent, heard.append)
    await gateway.aclose()
    assert (reply.text, "".join(heard)) == ("Fine.", "Fine.")
    first, second = (json.loads(each) for each in picky.requests)
    assert first["max_tokens"] == second.get("max_tokens", second.get("max_completion_tokens")) == 100
