"""A tool call: allowed, valid, sandboxed, recorded."""

import base64
import binascii
import mimetypes
import re
import time
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from caxton.activities import journal
from caxton.activities.contents import hash_of
from caxton.activities.memory_tools import MemoryTools
from caxton.activities.step import StepPorts
from caxton.domain.agents import AgentVersion
from caxton.domain.errors import (
    ApprovalRejected,
    ApprovalTimedOut,
    CaxtonError,
    ErrorReport,
    Hint,
    MemoryUnavailable,
    ToolAnswerInvalid,
    ToolError,
    ToolFuelExhausted,
    ToolMemoryExceeded,
    ToolMessageTooLarge,
    ToolNotAllowed,
    ToolTimeout,
    ToolTrapped,
    ToolUnavailable,
)
from caxton.domain.events.executions import ActionDispatched, ActionFailed
from caxton.domain.events.tools import ResourceLimitExceeded, ToolAccessDenied, ToolExecuted, ToolExecutionFailed
from caxton.domain.executions import ExecutionState, StepInput, StepResult, Usage
from caxton.domain.ids import Digest, Scope
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.ports import BlobStore
from caxton.domain.records import StepRecord, Transaction
from caxton.domain.tools import Artifact, ToolResult, ToolUsage, ToolVersion
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import tool_span
from caxton.routing.similar import similar_names

MAY_PASS = (ToolTrapped, ToolTimeout, ToolAnswerInvalid)
"""Failures that another try may not meet; tried again only where a repeated call does no harm."""

EXCEEDED = {
    ToolMemoryExceeded.code: "Memory",
    ToolFuelExhausted.code: "Cpu",
    ToolTimeout.code: "Time",
    ToolMessageTooLarge.code: "MessageSize",
}
"""Which limit each error means (event model 2.0, ResourceLimitExceeded)."""

REASONS = {
    ToolNotAllowed.code: "PermissionDenied",
    ToolTimeout.code: "Timeout",
    ToolMemoryExceeded.code: "ResourceExhausted",
    ToolFuelExhausted.code: "ResourceExhausted",
    ToolMessageTooLarge.code: "ResourceExhausted",
}
"""Reasons that ToolExecutionFailed gives (event model 2.0); every other error is a "RuntimeError"."""

NOT_APPROVED = (ApprovalRejected.code, ApprovalTimedOut.code)
"""A call that a person did not approve was never made: it is no failure of the tool."""


