"""Rehearsals: another version answers a recorded request. Nobody gets the reply, and no tool runs.

Calls of tools and other agents are answered from the record of the turn that is rehearsed. A call that is not in it is answered
by a note that says so: nothing is called, whatever effects it would have had.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from caxton.domain.events import SYSTEM
from caxton.domain.executions import ExecutionState, StepInput, TurnRequest
from caxton.domain.forks import ANSWER, REHEARSAL, TAKEN_OVER, Fork, HandedOver
from caxton.domain.gates import Answered, Rehearsal, Totals
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.messages import Content
from caxton.domain.ports import BlobStore
from caxton.domain.records import StepRecord, Transaction
from caxton.domain.rollouts import Rollout
from caxton.recording.contents import unpack
from caxton.turns.caller_functions import ASKED
from caxton.turns.forking import check_size, earlier_of, fork_request, record_deleted
from caxton.turns.known_steps import Children
from caxton.turns.prompt import child_id, read_children

DRY = "dry"
"""In the payload of a call that a rehearsal answered without a record."""

REHEARSED = "rehearsed"
"""Why an action of a rehearsal was not carried out."""

NOT_RECORDED = "(rehearsal: the record has no such call, and it was not made)"


@dataclass(slots=True)
class Rehearsed:
    """What a call is answered with."""

    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    content: Content | None = None
    """The text, where it is another agent's answer."""

    async def fetch(self, blobs: BlobStore, scope: Scope) -> None:
        """Gets the text, where it is kept apart."""
        if self.content is not None:
            self.payload["text"] = await unpack(blobs, scope, self.content)

    def recorded(self, step: StepInput, agent: str) -> StepRecord:
        """The answer as the rehearsal records it. It names no tool: none ran, so nothing counts the call."""
        ok = not self.payload.get("is_error")
        return StepRecord(step.execution_id, step.step, step.call, "tool", ok, self.payload, agent=agent)


def rehearse(transaction: Transaction, step: StepInput, name: str, arguments: Any) -> Rehearsed:
    """The answer to one call of a rehearsal: the one that the same call got in the recorded turn.

    The second of two equal calls gets the answer of the second one there.
    """
    assert step.plan is not None
    assert step.plan.rehearses is not None
    scope, source = step.scope, step.plan.rehearses
    own = transaction.steps_from(scope, step.execution_id, 1, step.step)
    before = Counter(
        _key(call["name"], call["arguments"])
        for each in own
        if each.kind == "model"
        for call in each.payload.get("calls", [])
        if (each.step, call["call"]) < (step.step, step.call)
    )
    key = _key(name, arguments)
    steps = [each for each in transaction.steps_from(scope, source, 1) if each.kind in ("model", "tool")]
    found = [each for each in _results(transaction, scope, steps) if each[0] == key]
    number = before[key]
    answer = found[number][1] if number < len(found) else None
    if answer is None:
        return Rehearsed({**_empty(), "text": NOT_RECORDED, DRY: True, TAKEN_OVER: name})
    answer.payload[TAKEN_OVER] = name
    return answer


def answered(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> tuple[Answered, Content] | None:
    """What an execution came to, without the text of its reply, and that text's content; None while it is at work, or gone."""
    record = transaction.executions(scope, [execution_id]).get(execution_id)
    if record is None or record.execution.state is ExecutionState.RUNNING:
        return None
    execution = record.execution
    message = transaction.message(scope, record.reply_id) if record.reply_id else None
    steps = transaction.steps_from(scope, execution_id, 1)
    models = [step for step in steps if step.kind == "model"]
    failed = execution.error.code if execution.error else None
    found = Answered(
        error_code=failed or ("execution_failed" if execution.state is ExecutionState.FAILED else None),
        calls=[
            call["name"] for step in models for call in (*step.payload.get("calls", []), *step.payload.get(ASKED, []))
        ],
        dry=sum(bool(step.payload.get(DRY)) for step in steps),
        totals=Totals(
            latency_ms=sum(step.duration_ms or 0.0 for step in models),
            tokens=execution.usage.tokens,
            cost_usd=execution.usage.cost_usd or 0.0,
        ),
    )
    return found, message.content if message is not None else Content()


def _results(transaction: Transaction, scope: Scope, steps: list[StepRecord]) -> Iterator[tuple[str, Rehearsed | None]]:
    """All calls of a recorded execution in order, by name and arguments, with what each got."""
    children = read_children(transaction, scope, steps)
    tools = {(step.step, step.call): step for step in steps if step.kind == "tool"}
    for step in steps:
        calls: list[dict[str, Any]] = step.payload.get("calls", []) if step.kind == "model" else []
        for call in calls:
            key = _key(call["name"], call["arguments"])
            if call["kind"] == "capability":
                yield key, _handed_over(step, call, children)
            else:
                tool = tools.get((step.step, call["call"]))
                yield key, None if tool is None else Rehearsed({**_empty(), **tool.payload})


def _handed_over(step: StepRecord, call: dict[str, Any], children: Children) -> Rehearsed | None:
    if ANSWER in call:
        known = HandedOver.model_validate(call[ANSWER])
        answer = {"structured": known.data, "is_error": known.is_error}
        files = [artifact.model_dump() for artifact in known.artifacts]
        return Rehearsed({**_empty(), **answer, "artifacts": files}, known.content)
    execution, message = children.get(child_id(step.execution_id, step.step, call["call"]), (None, None))
    if execution is None or message is None:
        return None
    answer = {"structured": message.data, "is_error": execution.state is not ExecutionState.COMPLETED}
    files = [artifact.model_dump() for artifact in message.artifacts]
    return Rehearsed({**_empty(), **answer, "artifacts": files}, message.content)


def _empty() -> dict[str, Any]:
    return {"text": "", "structured": None, "is_error": False, "artifacts": [], "log": []}


def _key(name: str, arguments: Any) -> str:
    return json.dumps([name, arguments], sort_keys=True, ensure_ascii=False, default=str)


def rehearsal_request(transaction: Transaction, scope: Scope, rollout: Rollout, rehearsal: Rehearsal) -> TurnRequest:
    """The request by which a rollout's candidate answers what a recorded execution was asked.

    Raises:
        RecordDeleted: the execution, its request or its steps are gone.
        InvalidInput: its record is too large to be read at once.
    """
    record = transaction.executions(scope, [rehearsal.source]).get(rehearsal.source)
    message = transaction.message(scope, record.execution.message_id) if record is not None else None
    if record is None or message is None:
        raise record_deleted(rehearsal.source, "it was deleted")
    if record.execution.usage.model_calls and not transaction.steps_from(scope, rehearsal.source, 1, 1):
        raise record_deleted(rehearsal.source, "its steps were deleted")
    last = transaction.last_model_step(scope, rehearsal.source)
    if last is not None:  # each call of the rehearsal looks its answer up in all of the record
        check_size(transaction, scope, rehearsal.source, last[0].step)
    candidate = transaction.agent_versions(scope, [rollout.candidate])[rollout.candidate]
    fork = Fork(
        execution_id=rehearsal.source,
        step=0,
        agent_digest=rollout.candidate,
        actor=SYSTEM,
        rehearsal=rollout.id,
        earlier=earlier_of(record.execution, message),
    )
    made = fork_request(scope, rehearsal.execution_id, record, message, candidate, fork)
    return made.model_copy(update={"channel": REHEARSAL})
