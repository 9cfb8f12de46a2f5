"""Agents: what is deployed, in which state, and how it does."""

import time
from datetime import datetime
from typing import Any

from temporalio.common import WorkflowIDConflictPolicy

from caxton.domain.agents import AgentState, AgentVersion, Capability
from caxton.domain.breakers import BreakerKind
from caxton.domain.errors import CaxtonError, Hint, InvalidState, NotFound
from caxton.domain.events.conversations import SkillsDiscovered
from caxton.domain.events.deployments import DeploymentResumed
from caxton.domain.ids import Digest, Scope
from caxton.domain.origin import current_origin
from caxton.domain.ports import ModelGateway
from caxton.domain.records import Component, Records, Transaction
from caxton.recording import journal
from caxton.routing import index as routing
from caxton.routing.directory import Directory
from caxton.routing.index import CapabilityIndex
from caxton.routing.similar import similar_names
from caxton.service.breakers import breaker_views
from caxton.service.call_statistics import CallStatistics
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.engine import Engine
from caxton.service.tallies import Tallies
from caxton.views.agents import AgentView, CapabilityView, ComponentView, ModelChoice, Provider
from caxton.views.breakers import BreakerView
from caxton.views.statistics import Statistics
from caxton.workflows.agent import (
    DEFAULT_GRACE,
    AgentInput,
    AgentStatus,
    AgentWorkflow,
    StartRequest,
    StopRequest,
)
from caxton.workflows.names import agent_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT

MOST_OFFERING = 3
"""Agents that are named to who asks for a capability as if it were an agent."""


