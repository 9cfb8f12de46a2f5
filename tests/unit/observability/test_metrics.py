"""Metrics: what Prometheus reads, and that labels cannot grow without bound."""

import ast
import re
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics  # pyright: ignore[reportUnknownVariableType]
from prometheus_client.parser import text_string_to_metric_families

import caxton
from caxton.domain.usage import ToolUsage, Usage
from caxton.observability.catalogue import CATALOGUE
from caxton.observability.metrics import HANDED_ON, Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A sample's value, read as Prometheus reads it."""
    text = metrics.render()[0].decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


@pytest.mark.requirement("ADM-1")
def test_what_happens_is_counted() -> None:
    metrics = Metrics()
    metrics.model_call("openai:gpt-5", 1.2, Usage(input_tokens=100, output_tokens=20, cost_usd=0.5))
    metrics.model_call("openai:gpt-5", 0.2, Usage(input_tokens=1))
    metrics.tool_call("csv-tools", "ok", ToolUsage(wall_ms=4, cpu_ms=3, memory=2 << 20))
    metrics.tool_call("csv-tools", "tool_fuel_exhausted", None)
    metrics.execution("analyst", "completed", 0.015)
    metrics.execution("", "failed", None)
    metrics.routed("LoadBalanced")
    metrics.routing_failed("no_capable_agent")
    metrics.http_request("POST", "/v1/messages", 200, 0.02)
    metrics.messages_accepted()
    metrics.in_flight(2)
    metrics.in_flight(-1)
    metrics.deployment("Running", 0.3)
    metrics.engine_restarts()
    metrics.component_counts({("agent", "Running"): 7, ("agent", "Loaded"): 1})
    metrics.component_counts({("agent", "Running"): 7})
    metrics.component_health("store", ok=True)
    metrics.component_health("engine", ok=False)

    assert value(metrics, "caxton_model_calls_total", model="openai:gpt-5") == 2
    assert value(metrics, "caxton_model_tokens_total", model="openai:gpt-5", direction="input") == 101
    assert value(metrics, "caxton_model_tokens_total", model="openai:gpt-5", direction="output") == 20
    assert value(metrics, "caxton_model_cost_usd_total", model="openai:gpt-5") == 0.5
    assert value(metrics, "caxton_model_call_seconds_bucket", model="openai:gpt-5", le="0.25") == 1
    assert value(metrics, "caxton_tool_calls_total", tool="csv-tools", outcome="ok") == 1
    assert value(metrics, "caxton_tool_calls_total", tool="csv-tools", outcome="tool_fuel_exhausted") == 1
    assert value(metrics, "caxton_tool_call_seconds_count", tool="csv-tools") == 1
    assert value(metrics, "caxton_tool_cpu_seconds_total", tool="csv-tools") == 0.003
    assert value(metrics, "caxton_tool_memory_bytes_sum", tool="csv-tools") == 2 << 20
    assert value(metrics, "caxton_executions_total", agent="analyst", state="completed") == 1
    assert value(metrics, "caxton_executions_total", agent="unknown", state="failed") == 1
    assert value(metrics, "caxton_execution_seconds_bucket", agent="analyst", le="0.02") == 1
    assert value(metrics, "caxton_routing_decisions_total", strategy="LoadBalanced") == 1
    assert value(metrics, "caxton_routing_failures_total", reason="no_capable_agent") == 1
    assert value(metrics, "caxton_http_requests_total", method="POST", route="/v1/messages", status="200") == 1
    assert value(metrics, "caxton_messages_accepted_total") == 1
    assert value(metrics, "caxton_messages_in_flight") == 1
    assert value(metrics, "caxton_deployments_total", state="Running") == 1
    assert value(metrics, "caxton_engine_restarts_total") == 1
    assert value(metrics, "caxton_components", kind="agent", state="Running") == 7
    assert value(metrics, "caxton_components", kind="agent", state="Loaded") == 0
    assert value(metrics, "caxton_component_healthy", component="store") == 1
    assert value(metrics, "caxton_component_healthy", component="engine") == 0


