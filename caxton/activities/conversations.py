"""Ending conversations."""

from temporalio import activity

from caxton.domain.conversations import ENDED, IDLE_TIMEOUT, Conversation
from caxton.domain.events import Event
from caxton.domain.events.conversations import ConversationEnded
from caxton.domain.records import Records, Transaction
from caxton.recording import journal
from caxton.workflows.conversation import END_CONVERSATION, EndInput, EndResult

TURN_POLL = 0.05
"""Seconds between looks at a turn that the end of its conversation waits for."""

TURN_OF_SILENT = 1.0
"""The same where the conversation would expire: nobody waits for that."""


class ConversationActivities:
    """What conversations record besides their turns."""

    def __init__(self, records: Records) -> None:
        """Write to `records`."""
        self.records = records

    @activity.defn(name=END_CONVERSATION)
    async def end_conversation(self, request: EndInput) -> EndResult:
        """Records that a conversation ended, and why; or says when to try again. Doing it again changes nothing."""

        def end(transaction: Transaction) -> EndResult:
            present = transaction.conversation(request.scope, request.conversation_id)
            wait = _too_early(transaction, request, present) if present else 0.0
            if not wait and transaction.end_conversation(request.scope, request.conversation_id, request.reason):
                assert present is not None
                transaction.add_events(request.scope, [ended_event(request, present)])
            return EndResult(wait=wait)

        return await self.records.write(end)


def _too_early(transaction: Transaction, request: EndInput, present: Conversation) -> float:
    """Seconds to wait before the conversation may end: for its silence to be long enough, or for a turn in progress."""
    if present.state in ENDED:
        return 0.0
    if request.if_silent:
        allowed = float(present.metadata.get("idle_timeout", IDLE_TIMEOUT))
        silent = (journal.now() - present.last_activity).total_seconds()
        if silent < allowed:
            return allowed - silent
    if transaction.turns_waiting(request.scope, [request.conversation_id]):
        return TURN_OF_SILENT if request.if_silent else TURN_POLL
    return 0.0


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
        origin=request.origin,
        conversation_id=request.conversation_id,
        skill_id=present.capability,
    )