class Agents:
    """Use cases on agents and capabilities."""

    def __init__(
        self,
        records: Records,
        models: ModelGateway,
        directory: Directory,
        engine: Engine,
        statistics: CallStatistics,
        tallies: Tallies | None = None,
    ) -> None:
        """Join what agents need; `statistics` say how calls of them went, `tallies` counts who looked."""
        self.tallies = tallies
        self.records = records
        self.models = models
        self.directory = directory
        self.engine = engine
        self.statistics = statistics

    async def list_agents(self, caller: Caller) -> list[AgentView]:
        """All agents of the workspace."""
        scope = caller.scope
        statistics = await self.statistics.of_agents(scope)

        def read(transaction: Transaction) -> list[AgentView]:
            components = transaction.components(scope, "agent")
            versions = transaction.agent_versions(scope, [component.digest for component in components])
            work, breakers = transaction.work_in_hand(scope), breaker_views(transaction, scope, BreakerKind.AGENT)
            return [
                self._view(
                    component,
                    versions[component.digest],
                    statistics.get(component.name),
                    work,
                    breakers.get(component.name),
                )
                for component in components
            ]

        return await self.records.read(read)

    async def show(self, caller: Caller, name: str) -> AgentView:
        """One agent, with its documentation and limits.

        Raises:
            NotFound: there is none of that name.
        """
        return await self._show(caller.scope, name, follow=True)

    async def _show(self, scope: Scope, name: str, *, follow: bool) -> AgentView:
        statistics = await self.statistics.of_agents(scope, [name], follow=follow)

        def read(transaction: Transaction) -> AgentView:
            component = self._component(transaction, scope, name)
            version = transaction.agent_versions(scope, [component.digest])[component.digest]
            breaker = breaker_views(transaction, scope, BreakerKind.AGENT).get(name)
            view = self._view(component, version, statistics.get(name), transaction.work_in_hand(scope), breaker)
            return view.model_copy(
                update={
                    "documentation": version.spec.documentation,
                    "limits": version.spec.limits.model_dump(mode="json"),
                    "wasm": _component(version),
                }
            )

        return await self.records.read(read)

    async def start(self, caller: Caller, name: str) -> AgentView:
        """Starts an agent."""
        return await self._command(caller, name, "start", None)

    async def stop(self, caller: Caller, name: str, grace: float | None) -> AgentView:
        """Stops an agent; work in progress gets `grace` seconds."""
        return await self._command(caller, name, "stop", grace)

    async def restart(self, caller: Caller, name: str, grace: float | None) -> AgentView:
        """Stops and starts an agent."""
        return await self._command(caller, name, "restart", grace)

    async def resume(self, caller: Caller, name: str, reason: str) -> AgentView:
        """Lets a suspended agent take work again.

        Raises:
            NotFound: there is none of that name.
            InvalidState: it is not suspended.
        """
        scope = caller.scope

        def lift(transaction: Transaction) -> None:
            component = self._component(transaction, scope, name)
            if component.suspended is None:
                raise InvalidState(f'agent "{name}" is not suspended', details={"agent": name})
            transaction.suspend_component(scope, "agent", name, None)
            resumed = journal.note(
                scope,
                DeploymentResumed(name=name, reason=reason),
                name,
                journal.now().isoformat(),
                actor=caller.actor,
                agent=name,
                deployment_id=component.deployment_id,
            )
            transaction.add_events(scope, [resumed])

        await self.records.write(lift)
        return await self.show(caller, name)

    async def capabilities(self, caller: Caller, query: str | None) -> list[CapabilityView]:
        """What can be asked for; with `query`, what it resembles by name or description."""
        scope = caller.scope

        started = time.perf_counter()
        index = await self.records.read(lambda transaction: self.directory.registry(transaction, scope).index)
        statistics = await self.statistics.of_capabilities(scope)
        offers = _Offers(index)
        names = _matching(index, offers, query) if query else index.capabilities
        took = round((time.perf_counter() - started) * 1000, 3)

        def discovered(count: int, _first: datetime, _last: datetime) -> SkillsDiscovered:
            return SkillsDiscovered(
                capability_filter=query, discovered=names[:100], count=len(names), query_time_ms=took, times=count
            )

        if self.tallies is not None and self.tallies.read(caller, "capabilities", discovered):
            await self.tallies.soon()
        return [_capability(offers, name, index.providers[name], statistics.get(name)) for name in names]

    async def offered(self, caller: Caller, name: str) -> Capability:
        """The newest version of a capability as its first provider offers it; nobody counts that as looking around.

        Raises:
            NotFound: nobody offers it.
        """
        index = await self.records.read(lambda transaction: self.directory.registry(transaction, caller.scope).index)
        providers = index.providers.get(name, ())
        found = _Offers(index)(providers[0].agent, name) if providers else None
        if found is None:
            similar = similar_names(name, index.providers)
            raise NotFound(
                f'nobody offers the capability "{name[:100]}"',
                *(Hint(text=f'did you mean "{each}"?') for each in similar[:1]),
                Hint(text="see what is offered", command="caxton capabilities"),
                details={"capability": name[:100], "similar": similar},
            )
        return found

    async def notify(self, scope: Scope, name: str, digest: Digest | None) -> None:
        """Tells an agent's lifecycle workflow that it was deployed (`digest`) or removed (None)."""
        await self.engine.client.start_workflow(
            AgentWorkflow.run,
            AgentInput(scope=scope, name=name, digest=digest or Digest(""), state=AgentState.RUNNING),
            id=agent_workflow_id(scope, name),
            task_queue=self.engine.task_queue,
            task_timeout=TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search_attributes(scope, agent=name, state=AgentState.RUNNING),
            static_summary=f"lifecycle of {name}",
            start_signal="deployed" if digest else "removed",
            start_signal_args=[digest] if digest else [],
        )

    async def look_after(self, scope: Scope, name: str, command: str, grace: float, reason: str | None) -> None:
        """Restarts or stops an agent that is not well; `reason` says why it is stopped.

        Raises:
            CaxtonError: it could not be started again.
        """
        component = await self.records.read(lambda transaction: self._component(transaction, scope, name))
        await self._change(scope, component, command, StopRequest(grace=grace, reason=reason))

    async def _command(self, caller: Caller, name: str, command: str, grace: float | None) -> AgentView:
        scope = caller.scope
        component = await self.records.read(lambda transaction: self._component(transaction, scope, name))
        request = StartRequest(actor=caller.actor, origin=current_origin())
        if command != "start":
            request = StopRequest(
                actor=caller.actor, origin=current_origin(), grace=DEFAULT_GRACE if grace is None else grace
            )

        await request_change(self.records, caller, f"agent.{command}", name, before=component.state)
        await self._change(scope, component, command, request)
        return await self._show(scope, name, follow=False)  # whoever starts an agent does not wait for statistics

    async def _change(self, scope: Scope, component: Component, command: str, request: StartRequest) -> None:
        from temporalio.client import WithStartWorkflowOperation

        name = component.name

        async def update() -> AgentStatus:
            start = WithStartWorkflowOperation(
                AgentWorkflow.run,
                AgentInput(scope=scope, name=name, digest=component.digest, state=AgentState(component.state)),
                id=agent_workflow_id(scope, name),
                task_queue=self.engine.task_queue,
                task_timeout=TASK_TIMEOUT,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=search_attributes(scope, agent=name, state=component.state),
                static_summary=f"lifecycle of {name}",
            )
            return await self.engine.client.execute_update_with_start_workflow(
                command, request, start_workflow_operation=start, result_type=AgentStatus
            )

        await self.engine.call(update)

    def _component(self, transaction: Transaction, scope: Scope, name: str) -> Component:
        found = transaction.component(scope, "agent", name)
        if found is not None:
            return found
        names = [component.name for component in transaction.components(scope, "agent")]
        similar = similar_names(name, names)
        offering = self.directory.registry(transaction, scope).index.providers.get(name, ())
        if offering:
            similar = sorted({provider.agent for provider in offering})[:MOST_OFFERING]
            hint = [
                Hint(text=f'"{name}" is a capability; offered by {each}', command=f"caxton agent show {each}")
                for each in similar
            ]
        elif transaction.component(scope, "tool", name) is not None:
            hint = [Hint(text=f'"{name}" is a tool', command=f"caxton tool show {name}")]
        else:
            hint = [Hint(text=f'did you mean "{similar[0]}"?')] if similar else []
        raise NotFound(
            f'there is no agent "{name}"',
            *hint,
            Hint(text="see which agents there are", command="caxton agent list"),
            details={"agent": name, "similar": similar},
        )

    def _view(
        self,
        component: Component,
        version: AgentVersion,
        statistics: Statistics | None,
        work: dict[str, int],
        breaker: BreakerView | None,
    ) -> AgentView:
        spec = version.spec
        return AgentView(
            name=component.name,
            version=component.version,
            digest=component.digest,
            state=AgentState(component.state),
            reason=component.reason,
            suspended=component.suspended,
            description=spec.description,
            capabilities=spec.capabilities,
            tools=spec.tools,
            delegates=[str(request) for request in spec.delegates],
            model=self._model(version),
            deployment_id=component.deployment_id,
            updated_at=component.updated_at,
            statistics=statistics,
            breaker=breaker,
            running=work.get(component.name, 0),
        )

    def _model(self, version: AgentVersion) -> ModelChoice:
        try:
            resolved = list(self.models.resolve(version))
        except CaxtonError as error:
            return ModelChoice(configured=version.spec.models, resolved=[], scripted=False, warning=error.message)
        scripted = resolved[:1] == ["scripted"]
        note = warning = None
        if unusable := self.models.unusable(version):
            instead = "The agent's script" if scripted else resolved[0]
            warning = f"{'; '.join(why for _, why in unusable)}. {instead} answers instead"
        elif scripted and version.spec.models == ["auto"]:
            note = "no model is configured, so the agent's script answers"
        return ModelChoice(
            configured=version.spec.models, resolved=resolved, scripted=scripted, note=note, warning=warning
        )