class ToolStep:
    """One tool call of one execution."""

    def __init__(self, step: StepInput, ports: StepPorts) -> None:
        """Prepare to call."""
        assert step.plan is not None
        self.input = step
        self.ports = ports
        self.plan = step.plan
        self.name = ""
        self.arguments: dict[str, Any] = {}
        self.tool: ToolVersion | None = None
        self.agent: AgentVersion
        self.action_type = "tool"
        self.result = ToolResult()
        self.artifacts: list[Artifact] = []
        self.failure: ErrorReport | None = step.error
        self.failed_usage = _usage_told(step.error)
        self.failed_log: list[str] = []
        self.usage = Usage()
        self.took: float | None = None
        """Seconds of the call, without those in which it waited for a sandbox."""
        self.began_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.must_wait = False
        """Whether the call is left to somebody who has time for it."""

    @property
    def server(self) -> str:
        """The tool server's name."""
        return self.name.partition(".")[0]

    @property
    def function(self) -> str:
        """The function's name."""
        return self.name.partition(".")[2]

    @property
    def called(self) -> tuple[Digest, str]:
        """The function in just this version of its tool."""
        assert self.tool is not None
        return self.tool.digest, self.function

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the call recorded already, or reads what was asked for."""
        scope, execution_id = self.input.scope, self.input.execution_id
        if (execution_id, self.input.step, self.input.call) in transaction.recorded(scope, [execution_id]):
            return StepResult()
        record = transaction.executions(scope, [execution_id])[execution_id]
        if record.execution.state is not ExecutionState.RUNNING:
            return StepResult()
        self.usage = record.execution.usage
        steps = transaction.steps(scope, [execution_id])[execution_id]
        asked = next(step for step in steps if step.step == self.input.step and step.call == 0)
        self.take(asked)
        self.agent = transaction.agent_versions(scope, [self.plan.agent_digest])[self.plan.agent_digest]
        registry = self.ports.directory.registry(transaction, scope)
        self.tool = registry.running_tool(self.server)
        if self.failure is None:
            self._check_allowed(sorted(registry.tools))
        return None

    def take(self, asked: StepRecord) -> None:
        """Takes what is to be called from the model's step that asked for it."""
        call: dict[str, Any] = asked.payload["calls"][self.input.call - 1]
        self.name, self.arguments = call["name"], call["arguments"]
        self.action_type = call.get("action_type", "tool")

    async def act(self) -> None:
        """Runs the tool."""
        if self.failure is not None:
            return
        if self.tool is None:  # memory, which this server does not have
            await self._call_memory()
            return
        batch_calls = self.ports.batch_calls
        if self.input.yields:
            # What may not be ended has to be known to be short.
            is_short = batch_calls.expects if self._may_be_repeated(self.tool) else batch_calls.knows
            self.must_wait = not is_short(self.called)
            if self.must_wait:
                return
        self.began_at = journal.now()
        with batch_calls.timing(self.called) as timed:
            try:
                await (self._call_memory() if self.server == MEMORY else self._call(self.tool))
            finally:
                timed.seconds = self.took
        self.ended_at = journal.now()

    async def timed(self) -> float | None:
        """Like :meth:`act`. Returns the seconds that the call took, without those in which it waited for a sandbox."""
        await self.act()
        return self.took

    def _may_be_repeated(self, tool: ToolVersion) -> bool:
        function = tool.function(self.function)
        return function is not None and function.is_idempotent(tool.manifest.idempotent)

    async def _call(self, tool: ToolVersion) -> None:
        harmless = self._may_be_repeated(tool)
        short = self.ports.batch_calls.wall_time
        granted = tool.within(short) if self.input.yields and harmless else tool
        brief = self.input.yields or granted.manifest.limits.wall_time <= short
        with tool_span(self.server, self.function, self.plan.agent) as span:
            try:
                self.result = await self.ports.sandbox.call(
                    self.input.scope.customer, granted, self.function, self.arguments, brief=brief
                )
            except ToolError as error:
                self.took = error.usage.wall_ms / 1000 if error.usage else 0.0
                if isinstance(error, ToolTimeout) and granted is not tool:
                    self.must_wait = True
                    return
                report = _with_usage(error)
                if isinstance(error, MAY_PASS) and harmless:
                    raise RetryableFailure(report.model_copy(update={"retryable": True})) from error
                # Recorded as it is, with what the tool used and logged until it failed.
                self.failure, self.failed_usage, self.failed_log = report, error.usage, list(error.log)
                return
            span.answered(self.result)
        self.took = self.result.usage.wall_ms / 1000
        self.result, self.artifacts = await extract_artifacts(self.ports.blobs, self.input.scope, self.result)

    async def _call_memory(self) -> None:
        """The built-in tool needs no sandbox: it is our own code, over the memory port."""
        memories, scope = self.ports.memories, self.input.scope
        started = time.perf_counter()
        try:
            if memories is None:
                raise MemoryUnavailable("this server has no memory", "set `enabled` in [memory] of its caxton.toml")
            if self.tool is None or self.tool.function(self.function) is None:
                raise ToolUnavailable(f'the tool "{MEMORY}" has no function "{self.function}"')
            conversation = self.plan.conversation_id
            tools = MemoryTools(memories, scope, self.agent.spec, self.input.execution_id, conversation)
            self.result = await tools.call(self.function, self.arguments)
        except CaxtonError as error:
            self.failure = error.report()
            return
        took = (time.perf_counter() - started) * 1000
        self.result = self.result.model_copy(update={"usage": ToolUsage(wall_ms=took)})

    def record(self, transaction: Transaction) -> StepResult:
        """Records the call and its result; a failure is a result too, for the model to see."""
        if self.must_wait:
            return StepResult(must_wait=True)
        scope = self.input.scope
        notes = journal.Journal(self.input, self.plan.conversation_id, self.plan)
        transaction.add_step(scope, self.recorded())
        self._note(notes)
        transaction.append_events(scope, notes.events)
        usage = self.usage.plus(Usage(tool_calls=1))
        transaction.set_usage(scope, self.input.execution_id, usage)
        return StepResult(artifacts=self.artifacts)

    def after(self, _result: StepResult) -> None:
        """Counts the call, and tells listeners that there is news."""
        if self.must_wait:
            return
        if self.failure is not None:
            METRICS.tool_call(self.server if self.tool else "", self.failure.code, None)
        else:
            METRICS.tool_call(self.server, "tool_error" if self.result.is_error else "ok", self.result.usage)
        self.ports.stream.publish(self.input.root_id, "step", {})

    def _check_allowed(self, deployed: list[str]) -> None:
        details = {"agent": self.plan.agent, "tool": self.server, "function": self.function}
        if not self.agent.spec.allows_tool(self.server, self.function):
            raise ToolNotAllowed(
                f'agent "{self.plan.agent}" may not use "{self.name}"',
                Hint(text=f'add "{self.server}" to `tools` of agent "{self.plan.agent}"', command="caxton deploy"),
                details=details,
            )
        if self.tool is None:
            similar = similar_names(self.server, [name for name in deployed if name != self.server])
            hints = [Hint(text=f'did you mean "{similar[0]}"?')] if similar else []
            raise ToolUnavailable(
                f'tool "{self.server}" is not running',
                *hints,
                Hint(text="see which tools there are", command="caxton tool list"),
                details=details,
            )

    def recorded(self) -> StepRecord:
        """The call and its result, as they are recorded."""
        used = self.result.usage if self.failure is None else self.failed_usage
        text = self.result.text() if self.failure is None else f"error: {self.failure.message}"
        payload: dict[str, Any] = {
            "text": text,
            "structured": self.result.structured,
            "is_error": self.failure is not None or self.result.is_error,
            "artifacts": [artifact.model_dump() for artifact in self.artifacts],
            "log": self.result.log or self.failed_log,
        }
        if self.failure is not None:
            payload["error"] = self.failure.model_dump(mode="json", exclude_none=True)
        return StepRecord(
            execution_id=self.input.execution_id,
            step=self.input.step,
            call=self.input.call,
            kind="tool",
            ok=not payload["is_error"],
            agent=self.plan.agent,
            tool=self.server or None,
            function=self.function or None,
            error_code=self.failure.code if self.failure else "tool_error" if self.result.is_error else None,
            duration_ms=used.wall_ms if used else None,
            cpu_ms=used.cpu_ms if used else None,
            fuel=used.fuel if used else None,
            memory=used.memory if used else None,
            payload=payload,
        )

    def _note(self, notes: journal.Journal) -> None:
        action: dict[str, Any] = {
            "action_id": journal.action_id(self.input),
            "action_type": self.action_type,
            "name": self.name,
        }
        called: dict[str, Any] = {"tool": self.server, "function": self.function, "action_id": action["action_id"]}
        notes.moment = self.ended_at
        if self.failure is None:
            used, text = self.result.usage, self.result.text()
            notes.moment = self.began_at
            notes.add(ActionDispatched(**action))
            notes.moment = self.ended_at
            executed = ToolExecuted(
                **called,
                **resources(used),
                is_error=self.result.is_error,
                result_hash=hash_of(text),
                result_bytes=len(text.encode()),
                artifacts=[artifact.digest for artifact in self.artifacts],
            )
            notes.add(executed, latency_ms=used.wall_ms)
            return
        code, used = self.failure.code, self.failed_usage
        notes.add(ActionFailed(**action, reason=code), error_code=code)
        if code in NOT_APPROVED:
            return
        if code == ToolNotAllowed.code:
            notes.add(ToolAccessDenied(**called), error_code=code)
        failed = ToolExecutionFailed(
            **called,
            **(resources(used) if used else {}),
            reason=REASONS.get(code, "RuntimeError"),
            details=journal.title_of(self.failure),
        )
        notes.add(failed, error_code=code, latency_ms=used.wall_ms if used else None)
        if code in EXCEEDED:
            limit = self.failure.details.get("value")
            exceeded = ResourceLimitExceeded(
                tool=self.server, function=self.function, limit_type=EXCEEDED[code], limit=limit
            )
            notes.add(exceeded, error_code=code)


