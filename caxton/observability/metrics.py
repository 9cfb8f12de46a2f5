"""Metrics for Prometheus.

Labels name agents, tools, models and error codes, each bounded in number. They never name customers, conversations or
anything that a user wrote.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from caxton.domain.usage import ToolUsage, Usage
from caxton.observability.bounded import HTTP_METHODS, OTHER, BoundedValues
from caxton.observability.catalogue import BY_NAME

MOST_VALUES = 200
"""Distinct values of one label: more agents, tools or models than that are counted together as "other"."""

disable_created_metrics()  # a second series for each counter that says when it was created: nobody reads it

Metric = TypeVar("Metric", Counter, Gauge, Histogram)
Key = str | tuple[str, ...]


HANDED_ON = (
    "model_call",
    "model_attempt_failed",
    "tool_call",
    "execution",
    "routed",
    "routing_failed",
    "approval",
    "breaker_refused",
    "breaker_changed",
)
"""What steps count, which may run in a process without metrics of its own."""


def _handing_on(name: str, sink: Callable[[str, tuple[Any, ...]], None]) -> Callable[..., None]:
    def hand_on(*given: Any) -> None:
        sink(name, given)

    return hand_on


class Metrics:
    """All metrics of one process, in a registry of their own. A method costs a few microseconds, on any thread."""

    def __init__(self, most_values: int = MOST_VALUES) -> None:
        """Create the registry.

        Args:
            most_values: how many distinct agents, tools, models and other names each label may have.
        """
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._agents = BoundedValues(most_values)
        self._tools = BoundedValues(most_values)
        self._models = BoundedValues(most_values)
        self._names = BoundedValues(most_values)
        self._routes = BoundedValues(most_values)

        self._model_calls = _Labelled(self._counter("caxton_model_calls_total"))
        self._model_failures = _Labelled(self._counter("caxton_model_attempts_failed_total"))
        self._model_waits = _Labelled(self._counter("caxton_model_wait_seconds_total"))
        self._model_seconds = _Labelled(self._histogram("caxton_model_call_seconds"))
        self._model_tokens = _Labelled(self._counter("caxton_model_tokens_total"))
        self._model_cost = _Labelled(self._counter("caxton_model_cost_usd_total"))
        self._tool_calls = _Labelled(self._counter("caxton_tool_calls_total"))
        self._tool_seconds = _Labelled(self._histogram("caxton_tool_call_seconds"))
        self._tool_cpu = _Labelled(self._counter("caxton_tool_cpu_seconds_total"))
        self._tool_memory = _Labelled(self._histogram("caxton_tool_memory_bytes"))
        self._executions = _Labelled(self._counter("caxton_executions_total"))
        self._execution_seconds = _Labelled(self._histogram("caxton_execution_seconds"))
        self._routed = _Labelled(self._counter("caxton_routing_decisions_total"))
        self._routing_failed = _Labelled(self._counter("caxton_routing_failures_total"))
        self._breakers_refused = _Labelled(self._counter("caxton_circuit_breaker_refusals_total"))
        self._breaker_changes = _Labelled(self._counter("caxton_circuit_breaker_changes_total"))
        self._breakers = _Labelled(self._gauge("caxton_circuit_breakers"))
        self._breakers_seen: set[tuple[str, str]] = set()
        self._approvals = _Labelled(self._counter("caxton_approvals_total"))
        self._governance = _Labelled(self._counter("caxton_governance_events_total"))
        self._connections_refused = _Labelled(self._counter("caxton_connections_refused_total"))
        self._http_requests = _Labelled(self._counter("caxton_http_requests_total"))
        self._http_seconds = _Labelled(self._histogram("caxton_http_request_seconds"))
        self._accepted = self._counter("caxton_messages_accepted_total")
        self._batches = _Labelled(self._counter("caxton_batches_accepted_total"))
        self._redelivered = self._counter("caxton_turns_redelivered_total")
        self._in_flight = self._gauge("caxton_messages_in_flight")
        self._deployments = _Labelled(self._counter("caxton_deployments_total"))
        self._deployment_seconds = self._histogram("caxton_deployment_seconds")
        self._engine_restarts = self._counter("caxton_engine_restarts_total")
        self._retention_removed = _Labelled(self._counter("caxton_retention_removed_total"))
        self._data_folder = self._gauge("caxton_data_folder_bytes")
        self._data_folder_limit = self._gauge("caxton_data_folder_limit_bytes")
        self._deadlines_due = self._gauge("caxton_deadlines_due")
        self._deadlines_late = self._gauge("caxton_deadlines_oldest_seconds")
        self._deadlines_given_up = self._gauge("caxton_deadlines_given_up")
        self._calls_in_flight = _Labelled(self._gauge("caxton_calls_in_flight"))
        self._calls_waiting = _Labelled(self._gauge("caxton_calls_waiting"))
        self._calls_oldest = _Labelled(self._gauge("caxton_calls_oldest_seconds"))
        self._limited: set[tuple[str, str]] = set()
        self._deadlines_failed = _Labelled(self._counter("caxton_deadline_attempts_failed_total"))
        self._components = _Labelled(self._gauge("caxton_components"))
        self._counted: set[tuple[str, str]] = set()
        self._health = _Labelled(self._gauge("caxton_component_healthy"))
        self._audit_events = _Labelled(self._gauge("caxton_audit_sink_lag_events"))
        self._audit_seconds = _Labelled(self._gauge("caxton_audit_sink_lag_seconds"))
        self._audit_sent = _Labelled(self._counter("caxton_audit_sink_events_total"))

    # --- what happens ------------------------------------------------------------------------------------------------

    def hand_on(self, sink: Callable[[str, tuple[Any, ...]], None]) -> None:
        """Stops counting here: `sink` gets the name of each method that steps call, and what it was called with.

        For a process without metrics of its own.
        """
        for name in HANDED_ON:
            setattr(self, name, _handing_on(name, sink))

    def model_call(self, model: str, seconds: float, usage: Usage, waited: float = 0.0) -> None:
        """A model answered.

        Args:
            model: which one, such as "openai:gpt-5" or "scripted".
            seconds: how long it took.
            usage: tokens and cost of this call.
            waited: seconds that it waited before for the provider's rate limit.
        """
        name = self._models.admit(model)
        self._model_calls.of(name).inc()
        self._model_seconds.of(name).observe(seconds)
        if waited:
            self._model_waits.of(name).inc(waited)
        self._used(name, usage)

    def model_attempt_failed(self, model: str, code: str, usage: Usage) -> None:
        """A model call brought no answer of use; `usage` is what is known of its price."""
        name = self._models.admit(model)
        self._model_failures.of((name, self._names.admit(code))).inc()
        self._used(name, usage)

    def _used(self, name: str, usage: Usage) -> None:
        if usage.input_tokens:
            self._model_tokens.of((name, "input")).inc(usage.input_tokens)
        if usage.output_tokens:
            self._model_tokens.of((name, "output")).inc(usage.output_tokens)
        if usage.cost_usd:
            self._model_cost.of(name).inc(usage.cost_usd)

    def tool_call(self, tool: str, outcome: str, usage: ToolUsage | None) -> None:
        """A tool was called.

        Args:
            tool: the tool server; "" when there is none of the name that was asked for.
            outcome: "ok", "tool_error" when the tool itself says so, else an error code.
            usage: what the call used, when it ran to its end.
        """
        name = self._tools.admit(tool)
        self._tool_calls.of((name, self._names.admit(outcome))).inc()
        if usage is None:
            return
        self._tool_seconds.of(name).observe(usage.wall_ms / 1000)
        self._tool_cpu.of(name).inc(usage.cpu_ms / 1000)
        if usage.memory is not None:
            self._tool_memory.of(name).observe(usage.memory)

    def approval(self, what: str) -> None:
        """An approval was "requested", "granted", "rejected" or "timedout"."""
        self._approvals.of(self._names.admit(what)).inc()

    def governance(self, event_type: str) -> None:
        """A promise was pressed for or broken, or somebody was told: the event's type."""
        self._governance.of(self._names.admit(event_type)).inc()

    def deadlines(self, due: int, oldest: float, given_up: int) -> None:
        """How many deadlines wait, for how many seconds the first of them has, and how many are given up."""
        self._deadlines_due.set(due)
        self._deadlines_late.set(round(oldest, 3))
        self._deadlines_given_up.set(given_up)

    def retention_removed(self, kind: str, count: int) -> None:
        """So much was deleted because its period was over."""
        self._retention_removed.of(kind).inc(count)

    def queues(self, found: Sequence[tuple[str, str, int, int, float]]) -> None:
        """Limits in use: kind and name, calls in flight, calls that wait, and the seconds that the first of them has."""
        sums: dict[tuple[str, str], tuple[int, int, float]] = dict.fromkeys(self._limited, (0, 0, 0.0))
        for kind, name, in_flight, waiting, oldest in found:
            key = (kind, self._names.admit(name))
            before = sums.get(key, (0, 0, 0.0))
            sums[key] = (before[0] + in_flight, before[1] + waiting, max(before[2], oldest))
        for key, (in_flight, waiting, oldest) in sums.items():
            self._calls_in_flight.of(key).set(in_flight)
            self._calls_waiting.of(key).set(waiting)
            self._calls_oldest.of(key).set(round(oldest, 3))
        self._limited |= sums.keys()

    def deadline_failed(self, kind: str) -> None:
        """An attempt at a deadline failed."""
        self._deadlines_failed.of(self._names.admit(kind)).inc()

    def execution(self, agent: str, state: str, seconds: float | None) -> None:
        """An agent's work ended.

        Args:
            agent: the agent; "" when none could be chosen.
            state: "completed" or "failed".
            seconds: how long it took, where that is known.
        """
        name = self._agents.admit(agent)
        self._executions.of((name, self._names.admit(state))).inc()
        if seconds is not None:
            self._execution_seconds.of(name).observe(seconds)

    def routed(self, strategy: str) -> None:
        """An agent was chosen by `strategy`."""
        self._routed.of(self._names.admit(strategy)).inc()

    def routing_failed(self, reason: str) -> None:
        """No agent could be chosen; `reason` is the error's code."""
        self._routing_failed.of(self._names.admit(reason)).inc()

    def breaker_refused(self, kind: str) -> None:
        """A call of a tool or of a model's provider (`kind`) was refused, because its circuit breaker is open."""
        self._breakers_refused.of(kind).inc()

    def breaker_changed(self, kind: str, state: str) -> None:
        """A circuit breaker came into another state."""
        self._breaker_changes.of((kind, state)).inc()

    def http_request(self, method: str, route_template: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            method: the HTTP method.
            route_template: the route as declared, such as "/v1/agents/{name}"; never the path itself.
            status: the HTTP status.
            seconds: until the answer was complete.
        """
        verb = method if method in HTTP_METHODS else OTHER
        route = self._routes.admit(route_template)
        self._http_requests.of((verb, route, str(status))).inc()
        self._http_seconds.of((verb, route)).observe(seconds)

    def connection_refused(self, reason: str) -> None:
        """A connection was ended before its request was complete; `reason` is an error's code."""
        self._connections_refused.of((reason,)).inc()

    def messages_accepted(self, count: int = 1) -> None:
        """`count` messages became durable."""
        self._accepted.inc(count)

    def batch_accepted(self, where: Literal["worker", "here"]) -> None:
        """A batch of requests was accepted."""
        self._batches.of(where).inc()

    def turn_redelivered(self) -> None:
        """A workflow was told again of a turn in progress."""
        self._redelivered.inc()

    def in_flight(self, delta: int) -> None:
        """So many more (or, below zero, fewer) messages are being worked on for callers of this process."""
        self._in_flight.inc(delta)

    def deployment(self, state: str, seconds: float) -> None:
        """A deployment ended in `state` after `seconds`."""
        self._deployments.of(self._names.admit(state)).inc()
        self._deployment_seconds.observe(seconds)

    def engine_restarts(self) -> None:
        """The embedded workflow engine died and was started again."""
        self._engine_restarts.inc()

    # --- how things are ----------------------------------------------------------------------------------------------

    def components(self, kind: str, state: str, count: int) -> None:
        """So many agents or tools (`kind`) are in `state`."""
        self._components.of((self._names.admit(kind), self._names.admit(state))).set(count)

    def data_folder(self, used: int, limit: int | None) -> None:
        """Bytes that the data folder takes, and may take."""
        self._data_folder.set(used)
        self._data_folder_limit.set(limit or 0)

    def component_counts(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many agents and tools there are by (kind, state); what is not named has become none."""
        for kind, state in self._counted - counts.keys():
            self.components(kind, state, 0)
        for (kind, state), count in counts.items():
            self.components(kind, state, count)
        self._counted |= counts.keys()

    def breakers(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many circuit breakers there are by kind and state; what is not named has become none."""
        for key in self._breakers_seen - counts.keys():
            self._breakers.of(key).set(0)
        for key, count in counts.items():
            self._breakers.of(key).set(count)
        self._breakers_seen |= counts.keys()

    def component_health(self, name: str, ok: bool) -> None:
        """Whether a part of the server, such as "store" or "engine", works."""
        self._health.of(self._names.admit(name)).set(1 if ok else 0)

    def audit_lag(self, sink: str, events: int, seconds: float) -> None:
        """How far a sink of the audit log is behind."""
        self._audit_events.of(self._names.admit(sink)).set(events)
        self._audit_seconds.of(self._names.admit(sink)).set(round(seconds, 3))

    def audit_sent(self, sink: str, events: int) -> None:
        """A sink of the audit log has taken so many events."""
        self._audit_sent.of(self._names.admit(sink)).inc(events)

    # --- reading -----------------------------------------------------------------------------------------------------

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """All metrics as text, and its content type.

        Args:
            accept: the request's Accept header; OpenMetrics if it asks for that, else Prometheus' own text format.
        """
        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type

    # --- making ------------------------------------------------------------------------------------------------------

    def _counter(self, name: str) -> Counter:
        return Counter(name, *_declared(name), registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        return Gauge(name, *_declared(name), registry=self.registry)

    def _histogram(self, name: str) -> Histogram:
        return Histogram(name, *_declared(name), buckets=BY_NAME[name].buckets, registry=self.registry)


class _Labelled(Generic[Metric]):
    """Metrics of one name by their labels. Finding them here costs a third of asking prometheus_client each time."""

    def __init__(self, parent: Metric) -> None:
        self.parent = parent
        self._children: dict[Key, Metric] = {}

    def of(self, key: Key) -> Metric:
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.parent.labels(*((key,) if isinstance(key, str) else key))
        return child


def _declared(name: str) -> tuple[str, tuple[str, ...]]:
    info = BY_NAME[name]
    return info.help, info.labels


METRICS = Metrics()
"""The metrics of this process."""
