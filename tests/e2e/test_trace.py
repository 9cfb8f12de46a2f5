"""One trace crosses API, workflow, activity, sandbox and model call; what a user wrote is in no log, trace or metric."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

import caxton
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, hands_over, replies
from tests.support.collector import Collector, attributes_of, running_collector
from tests.support.deploying import deploy_files
from tests.support.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trace")]

PROMPT = "my client Ottokar wants to sell his castle"
CSV = "kingdom,castles\\nbohemia,42\\n"
KEY = "mock-provider-key-4711-0815"
CSV_TOOLS = Path(caxton.__file__).parent / "bundled" / "tools" / "csv-tools"

ANALYST = """
name = "analyst"
version = "1.0.0"
capabilities = ["analyze"]
tools = ["csv-tools"]
model = "mock:gpt-4o"
"""


@dataclass(frozen=True)
class Traced:
    """A server that sends its traces to a collector, and logs as much as it can."""

    server: RunningServer
    collector: Collector

    def log(self) -> str:
        """All that the server has logged."""
        return (self.server.data_dir / "serve.log").read_text()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, llmock_server: LLMockServer) -> Iterator[Traced]:
    """Such a server, with a provider that llmock plays and some agents."""
    folder = tmp_path_factory.mktemp("traced")
    provider = {"mock": {"base_url": llmock_server.base_url("openai"), "api_key_env": "MOCK_KEY"}}
    with running_collector() as collector:
        environment = {
            "CAXTON_TELEMETRY__OTLP_ENDPOINT": collector.url,
            "CAXTON_MODELS__PROVIDERS": json.dumps(provider),
            "CAXTON_LOG__LEVEL": "debug",
            "CAXTON_LOG__FORMAT": "json",
            "MOCK_KEY": KEY,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        process, server = start_server(folder / "data", "--metrics-port", str(free_port()), env=environment)
        try:
            files: dict[str, str | bytes] = {"agents/analyst.toml": ANALYST}
            files |= agent("front", rules=hands_over("back"), more='delegates = ["back"]\n')
            files |= agent("back", rules=replies("heard"))
            for path in CSV_TOOLS.rglob("*"):
                if path.is_file():
                    files[f"tools/csv-tools/{path.relative_to(CSV_TOOLS)}"] = path.read_bytes()
            with server.client() as client:
                deploy_files(client, folder / "workspace", files)
            yield Traced(server, collector)
        finally:
            stop_server(process)


def traceparent() -> tuple[str, bytes]:
    """A caller's trace: its header, and its id."""
    trace_id = secrets.token_hex(16)
    return f"00-{trace_id}-{secrets.token_hex(8)}-01", bytes.fromhex(trace_id)


@pytest.mark.requirement("ADM-2")
def test_one_trace_crosses_everything(traced: Traced, llmock: LLMock) -> None:
    llmock.call_tool("csv-tools__summarize", {"csv": CSV}).reply("42 castles")
    header, trace_id = traceparent()
    with traced.server.client() as client:
        asked = client.post(
            "/v1/messages", json={"capability": "analyze", "content": PROMPT}, headers={"traceparent": header}
        )
        assert asked.status_code == 200, asked.text
        reply = asked.json()["reply"]
        events = client.get(f"/v1/executions/{asked.json()['execution_id']}/events").json()["events"]
    spans = traced.collector.wait_for(
        "POST /v1/messages",
        "StartWorkflow:ConversationTurns",
        "RunWorkflow:ConversationTurns",
        "RunActivity:run_step",
        "RunActivity:call_model",
        "chat gpt-4o",
        "execute_tool csv-tools.summarize",
        "sandbox csv-tools",
        trace_id=trace_id,
    )
    by_id = {span.span_id: span for span in spans}
    [request] = [span for span in spans if span.name == "POST /v1/messages"]
    assert request.parent_span_id.hex() == header.split("-")[2]
    # Every span hangs below the request: none is an orphan.
    for span in spans:
        above = span
        while above.parent_span_id in by_id:
            above = by_id[above.parent_span_id]
        assert above is request, span.name

    def line_of(name: str) -> list[str]:
        [span, *_] = [span for span in spans if span.name == name]
        names = [span.name]
        while span.parent_span_id in by_id:
            span = by_id[span.parent_span_id]
            names.append(span.name)
        return names

    assert line_of("chat gpt-4o")[:2] == ["chat gpt-4o", "RunActivity:call_model"]
    assert "RunWorkflow:ConversationTurns" in line_of("chat gpt-4o")
    tool = ["sandbox csv-tools", "execute_tool csv-tools.summarize", "RunActivity:run_step"]
    assert line_of("sandbox csv-tools")[:3] == tool
    [chat, *_] = [span for span in spans if span.name == "chat gpt-4o"]
    assert attributes_of(chat)["gen_ai.agent.name"] == "analyst"
    assert attributes_of(chat)["gen_ai.usage.input_tokens"] > 0
    # The same trace is written on the reply and on what the log of events tells.
    assert reply["trace_id"] == trace_id.hex()
    assert {event["trace_id"] for event in events} == {trace_id.hex()}


