"""The contents of a turn: messages, answers of models, arguments and results of calls. Events have only their digests."""

from collections.abc import Mapping
from typing import Any

from caxton.domain.forks import TAKEN_OVER
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import ExecutionRecord, Records, StepRecord, Transaction
from caxton.domain.tools import Artifact
from caxton.turns.forking import unknown_execution
from caxton.views.contents import ModelCall, SaidInTurn


async def read_contents(records: Records, scope: Scope, execution_id: ExecutionId) -> list[SaidInTurn]:
    """What was said in the turn of an execution, oldest first.

    Raises:
        NotFound: there is no such execution.
    """
    return await records.read(lambda transaction: _read(transaction, scope, execution_id))


def _read(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> list[SaidInTurn]:
    executions = transaction.executions_of_turn(scope, execution_id)
    if not executions:  # an agent's part in a turn
        executions = list(transaction.executions(scope, [execution_id]).values())
    if not executions:
        raise unknown_execution(execution_id)
    steps = transaction.steps(scope, [record.execution.id for record in executions])
    said: list[SaidInTurn] = []
    for record in executions:
        said += _messages(transaction, scope, record)
        known = steps.get(record.execution.id, [])
        said += [_step(record, step) for step in known if step.kind in ("model", "tool")]
    return sorted(said, key=lambda each: each.at)


def _messages(transaction: Transaction, scope: Scope, record: ExecutionRecord) -> list[SaidInTurn]:
    execution = record.execution
    ids = [each for each in (execution.message_id, record.reply_id) if each]
    return [
        SaidInTurn(
            kind="message",
            at=message.created_at,
            execution_id=execution.id,
            depth=execution.depth,
            sender=message.sender,
            receiver=message.receiver,
            content=message.content,
            artifacts=message.artifacts,
        )
        for message in (transaction.message(scope, identity) for identity in ids)
        if message is not None
    ]


def _step(record: ExecutionRecord, step: StepRecord) -> SaidInTurn:
    assert step.created_at is not None
    payload: Mapping[str, Any] = step.payload
    is_model = step.kind == "model"
    held_back = "draft" in payload  # a reply that a person has not approved is theirs alone to read
    return SaidInTurn(
        kind="model" if is_model else "tool",
        at=step.created_at,
        execution_id=record.execution.id,
        depth=record.execution.depth,
        step=step.step,
        sender=record.execution.agent or "",
        name=payload.get("model") if is_model else _function(step),
        taken_over=TAKEN_OVER in payload,
        text=None if held_back else payload.get("text"),
        calls=[ModelCall(name=call["name"], arguments=call.get("arguments")) for call in payload.get("calls", [])],
        artifacts=[Artifact.model_validate(each) for each in payload.get("artifacts", [])],
        is_error=bool(payload.get("is_error")) or not step.ok,
    )


def _function(step: StepRecord) -> str:
    """Which function of which tool was called: here, or where the step was taken over from."""
    return step.payload.get(TAKEN_OVER) or ".".join(filter(None, (step.tool, step.function)))
