"""Carries traces through Temporal: from a client's call into the workflow, on into activities.

Not temporalio's own interceptors, because Caxton's workflows are entities that work for many callers: `TracingInterceptor`
puts whatever an update sets off into the trace of the request that happened to start the workflow, and `OpenTelemetryPlugin`
(experimental) holds a span open for as long as an entity lives. Here the parent of an activity is found through the
`traceparent` of the requests that it works for. Headers have the format of temporalio's interceptors (`_tracer-data`), so
traces of other clients go on here.

Safe in replays: nothing here makes or changes a command. The span of a handler is made once, when the handler ends outside
of a replay; its id follows from run and order, so activities refer to it before it is made, on any worker.
"""

import hashlib
import json
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol, cast

import temporalio.client
import temporalio.worker
from opentelemetry import context as otel_context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, get_current_span
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError

from caxton.observability.recorder import Attributes, error_type, is_sampled, recorder
from caxton.observability.spans import WorkSpan
from caxton.observability.trace_context import (
    context_with,
    format_traceparent,
    in_trace_of_batch,
    parse_traceparent,
    related_spans,
    shared_parent,
)

HEADER = "_tracer-data"
"""Where temporalio's interceptors (of all languages) put the trace."""

Headers = Mapping[str, Payload]


class _HasHeaders(Protocol):
    headers: Headers


class TraceInterceptor(temporalio.client.Interceptor, temporalio.worker.Interceptor):
    """Carries traces; makes spans while there is a recorder. One for client and worker."""

    def intercept_client(self, next: temporalio.client.OutboundInterceptor) -> temporalio.client.OutboundInterceptor:
        """Temporal's hook for calls of a client."""
        return _ClientOutbound(next)

    def intercept_activity(
        self, next: temporalio.worker.ActivityInboundInterceptor
    ) -> temporalio.worker.ActivityInboundInterceptor:
        """Temporal's hook for activities."""
        return _ActivityInbound(next)

    def workflow_interceptor_class(
        self,
        input: temporalio.worker.WorkflowInterceptorClassInput,  # noqa: ARG002 - Temporal's signature
    ) -> type[temporalio.worker.WorkflowInboundInterceptor]:
        """Temporal's hook for workflows."""
        return _WorkflowInbound


# --- client ----------------------------------------------------------------------------------------------------------


class _ClientOutbound(temporalio.client.OutboundInterceptor):
    """Queries are left out: they are asked for status, not for work."""

    async def start_workflow(
        self, input: temporalio.client.StartWorkflowInput
    ) -> temporalio.client.WorkflowHandle[Any, Any]:
        name = "StartWorkflow" if not input.start_signal else "SignalWithStartWorkflow"
        return await self._call(f"{name}:{input.workflow}", input.id, [input], super().start_workflow(input))

    async def signal_workflow(self, input: temporalio.client.SignalWorkflowInput) -> None:
        await self._call(f"SignalWorkflow:{input.signal}", input.id, [input], super().signal_workflow(input))

    async def start_workflow_update(
        self, input: temporalio.client.StartWorkflowUpdateInput
    ) -> temporalio.client.WorkflowUpdateHandle[Any]:
        call = super().start_workflow_update(input)
        return await self._call(f"StartWorkflowUpdate:{input.update}", input.id, [input], call)

    async def start_update_with_start_workflow(
        self, input: temporalio.client.StartWorkflowUpdateWithStartInput
    ) -> temporalio.client.WorkflowUpdateHandle[Any]:
        start, update = input.start_workflow_input, input.update_workflow_input
        call = super().start_update_with_start_workflow(input)
        return await self._call(f"StartUpdateWithStartWorkflow:{start.workflow}", start.id, [start, update], call)

    async def _call(self, name: str, workflow_id: str, inputs: Sequence[_HasHeaders], call: Awaitable[Any]) -> Any:
        if not get_current_span().get_span_context().is_valid and not related_spans():
            return await call  # housekeeping, which belongs to no trace
        with WorkSpan(name, SpanKind.CLIENT, {"temporalWorkflowID": workflow_id}):
            for each in inputs:
                each.headers = _with_trace(each.headers, get_current_span().get_span_context())
            return await call


