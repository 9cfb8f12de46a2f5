"""Every metric that Caxton has: the one place for names, labels, help texts and buckets.

docs/reference/metrics.md is made of it.
"""

from dataclasses import dataclass
from typing import Literal

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, for what takes milliseconds: tool calls (aim: 1 ms), HTTP requests (p99 aim: 100 ms), deployments."""

SLOW = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Seconds, for what may wait for a model: from a scripted turn (aim: 20 ms) to the longest that limits allow."""

MEMORY = tuple(float(size << 20) for size in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096))
"""Bytes, from one megabyte to the largest memory that a tool can have."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


CATALOGUE = (
    MetricInfo(
        "caxton_messages_accepted_total",
        "counter",
        "Messages that were accepted: they are durable and will be answered once.",
    ),
    MetricInfo(
        "caxton_messages_in_flight", "gauge", "Messages that callers of this process are waiting to have answered."
    ),
    MetricInfo(
        "caxton_batches_accepted_total",
        "counter",
        "Batches of requests that were accepted, each in one transaction: by the fast-path `worker`, or `here` in the server "
        "itself, as on PostgreSQL and while that process starts.",
        ("where",),
    ),
    MetricInfo(
        "caxton_turns_redelivered_total",
        "counter",
        "Turns in progress whose workflows were told of them again, because they had not ended by the time when they should.",
    ),
    MetricInfo("caxton_retention_removed_total", "counter", "What was deleted because its period was over.", ("kind",)),
    MetricInfo(
        "caxton_calls_in_flight",
        "gauge",
        "Calls in flight that a limit holds for, by what is limited: provider, model, agent, tool or customer.",
        ("kind", "name"),
    ),
    MetricInfo("caxton_calls_waiting", "gauge", "Calls that wait until a limit has room for them.", ("kind", "name")),
    MetricInfo(
        "caxton_calls_oldest_seconds",
        "gauge",
        "How long the first of the calls that wait has waited.",
        ("kind", "name"),
    ),
    MetricInfo("caxton_deadlines_due", "gauge", "Deadlines that are due and wait to be dealt with."),
    MetricInfo(
        "caxton_deadlines_oldest_seconds", "gauge", "How long the first of the deadlines that wait has been due."
    ),
    MetricInfo(
        "caxton_deadlines_given_up",
        "gauge",
        "Deadlines that failed as often as they may: see events of the type deadline_abandoned.",
    ),
    MetricInfo(
        "caxton_deadline_attempts_failed_total",
        "counter",
        "Attempts to deal with a deadline that failed; it is tried again later.",
        ("kind",),
    ),
    MetricInfo(
        "caxton_executions_total",
        "counter",
        "Executions that ended: one agent at work on one request; a hand-over is an execution of its own.",
        ("agent", "state"),
    ),
    MetricInfo(
        "caxton_execution_seconds",
        "histogram",
        "Time from the start of an execution to its reply.",
        ("agent",),
        SLOW,
    ),
    MetricInfo(
        "caxton_routing_decisions_total",
        "counter",
        "Requests that were routed to an agent, by strategy.",
        ("strategy",),
    ),
    MetricInfo(
        "caxton_routing_failures_total",
        "counter",
        "Requests for which no agent could be chosen, by error code.",
        ("reason",),
    ),
    MetricInfo(
        "caxton_circuit_breakers",
        "gauge",
        "Circuit breakers that are not closed, or have failures to remember, of agents, tools and model providers.",
        ("kind", "state"),
    ),
    MetricInfo(
        "caxton_circuit_breaker_changes_total",
        "counter",
        "Circuit breakers that came into a state: Open, HalfOpen or Closed.",
        ("kind", "state"),
    ),
    MetricInfo(
        "caxton_circuit_breaker_refusals_total",
        "counter",
        "Calls of tools and model providers that were refused because a circuit breaker was open. Requests that were refused "
        "for agents count as routing failures.",
        ("kind",),
    ),
    MetricInfo(
        "caxton_approvals_total", "counter", "Approvals that were requested, granted, rejected, timed out.", ("what",)
    ),
    MetricInfo(
        "caxton_governance_events_total",
        "counter",
        "Pressure, breaches of service levels, escalations and suspensions, by the event's type.",
        ("event_type",),
    ),
    MetricInfo("caxton_model_calls_total", "counter", "Model calls that were answered.", ("model",)),
    MetricInfo(
        "caxton_model_attempts_failed_total",
        "counter",
        "Model calls that brought no answer of use, by the code of the error.",
        ("model", "code"),
    ),
    MetricInfo(
        "caxton_model_wait_seconds_total",
        "counter",
        "Seconds that model calls waited until their provider had room, as its rate limits tell.",
        ("model",),
    ),
    MetricInfo("caxton_model_call_seconds", "histogram", "Time until a model had answered.", ("model",), SLOW),
    MetricInfo("caxton_model_tokens_total", "counter", "Tokens that models read and wrote.", ("model", "direction")),
    MetricInfo(
        "caxton_model_cost_usd_total",
        "counter",
        "Cost of model calls in US dollars, where prices are known.",
        ("model",),
    ),
    MetricInfo(
        "caxton_tool_calls_total",
        "counter",
        'Tool calls by outcome: "ok", "tool_error" (the tool says that it failed), or the code of the error.',
        ("tool", "outcome"),
    ),
    MetricInfo("caxton_tool_call_seconds", "histogram", "Time on the clock of a tool call.", ("tool",), FAST),
    MetricInfo("caxton_tool_cpu_seconds_total", "counter", "CPU time that tools used in their sandboxes.", ("tool",)),
    MetricInfo(
        "caxton_tool_memory_bytes",
        "histogram",
        "Peak of a tool's linear memory in one call, where the runtime tells.",
        ("tool",),
        MEMORY,
    ),
    MetricInfo(
        "caxton_http_requests_total", "counter", "HTTP requests that were answered.", ("method", "route", "status")
    ),
    MetricInfo(
        "caxton_http_request_seconds",
        "histogram",
        "Time until an HTTP request was answered, to the end of the answer.",
        ("method", "route"),
        FAST,
    ),
    MetricInfo(
        "caxton_connections_refused_total",
        "counter",
        "Connections that were ended before their request was complete, by the code of the reason.",
        ("reason",),
    ),
    MetricInfo(
        "caxton_deployments_total", "counter", "Deployments that ended, by the state they ended in.", ("state",)
    ),
    MetricInfo("caxton_deployment_seconds", "histogram", "Time that a deployment took.", (), FAST),
    MetricInfo("caxton_data_folder_bytes", "gauge", "What the data folder takes on the disk."),
    MetricInfo("caxton_data_folder_limit_bytes", "gauge", "What it may take (limits.data_size); 0 without a limit."),
    MetricInfo("caxton_components", "gauge", "Deployed agents and tools by state.", ("kind", "state")),
    MetricInfo(
        "caxton_component_healthy", "gauge", "Whether a part of the server works (1) or does not (0).", ("component",)
    ),
    MetricInfo(
        "caxton_audit_sink_lag_events", "gauge", "Events that a sink of the audit log has not taken yet.", ("sink",)
    ),
    MetricInfo(
        "caxton_audit_sink_lag_seconds",
        "gauge",
        "Age of the first event that a sink of the audit log has not taken yet.",
        ("sink",),
    ),
    MetricInfo(
        "caxton_audit_sink_events_total", "counter", "Events that a sink of the audit log has taken.", ("sink",)
    ),
    MetricInfo(
        "caxton_engine_restarts_total", "counter", "Times that the embedded workflow engine died and was started again."
    ),
)

BY_NAME = {info.name: info for info in CATALOGUE}
