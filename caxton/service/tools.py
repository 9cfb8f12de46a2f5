"""Tools: what is deployed, what it did, and calling it by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from caxton.domain.breakers import BreakerKind
from caxton.domain.errors import Hint, InvalidState, NotFound, ToolError, ToolSurfaceChanged, ToolUnavailable
from caxton.domain.events import Payload
from caxton.domain.events.system import ToolCalledDirectly
from caxton.domain.events.tools import ToolReleased
from caxton.domain.flow import FlowControl, FlowRules
from caxton.domain.grants import Asked, Missing, ToolGrant, for_any_call, missing
from caxton.domain.ids import Scope, new_id
from caxton.domain.ports import BlobStore, ToolSandbox
from caxton.domain.records import Component, Records, StepRecord, Transaction
from caxton.domain.surfaces import surface_of
from caxton.domain.tools import ToolLimits, ToolResult, ToolState, ToolVersion
from caxton.governance.breakers import CircuitBreakers
from caxton.observability.metrics import METRICS
from caxton.recording.journal import note
from caxton.routing.directory import Directory
from caxton.routing.similar import similar_names
from caxton.service.breakers import breaker_views
from caxton.service.call_statistics import CallStatistics
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.turns.artifacts import extract_artifacts
from caxton.turns.breaker_calls import count_violations, tool_breaker, tool_quarantined
from caxton.turns.flow_calls import direct_call
from caxton.turns.tool_events import EXCEEDED, declined_told, limit_told, resources, surface_told
from caxton.turns.tool_rights import refusals_told, take_rights
from caxton.views.statistics import Statistics
from caxton.views.tools import ToolCallResult, ToolLogLine, ToolView


class Tools:
    """Use cases on tools."""

    def __init__(
        self,
        records: Records,
        blobs: BlobStore,
        sandbox: ToolSandbox,
        directory: Directory,
        base_limits: ToolLimits,
        flow: FlowControl,
        flow_rules: FlowRules,
        statistics: CallStatistics,
        breakers: CircuitBreakers,
    ) -> None:
        """Join what tools need.

        Args:
            records: what is deployed, and the log.
            blobs: their files, and those that they make.
            sandbox: runs them.
            directory: what is granted to them.
            base_limits: what each may use without a grant.
            flow: lets calls begin when it is their turn.
            flow_rules: the limits that the server's settings name.
            statistics: how calls of them went.
            breakers: know which of them keep failing and rest.
        """
        self.breakers = breakers
        self.flow = flow
        self.flow_rules = flow_rules
        self.directory = directory
        self.base_limits = base_limits
        self.records = records
        self.statistics = statistics
        self.blobs = blobs
        self.sandbox = sandbox

    async def list_tools(self, caller: Caller) -> list[ToolView]:
        """All tools of the workspace."""
        scope = caller.scope
        statistics = await self.statistics.of_tools(scope)

        def read(transaction: Transaction) -> list[ToolView]:
            components = transaction.components(scope, "tool")
            versions = transaction.tool_versions(scope, [component.digest for component in components])
            grants = self.directory.registry(transaction, scope).grants
            breakers = breaker_views(transaction, scope, BreakerKind.TOOL)
            views = [
                _view(c, versions[c.digest], statistics.get(c.name), self._lacking(versions[c.digest], grants))
                for c in components
            ]
            return [view.model_copy(update={"breaker": breakers.get(view.name)}) for view in views]

        return await self.records.read(read)

    async def show(self, caller: Caller, name: str) -> ToolView:
        """One tool.

        Raises:
            NotFound: there is none of that name.
        """
        scope = caller.scope
        statistics = await self.statistics.of_tools(scope, [name])

        def read(transaction: Transaction) -> ToolView:
            component, version = find_tool(transaction, scope, name)
            lacking = self._lacking(version, self.directory.registry(transaction, scope).grants)
            breaker = breaker_views(transaction, scope, BreakerKind.TOOL).get(name)
            return _view(component, version, statistics.get(name), lacking).model_copy(update={"breaker": breaker})

        return await self.records.read(read)

    def _lacking(self, version: ToolVersion, grants: Mapping[str, Sequence[ToolGrant]]) -> Missing:
        rights = for_any_call(grants.get(version.name, ()), datetime.now(UTC), version.digest)
        return missing(version.manifest, rights, self.base_limits)

    async def call(self, caller: Caller, name: str, function: str, arguments: dict[str, Any]) -> ToolCallResult:
        """Calls a function by hand, under the tool's own limits and permissions.

        Raises:
            NotFound: there is no such tool or function.
            ToolError: the call failed; a subclass says how.
        """
        (component, version), grants = await self.records.read(
            lambda tx: (find_tool(tx, caller.scope, name), self.directory.registry(tx, caller.scope).grants)
        )
        if component.suspended is not None:
            raise tool_quarantined(name, component.suspended)
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
        await request_change(self.records, caller, "tool.call", f"{name}.{function}")
        call_id = new_id("call")
        asked = Asked(version.manifest, version.digest, function, arguments, (None,))
        granted = grants.get(name, ())
        rights = await take_rights(
            self.records, caller.scope, asked, granted, self.base_limits, call_id, actor=caller.actor
        )
        try:
            limited = direct_call(self.flow_rules, caller.scope, call_id, version.manifest)
            async with (
                tool_breaker(self.breakers, caller.scope, version.manifest, call_id),
                self.flow.place(limited, may_queue=False),
            ):
                result = await self.sandbox.call(
                    caller.scope.customer,
                    version,
                    function,
                    arguments,
                    workspace=caller.scope.workspace,
                    rights=rights,
                )
        except ToolError as error:
            count_violations(self.breakers, caller.scope, version.manifest, call_id, error, error.refused)
            METRICS.tool_call(name, error.code, None)
            await self._record_call(caller, component, version, function, call_id, error)
            raise
        count_violations(self.breakers, caller.scope, version.manifest, call_id, None, result.refused)
        METRICS.tool_call(name, "tool_error" if result.is_error else "ok", result.usage)
        await self._record_call(caller, component, version, function, call_id, result)
        result, artifacts, _ = await extract_artifacts(self.blobs, caller.scope, result)
        if artifacts:
            made = [artifact.digest for artifact in artifacts]
            await self.records.write(lambda transaction: transaction.add_contents(caller.scope, made))
        return ToolCallResult(
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
        call_id: str,
        outcome: ToolResult | ToolError,
    ) -> None:
        """A call by hand belongs to no execution: the log alone has it."""
        usage, refused = outcome.usage, outcome.refused
        error_code = outcome.code if isinstance(outcome, ToolError) else "tool_error" if outcome.is_error else None
        told: list[Payload] = []
        if refused:
            told.append(refusals_told(version.name, function, refused))
        if isinstance(outcome, ToolError) and outcome.code in EXCEEDED:
            told.append(limit_told(version.name, function, outcome.report()))
        if isinstance(outcome, ToolSurfaceChanged):
            told.append(surface_told(version.name, function, outcome.report()))
        if isinstance(outcome, ToolResult) and outcome.declined:
            told.append(declined_told(version.name, function, outcome))
        called = ToolCalledDirectly(
            tool=version.name, function=function, ok=error_code is None, **(resources(usage) if usage else {})
        )
        told.append(called)
        events = [
            note(
                caller.scope,
                payload,
                call_id,
                actor=caller.actor,
                deployment_id=component.deployment_id,
                error_code=error_code,
                latency_ms=round(usage.wall_ms, 3) if usage and payload is called else None,
            )
            for payload in told
        ]
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, events))

    async def release(self, caller: Caller, name: str, reason: str) -> ToolView:
        """Lets a quarantined tool take calls again.

        Raises:
            NotFound: there is none of that name.
            InvalidState: it is not quarantined.
        """
        scope = caller.scope

        def lift(transaction: Transaction) -> None:
            component, _ = find_tool(transaction, scope, name)
            if not transaction.suspend_component(scope, "tool", name, None):
                raise InvalidState(f'tool "{name}" is not quarantined', details={"tool": name})
            told = ToolReleased(tool=name, reason=reason)
            now = datetime.now(UTC).isoformat()
            event = note(scope, told, name, now, actor=caller.actor, deployment_id=component.deployment_id)
            transaction.add_events(scope, [event])

        await self.records.write(lift)
        return await self.show(caller, name)

    async def logs(self, caller: Caller, name: str, limit: int) -> list[ToolLogLine]:
        """The latest calls of a tool with what it logged, oldest first.

        Raises:
            NotFound: there is none of that name.
        """
        scope = caller.scope

        def read(transaction: Transaction) -> list[StepRecord]:
            find_tool(transaction, scope, name)
            return transaction.tool_steps(scope, name, limit)

        steps = await self.records.read(read)
        return [line for step in reversed(steps) for line in _lines(step)]


def find_tool(transaction: Transaction, scope: Scope, name: str) -> tuple[Component, ToolVersion]:
    """The tool of that name as it is deployed.

    Raises:
        NotFound: there is none.
    """
    component = transaction.component(scope, "tool", name)
    if component is None:
        similar = similar_names(name, [found.name for found in transaction.components(scope, "tool")])
        hints = [Hint(text=f'did you mean "{similar[0]}"?')] if similar else []
        if transaction.component(scope, "agent", name) is not None:
            hints = [Hint(text=f'"{name}" is an agent', command=f"caxton agent show {name}")]
        raise NotFound(
            f'there is no tool "{name}"',
            *hints,
            Hint(text="see which tools there are", command="caxton tool list"),
            details={"tool": name, "similar": similar},
        )
    return component, transaction.tool_versions(scope, [component.digest])[component.digest]


def _view(component: Component, version: ToolVersion, statistics: Statistics | None, lacking: Missing) -> ToolView:
    manifest = version.manifest
    return ToolView(
        name=component.name,
        version=component.version,
        digest=component.digest,
        state=ToolState(component.state),
        reason=component.reason,
        quarantined=component.suspended,
        description=manifest.description,
        form=manifest.kind,
        sandboxed=manifest.is_sandboxed,
        server=manifest.unsandboxed,
        surface=surface_of(version.functions) if manifest.mcp_server else None,
        functions=version.functions,
        limits=manifest.limits.model_dump(mode="json"),
        permissions=manifest.requested.model_dump(mode="json"),
        ungranted=lacking.told(),
        grant=lacking.command(component.name) if lacking else None,
        deployment_id=component.deployment_id,
        updated_at=component.updated_at,
        statistics=statistics,
    )


def _lines(step: StepRecord) -> list[ToolLogLine]:
    assert step.created_at is not None
    call = ToolLogLine(
        at=step.created_at,
        execution_id=step.execution_id,
        agent=step.agent,
        function=step.function,
        ok=step.ok,
        error_code=step.error_code,
        duration_ms=step.duration_ms,
    )
    logged: list[str] = step.payload.get("log", [])
    return [call, *(call.model_copy(update={"line": line}) for line in logged)]
