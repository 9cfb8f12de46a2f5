"""Requests that nobody types: those of schedules and of triggers, accepted like any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caxton.domain.agents import AgentVersion
from caxton.domain.costly_work import COSTLY_WORK
from caxton.domain.errors import AllAgentsUnavailable
from caxton.domain.executions import Target, TurnView
from caxton.domain.ids import ConversationId, ExecutionId, Scope, id_near
from caxton.domain.ports import TemplateEngine
from caxton.domain.records import Records, Transaction
from caxton.service.context import Caller
from caxton.service.turns import Ask, Turns


@dataclass(frozen=True, slots=True)
class AutomaticRequest:
    """What is asked of an agent, and on whose account."""

    scope: Scope
    agent: str
    execution_id: ExecutionId
    channel: str
    """How it came: "schedule" or "webhook"."""
    name: str
    """Of the schedule or the trigger."""
    capability: str | None
    content: str
    """A template."""
    seen: Mapping[str, Any]
    """What it sees besides `parameters`, `variables` and `agent`."""
    variables: dict[str, Any]
    requester: str | None = None
    """The person who asked for it to be sent now, who is then the one who asked for the work; None: nobody did."""


class AutomaticRequests:
    """Has requests accepted."""

    def __init__(self, records: Records, templates: TemplateEngine, turns: Turns) -> None:
        """Have `turns` accept what `templates` make of agents in `records`."""
        self.records = records
        self.templates = templates
        self.turns = turns

    async def is_known(self, scope: Scope, execution_id: ExecutionId, event_id: str | None = None) -> bool:
        """Whether the request was accepted before; with `event_id` also if the log has that event."""

        def read(transaction: Transaction) -> bool:
            ids = [execution_id]
            known = transaction.executions(scope, ids) or transaction.turns_in_hand(scope, ids)
            return bool(known) or (event_id is not None and transaction.event(scope.customer, event_id) is not None)

        return await self.records.read(read)

    async def send(self, request: AutomaticRequest, *, wait: float | None = None) -> TurnView:
        """Has a request accepted, and waits up to `wait` seconds for its reply (not at all for None).

        Raises:
            CaxtonError: it was refused, or its template cannot be rendered; nothing was accepted.
        """
        agent = await self.records.read(lambda transaction: _version(transaction, request))
        content = await self._content(request, agent)
        caller = Caller(
            scope=request.scope, role="", key_id="", name=f"{request.agent}/{request.name}", channel=request.channel
        )
        ask = Ask(Target(agent=request.agent, capability=request.capability), content, variables=request.variables)
        conversation_id = ConversationId(id_near("c", request.execution_id))
        made = await self.turns.request(caller, ask, request.execution_id, conversation_id, one_shot=True)
        made = made.model_copy(update={"requester": request.requester or f"{request.channel}:{caller.name}"})
        return await self.turns.submit(made, wait=wait)

    async def judge(self, scope: Scope, capability: str, content: str, execution_id: ExecutionId) -> None:
        """Has a capability asked to judge a reply, for a rollout. Nobody waits for what it says.

        Raises:
            CaxtonError: it was refused; nothing was accepted.
        """
        caller = Caller(scope=scope, role="", key_id="", name="rollout", channel="rollout")
        conversation_id = ConversationId(id_near("c", execution_id))
        ask = Ask(Target(capability=capability), content)
        made = await self.turns.request(caller, ask, execution_id, conversation_id, one_shot=True)
        await self.turns.submit(made.model_copy(update={"requester": "system:rollout"}), wait=None)

    async def _content(self, request: AutomaticRequest, agent: AgentVersion) -> str:
        if "{" not in request.content:
            return request.content
        variables: dict[str, Any] = {
            **request.seen,
            "parameters": agent.spec.parameters,
            "variables": request.variables,
            "agent": {"name": agent.name, "version": agent.spec.version, "description": agent.spec.description},
        }
        async with COSTLY_WORK.lane(request.scope.customer, agent.digest):
            with self.templates.new_budget():
                return self.templates.render(request.content, variables)


def _version(transaction: Transaction, request: AutomaticRequest) -> AgentVersion:
    component = transaction.component(request.scope, "agent", request.agent)
    if component is None:
        raise AllAgentsUnavailable(f'agent "{request.agent}" is no longer deployed', details={"agent": request.agent})
    return transaction.agent_versions(request.scope, [component.digest])[component.digest]
