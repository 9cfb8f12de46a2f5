"""Approvals for OpenAI's clients: the same as everywhere, in the form in which that API asks whether a call may be made."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from caxton.api.openai_face.bodies import ResponsesBody, wrong
from caxton.api.services import Services
from caxton.domain.errors import NotFound
from caxton.domain.executions import TurnView
from caxton.domain.governance import Approval, Verdict
from caxton.domain.permissions import Permission
from caxton.domain.validation_words import first_problem
from caxton.service.approvals import Wanted
from caxton.service.context import Caller

ANSWER = "mcp_approval_response"
"""The type of an item that decides."""


class ApprovalAnswer(BaseModel):
    """What somebody decided."""

    approval_request_id: str = Field(min_length=1, max_length=100)
    approve: bool
    reason: str | None = Field(default=None, max_length=2_000)


def approval_item(approval: Approval) -> dict[str, Any]:
    """An approval that waits, as an item of a response."""
    arguments = approval.content if approval.call else json.dumps({"text": approval.content}, ensure_ascii=False)
    return {
        "id": approval.id,
        "type": "mcp_approval_request",
        "server_label": f"agent:{approval.agent}",
        "name": approval.name or approval.action_type,
        "arguments": arguments,
    }


def may_see(caller: Caller) -> bool:
    """Whether the caller is shown what waits, and not only that something does."""
    return Permission.APPROVALS_READ in caller.permissions


def answers_in(body: ResponsesBody) -> Sequence[ApprovalAnswer]:
    """The decisions that a request consists of; none if it asks for something.

    Raises:
        InvalidInput: it has decisions beside other items, or does not name the response that waits for them.
    """
    items = [] if isinstance(body.input, str) else body.input
    found = [(number, item) for number, item in enumerate(items) if item.get("type") == ANSWER]
    if not found:
        return []
    if len(found) < len(items):
        raise wrong("decisions on approvals come alone: send what else is to be said in the next request", "input")
    if body.previous_response_id is None:
        raise wrong("a decision names the response that waits for it", "previous_response_id")
    answers: list[ApprovalAnswer] = []
    for number, item in found:
        try:
            answers.append(ApprovalAnswer.model_validate(item))
        except ValidationError as error:
            raise wrong(f"input.{number}.{first_problem(error)[1]}"[:500], f"input.{number}") from None
    return answers


async def decide(caller: Caller, services: Services, turn: TurnView, answers: Sequence[ApprovalAnswer]) -> None:
    """Decides on approvals that a turn waits for.

    Raises:
        NotPermitted: the caller may not decide.
        NotFound: the turn has no such approval.
        InvalidState: it was decided otherwise.
    """
    caller.require(Permission.APPROVALS_DECIDE)
    for given in answers:
        approval = await services.approvals.show(caller, given.approval_request_id)
        if approval.root_id != turn.execution_id:
            raise NotFound(
                f'the response waits for no approval "{given.approval_request_id}"', details={"param": "input"}
            )
        verdict = Verdict.GRANT if given.approve else Verdict.REJECT
        await services.approvals.decide(caller, approval.id, verdict, Wanted(given.reason or ""))
