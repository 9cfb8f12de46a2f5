"""Questions that a tool's MCP server asks during a call: each is an approval, and the call is made again with the answers."""

from collections.abc import Mapping
from typing import Any, Final

from caxton.domain.agents import AgentVersion
from caxton.domain.events.governance import ApprovalRequested
from caxton.domain.executions import Plan, StepInput, StepResult
from caxton.domain.governance import Approval, ApprovalMode, ApprovalState
from caxton.domain.questions import MOST_QUESTIONS, QUESTION, Answer, Question, question_id
from caxton.domain.records import Transaction
from caxton.domain.tools import ToolResult, ToolVersion
from caxton.recording.contents import hash_of
from caxton.turns.approvals import notes_on, status_of, waiting

_SAID: Final = {
    ApprovalState.GRANTED: "accept",
    ApprovalState.REJECTED: "decline",
}
"""What the server is told; that nobody has decided is a "cancel"."""


class Questions:
    """The questions of one call."""

    def __init__(self, step: StepInput, plan: Plan) -> None:
        """Prepare to look for them."""
        self.input = step
        self.plan = plan
        self.answers: list[Answer] = []

    def load(self, transaction: Transaction) -> StepResult | None:
        """Reads what has been answered; or the approval for which the call still waits."""
        found = [
            approval
            for approval in transaction.approvals_of(self.input.scope, [self.input.execution_id])
            if (approval.step, approval.call) == (self.input.step, self.input.call) and approval.question is not None
        ]
        waits = next((each for each in found if each.state is ApprovalState.PENDING), None)
        if waits is not None:
            return StepResult(approval=status_of(waits))
        self.answers = [_answer(each) for each in found]
        return None

    def for_server(self, tool: ToolVersion) -> Mapping[str, Any]:
        """What a call of a server outside of the sandbox is given: the answers, unless it has asked too often."""
        may_ask = not tool.manifest.is_sandboxed and len(self.answers) < MOST_QUESTIONS
        return {"answers": self.answers} if may_ask else {}

    def ask(self, transaction: Transaction, name: str, result: ToolResult, agent: AgentVersion) -> StepResult:
        """Records that the call waits for a person.

        Args:
            transaction: in which it is recorded.
            name: "server.function".
            result: of the call, with its question.
            agent: whose policy says who may answer.
        """
        assert result.question is not None
        number = len(self.answers) + 1
        question = Question(**result.question.model_dump(), number=number)
        policy = agent.spec.policy_for(*name.partition(".")[::2])
        mode = policy.approval_mode if policy.needs_approval else ApprovalMode.OPERATOR
        approval = waiting(
            self.input,
            self.plan,
            policy.model_copy(update={"approval_mode": mode, "approvals_needed": 1}),
            id=question_id(self.input.execution_id, self.input.step, self.input.call, number),
            capability=self.plan.capability,
            action_type=QUESTION,
            name=name,
            content=question.text().replace("\\u0000", "\ufffd"),
        )
        transaction.add_approval(self.input.scope, approval)
        transaction.wake_push(self.input.scope, self.input.root_id)
        requested = ApprovalRequested(
            action_id=approval.action_id,
            action_type=QUESTION,
            name=name,
            approval_id=approval.id,
            expires_at=approval.expires_at.isoformat(timespec="seconds"),
            content_hash=hash_of(approval.content),
        )
        notes = notes_on(approval, self.input, self.plan)
        notes.add(requested, part=approval.action_id)
        transaction.append_events(self.input.scope, notes.events)
        return StepResult(approval=status_of(approval))


def _answer(approval: Approval) -> Answer:
    question, said = approval.question, _SAID.get(approval.state, "cancel")
    assert question is not None
    given = approval.arguments if said == "accept" and question.form is not None else None
    return Answer(question.digest, said, given)  # pyright: ignore[reportArgumentType]
