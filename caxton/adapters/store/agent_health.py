"""Queries on agents that are not well."""

from sqlalchemy import select, union

from caxton.adapters.store.schema_breakers import agent_health, breakers
from caxton.adapters.store.session import Session, in_scope, scoped
from caxton.domain.agent_health import AgentHealth
from caxton.domain.breakers import BreakerKind
from caxton.domain.ids import Scope


class AgentHealthQueries(Session):
    """Agents that are not well."""

    def scopes_not_well(self) -> list[Scope]:
        """Workspaces of all customers in which an agent has failed lately, or something was done for one."""
        failed = select(breakers.c.customer, breakers.c.workspace).where(breakers.c.kind == BreakerKind.AGENT)
        dealt_with = select(agent_health.c.customer, agent_health.c.workspace)
        found = self.connection.execute(union(failed, dealt_with))
        return [Scope(customer=customer, workspace=workspace) for customer, workspace in found]

    def agents_not_well(self, scope: Scope) -> list[AgentHealth]:
        """Those of the workspace for which something was done lately."""
        query = select(agent_health.c.document).where(in_scope(agent_health, scope))
        return [AgentHealth.model_validate_json(text) for text in self.connection.execute(query).scalars()]

    def agent_health(self, scope: Scope, agent: str) -> AgentHealth | None:
        """One of them. With PostgreSQL nobody else changes it until the transaction ends."""
        query = select(agent_health.c.document).where(in_scope(agent_health, scope), agent_health.c.agent == agent)
        text = self.connection.execute(query.with_for_update()).scalar()
        return AgentHealth.model_validate_json(text) if text else None

    def put_agent_health(self, scope: Scope, health: AgentHealth) -> None:
        """Keeps what was done."""
        document = health.model_dump_json(exclude_defaults=True)
        is_it = (in_scope(agent_health, scope), agent_health.c.agent == health.agent)
        if not self.connection.execute(agent_health.update().where(*is_it).values(document=document)).rowcount:
            self.connection.execute(agent_health.insert(), scoped(scope, agent=health.agent, document=document))

    def remove_agent_health(self, scope: Scope, agent: str) -> bool:
        """Forgets it: the agent is well, or gone."""
        is_it = (in_scope(agent_health, scope), agent_health.c.agent == agent)
        return bool(self.connection.execute(agent_health.delete().where(*is_it)).rowcount)
