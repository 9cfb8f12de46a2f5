"""Tools: what is deployed, what it did, and calling it by hand."""

from typing import Any

from pydantic import BaseModel

from caxton.activities.journal import note
from caxton.activities.tool_step import extract_artifacts, resources
from caxton.domain.errors import Hint, NotFound, ToolError, ToolUnavailable
from caxton.domain.events.system import ToolCalledDirectly
from caxton.domain.ids import Scope, new_id
from caxton.domain.ports import BlobStore, ToolSandbox
from caxton.domain.records import CallStatistics, Component, Records, StepRecord, Transaction
from caxton.domain.tools import (
    Artifact,
    ToolFunction,
    ToolLimits,
    ToolPermissions,
    ToolState,
    ToolUsage,
    ToolVersion,
)
from caxton.observability.metrics import METRICS
from caxton.routing.similar import similar_names
from caxton.service.context import Caller, Role
from caxton.service.views import StatisticsView, statistics_view


class ToolView(BaseModel):
    """A tool server as callers see it."""

    name: str
    version: str
    digest: str
    state: ToolState
    reason: str | None = None
    description: str
    form: str
    functions: list[ToolFunction]
    limits: ToolLimits
    permissions: ToolPermissions
    deployment_id: str | None = None
    updated_at: str
    statistics: StatisticsView | None = None


class ToolCallView(BaseModel):
    """What a call by hand brought."""

    content: list[dict[str, Any]]
    structured: Any = None
    is_error: bool
    usage: ToolUsage
    log: list[str]
    artifacts: list[Artifact]


class ToolLogLine(BaseModel):
    """A call of a tool, or a line that it logged in that call."""

    at: str
    execution_id: str
    agent: str | None
    function: str | None
    ok: bool
    error_code: str | None = None
    duration_ms: float | None = None
    line: str | None = None


class Tools:
    """Use cases on tools."""

    def __init__(self, records: Records, blobs: BlobStore, sandbox: ToolSandbox) -> None:
        """Join what tools need."""
        self.records = records
        self.blobs = blobs
        self.sandbox = sandbox

    async def list_tools(self, caller: Caller) -> list[ToolView]:
        """All tools of the workspace."""
        scope = caller.scope

        def read(transaction: Transaction) -> list[ToolView]:
            components = transaction.components(scope, "tool")
            versions = transaction.tool_versions(scope, [component.digest for component in components])
            statistics = {found.name: found for found in transaction.tool_statistics(scope)}
            return [_view(c, versions[c.digest], statistics.get(c.name)) for c in components]

        return await self.records.read(read)

    async def show(self, caller: Caller, name: str) -> ToolView:
        """One tool.

        Raises:
            NotFound: there is none of that name.
        """
        scope = caller.scope

        def read(transaction: Transaction) -> ToolView:
            component, version = _tool(transaction, scope, name)
            statistics = transaction.tool_statistics(scope, name)
            return _view(component, version, statistics[0] if statistics else None)

        return await self.records.read(read)

    async def call(self, caller: Caller, name: str, function: str, arguments: dict[str, Any]) -> ToolCallView:
        """Calls a function by hand, under the tool's own limits and permissions.

        Raises:
            NotFound: there is no such tool or function.
            ToolError: the call failed; a subclass says how.
        """
        caller.require(Role.DEVELOPER)
        component, version = await self.records.read(lambda tx: _tool(tx, caller.scope, name))
        if component.state != ToolState.RUNNING:
            raise ToolUnavailable(f'tool "{name}" is {component.state} and takes no calls')
        if version.function(function) is None:
            offered = [known.name for known in version.functions]
            similar = similar_names(function, offered)
            hints = [f'did you mean "{similar[0]}"?'] if similar else []
            raise NotFound(
                f'tool "{name}" has no function "{function}"; it has {", ".join(offered)}',
                *hints,
                details={"tool": name, "function": function, "functions": offered},
            )
        try:
            result = await self.sandbox.call(caller.scope.customer, version, function, arguments)
        except ToolError as error:
            METRICS.tool_call(name, error.code, None)
            await self._record_call(caller, component, version, function, error.usage, error.code)
            raise
        METRICS.tool_call(name, "tool_error" if result.is_error else "ok", result.usage)
        code = "tool_error" if result.is_error else None
        await self._record_call(caller, component, version, function, result.usage, code)
        result, artifacts = await extract_artifacts(self.blobs, caller.scope, result)
        return ToolCallView(
            content=result.content,
            structured=result.structured,
            is_error=result.is_error,
            usage=result.usage,
            log=result.log,
            artifacts=artifacts,
        )

    async def _record_call(
        self,
        caller: Caller,
        component: Component,
        version: ToolVersion,
        function: str,
        usage: ToolUsage | None,
        error_code: str | None,
    ) -> None:
        """A call by hand belongs to no execution: the log alone has it."""
        called = ToolCalledDirectly(
            tool=version.name, function=function, ok=error_code is None, **(resources(usage) if usage else {})
        )
        event = note(
            caller.scope,
            called,
            new_id("call"),
            actor=caller.actor,
            deployment_id=component.deployment_id,
            error_code=error_code,
            latency_ms=round(usage.wall_ms, 3) if usage else None,
        )
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))

    async def logs(self, caller: Caller, name: str, limit: int) -> list[ToolLogLine]:
        """The latest calls of a tool with what it logged, oldest first.

        Raises:
            NotFound: there is none of that name.
        """
        scope = caller.scope

        def read(transaction: Transaction) -> list[StepRecord]:
            _tool(transaction, scope, name)
            return transaction.tool_steps(scope, name, limit)

        steps = await self.records.read(read)
        return [line for step in reversed(steps) for line in _lines(step)]


def _tool(transaction: Transaction, scope: Scope, name: str) -> tuple[Component, ToolVersion]:
    component = transaction.component(scope, "tool", name)
    if component is None:
        similar = similar_names(name, [found.name for found in transaction.components(scope, "tool")])
        hints = [Hint(text=f'did you mean "{similar[0]}"?')] if similar else []
        raise NotFound(
            f'there is no tool "{name}"',
            *hints,
            Hint(text="see which tools there are", command="caxton tool list"),
            details={"tool": name, "similar": similar},
        )
    return component, transaction.tool_versions(scope, [component.digest])[component.digest]


def _view(component: Component, version: ToolVersion, statistics: CallStatistics | None) -> ToolView:
    manifest = version.manifest
    return ToolView(
        name=component.name,
        version=component.version,
        digest=component.digest,
        state=ToolState(component.state),
        reason=component.reason,
        description=manifest.description,
        form=manifest.form,
        functions=version.functions,
        limits=manifest.limits,
        permissions=manifest.permissions,
        deployment_id=component.deployment_id,
        updated_at=component.updated_at.isoformat(),
        statistics=statistics_view(statistics),
    )


def _lines(step: StepRecord) -> list[ToolLogLine]:
    assert step.created_at is not None
    call = ToolLogLine(
        at=step.created_at.isoformat(),
        execution_id=step.execution_id,
        agent=step.agent,
        function=step.function,
        ok=step.ok,
        error_code=step.error_code,
        duration_ms=step.duration_ms,
    )
    logged: list[str] = step.payload.get("log", [])
    return [call, *(call.model_copy(update={"line": line}) for line in logged)]