# --- activities ------------------------------------------------------------------------------------------------------


class _ActivityInbound(temporalio.worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: temporalio.worker.ExecuteActivityInput) -> Any:
        parent = _trace_in(input.headers)
        requests = [format_traceparent(parent)] if parent else _traceparents(input.args)
        if not any(requests):
            return await super().execute_activity(input)
        info = activity.info()
        attributes: Attributes = {
            "temporalWorkflowID": info.workflow_id or "",
            "temporalRunID": info.workflow_run_id or "",
            "temporalActivityID": info.activity_id,
        }
        if info.attempt > 1:
            attributes["caxton.activity.attempt"] = info.attempt
        with in_trace_of_batch(requests), WorkSpan(f"RunActivity:{info.activity_type}", SpanKind.SERVER, attributes):
            return await super().execute_activity(input)


# --- workflows -------------------------------------------------------------------------------------------------------


class _Handler(NamedTuple):
    """A handler at work."""

    name: str
    parent: SpanContext
    own: SpanContext
    began_ns: int
    attributes: Attributes


class _WorkflowInbound(temporalio.worker.WorkflowInboundInterceptor):
    def __init__(self, next: temporalio.worker.WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.at_work: dict[int, SpanContext] = {}
        """Spans of the update handlers that are at work, by trace."""
        self._handled = 0

    def init(self, outbound: temporalio.worker.WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound, self))

    async def execute_workflow(self, input: temporalio.worker.ExecuteWorkflowInput) -> Any:
        parent = _trace_in(input.headers)
        handler = self._begin(f"RunWorkflow:{workflow.info().workflow_type}", parent)
        if handler is not None:
            _record(handler, None)  # at once, without duration: an entity may live for days
        return await super().execute_workflow(input)

    async def handle_signal(self, input: temporalio.worker.HandleSignalInput) -> None:
        handler = self._begin(f"HandleSignal:{input.signal}", _trace_in(input.headers))
        await self._finish(handler, super().handle_signal(input))

    async def handle_update_handler(self, input: temporalio.worker.HandleUpdateInput) -> Any:
        handler = self._begin(f"HandleUpdate:{input.update}", _trace_in(input.headers), update_id=input.id)
        if handler is None:
            return await super().handle_update_handler(input)
        self.at_work.setdefault(handler.own.trace_id, handler.own)
        try:
            return await self._finish(handler, super().handle_update_handler(input))
        finally:
            if self.at_work.get(handler.own.trace_id) == handler.own:
                del self.at_work[handler.own.trace_id]

    def _begin(self, name: str, parent: SpanContext | None, update_id: str | None = None) -> _Handler | None:
        """Enters the caller's trace, for as long as the handler's task lives. Returns the span to make, if any."""
        self._handled += 1
        if parent is None:
            return None
        if recorder() is None or not is_sampled(parent):
            otel_context.attach(context_with(NonRecordingSpan(parent)))
            return None
        info = workflow.info()
        seed = f"{info.run_id}/{self._handled}".encode()
        own = SpanContext(
            trace_id=parent.trace_id,
            span_id=int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big") or 1,
            is_remote=False,
            trace_flags=parent.trace_flags,
        )
        otel_context.attach(context_with(NonRecordingSpan(own)))
        attributes: Attributes = {"temporalWorkflowID": info.workflow_id, "temporalRunID": info.run_id}
        if update_id is not None:
            attributes["temporalUpdateID"] = update_id
        return _Handler(name, parent, own, workflow.time_ns(), attributes)

    async def _finish(self, handler: _Handler | None, work: Awaitable[Any]) -> Any:
        # Not `finally`: when the workflow leaves the cache its tasks are torn down, and that ends no handler.
        try:
            result = await work
        except Exception as error:
            if handler is not None:
                _record(handler, error)
            raise
        if handler is not None:
            _record(handler, None)
        return result