class RetryableFailure(CaxtonError):
    """Carries another error's report, marked as retryable for this one call."""

    code = "retryable_failure"
    retryable = True

    def __init__(self, report: ErrorReport) -> None:
        """Wrap `report`."""
        super().__init__(report.message, *report.hints, details=report.details)
        self._report = report

    def report(self) -> ErrorReport:
        """The wrapped error's report."""
        return self._report


def _with_usage(error: ToolError) -> ErrorReport:
    """The error's report, with what the call used: it may have to cross the workflow before it is recorded."""
    report = error.report()
    if error.usage is None:
        return report
    return report.model_copy(update={"details": {**report.details, "used": error.usage.model_dump()}})


def _usage_told(report: ErrorReport | None) -> ToolUsage | None:
    used = report.details.get("used") if report else None
    return ToolUsage.model_validate(used) if used else None


def resources(used: ToolUsage) -> dict[str, Any]:
    """What a call used, as events tell it."""
    memory = None if used.memory is None else round(used.memory / (1 << 20), 2)
    return {"memory_mb": memory, "cpu_ms": round(used.cpu_ms, 3), "fuel": used.fuel}


async def extract_artifacts(blobs: BlobStore, scope: Scope, result: ToolResult) -> tuple[ToolResult, list[Artifact]]:
    """Takes files and images out of a result: they become blobs that the reply refers to, and the model reads a note."""
    content: list[dict[str, Any]] = []
    artifacts: list[Artifact] = []
    for number, part in enumerate(result.content, start=1):
        found = _file_in(part, number)
        if found is None:
            content.append(part)
            continue
        name, media_type, data = found
        digest = await blobs.put(scope.customer, data)
        artifacts.append(Artifact(name=name, media_type=media_type, size=len(data), digest=digest))
        content.append({"type": "text", "text": f"[file {name}, {media_type}, {len(data)} bytes, goes to the user]"})
    return result.model_copy(update={"content": content}), artifacts


def _file_in(part: dict[str, Any], number: int) -> tuple[str, str, bytes] | None:
    if part.get("type") == "resource":
        resource: dict[str, Any] = part.get("resource") or {}
        media_type = str(resource.get("mimeType") or "application/octet-stream")
        data = _bytes_of(resource.get("text"), resource.get("blob"))
        name = safe_file_name(str(resource.get("uri", "")), f"file-{number}", media_type)
    elif part.get("type") in ("image", "audio"):
        media_type = str(part.get("mimeType") or "application/octet-stream")
        data = _bytes_of(None, part.get("data"))
        name = safe_file_name("", f"{part['type']}-{number}", media_type)
    else:
        return None
    return None if data is None else (name, media_type, data)


def _bytes_of(text: object, encoded: object) -> bytes | None:
    if isinstance(text, str):
        return text.encode()
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return None
    return None


def safe_file_name(uri: str, fallback: str, media_type: str) -> str:
    """A plain file name from a tool's URI: no folders, no odd characters, never hidden, never empty."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(uri).name).strip("-.")[:100]
    return name or fallback + (mimetypes.guess_extension(media_type) or "")
