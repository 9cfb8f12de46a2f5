"""Results of deletions."""

from caxton.domain.ids import ConversationId
from caxton.views.view import View


class Deletion(View):
    """The result of a deletion."""

    conversation_id: ConversationId
    messages: int
    executions: int
    complete: bool
    """True if memory, content and engine have nothing of it left. Otherwise the server continues in the background."""
