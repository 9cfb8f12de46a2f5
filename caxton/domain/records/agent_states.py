"""The records port: what WebAssembly agents keep."""

from typing import Protocol

from caxton.domain.agent_modules import AgentState
from caxton.domain.ids import ConversationId, Scope


class AgentStateRecords(Protocol):
    """What WebAssembly agents keep, each for a conversation or for all of them (None)."""

    def agent_state(self, scope: Scope, agent: str, conversation_id: ConversationId | None) -> AgentState: ...
    def add_agent_state(
        self, scope: Scope, agent: str, conversation_id: ConversationId | None, state: AgentState
    ) -> None: ...
    def remove_agent_state(self, scope: Scope, agent: str) -> None: ...
