"""Traces: ids always, spans for those who collect them, and nothing in them that a user wrote."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from caxton.domain.errors import ToolTimeout
from caxton.domain.ports import ModelReply
from caxton.domain.tools import ToolResult
from caxton.domain.usage import ToolUsage, Usage
from caxton.observability.tracing import (
    current_trace,
    current_traceparent,
    extract_traceparent,
    in_trace,
    in_trace_of_batch,
    model_span,
    sandbox_span,
    server_span,
    setup_tracing,
    tool_span,
)
from tests.support.collector import Collector, attributes_of, running_collector

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER_TRACE = "1bf7651916cd43dd8448eb211c80319d"
INCOMING = f"00-{TRACE}-b7ad6b7169203331-01"
OTHER = f"00-{OTHER_TRACE}-c7ad6b7169203332-01"
SECRET = "sk-very-secret-key-4711"
PROMPT = "what my client wrote"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector."""
    with running_collector() as running:
        yield running


@pytest.fixture
def send(collector: Collector) -> Iterator[Callable[[], None]]:
    """Starts tracing to the collector; call it to have sent all spans."""
    stop = setup_tracing(collector.url, "caxton-test", 1.0, "1.2.3")
    yield stop
    stop()


def make_spans() -> None:
    """What one request makes."""
    with server_span("POST", traceparent=INCOMING) as request:
        with model_span("analyst", "openai:gpt-5") as model:
            model.answered(
                ModelReply(PROMPT, (), "openai:gpt-5-2025", Usage(input_tokens=7, output_tokens=3), {"key": SECRET})
            )
        with tool_span("csv-tools", "query", "analyst") as tool:
            with sandbox_span("csv-tools", "component") as sandbox:
                sandbox.used(ToolUsage(cpu_ms=2.5, fuel=99))
            content = [{"type": "text", "text": PROMPT}]
            tool.answered(ToolResult(content=content, is_error=True, usage=ToolUsage(cpu_ms=2.5)))
        with pytest.raises(ToolTimeout), tool_span("csv-tools", "load", "analyst"):
            raise ToolTimeout(f"{PROMPT} {SECRET}")
        with pytest.raises(ValueError), model_span("analyst", "scripted"):
            raise ValueError(f"{PROMPT} {SECRET}")
        request.answered(200, "/v1/conversations/{id}/messages")


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("ADM-2")
def test_a_request_has_a_trace_although_nobody_collects() -> None:
    assert current_trace() == (None, None)
    with server_span("GET", "/v1/agents") as request:
        trace_id, span_id = current_trace()
        assert trace_id == request.trace_id
        assert len(trace_id or "") == 32
        assert len(span_id or "") == 16
        assert current_traceparent() == f"00-{trace_id}-{span_id}-00"
        with model_span("a", "scripted"), tool_span("t", "f", "a"):
            assert current_trace()[0] == trace_id
    assert current_trace() == (None, None)


def test_two_requests_have_two_traces() -> None:
    with server_span("GET") as first:
        pass
    with server_span("GET") as second:
        pass
    assert first.trace_id != second.trace_id


@pytest.mark.requirement("ADM-2")
def test_a_request_goes_on_with_the_trace_of_its_caller() -> None:
    traceparent = extract_traceparent({"traceparent": INCOMING})
    with server_span("GET", traceparent=traceparent) as request:
        assert request.trace_id == TRACE
        assert "b7ad6b7169203331" not in request.traceparent


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"{INCOMING}-more",
        f"{INCOMING}{'0' * 5000}",
        f"00-{TRACE}-b7ad6b7169203331",
    ],
)
def test_a_header_that_is_not_valid_begins_a_new_trace(header: str) -> None:
    assert extract_traceparent({"traceparent": header}) is None


def test_a_header_of_a_later_version_is_understood() -> None:
    assert extract_traceparent({"traceparent": f"01-{TRACE}-b7ad6b7169203331-01-more"}) == INCOMING
    assert extract_traceparent({}) is None


async def test_work_done_for_a_request_is_in_its_trace_whoever_does_it() -> None:
    async def step(traceparent: str | None) -> str | None:
        with in_trace(traceparent):
            await asyncio.sleep(0)
            return current_trace()[0]

    with server_span("POST") as batch:
        traces = await asyncio.gather(step(INCOMING), step(OTHER), step(None), step("nonsense"))
        assert traces == [TRACE, OTHER_TRACE, batch.trace_id, batch.trace_id]
        with in_trace(batch.traceparent):
            assert current_traceparent() == batch.traceparent


def test_a_batch_is_in_the_trace_that_its_requests_share() -> None:
    same = INCOMING.replace("b7ad6b7169203331", "b7ad6b7169203339")
    with server_span("POST"):
        with in_trace_of_batch([INCOMING, same]):
            assert current_trace()[0] == TRACE
        with in_trace_of_batch([INCOMING, OTHER]):
            assert current_trace() == (None, None)
        with in_trace_of_batch([INCOMING, None]):
            assert current_trace() == (None, None)


