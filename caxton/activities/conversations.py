"""Ending conversations."""

from temporalio import activity

from caxton.activities import journal
from caxton.domain.conversations import Conversation
from caxton.domain.events import Event
from caxton.domain.events.conversations import ConversationEnded
from caxton.domain.records import Records, Transaction
from caxton.workflows.conversation import END_CONVERSATION, EndInput


class ConversationActivities:
    """What conversations record besides their turns."""

    def __init__(self, records: Records) -> None:
        """Write to `records`."""
        self.records = records

    @activity.defn(name=END_CONVERSATION)
    async def end_conversation(self, request: EndInput) -> None:
        """Records that a conversation ended, and why. Doing it again changes nothing."""

        def end(transaction: Transaction) -> None:
            if not transaction.end_conversation(request.scope, request.conversation_id, request.reason):
                return
            present = transaction.conversation(request.scope, request.conversation_id)
            assert present is not None
            transaction.add_events(request.scope, [ended_event(request, present)])

        await self.records.write(end)


def ended_event(request: EndInput, present: Conversation) -> Event:
    """What the log tells of the end of a conversation."""
    ended = ConversationEnded(
        reason=request.reason,
        message_count=present.message_count,
        duration_ms=round((journal.now() - present.started_at).total_seconds() * 1000),
    )
    return journal.note(
        request.scope,
        ended,
        request.conversation_id,
        actor=request.actor,
        conversation_id=request.conversation_id,
        skill_id=present.capability,
    )
