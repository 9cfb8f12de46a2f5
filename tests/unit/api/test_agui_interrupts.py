"""Interrupts of AG-UI are read by a person who decides: what deceives the eye is shown."""

from datetime import UTC, datetime

from caxton.api.agui.told import interrupt
from caxton.domain.governance import Approval
from caxton.domain.ids import ConversationId, ExecutionId
from caxton.domain.questions import QUESTION, Question, question_id


def test_a_question_shows_what_deceives_the_eye() -> None:
    form = {"type": "object", "properties": {"sum": {"type": "string", "title": "\u202e001"}}}
    question = Question(message="pay\u200b?", form=form, number=1)
    execution = ExecutionId("x_1")
    approval = Approval.model_construct(
        id=question_id(execution, 1, 1, 1),
        execution_id=execution,
        root_id=execution,
        conversation_id=ConversationId("c_1"),
        step=1,
        call=1,
        agent="clerk",
        action_type=QUESTION,
        name="shop.buy",
        content=question.text(),
        expires_at=datetime.now(UTC),
    )
    told = interrupt(approval)
    assert "\u200b" not in told["message"]
    assert "\u202e" not in told["responseSchema"]["properties"]["editedArgs"]["properties"]["sum"]["title"]
    assert told["message"].startswith("shop.buy asks a question: pay")