# --- spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("ADM-2")
def test_spans_follow_the_conventions_for_generative_ai(collector: Collector, send: Callable[[], None]) -> None:
    make_spans()
    send()
    request = collector.named("POST /v1/conversations/{id}/messages")
    assert request.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert request.kind == Span.SPAN_KIND_SERVER
    assert attributes_of(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/conversations/{id}/messages",
        "http.response.status_code": 200,
    }
    chat = collector.named("chat gpt-5")
    assert (chat.trace_id, chat.parent_span_id) == (request.trace_id, request.span_id)
    assert chat.kind == Span.SPAN_KIND_CLIENT
    assert attributes_of(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5-2025",
        "gen_ai.agent.name": "analyst",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
    }
    tool = collector.named("execute_tool csv-tools.query")
    assert tool.kind == Span.SPAN_KIND_INTERNAL
    assert tool.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "csv-tools.query",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "analyst",
        "caxton.tool.cpu_ms": 2.5,
        "caxton.tool.fuel": 0,
        "error.type": "tool_error",
    }
    sandbox = collector.named("sandbox csv-tools")
    assert sandbox.parent_span_id == tool.span_id
    assert attributes_of(sandbox)["caxton.sandbox.form"] == "component"
    assert collector.resources[0]["service.name"] == "caxton-test"
    assert collector.resources[0]["service.version"] == "1.2.3"


@pytest.mark.requirement("ADM-6")
def test_spans_have_no_contents_and_no_messages_of_errors(collector: Collector, send: Callable[[], None]) -> None:
    make_spans()
    send()
    sent = b"".join(collector.bodies)
    assert PROMPT.encode() not in sent
    assert SECRET.encode() not in sent
    failed = collector.named("execute_tool csv-tools.load")
    assert attributes_of(failed)["error.type"] == ToolTimeout.code
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert failed.status.message == ""
    assert [attributes_of(event) for event in failed.events] == [{"exception.type": "ToolTimeout"}]
    assert attributes_of(collector.named("chat scripted"))["error.type"] == "ValueError"


def test_a_failed_request_says_so(collector: Collector, send: Callable[[], None]) -> None:
    with server_span("GET", "/v1/agents") as request:
        request.answered(503)
    with pytest.raises(RuntimeError), server_span("GET", "/v1/tools"):
        raise RuntimeError(PROMPT)
    with server_span("BREW", "/pot"):
        pass
    send()
    assert attributes_of(collector.named("GET /v1/agents"))["error.type"] == "503"
    assert attributes_of(collector.named("GET /v1/tools"))["error.type"] == "RuntimeError"
    assert attributes_of(collector.named("_OTHER /pot"))["http.request.method"] == "_OTHER"


def test_what_a_caller_does_not_record_is_not_recorded(collector: Collector, send: Callable[[], None]) -> None:
    with server_span("GET", "/v1/agents", f"{INCOMING[:-2]}00") as request, model_span("a", "scripted"):
        assert current_trace()[0] == request.trace_id == TRACE
    send()
    assert collector.spans == []


def test_a_share_of_the_traces_can_be_recorded(collector: Collector) -> None:
    stop = setup_tracing(collector.url, sample_ratio=0.0)
    try:
        with server_span("GET", "/v1/agents"):
            assert current_trace()[0] is not None
    finally:
        stop()
    assert collector.spans == []


def test_requests_and_their_batch_link_to_each_other(collector: Collector, send: Callable[[], None]) -> None:
    with in_trace_of_batch([INCOMING, OTHER]), tool_span("batch", "run", "a"):
        with in_trace(INCOMING), tool_span("inside", "first", "a"), sandbox_span("inner", "command"):
            pass
        with tool_span("batch", "end", "a"):
            pass
    send()
    batch = collector.named("execute_tool batch.run")
    assert batch.trace_id.hex() not in (TRACE, OTHER_TRACE)
    assert {link.trace_id.hex() for link in batch.links} == {TRACE, OTHER_TRACE}
    inside = collector.named("execute_tool inside.first")
    assert inside.trace_id.hex() == TRACE
    assert [link.span_id for link in inside.links] == [batch.span_id]
    assert not collector.named("sandbox inner").links
    assert not collector.named("execute_tool batch.end").links


# --- where they go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_opentelemetrys_own_variables_count(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    path = "/v1/traces" if "TRACES" in variable else ""
    monkeypatch.setenv(variable, f"{collector.url}{path}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named-by-environment")
    stop = setup_tracing()
    with server_span("GET", "/health"):
        pass
    stop()
    assert [span.name for span in collector.spans] == ["GET /health"]
    assert collector.resources[0]["service.name"] == "named-by-environment"


def test_opentelemetry_can_be_switched_off(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    stop = setup_tracing(collector.url)
    with server_span("GET", "/health"):
        pass
    stop()
    assert collector.spans == []
