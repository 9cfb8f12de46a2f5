"""Queries on what WebAssembly agents keep."""

from sqlalchemy import bindparam, select

from caxton.adapters.store.schema_agent_states import agent_states
from caxton.adapters.store.session import Session, from_json, given, in_scope, scope_given, scoped
from caxton.domain.agent_modules import AgentState
from caxton.domain.ids import ConversationId, Scope

PRUNED_EVERY = 16
"""Revisions after which older ones are removed at the latest: prepared writes only add."""

_LATEST = (
    select(agent_states.c.revision, agent_states.c.document)
    .where(
        scope_given(agent_states),
        agent_states.c.agent == bindparam("agent"),
        agent_states.c.conversation_id == bindparam("conversation_id"),
    )
    .order_by(agent_states.c.revision.desc())
    .limit(1)
)


class AgentStateQueries(Session):
    """What WebAssembly agents keep."""

    def agent_state(self, scope: Scope, agent: str, conversation_id: ConversationId | None) -> AgentState:
        """What the agent keeps for a conversation, or for all of them (None)."""
        key = given(scope, agent=agent, conversation_id=conversation_id or "")
        row = self.connection.execute(_LATEST, key).first()
        return AgentState() if row is None else AgentState(from_json(row.document), row.revision)

    def add_agent_state(
        self, scope: Scope, agent: str, conversation_id: ConversationId | None, state: AgentState
    ) -> None:
        """Keeps `state`, as the revision after the one that it was read as. If that is there already, the transaction fails."""
        revision, holder = state.revision + 1, conversation_id or ""
        if not self.prepared or revision % PRUNED_EVERY == 0:
            own = (
                in_scope(agent_states, scope),
                agent_states.c.agent == agent,
                agent_states.c.conversation_id == holder,
                agent_states.c.revision < state.revision,
            )
            self.connection.execute(agent_states.delete().where(*own))
        row = scoped(scope, agent=agent, conversation_id=holder, revision=revision, document=state.to_json())
        self.insert(agent_states, row)

    def remove_agent_state(self, scope: Scope, agent: str) -> None:
        """Removes what an agent that is undeployed keeps for all conversations; theirs goes with them."""
        own = in_scope(agent_states, scope), agent_states.c.agent == agent, agent_states.c.conversation_id == ""
        self.connection.execute(agent_states.delete().where(*own))