def _component(version: AgentVersion) -> ComponentView | None:
    wasm = version.spec.wasm
    return None if wasm is None else ComponentView.model_validate(wasm.model_dump(mode="json"))


class _Offers:
    """What agents offer, by name: an agent may offer a hundred capabilities."""

    def __init__(self, index: CapabilityIndex) -> None:
        self._index = index
        self._of = dict[str, dict[str, Capability]]()

    def __call__(self, agent: str, name: str) -> Capability | None:
        known = self._of.get(agent)
        if known is None:
            offered = self._index.agents[agent].spec.capabilities
            known = self._of[agent] = {each.name: each for each in reversed(offered)}
        return known.get(name)


def _matching(index: CapabilityIndex, offers: _Offers, query: str) -> list[str]:
    wanted = query.lower()
    found: list[str] = []
    for name in index.capabilities:
        described = " ".join(
            offered.description
            for provider in index.providers[name]
            if (offered := offers(provider.agent, name)) is not None
        )
        if wanted in name or wanted in described.lower():
            found.append(name)
    return found or similar_names(query, index.providers, limit=10)


def _capability(
    offers: _Offers, name: str, providers: tuple[routing.Provider, ...], statistics: Statistics | None
) -> CapabilityView:
    offered = offers(providers[0].agent, name)

    def schemas(agent: str) -> dict[str, Any]:
        own = offers(agent, name)
        return {"input": own.input_schema, "output": own.output_schema} if own else {}

    return CapabilityView(
        name=name,
        versions=list(dict.fromkeys(provider.version for provider in providers)),
        description=offered.description if offered else "",
        providers=[
            Provider(agent=provider.agent, version=provider.version, state=provider.state, **schemas(provider.agent))
            for provider in providers
        ],
        **schemas(providers[0].agent),
        statistics=statistics,
    )
