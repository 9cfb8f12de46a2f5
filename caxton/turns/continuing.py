"""Going on with a turn that ended with calls of its caller's functions, once the caller has brought their results."""

from dataclasses import replace
from typing import Any

from caxton.domain.agents import AgentSpec
from caxton.domain.caller_context import Continued, check_answered
from caxton.domain.errors import InvalidState
from caxton.domain.forks import ANSWER, Earlier, HandedOver
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.messages import Content
from caxton.domain.records import Transaction
from caxton.turns.caller_functions import ASKED
from caxton.turns.forking import TakenOver, check_size, copies, earlier_of, forkable, record_deleted


def go_on(
    transaction: Transaction, scope: Scope, continued: Continued, execution_id: ExecutionId, agent: AgentSpec
) -> TakenOver:
    """What `execution_id` takes over of the turn that it goes on with, for `agent`: the results of its last calls are in place.

    Raises:
        NotFound: there is no such execution.
        InvalidState: it did not end with calls of the caller's functions.
        InvalidInput: a result is missing, or too much was recorded to go on with.
        RecordDeleted: what it did is deleted.
    """
    source = forkable(transaction, scope, continued.execution_id)
    check_size(transaction, scope, source.id, continued.step)
    found = transaction.steps_from(scope, source.id, 0, continued.step)
    steps = [each for each in found if each.kind in ("model", "tool")]
    if not steps:
        raise record_deleted(source.id, "its steps were deleted")
    last = steps[-1]
    asked: list[dict[str, Any]] = last.payload.get(ASKED, [])
    if last.step != continued.step or not asked:
        raise InvalidState(
            f"execution {source.id} did not end with calls of functions of its caller",
            details={"execution": source.id, "step": continued.step},
        )
    check_answered(asked, continued.results)
    texts = {found.id: found.text for found in continued.results}
    calls = [_answered(number, call, texts[call["id"]]) for number, call in enumerate(asked, start=1)]
    payload = {name: value for name, value in last.payload.items() if name != ASKED}
    recorded = [*steps[:-1], replace(last, payload={**payload, "calls": calls})]
    return copies(transaction, scope, recorded, execution_id, agent)


def earlier_of_continued(transaction: Transaction, scope: Scope, continued: Continued) -> Earlier | None:
    """What the agent saw of the conversation before the request that is gone on with."""
    found = transaction.executions(scope, [continued.execution_id]).get(continued.execution_id)
    message = None if found is None else transaction.message(scope, found.execution.message_id)
    return None if found is None or message is None else earlier_of(found.execution, message)


def _answered(number: int, call: dict[str, Any], text: str) -> dict[str, Any]:
    """A call with its result, as work that somebody else has done: nothing makes it again."""
    answer = HandedOver(content=Content(text=text, size=len(text.encode(errors="replace"))))
    return {
        "call": number,
        "kind": "capability",
        "called_as": "caller",
        "name": call["name"],
        "action_type": "caller",
        "id": call["id"],
        "arguments": call["arguments"],
        ANSWER: answer.model_dump(mode="json", exclude_none=True),
    }
