"""Activities of an agent's lifecycle."""

from temporalio import activity

from caxton.domain.agents import AgentState
from caxton.domain.errors import NotFound, ToolUnavailable
from caxton.domain.events import Payload
from caxton.domain.events.deployments import AgentActive, AgentStateChanged, AgentStopped
from caxton.domain.ports import ModelGateway
from caxton.domain.records import Records, Transaction
from caxton.recording import journal
from caxton.routing.directory import Directory
from caxton.workflows.agent import COUNT_WORK_IN_HAND, LOAD_AGENT, PROJECT_AGENT_STATE, AgentChange, AgentInput


class AgentActivities:
    """Loads agents, and shows their state to routers."""

    def __init__(self, records: Records, models: ModelGateway, directory: Directory) -> None:
        """Work on `records`; `models` and `directory` tell whether an agent could work."""
        self.records = records
        self.models = models
        self.directory = directory

    @activity.defn(name=LOAD_AGENT)
    async def load_agent(self, agent: AgentInput) -> None:
        """Checks that the agent can work: its version exists, its model is configured, its tools run.

        Raises:
            NotFound: the version does not exist.
            ModelNotConfigured: no model of its list can be used.
            ToolUnavailable: a tool of its allowlist is not running.
        """

        def check(transaction: Transaction) -> None:
            version = transaction.agent_versions(agent.scope, [agent.digest]).get(agent.digest)
            if version is None:
                raise NotFound(f'agent "{agent.name}" has no version {agent.digest[:12]}')
            self.models.resolve(version)
            registry = self.directory.registry(transaction, agent.scope)
            for allowed in version.spec.tools:
                tool = allowed.partition(".")[0]
                # One in quarantine is only one that the agent does without for a while.
                if registry.running_tool(tool) is None and tool not in registry.quarantined:
                    raise ToolUnavailable(f'tool "{tool}" of agent "{agent.name}" is not running')

        await self.records.read(check)

    @activity.defn(name=PROJECT_AGENT_STATE)
    async def project_agent_state(self, change: AgentChange) -> None:
        """Shows the agent's state in the registry, with its event."""

        def show(transaction: Transaction) -> None:
            component = transaction.component(change.scope, "agent", change.name)
            if component is None or (component.state == change.state and component.reason == change.reason):
                return
            transaction.set_component_state(change.scope, "agent", change.name, change.state, change.reason)
            moment = journal.now().isoformat()
            told: list[Payload] = [
                AgentStateChanged(name=change.name, before=change.before, state=change.state, reason=change.reason)
            ]
            version = transaction.agent_versions(change.scope, [component.digest]).get(component.digest)
            if change.state is AgentState.RUNNING and version is not None:
                told.append(
                    AgentActive(
                        name=change.name,
                        version=component.version,
                        digest=component.digest,
                        capabilities=[{"name": c.name, "version": c.version} for c in version.spec.capabilities],
                        tools=version.spec.tools,
                        model=version.spec.models,
                    )
                )
            elif change.state is AgentState.STOPPED:
                reason = change.reason or "stopped by an operator"
                told.append(AgentStopped(name=change.name, reason=reason, graceful=change.reason is None))
            notes = [
                journal.note(
                    change.scope,
                    payload,
                    change.name,
                    change.state,
                    moment,
                    actor=change.actor,
                    origin=change.origin,
                    agent=change.name,
                    deployment_id=component.deployment_id,
                )
                for payload in told
            ]
            transaction.add_events(change.scope, notes)

        await self.records.write(show)

    @activity.defn(name=COUNT_WORK_IN_HAND)
    async def count_work_in_hand(self, agent: AgentInput) -> int:
        """How many executions the agent has begun and not ended."""
        work = await self.records.read(lambda transaction: transaction.work_in_hand(agent.scope))
        return work.get(agent.name, 0)
