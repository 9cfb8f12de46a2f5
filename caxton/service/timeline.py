"""A turn's steps as people see them, in the order in which they happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.governance import Approval, ApprovalState
from caxton.domain.ids import ExecutionId
from caxton.domain.records import ExecutionRecord, StepRecord


@dataclass(frozen=True, slots=True)
class Entry:
    """One step."""

    id: str
    at: datetime
    data: dict[str, Any]


def timeline(
    executions: Sequence[ExecutionRecord],
    steps: Mapping[ExecutionId, Sequence[StepRecord]],
    approvals: Sequence[Approval] = (),
) -> list[Entry]:
    """All steps of a turn: openings, model calls, tool calls, waits for a person, and the ends of hand-overs."""
    entries: list[Entry] = []
    by_id = {record.execution.id: record.execution for record in executions}
    for execution in by_id.values():
        if execution.agent is not None:
            entries.append(_opened(execution, by_id))
        if execution.parent_id is not None and execution.finished_at is not None:
            entries.append(_handed_back(execution, by_id))
        entries += [_step(execution, step) for step in steps.get(execution.id, ())]
    for approval in approvals:
        entries += _approval(approval, by_id[approval.execution_id].depth)
    entries.sort(key=lambda entry: (entry.at, entry.id))
    return entries


def _opened(execution: Execution, by_id: Mapping[ExecutionId, Execution]) -> Entry:
    parent = by_id.get(execution.parent_id) if execution.parent_id else None
    data: dict[str, Any] = {
        "kind": "open",
        "agent": execution.agent,
        "version": execution.agent_version,
        "capability": execution.capability,
        "by": parent.agent if parent else None,
        "depth": execution.depth,
        "ok": True,
    }
    return Entry(f"{execution.id}.open", execution.started_at, data)


def _approval(approval: Approval, depth: int) -> list[Entry]:
    """That an action waits, and what was decided."""
    data: dict[str, Any] = {
        "kind": "approval",
        "agent": approval.agent,
        "depth": depth,
        "approval_id": approval.id,
        "action": f"{approval.action_type} {approval.name}".strip(),
        "mode": approval.approval_mode,
        "state": ApprovalState.PENDING,
        "ok": True,
    }
    key = f"{approval.execution_id}.approval.{approval.action_id}"
    entries = [Entry(key, approval.requested_at, data)]
    if approval.decided_at is not None:
        took = (approval.decided_at - approval.requested_at).total_seconds() * 1000
        decided = {
            **data,
            "state": approval.state,
            "by": approval.decided_by,
            "ok": approval.state is ApprovalState.GRANTED,
            "duration_ms": round(took, 3),
        }
        entries.append(Entry(f"{key}.decided", approval.decided_at, decided))
    return entries


def _handed_back(execution: Execution, by_id: Mapping[ExecutionId, Execution]) -> Entry:
    assert execution.finished_at is not None
    parent = by_id.get(execution.parent_id) if execution.parent_id else None
    data: dict[str, Any] = {
        "kind": "handover",
        "agent": parent.agent if parent else None,
        "to": execution.agent,
        "capability": execution.capability,
        "depth": max(0, execution.depth - 1),
        "ok": execution.state is ExecutionState.COMPLETED,
        "error_code": execution.error.code if execution.error else None,
        "duration_ms": round((execution.finished_at - execution.started_at).total_seconds() * 1000, 3),
    }
    return Entry(f"{execution.id}.back", execution.finished_at, data)


def _step(execution: Execution, step: StepRecord) -> Entry:
    assert step.created_at is not None
    data: dict[str, Any] = {
        "kind": step.kind,
        "agent": execution.agent,
        "depth": execution.depth,
        "ok": step.ok,
        "error_code": step.error_code,
        "duration_ms": None if step.duration_ms is None else round(step.duration_ms, 3),
    }
    if step.kind == "attempt":
        data["model"] = step.payload.get("model")
        data["attempt"] = -step.call
    elif step.kind == "model":
        data["model"] = step.payload.get("model")
        data["scripted"] = bool(step.payload.get("metadata", {}).get("scripted"))
        data["calls"] = [call["name"] for call in step.payload.get("calls", [])]
        if "text_id" in step.payload:
            data["text_id"] = step.payload["text_id"]
    else:
        data["tool"] = step.tool
        data["function"] = step.function
    return Entry(f"{execution.id}.{step.step}.{step.call}", step.created_at, data)
