"""Taking away what was recorded of conversations. The event log is not touched: it holds no content."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Table, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import (
    approval_votes,
    approvals,
    content_uses,
    conversations,
    deadlines,
    executions,
    messages,
    steps,
    turns,
)
from caxton.adapters.store.schema_agent_states import agent_states
from caxton.adapters.store.schema_clients import client_tasks
from caxton.adapters.store.schema_rollouts import rehearsals
from caxton.adapters.store.session import Session, in_scope
from caxton.domain.ids import ConversationId, Digest, Scope
from caxton.domain.records import Removed

OF_EXECUTIONS = ("pressure", "breach", "escalation", "memory")
"""Kinds of deadlines that belong to an execution."""


class DeletionQueries(Session):
    """Removes rows, a bounded number at a time."""

    def size_of_conversation(self, scope: Scope, conversation_id: ConversationId) -> tuple[int, int]:
        """How many messages and executions there are of a conversation."""
        said, done = (
            self.connection.execute(
                select(func.count())
                .select_from(table)
                .where(in_scope(table, scope), table.c.conversation_id == conversation_id)
            ).scalar_one()
            for table in (messages, executions)
        )
        return said, done

    def remove_conversation(self, scope: Scope, conversation_id: ConversationId) -> bool:
        """Removes the conversation itself, and what agents keep for it, not yet what was said in it; False when there is none."""
        self._remove(agent_states, scope, "conversation_id", [conversation_id])
        own = (in_scope(conversations, scope), conversations.c.id == conversation_id)
        return bool(self.connection.execute(conversations.delete().where(*own)).rowcount)

    def remove_of_conversations(
        self, scope: Scope, ids: Sequence[ConversationId], before: datetime, limit: int
    ) -> Removed:
        """Removes executions of conversations with all that hangs on them, and messages: at most `limit` of each.

        Args:
            scope: whose they are.
            ids: the conversations.
            before: what is later belongs to a conversation that was started over under the same id, and stays.
            limit: how many executions, and twice as many messages, go at once.
        """
        moment = clock.from_datetime(before)
        of_executions = select(executions.c.id).where(
            in_scope(executions, scope), executions.c.conversation_id.in_(ids), executions.c.started_at <= moment
        )
        of_messages = select(messages.c.id).where(
            in_scope(messages, scope), messages.c.conversation_id.in_(ids), messages.c.created_at <= moment
        )
        gone = list(self.connection.execute(of_executions.limit(limit + 1)).scalars())
        said = list(self.connection.execute(of_messages.limit(limit * 2 + 1)).scalars())
        removed = self.remove_executions(scope, gone[:limit])
        self.remove_messages(scope, said[: limit * 2], removed)
        removed.more = len(gone) > limit or len(said) > limit * 2
        self.connection.execute(turns.delete().where(in_scope(turns, scope), turns.c.execution_id.in_(gone[:limit])))
        return removed

    def remove_executions(self, scope: Scope, ids: Sequence[str]) -> Removed:
        """Removes executions with their steps, approvals and deadlines."""
        removed = Removed()
        self.remove_steps(scope, ids, removed)
        asked = select(approvals.c.id).where(in_scope(approvals, scope), approvals.c.execution_id.in_(ids))
        votes = approval_votes.delete().where(in_scope(approval_votes, scope), approval_votes.c.approval_id.in_(asked))
        self.connection.execute(votes)
        self._remove(approvals, scope, "execution_id", ids)
        waiting = deadlines.delete().where(
            in_scope(deadlines, scope), deadlines.c.execution_id.in_(ids), deadlines.c.kind.in_(OF_EXECUTIONS)
        )
        remembering = select(deadlines.c.kind).where(
            in_scope(deadlines, scope), deadlines.c.execution_id.in_(ids), deadlines.c.kind == "memory"
        )
        removed.remembering = self.connection.execute(remembering.limit(1)).first() is not None
        self.connection.execute(waiting)
        self._remove(client_tasks, scope, "execution_id", ids)
        self._remove(rehearsals, scope, "execution_id", ids)
        removed.executions = self._remove(executions, scope, "id", ids)
        return removed

    def remove_steps(self, scope: Scope, ids: Sequence[str], removed: Removed) -> None:
        """Removes the steps of executions, and counts them in `removed`."""
        removed.digests |= self._used_by(scope, ids)
        removed.steps += self._remove(steps, scope, "execution_id", ids)

    def remove_messages(self, scope: Scope, ids: Sequence[str], removed: Removed) -> None:
        """Removes messages, and counts them in `removed`."""
        removed.digests |= self._used_by(scope, ids)
        removed.messages += self._remove(messages, scope, "id", ids)

    def _used_by(self, scope: Scope, owners: Sequence[str]) -> set[Digest]:
        query = select(content_uses.c.digest).where(in_scope(content_uses, scope), content_uses.c.owner.in_(owners))
        return set(map(Digest, self.connection.execute(query).scalars()))

    def _remove(self, table: Table, scope: Scope, column: str, values: Sequence[str]) -> int:
        if not values:
            return 0
        return self.connection.execute(
            table.delete().where(in_scope(table, scope), table.c[column].in_(values))
        ).rowcount
