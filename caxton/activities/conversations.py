"""Ending conversations."""

from temporalio import activity

from caxton.activities import journal
from caxton.domain import events
from caxton.domain.events import Event, event_id
from caxton.domain.records import Records, Transaction
from caxton.observability.tracing import current_trace
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
            moment = journal.now()
            ended = Event(
                event_id=event_id(events.CONVERSATION_ENDED, request.scope.workspace, request.conversation_id),
                event_type=events.CONVERSATION_ENDED,
                timestamp=moment,
                customer_id=request.scope.customer,
                workspace=request.scope.workspace,
                actor=request.actor,
                conversation_id=request.conversation_id,
                payload={
                    "reason": request.reason,
                    "message_count": present.message_count,
                    "duration_ms": round((moment - present.started_at).total_seconds() * 1000),
                },
                trace_id=current_trace()[0],
            )
            transaction.add_events(request.scope, [ended])

        await self.records.write(end)
