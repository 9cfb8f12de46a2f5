"""Requests as the service admits them, for tests of what lies behind it."""

from caxton.domain.executions import Target, TurnRequest
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope, new_id
from caxton.domain.messages import Content


def turn_request(
    capability: str,
    text: str = "x",
    *,
    scope: Scope | None = None,
    conversation: str | None = None,
    key: str | None = None,
    fingerprint: str = "",
) -> TurnRequest:
    """A one-shot request, or a message of `conversation`; with `key` the same execution each time."""
    return TurnRequest(
        scope=scope or Scope(),
        conversation_id=ConversationId(conversation or new_id("c")),
        execution_id=ExecutionId(key or new_id("x")),
        message_id=MessageId(new_id("m")),
        content=Content(text=text, size=len(text)),
        target=Target(capability=capability),
        one_shot=conversation is None,
        fingerprint=fingerprint,
    )