@pytest.mark.requirement("ADM-2")
async def test_requests_that_travel_together_keep_their_own_traces(traced: Traced) -> None:
    headers = [traceparent() for _ in range(40)]
    keys = {"Authorization": f"Bearer {traced.server.api_key}"}
    async with httpx.AsyncClient(base_url=traced.server.url, headers=keys, timeout=60, trust_env=False) as client:

        async def ask(header: str) -> dict[str, Any]:
            body = {"capability": "front", "content": PROMPT}
            answer = await client.post("/v1/messages", json=body, headers={"traceparent": header})
            assert answer.status_code == 200, answer.text
            return answer.json()

        replies = await asyncio.gather(*(ask(header) for header, _ in headers))
    for reply, (_, trace_id) in zip(replies, headers, strict=True):
        assert reply["reply"]["trace_id"] == trace_id.hex()
        spans = await asyncio.to_thread(
            traced.collector.wait_for, "POST /v1/messages", "chat scripted", trace_id=trace_id
        )
        chats = [span for span in spans if span.name == "chat scripted"]
        assert {attributes_of(span)["gen_ai.agent.name"] for span in chats} == {"front", "back"}


@pytest.mark.requirement("ADM-6")
def test_neither_prompts_nor_keys_are_in_logs_traces_or_metrics(traced: Traced, llmock: LLMock) -> None:
    with traced.server.client() as client:

        def ask(capability: str) -> httpx.Response:
            header, trace_id = traceparent()
            traces.append(trace_id)
            body = {"capability": capability, "content": PROMPT}
            return client.post("/v1/messages", json=body, headers={"traceparent": header})

        traces: list[bytes] = []
        assert ask("front").status_code == 200
        llmock.call_tool("csv-tools__summarize", {"csv": CSV}).reply(f"you said: {PROMPT}")
        assert ask("analyze").status_code == 200
        # A provider and a tool that refuse, and quote what they got.
        llmock.fail(400, times=None, message=f"bad prompt: {PROMPT}, bad key: {KEY}")
        refused = ask("analyze")
        assert refused.status_code >= 400
        llmock.reset()
        llmock.call_tool("csv-tools__summarize", {"csv": PROMPT, "no such": PROMPT}).reply("it failed")
        assert ask("analyze").status_code == 200
        assert ask(PROMPT).status_code >= 400
        client.get("/v1/agents", params={"secret": KEY})
        metrics = client.get("/metrics").text
    with httpx.Client(trust_env=False) as scraper:
        assert traced.server.metrics_url is not None
        key = (traced.server.data_dir / "metrics.key").read_text().strip()
        scraped = scraper.get(traced.server.metrics_url, headers={"Authorization": f"Bearer {key}"})
        metrics += scraped.raise_for_status().text
    for trace_id in traces:
        traced.collector.wait_for("POST /v1/messages", trace_id=trace_id)
    assert "caxton_model_calls_total" in metrics
    logged = [json.loads(line) for line in traced.log().splitlines() if line.startswith("{")]
    [refusal] = [line for line in logged if line.get("error_code") == refused.json()["code"]]
    assert refusal["trace_id"] == traces[2].hex()
    assert refusal["request_id"] == refused.json()["request_id"] == refused.headers["x-request-id"]
    sent = b"".join(traced.collector.bodies).decode("latin-1")
    for place, text in (("log", traced.log()), ("metrics", metrics), ("traces", sent)):
        for word in ("Ottokar", "bohemia", KEY, traced.server.api_key):
            assert word not in text, f"{word} in {place}"


@pytest.mark.requirement("ADM-2")
async def test_a_replay_makes_no_spans_and_no_other_commands(traced: Traced) -> None:
    from temporalio.worker import Replayer

    from caxton.observability.tracing import setup_tracing
    from caxton.runtime.settings_sections import TemporalSettings
    from caxton.runtime.temporal import CaxtonPlugin, connect
    from caxton.runtime.wiring import WORKFLOWS

    header, _ = traceparent()
    with traced.server.client() as client:
        body = {"capability": "front", "content": PROMPT}
        asked = client.post("/v1/messages", json=body, headers={"traceparent": header})
        assert asked.status_code == 200, asked.text
        engine = client.get("/v1/server").json()["engine"]
    temporal = await connect(TemporalSettings(), engine["address"])
    with running_collector() as collector:
        stop = setup_tracing(collector.url)
        try:
            replayed: list[str] = []
            replayer = Replayer(workflows=WORKFLOWS, plugins=[CaxtonPlugin()])
            async for execution in temporal.list_workflows():
                history = await temporal.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
                await replayer.replay_workflow(history)
                replayed.append(execution.workflow_type)
        finally:
            await asyncio.to_thread(stop)
    assert {"ConversationTurns", "Deployment", "Agent"} <= set(replayed)
    assert [span.name for span in collector.spans] == []
