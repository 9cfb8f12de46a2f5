"""What was deleted, and what is kept."""

from caxton.domain.ids import ConversationId
from caxton.views.view import View


class Deletion(View):
    """What was deleted."""

    conversation_id: ConversationId
    messages: int
    executions: int
    complete: bool
    """Whether memory, content and engine have nothing of it left. If not, the server goes on with that by itself."""
