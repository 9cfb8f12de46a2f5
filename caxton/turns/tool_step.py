"""A tool call: allowed, valid, sandboxed, recorded."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from caxton.domain.agents import AgentVersion
from caxton.domain.errors import (
    ApprovalRejected,
    ApprovalTimedOut,
    CallInvalid,
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
    ToolNotGranted,
    ToolSurfaceChanged,
    ToolTimeout,
    ToolTrapped,
    ToolUnavailable,
    ToolUnreachable,
)
from caxton.domain.events import agent_actor
from caxton.domain.events.executions import ActionDispatched, ActionFailed
from caxton.domain.events.tools import ToolAccessDenied, ToolExecuted, ToolExecutionFailed
from caxton.domain.executions import ExecutionState, StepInput, StepResult
from caxton.domain.governance import ApprovalState, approval_id
from caxton.domain.grants import Asked, Rights, ToolGrant
from caxton.domain.ids import Digest
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.records import StepRecord, Transaction
from caxton.domain.refusals import Refusals
from caxton.domain.tools import Artifact, ToolResult, ToolVersion
from caxton.domain.usage import ToolUsage, Usage
from caxton.memory.tools import MemoryTools
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import tool_span
from caxton.recording import journal
from caxton.recording.contents import hash_of
from caxton.routing.directory import Registry
from caxton.routing.similar import similar_names
from caxton.turns.artifacts import extract_artifacts
from caxton.turns.breaker_calls import count_violations, tool_breaker, tool_quarantined
from caxton.turns.flow_calls import tool_call
from caxton.turns.questions import Questions
from caxton.turns.rehearsing import REHEARSED, Rehearsed, rehearse
from caxton.turns.step import StepPorts, publish_step
from caxton.turns.time_left import deadline_of
from caxton.turns.tool_events import (
    EXCEEDED,
    RetryableFailure,
    declined_told,
    limit_told,
    refusals_of,
    resources,
    surface_told,
    usage_of,
    with_usage,
)
from caxton.turns.tool_rights import chain_of, held_down_by, refusals_told, take_rights

ATTEMPTS = 2
"""How often a call that may be repeated is made, where its failure may pass (event model 2.0, ToolExecution: at once)."""

BRIEF = 0.1
"""Seconds of a call that may use the sandboxes which are kept for short ones."""

MAY_PASS = (ToolTrapped, ToolTimeout, ToolAnswerInvalid, ToolUnreachable)
"""Failures that another try may not meet; tried again only where a repeated call does no harm."""

REASONS = {
    ToolNotAllowed.code: "PermissionDenied",
    ToolNotGranted.code: "PermissionDenied",
    ToolTimeout.code: "Timeout",
    ToolMemoryExceeded.code: "ResourceExhausted",
    ToolFuelExhausted.code: "ResourceExhausted",
    ToolMessageTooLarge.code: "ResourceExhausted",
}
"""Reasons that ToolExecutionFailed gives (event model 2.0); every other error is a "RuntimeError"."""

NEVER_MADE = (ApprovalRejected.code, ApprovalTimedOut.code, CallInvalid.code)
"""A call that a person did not approve, or that cannot be made, is not a failure of the tool."""


class ToolStep:
    """One tool call of one execution."""

    def __init__(self, step: StepInput, ports: StepPorts, failure: ErrorReport | None = None) -> None:
        """Prepare to call, or to record the `failure` of the last attempt."""
        assert step.plan is not None
        self.input = step
        self.ports = ports
        self.plan = step.plan
        self.name = ""
        self.mistake = ""
        """What is wrong with the call, so that it cannot be made."""
        self.arguments: dict[str, Any] = {}
        self.tool: ToolVersion | None = None
        self.grants: Sequence[ToolGrant] = ()
        """What is granted to the tool."""
        self.chain: Sequence[str | None] = (self.plan.agent,)
        """The agents that the work came through; of consequence where something is granted."""
        self.agent: AgentVersion
        self.action_type = "tool"
        self.result = ToolResult()
        self.artifacts: list[Artifact] = []
        self.shown: list[Digest] = []
        """Those of them that the model is to see, if it can."""
        self.failure = failure
        self.failed_usage = usage_of(failure)
        self.failed_log: list[str] = []
        self.refused = refusals_of(failure)
        self.usage = Usage()
        self.took: float | None = None
        """Seconds of the call, without those in which it waited for a sandbox."""
        self.waited = 0.0
        """Seconds that the call waited here for its place."""
        self.began_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.own_time = True
        """Whether the tool has all the time that its manifest gives it."""
        self.time_left: float | None = None
        """Seconds that the agent has for the call, where that is known."""
        self.questions = Questions(step, step.plan)
        self.rehearsed = Rehearsed()
        """In a rehearsal: what the call is answered with."""

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
        if transaction.step(scope, execution_id, self.input.step, self.input.call) is not None:
            return StepResult()
        record = transaction.executions(scope, [execution_id])[execution_id]
        if record.execution.state is not ExecutionState.RUNNING:
            return StepResult()
        self.usage = record.execution.usage
        now = journal.now()
        deadline = deadline_of(transaction, self.ports.directory, scope, record.execution, self.plan, now)
        self.time_left = (deadline - now).total_seconds()
        asked = transaction.step(scope, execution_id, self.input.step, 0)
        assert asked is not None, "a call is recorded with the step that asked for it"
        self.take(asked)
        if self.mistake:
            self.failure = CallInvalid(self.mistake, details={"agent": self.plan.agent, "name": self.name}).report()
            return None
        if self.plan.rehearses is not None:
            return self._rehearse(transaction, asked)
        if asked.payload["calls"][self.input.call - 1].get("needs_approval"):
            approval = transaction.approval(scope, approval_id(execution_id, self.input.step, self.input.call))
            if approval is not None and approval.arguments is not None:
                self.arguments = approval.arguments
        self.agent = self.ports.directory.agent_version(transaction, scope, self.plan.agent_digest)
        registry = self.ports.directory.registry(transaction, scope)
        self.tool = registry.running_tool(self.server)
        self.grants = registry.grants.get(self.server, ())
        if self.grants:
            self.chain = chain_of(transaction, scope, record.execution)
        if self.input.refused:
            self.failure = self._not_approved(transaction)
        if self.failure is None:
            self._check_allowed(registry)
        return (
            self.questions.load(transaction) if self.tool is not None and not self.tool.manifest.is_sandboxed else None
        )

    def _rehearse(self, transaction: Transaction, asked: StepRecord) -> None:
        """Finds the answer in the record of the turn that is rehearsed."""
        self.agent = self.ports.directory.agent_version(transaction, self.input.scope, self.plan.agent_digest)
        called_as = asked.payload["calls"][self.input.call - 1].get("called_as")
        is_denied = called_as == "tool" and not self.agent.spec.allows_tool(self.server, self.function)
        if is_denied and self.failure is None:
            self._check_allowed(self.ports.directory.registry(transaction, self.input.scope))
        self.rehearsed = rehearse(transaction, self.input, self.name, self.arguments)

    def _not_approved(self, transaction: Transaction) -> ErrorReport:
        """The model sees it, as the call's result, and can tell the user or find another way."""
        known = transaction.approval(
            self.input.scope, approval_id(self.input.execution_id, self.input.step, self.input.call)
        )
        assert known is not None, "what was refused was asked for"
        details = {"approval_id": known.id, "decided_by": known.decided_by}
        if known.state is ApprovalState.REJECTED:
            why = f": {known.reason}" if known.reason else ""
            return ApprovalRejected(
                f'{known.decided_by} refused the call of "{self.name}"{why}', details=details
            ).report()
        return ApprovalTimedOut(
            f'the call of "{self.name}" needed approval, and nobody decided in time', details=details
        ).report()

    def take(self, asked: StepRecord) -> None:
        """Takes what is to be called from the model's step that asked for it."""
        call: dict[str, Any] = asked.payload["calls"][self.input.call - 1]
        self.name, self.arguments = call["name"], call["arguments"]
        self.mistake = call.get("mistake", "")
        self.action_type = call.get("action_type", "tool")

    async def act(self) -> None:
        """Runs the tool, unless this is a rehearsal, in which nothing runs."""
        if self.plan.rehearses is not None:
            await self.rehearsed.fetch(self.ports.blobs, self.input.scope)
            return
        if self.failure is not None:
            return
        if self.tool is None:  # memory, which this server does not have
            await self._call_memory()
            return
        self.began_at = journal.now()
        await (self._call_memory() if self.server == MEMORY else self._call(self.tool))
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
        if self.time_left is not None:
            self.own_time = self.time_left >= tool.manifest.limits.wall_time
            tool = tool.within(max(0.001, self.time_left))
        brief = tool.manifest.limits.wall_time <= BRIEF
        asked = Asked(tool.manifest, tool.digest, self.function, self.arguments, self.chain)
        rights = await take_rights(
            self.ports.records,
            self.input.scope,
            asked,
            self.grants,
            self.ports.base_limits,
            f"{self.input.execution_id}/{self.input.step}/{self.input.call}",
            actor=agent_actor(self.plan.agent),
        )
        limited = tool_call(self.ports.flow_rules, self.input, self.agent.spec, tool.manifest)
        began = time.monotonic()
        async with self.ports.flow.place(limited):
            self.waited = time.monotonic() - began
            await self._run(tool, rights, asked, brief=brief, harmless=harmless)

    async def _run(self, tool: ToolVersion, rights: Rights, asked: Asked, *, brief: bool, harmless: bool) -> None:
        # A short call is tried again at once, here, wherever the step is done; one that may take long as an attempt of its own.
        attempts = ATTEMPTS if harmless and tool.manifest.is_fast else 1
        for attempt in range(1, attempts + 1):
            try:
                await self._try(tool, rights, brief=brief, attempt=attempt)
                self._count_violations(tool, None, self.result.refused)
                break
            except ToolError as error:
                self._count_violations(tool, error, error.refused)
                if isinstance(error, MAY_PASS) and attempt < attempts:
                    self._say_again(error, attempt, attempts)
                    continue
                self._failed(error, asked, may_be_repeated=harmless and attempts == 1)
                return
        self.took = self.result.usage.wall_ms / 1000
        self.refused = self.result.refused
        self.result, self.artifacts, self.shown = await extract_artifacts(
            self.ports.blobs, self.input.scope, self.result
        )

    async def _try(self, tool: ToolVersion, rights: Rights, *, brief: bool, attempt: int) -> None:
        scope, step = self.input.scope, self.input
        with tool_span(self.server, self.function, self.plan.agent) as span:
            async with tool_breaker(
                self.ports.breakers,
                scope,
                tool.manifest,
                f"{step.execution_id}/{step.step}/{step.call}/{attempt}",
                alternatives=[other for other in self.agent.spec.tools if other.partition(".")[0] != self.server],
                own_time=self.own_time,
            ):
                self.result = await self.ports.sandbox.call(
                    scope.customer,
                    tool,
                    self.function,
                    self.arguments,
                    workspace=scope.workspace,
                    rights=rights,
                    brief=brief,
                    **self.questions.for_server(tool),
                )
            span.answered(self.result)

    def _count_violations(self, tool: ToolVersion, error: ToolError | None, refused: Refusals | None) -> None:
        by = f"{self.input.execution_id}/{self.input.step}/{self.input.call}"
        count_violations(
            self.ports.breakers, self.input.scope, tool.manifest, by, error, refused, own_time=self.own_time
        )

    def _failed(self, error: ToolError, asked: Asked, *, may_be_repeated: bool) -> None:
        self.took = error.usage.wall_ms / 1000 if error.usage else 0.0
        if isinstance(error, ToolNotGranted):
            self._explain(error, asked)
        report = with_usage(error)
        if isinstance(error, MAY_PASS) and may_be_repeated:
            raise RetryableFailure(report.model_copy(update={"retryable": True})) from error
        # Recorded as it is, with what the tool used and logged until it failed.
        self.failure, self.failed_usage, self.failed_log = report, error.usage, list(error.log)
        self.refused = error.refused or Refusals()

    def _say_again(self, error: ToolError, attempt: int, attempts: int) -> None:
        """Tells who listens what the event model has a user told while a tool is tried again."""
        about = {"what": "tool", "name": self.name, "code": error.code, "attempt": attempt + 1, "of": attempts}
        self.ports.stream.publish(self.input.root_id, "retry", {"agent": self.plan.agent, **about, "after": 0.0})

    def _explain(self, error: ToolNotGranted, asked: Asked) -> None:
        """Says so where the agent itself has the right, and one that handed the work over has not."""
        above = held_down_by(asked, self.grants, journal.now())
        if above is not None:
            error.with_hint(
                f'agent "{above}" handed the work over and has no such right: work that was handed over has the rights '
                "that all agents of the chain have"
            )
            error.details["held_down_by"] = above

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
        scope = self.input.scope
        if self.result.question is not None:
            return self.questions.ask(transaction, self.name, self.result, self.agent)
        notes = journal.Journal(self.input, self.plan.conversation_id, self.plan)
        transaction.add_step(scope, self.recorded())
        self._note(notes)
        transaction.append_events(scope, notes.events)
        usage = self.usage.plus(Usage(tool_calls=1))
        transaction.set_usage(scope, self.input.execution_id, usage)
        return StepResult(artifacts=self.artifacts, waited=self.waited)

    def after(self, result: StepResult) -> None:
        """Counts the call, and tells listeners that there is news."""
        if self.plan.rehearses is not None:
            return
        if result.approval is not None:
            METRICS.approval("requested")
        elif self.failure is not None:
            METRICS.tool_call(self.server if self.tool else "", self.failure.code, None)
        else:
            METRICS.tool_call(self.server, "tool_error" if self.result.is_error else "ok", self.result.usage)
        publish_step(self.ports, self.input, result)

    def _check_allowed(self, registry: Registry) -> None:
        details = {"agent": self.plan.agent, "tool": self.server, "function": self.function}
        if not self.agent.spec.allows_tool(self.server, self.function):
            raise ToolNotAllowed(
                f'agent "{self.plan.agent}" may not use "{self.name}"',
                Hint(text=f'add "{self.server}" to `tools` of agent "{self.plan.agent}"', command="caxton deploy"),
                details=details,
            )
        if self.tool is None and self.server in registry.quarantined:
            others = [other for other in self.agent.spec.tools if other.partition(".")[0] != self.server]
            raise tool_quarantined(self.server, registry.quarantined[self.server], others)
        if self.tool is None:
            similar = similar_names(self.server, sorted(name for name in registry.tools if name != self.server))
            hints = [Hint(text=f'did you mean "{similar[0]}"?')] if similar else []
            raise ToolUnavailable(
                f'tool "{self.server}" is not running',
                *hints,
                Hint(text="see which tools there are", command="caxton tool list"),
                details=details,
            )

    def recorded(self) -> StepRecord:
        """The call and its result, as they are recorded."""
        if self.plan.rehearses is not None and self.failure is None:
            return self.rehearsed.recorded(self.input, self.plan.agent)
        used = self.result.usage if self.failure is None else self.failed_usage
        text = self.result.text() if self.failure is None else f"error: {self.failure.message}"
        payload: dict[str, Any] = {
            "text": text,
            "structured": self.result.structured,
            "is_error": self.failure is not None or self.result.is_error,
            "artifacts": [artifact.model_dump() for artifact in self.artifacts],
            "log": self.result.log or self.failed_log,
        }
        if self.shown:
            payload["shown"] = self.shown
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
        if self.plan.rehearses is not None and self.failure is None:
            notes.add(ActionFailed(**action, reason=REHEARSED))
            return
        if self.refused:
            told = refusals_told(self.server, self.function, self.refused, action["action_id"])
            notes.add(told, error_code=self.failure.code if self.failure else None)
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
            if self.result.declined:
                notes.add(declined_told(self.server, self.function, self.result, action["action_id"]))
            return
        code, used = self.failure.code, self.failed_usage
        notes.add(ActionFailed(**action, reason=code), error_code=code)
        if code in NEVER_MADE:
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
        if code == ToolSurfaceChanged.code:
            notes.add(surface_told(self.server, self.function, self.failure, action["action_id"]), error_code=code)
        if code in EXCEEDED:
            notes.add(limit_told(self.server, self.function, self.failure), error_code=code)
