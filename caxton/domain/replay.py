"""Replay: what became of a turn, rebuilt from its events alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from caxton.domain.events.envelope import Event
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.ids import MessageId
from caxton.domain.messages import Message

_USED = ("model_calls", "tool_calls", "input_tokens", "output_tokens", "cost_usd")


class ReplayedApproval(BaseModel):
    """What became of an action that needed a person."""

    approval_id: str
    action_type: str
    name: str = ""
    decision: Literal["granted", "rejected", "timeout", "withdrawn"] | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""


class ReplayedExecution(BaseModel):
    """One agent's part in a turn."""

    execution_id: str
    parent_id: str | None = None
    depth: int = 0
    agent: str | None = None
    agent_version: str | None = None
    capability: str | None = None
    state: ExecutionState = ExecutionState.RUNNING
    reply_id: str | None = None
    reply_hash: str | None = None
    """SHA-256 of the reply's text: the log never holds the text."""
    reply_bytes: int | None = None
    error_code: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    usage: dict[str, Any] = {}
    actions: list[str] = []
    """What it did, in order: "tool csv-tools.parse: dispatched" …"""
    approvals: list[ReplayedApproval] = []
    sla: list[str] = []
    """pressure_invoked, sla_breached and who was told, in order."""


class Difference(BaseModel):
    """Where the log and the record disagree."""

    execution_id: str
    field: str
    from_events: Any
    recorded: Any


class Replay(BaseModel):
    """A turn as its events tell it, compared with what was recorded."""

    execution_id: str
    events: int
    executions: list[ReplayedExecution]
    differences: list[Difference] = []
    not_compared: str | None = None
    """Why nothing was compared: what was recorded is deleted, as the log tells."""

    @property
    def agrees(self) -> bool:
        """Whether events alone lead to what was recorded, as far as that is still there."""
        return not self.differences


def replay(execution_id: str, events: Sequence[Event]) -> Replay:
    """Rebuilds the outcome of the turn whose root is `execution_id`."""
    found: dict[str, ReplayedExecution] = {}
    for event in events:
        if event.execution_id is None:
            continue
        execution = found.get(event.execution_id)
        if execution is None:
            execution = found[event.execution_id] = ReplayedExecution(execution_id=event.execution_id)
        _apply(execution, event)
    return Replay(execution_id=execution_id, events=len(events), executions=list(found.values()))


def compare(
    rebuilt: Replay, recorded: Iterable[tuple[Execution, Message | None]], hashes: Mapping[MessageId, str | None]
) -> list[Difference]:
    """Every field in which `rebuilt` differs from the records.

    Args:
        rebuilt: from events alone.
        recorded: executions of the turn with their replies.
        hashes: SHA-256 of the text of each reply, by message id.
    """
    differences: list[Difference] = []
    by_id = {execution.execution_id: execution for execution in rebuilt.executions}
    for execution, reply in recorded:
        told = by_id.pop(execution.id, None)
        if told is None:
            differences.append(
                Difference(execution_id=execution.id, field="execution", from_events=None, recorded="present")
            )
            continue
        used = execution.usage.model_dump(exclude_none=True)
        wanted: dict[str, Any] = {
            "parent_id": execution.parent_id,
            "depth": execution.depth,
            "agent": execution.agent,
            "agent_version": execution.agent_version,
            "state": execution.state,
            "error_code": execution.error.code if execution.error else None,
            "reply_id": reply.id if reply else None,
        }
        if execution.agent is not None:
            wanted["capability"] = execution.capability
        if reply is not None:
            wanted["reply_hash"], wanted["reply_bytes"] = hashes.get(reply.id), reply.content.size
        if execution.state is not ExecutionState.RUNNING:
            wanted["usage"] = {name: used.get(name) for name in _USED if used.get(name) is not None}
        for name, value in wanted.items():
            if getattr(told, name) != value:
                differences.append(
                    Difference(execution_id=execution.id, field=name, from_events=getattr(told, name), recorded=value)
                )
    differences += [
        Difference(execution_id=left, field="execution", from_events="present", recorded=None) for left in by_id
    ]
    return differences


def _apply(execution: ReplayedExecution, event: Event) -> None:
    payload, kind = event.payload, event.event_type
    match kind:
        case "execution_triggered":
            execution.parent_id = payload.get("parent_id")
            execution.depth = int(payload.get("depth", 0))
            execution.capability = event.skill_id
            execution.started_at = event.timestamp
        case "execution_processing":
            execution.agent, execution.agent_version = payload["agent"], payload["version"]
        case "message_sent" if payload.get("performative") in ("Response", "Error"):
            execution.reply_id = payload["message_id"]
            execution.reply_hash, execution.reply_bytes = payload.get("content_hash"), payload.get("size_bytes")
        case "execution_completed" | "execution_failed":
            done = kind == "execution_completed"
            execution.state = ExecutionState.COMPLETED if done else ExecutionState.FAILED
            execution.error_code = None if done else event.error_code
            execution.finished_at = event.timestamp
            execution.usage = {name: payload[name] for name in _USED if payload.get(name) is not None}
        case "action_dispatched" | "action_failed":
            what = f"{payload['action_type']} {payload.get('name', '')}".strip()
            end = "dispatched" if kind == "action_dispatched" else f"failed ({payload.get('reason')})"
            execution.actions.append(f"{what}: {end}")
        case "pressure_invoked" | "sla_breached" | "deployment_suspended":
            execution.sla.append(kind)
        case "escalation_triggered" | "escalation_delivered" | "escalation_failed":
            execution.sla.append(f"{kind} {payload['channel']} ({payload['cause']}, level {payload['level']})")
        case _:
            _apply_approval(execution, event)


def _apply_approval(execution: ReplayedExecution, event: Event) -> None:
    payload = event.payload
    if event.event_type == "approval_requested":
        execution.approvals.append(
            ReplayedApproval(
                approval_id=payload["approval_id"], action_type=payload["action_type"], name=payload.get("name", "")
            )
        )
        return
    decision = event.event_type.removeprefix("approval_")
    if event.event_type.startswith("approval_"):
        for approval in execution.approvals:
            if approval.approval_id == payload["approval_id"]:
                approval.decision = decision  # type: ignore[assignment]
                approval.decided_by, approval.decided_at = event.actor, event.timestamp
                approval.reason = payload.get("reason", "")
