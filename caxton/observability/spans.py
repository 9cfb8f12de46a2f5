"""Spans of model calls, tool calls and sandboxes, by OpenTelemetry's conventions for generative AI.

None has a prompt, a reply, arguments, a result or the text of an error.

Source of names: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/.
"""

from contextvars import Token
from typing import Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span

from caxton.domain.ports import ModelReply
from caxton.domain.tools import ToolResult
from caxton.domain.usage import ToolUsage
from caxton.observability.recorder import Attributes, error_type, is_sampled, links_of_context, recorder
from caxton.observability.trace_context import context_with

OWN_PROVIDER = "caxton"
"""`gen_ai.provider.name` of models without a provider: scripts and WebAssembly modules."""


class WorkSpan:
    """A piece of work as a span, when somebody records the trace that it belongs to; else nothing.

    An exception that leaves the body marks the span as failed, by its type only: messages may quote what users wrote.
    """

    __slots__ = ("_attributes", "_kind", "_name", "_token", "span")

    def __init__(self, name: str, kind: SpanKind, attributes: Attributes) -> None:
        """Prepare a span; it starts with the `with` block."""
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._token: Token[Context] | None = None
        self.span: Span | None = None
        """The span while it is recorded."""

    def __enter__(self) -> Self:
        """Start it."""
        maker = recorder()
        if maker is None:
            return self
        parent = get_current_span().get_span_context()
        if is_sampled(parent):
            links = links_of_context()
            self.span = maker.start(
                self._name, self._kind, self._attributes, parent if parent.is_valid else None, links=links
            )
            self._token = otel_context.attach(context_with(self.span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """End it."""
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None
        if self.span is not None:
            if error is not None:
                self.failed(error)
            self.span.end()

    def failed(self, error: BaseException | str) -> None:
        """Marks the work as failed with an error, or with the code of one."""
        if self.span is None:
            return
        self.span.set_attribute("error.type", error if isinstance(error, str) else error_type(error))
        self.span.set_status(StatusCode.ERROR)
        if isinstance(error, BaseException):
            self.span.add_event("exception", {"exception.type": type(error).__qualname__})


class ModelSpan(WorkSpan):
    """A model call."""

    __slots__ = ()

    def answered(self, reply: ModelReply) -> None:
        """Adds which model answered, and its tokens."""
        if self.span is None:
            return
        provider, name = split_model(reply.model)
        self.span.set_attributes(
            {
                "gen_ai.provider.name": provider,
                "gen_ai.response.model": name,
                "gen_ai.usage.input_tokens": reply.usage.input_tokens,
                "gen_ai.usage.output_tokens": reply.usage.output_tokens,
            }
        )


class ToolSpan(WorkSpan):
    """A tool call."""

    __slots__ = ()

    def answered(self, result: ToolResult) -> None:
        """Adds what the call used, and whether the tool says that it failed."""
        if self.span is None:
            return
        _add_usage(self.span, result.usage)
        if result.is_error:
            self.failed("tool_error")


class SandboxSpan(WorkSpan):
    """What runs inside a sandbox."""

    __slots__ = ()

    def used(self, usage: ToolUsage) -> None:
        """Adds what the run used."""
        if self.span is not None:
            _add_usage(self.span, usage)


def model_span(agent: str, model: str) -> ModelSpan:
    """The span of a model call, for a `with` statement.

    Args:
        agent: the agent that asks.
        model: the model that is asked, such as "openai:gpt-5", "scripted" or "auto".
    """
    if recorder() is None:
        return ModelSpan("", SpanKind.CLIENT, {})
    provider, name = split_model(model)
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
        "gen_ai.agent.name": agent,
    }
    # The conventions have INTERNAL for a model that runs in the same process.
    return ModelSpan(f"chat {name}", SpanKind.INTERNAL if provider == OWN_PROVIDER else SpanKind.CLIENT, attributes)


def tool_span(server: str, function: str, agent: str) -> ToolSpan:
    """The span of a tool call, for a `with` statement.

    Args:
        server: the tool server, such as "csv-tools".
        function: its function.
        agent: the agent that asks.
    """
    if recorder() is None:
        return ToolSpan("", SpanKind.INTERNAL, {})
    name = f"{server}.{function}"
    attributes: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": agent,
    }
    return ToolSpan(f"execute_tool {name}", SpanKind.INTERNAL, attributes)


def sandbox_span(tool: str, form: str) -> SandboxSpan:
    """The span of one run in a sandbox, for a `with` statement.

    Args:
        tool: the tool server.
        form: "component" or "command".
    """
    if recorder() is None:
        return SandboxSpan("", SpanKind.INTERNAL, {})
    return SandboxSpan(f"sandbox {tool}", SpanKind.INTERNAL, {"gen_ai.tool.name": tool, "caxton.sandbox.form": form})


def split_model(model: str) -> tuple[str, str]:
    """Provider and model name of "openai:gpt-5"; a model without a provider ("scripted", "auto") is Caxton's own."""
    provider, colon, name = model.partition(":")
    return (provider, name) if colon else (OWN_PROVIDER, model)


def _add_usage(span: Span, usage: ToolUsage) -> None:
    span.set_attribute("caxton.tool.cpu_ms", usage.cpu_ms)
    span.set_attribute("caxton.tool.fuel", usage.fuel)
    if usage.memory is not None:
        span.set_attribute("caxton.tool.memory", usage.memory)