class _WorkflowOutbound(temporalio.worker.WorkflowOutboundInterceptor):
    def __init__(self, next: temporalio.worker.WorkflowOutboundInterceptor, inbound: _WorkflowInbound) -> None:
        super().__init__(next)
        self.inbound = inbound

    def continue_as_new(self, input: temporalio.worker.ContinueAsNewInput) -> NoReturn:
        # The next run of an entity belongs to nobody's request; requests that wait take their traces along.
        input.headers = {key: value for key, value in input.headers.items() if key != HEADER}
        super().continue_as_new(input)

    def start_activity(self, input: temporalio.worker.StartActivityInput) -> workflow.ActivityHandle[Any]:
        input.headers = _with_trace(input.headers, self._parent(input.args))
        return super().start_activity(input)

    def start_local_activity(self, input: temporalio.worker.StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        input.headers = _with_trace(input.headers, self._parent(input.args))
        return super().start_local_activity(input)

    async def start_child_workflow(
        self, input: temporalio.worker.StartChildWorkflowInput
    ) -> workflow.ChildWorkflowHandle[Any, Any]:
        input.headers = _with_trace(input.headers, self._parent(input.args))
        return await super().start_child_workflow(input)

    async def signal_child_workflow(self, input: temporalio.worker.SignalChildWorkflowInput) -> None:
        input.headers = _with_trace(input.headers, self._parent(input.args))
        await super().signal_child_workflow(input)

    async def signal_external_workflow(self, input: temporalio.worker.SignalExternalWorkflowInput) -> None:
        input.headers = _with_trace(input.headers, self._parent(input.args))
        await super().signal_external_workflow(input)

    def _parent(self, args: Sequence[Any]) -> SpanContext | None:
        """The span to work under: of the request that `args` tell of; of none if they tell of several."""
        current = get_current_span().get_span_context()
        requests = _traceparents(args)
        if not any(requests):
            return current
        shared = shared_parent(requests)
        if shared is None:
            return None
        nearest = self.inbound.at_work.get(shared.trace_id)
        return nearest or (current if current.trace_id == shared.trace_id else shared)


def _record(handler: _Handler, error: Exception | None) -> None:
    maker = recorder()
    if maker is None or workflow.unsafe.is_replaying():
        return
    span = maker.start(
        handler.name,
        SpanKind.SERVER,
        handler.attributes,
        handler.parent,
        span_id=handler.own.span_id,
        start_ns=handler.began_ns,
    )
    if error is not None:
        failure = error.type if isinstance(error, ApplicationError) else None
        span.set_attribute("error.type", failure or error_type(error))
        span.set_status(StatusCode.ERROR)
    span.end(workflow.time_ns())


# --- headers and requests --------------------------------------------------------------------------------------------


def _with_trace(headers: Headers, parent: SpanContext | None) -> Headers:
    if parent is None or not parent.is_valid:
        return {key: value for key, value in headers.items() if key != HEADER} if HEADER in headers else headers
    data = json.dumps({"traceparent": format_traceparent(parent)}).encode()
    return {**headers, HEADER: Payload(metadata={"encoding": b"json/plain"}, data=data)}


def _trace_in(headers: Headers) -> SpanContext | None:
    payload = headers.get(HEADER)
    if payload is None:
        return None
    try:
        carrier: object = json.loads(payload.data)
    except ValueError:
        return None
    value = cast("dict[str, object]", carrier).get("traceparent") if isinstance(carrier, dict) else None
    return parse_traceparent(value) if isinstance(value, str) else None


def _traceparents(args: Sequence[Any]) -> list[str | None]:
    """The traces of the requests that a call works for: of its arguments that have a `traceparent`."""
    found: list[str | None] = []
    for argument in args:
        each = cast("list[Any]", argument) if isinstance(argument, list) else [argument]
        found += [item.traceparent for item in each if hasattr(item, "traceparent")]
    return found
