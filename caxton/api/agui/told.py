"""What AG-UI clients are told of a turn that the events of a stream do not have: read from the store."""

import json
from typing import Any

from caxton.api.agui.threads import message_of, pending_of
from caxton.api.services import Services
from caxton.domain.executions import TurnView
from caxton.domain.governance import Approval
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.messages import Message
from caxton.domain.records import StepRecord, Transaction
from caxton.recording.contents import unpack
from caxton.turns.prompt import child_id

LONGEST_RESULT = 64 << 10
"""Characters of a call's result that a front end gets."""

_APPROVED: dict[str, Any] = {"approved": {"type": "boolean"}, "reason": {"type": "string"}}
_EDITED: dict[str, Any] = {
    "editedArgs": {"type": "object", "description": "Call with these, in place of those asked for. Not merged."}
}


class Told:
    """Reads from the store for one turn."""

    def __init__(
        self, services: Services, scope: Scope, turn: TurnView, *, contents: bool, approvals: bool = False
    ) -> None:
        """Read of `turn`; with `contents` also arguments and results of calls, with `approvals` also what a person has to
        judge."""
        self._services = services
        self._scope = scope
        self._turn = turn
        self._contents = contents
        self._approvals = approvals

    async def model_step(self, execution_id: ExecutionId, step: int) -> StepRecord | None:
        """A model's answer."""
        return await self._step(execution_id, step, 0)

    def arguments(self, call: dict[str, Any]) -> str:
        """The arguments of a call as JSON."""
        return json.dumps(call.get("arguments") if self._contents else {}, ensure_ascii=False)

    async def result(self, execution_id: ExecutionId, step: int, call: int) -> str:
        """The result of a call of a tool."""
        found = await self._step(execution_id, step, call) if self._contents else None
        return "" if found is None else _cut(str(found.payload.get("text") or ""))

    async def handed_back(self, child: ExecutionId) -> tuple[str, str] | None:
        """The call by which the work of an execution was handed over, and what came of it."""

        def read(transaction: Transaction) -> tuple[str, Message | None] | None:
            record = transaction.executions(self._scope, [child]).get(child)
            parent = record.execution.parent_id if record else None
            if record is None or parent is None:
                return None
            reply = transaction.message(self._scope, record.reply_id) if record.reply_id else None
            for step in transaction.steps(self._scope, [parent]).get(parent, []):
                calls: list[dict[str, Any]] = step.payload.get("calls", []) if step.kind == "model" else []
                for call in calls:
                    if child_id(parent, step.step, call["call"]) == child:
                        return call_id(parent, step.step, call["call"]), reply
            return None

        found = await self._services.turns.records.read(read)
        if found is None:
            return None
        called, reply = found
        if reply is None or not self._contents:
            return called, ""
        return called, _cut(await unpack(self._services.blobs, self._scope, reply.content))

    async def pending(self) -> list[Approval]:
        """The approvals that the turn waits for."""

        def read(transaction: Transaction) -> list[Approval]:
            ids = [each.execution.id for each in transaction.executions_of_turn(self._scope, self._turn.execution_id)]
            waiting = pending_of(transaction, self._scope, ids)
            return [
                self._shown(transaction.approval(self._scope, each.id) or each) for each in waiting
            ]  # with its votes

        return await self._services.turns.records.read(read)

    async def all_asked(self, execution_id: ExecutionId, step: int) -> bool:
        """Whether each call of a model's answer that needs an approval has asked for it: they do so one after another."""

        def read(transaction: Transaction) -> bool:
            record = transaction.step(self._scope, execution_id, step, 0)
            calls: list[dict[str, Any]] = record.payload.get("calls", []) if record is not None else []
            asked = {each.call for each in transaction.approvals_of(self._scope, [execution_id]) if each.step == step}
            waiting = [each["call"] for each in calls if each.get("needs_approval") and each["call"] not in asked]
            return all(transaction.step(self._scope, execution_id, step, call) is not None for call in waiting)

        return await self._services.turns.records.read(read)

    def _shown(self, approval: Approval) -> Approval:
        """An approval without what it is about, for who may not read that: a reply is not theirs before it is let go out."""
        return approval if self._approvals else approval.model_copy(update={"content": ""})

    async def reply(self, turn: TurnView) -> str:
        """The text of the reply."""
        return "" if turn.reply is None else await unpack(self._services.blobs, self._scope, turn.reply.content)

    async def _step(self, execution_id: ExecutionId, step: int, call: int) -> StepRecord | None:
        return await self._services.turns.records.read(lambda tx: tx.step(self._scope, execution_id, step, call))


def call_id(execution_id: str, step: int, call: int) -> str:
    """The id of a call: the same each time."""
    return f"{execution_id}.{step}.{call}"


def interrupt(approval: Approval) -> dict[str, Any]:
    """An approval as an interrupt."""
    question, message = approval.question and approval.question.shown(), message_of(approval)
    reason, properties = "confirmation", _APPROVED
    if question is not None:
        reason, message = "input_required", f"{message}: {question.message}"
        properties = _APPROVED if question.form is None else {**_APPROVED, "editedArgs": question.form}
    elif approval.call:
        reason, properties = "tool_call", {**_APPROVED, **_EDITED}
    schema = {"type": "object", "required": ["approved"], "properties": properties, "additionalProperties": False}
    told: dict[str, Any] = {
        "id": approval.id,
        "reason": reason,
        "message": f"{message} {question.url}" if question is not None and question.url else message,
        "responseSchema": schema,
        "expiresAt": approval.expires_at.isoformat(),
        "metadata": {
            "agent": approval.agent,
            "name": approval.name,
            "content": approval.content,
            "risk_level": str(approval.risk_level),
            "approval_mode": str(approval.approval_mode),
            "approvals_needed": approval.approvals_needed,
            "votes": len(approval.votes),
        },
    }
    if approval.call:
        told["toolCallId"] = call_id(approval.execution_id, approval.step, approval.call)
    return told


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]}\n… ({len(text):,} characters in all)"