@pytest.mark.requirement("ADM-1")
def test_labels_stay_bounded_whatever_names_are_invented() -> None:
    metrics = Metrics(most_values=5)
    for number in range(50):
        metrics.execution(f"agent-{number}", "completed", 0.1)
        metrics.tool_call(f"tool-{number}", f"code-{number}", None)
        metrics.model_call(f"model-{number}", 0.1, Usage())
        metrics.http_request(f"VERB{number}", f"/route/{number}", 200, 0.1)
        metrics.routing_failed(f"reason-{number}")
    text = metrics.render()[0].decode()
    for label in ("agent", "tool", "model", "route", "reason"):
        found = set(re.findall(rf'\b{label}="([^"]*)"', text))
        assert len(found) <= 6, label
        assert "other" in found
    assert set(re.findall(r'method="([^"]*)"', text)) == {"other"}
    assert value(metrics, "caxton_executions_total", agent="other", state="completed") == 45


def test_openmetrics_is_served_to_those_who_ask_for_it() -> None:
    metrics = Metrics()
    metrics.messages_accepted()
    plain, plain_type = metrics.render(None)
    assert plain_type.startswith("text/plain")
    content, content_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
    assert {family.name for family in parse_openmetrics(content.decode())} >= {"caxton_messages_accepted"}
    assert b"_created" not in plain + content


def test_names_follow_the_conventions() -> None:
    for info in CATALOGUE:
        assert re.fullmatch(r"caxton_[a-z_]+", info.name)
        assert info.help.endswith(".")
        if info.kind == "counter":
            assert info.name.endswith("_total")
        if info.kind == "histogram":
            assert info.name.endswith(("_seconds", "_bytes"))
            assert list(info.buckets) == sorted(set(info.buckets))
        assert not {"customer", "workspace", "conversation", "execution", "message"} & set(info.labels)


def test_the_process_is_measured_too() -> None:
    text = Metrics().render()[0].decode()
    assert "python_info" in text
    assert "python_gc_collections_total" in text


SOURCE = Path(caxton.__file__).parent


def moved_by() -> dict[str, set[str]]:
    """For each method of the metrics, the names of the metrics that it moves."""
    [kept] = [
        node
        for node in ast.parse((SOURCE / "observability" / "metrics.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "Metrics"
    ]
    methods = {node.name: node for node in kept.body if isinstance(node, ast.FunctionDef)}
    names = {
        attribute: found[0]
        for attribute, value in re.findall(r"self\.(_\w+) = (.*)", ast.unparse(methods["__init__"]))
        if (found := re.findall(r"'(caxton_\w+)'", value))
    }
    uses = {name: set(re.findall(r"self\.(\w+)", ast.unparse(node))) for name, node in methods.items()}

    def reached(method: str) -> set[str]:
        others = (reached(other) for other in uses[method] if other in methods and other != method)
        return set[str]().union({names[use] for use in uses[method] if use in names}, *others)

    return {method: reached(method) for method in methods if method not in ("__init__", "render", "hand_on")}


def called(*packages: str) -> set[str]:
    """The methods of the metrics that the code calls."""
    found: set[str] = set()
    for package in packages:
        for path in (SOURCE / package).rglob("*.py"):
            if path != SOURCE / "observability" / "metrics.py":
                found |= set(re.findall(r"\bMETRICS\.(\w+)", path.read_text()))
    return found


@pytest.mark.requirement("ADM-1")
def test_something_moves_every_metric() -> None:
    moves = moved_by()
    moved = set[str]().union(*(moves.get(method, set()) for method in called("")))
    assert moved == {info.name for info in CATALOGUE}


def test_what_steps_count_in_a_process_without_metrics_is_handed_on() -> None:
    packages = ("turns", "governance", "recording", "routing", "memory", "adapters")
    assert called(*packages) <= set(HANDED_ON)
