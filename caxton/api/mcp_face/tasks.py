"""Executions as tasks: found again by their ids, whatever was killed since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from caxton.api.mcp_face import approving
from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError
from caxton.api.mcp_face.results import result_of
from caxton.api.mcp_face.wire import Call
from caxton.api.openai_face.asking import all_pending
from caxton.api.services import Services
from caxton.domain.executions import TurnView
from caxton.domain.governance import Approval
from caxton.domain.ids import ExecutionId
from caxton.domain.permissions import Permission
from caxton.domain.records import ClientTask, Transaction
from caxton.service.context import Caller
from caxton.service.cursors import read_cursor, write_cursor

POLL_EVERY: Final = 1_000
"""Milliseconds between two looks at a task that clients are advised to let pass."""

PAGE: Final = 50
_CANCELLED: Final = frozenset({"execution_cancelled", "execution_interrupted", "execution_replaced"})


@dataclass(frozen=True, slots=True)
class Task:
    """An execution that the caller began as a task."""

    turn: TurnView
    created_at: datetime
    approvals: Sequence[Approval] = ()
    """What it waits for, as far as the caller's user can decide on it."""

    @property
    def status(self) -> str:
        """Its state, as both ways of the protocol call it, but for failures."""
        if self.turn.state == "running":
            return "input_required" if self.approvals else "working"
        if self.turn.state == "completed":
            return "completed"
        return "cancelled" if self.turn.error is not None and self.turn.error.code in _CANCELLED else "failed"

    def facts(self, *, modern: bool) -> dict[str, Any]:
        """What both ways tell of a task, as each of them names it."""
        took = self.turn.duration_ms
        updated = self.created_at if took is None else self.created_at + timedelta(milliseconds=took)
        status = self.status
        told: dict[str, Any] = {
            "taskId": self.turn.execution_id,
            "status": "completed" if modern and status == "failed" else status,
            "createdAt": _time(self.created_at),
            "lastUpdatedAt": _time(updated),
            "ttlMs" if modern else "ttl": None,
            "pollIntervalMs" if modern else "pollInterval": POLL_EVERY,
        }
        if self.approvals:
            told["statusMessage"] = f"a person has to decide on approval {self.approvals[0].id}"
        elif self.turn.error is not None:
            told["statusMessage"] = self.turn.error.message
        return told


async def remember(caller: Caller, services: Services, turn: TurnView) -> Task:
    """Makes a task of an execution: only then a client hears of it."""
    created = datetime.now(UTC)
    task = ClientTask(turn.execution_id, caller.principal, created)
    await services.turns.records.write(lambda transaction: transaction.add_client_task(caller.scope, task))
    return Task(turn, created)


async def as_new_task(caller: Caller, services: Services, turn: TurnView) -> dict[str, Any]:
    """The result that is a task in place of an answer, for clients of 2026-07-28 that take one."""
    task = await remember(caller, services, turn)
    return {"resultType": "task", **task.facts(modern=True)}


async def find(caller: Caller, services: Services, task_id: str, *, asks: bool = True) -> Task:
    """A task of the caller.

    Args:
        caller: whose it has to be.
        services: the use cases.
        task_id: which.
        asks: whether it is looked what it waits for.

    Raises:
        RpcError: the caller began no such task, or it was deleted since.
    """
    caller.require(Permission.MESSAGES_READ)
    identity = ExecutionId(task_id)

    def read(transaction: Transaction) -> ClientTask | None:
        return transaction.client_task(caller.scope, identity)

    found = await services.turns.records.read(read)
    if found is None or found.principal != caller.principal:
        raise RpcError(INVALID_PARAMS, f"Task not found: {task_id[:100]}")
    turn = await services.turns.show(caller.scope, identity)
    waiting = await all_pending(services, caller.scope, turn) if asks and turn.state == "running" else []
    return Task(turn, found.created_at, [each for each in waiting if approving.may_decide(caller, each)])


async def waiting_for(caller: Caller, services: Services, turn: TurnView, approval_id: str) -> Approval | None:
    """The approval of that id, if the turn waits for it."""
    found = await all_pending(services, caller.scope, turn) if turn.state == "running" else []
    return next((each for each in found if each.id == approval_id), None)


async def list_tasks(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `tasks/list`: the caller's tasks, the latest first."""
    caller.require(Permission.MESSAGES_READ)
    cursor = call.optional_text("cursor", 500)
    before = None
    if cursor is not None:
        before = datetime.fromtimestamp(read_cursor(caller.scope, cursor, "mcp tasks") / 1e6, UTC)
    known = await services.turns.records.read(
        lambda transaction: transaction.client_tasks(caller.scope, caller.principal, before=before, limit=PAGE + 1)
    )
    told = [(await find(caller, services, each.execution_id)).facts(modern=False) for each in known[:PAGE]]
    page: dict[str, Any] = {"tasks": told}
    if len(known) > PAGE:
        last = round(known[PAGE - 1].created_at.timestamp() * 1e6)
        page["nextCursor"] = write_cursor(caller.scope, last, "mcp tasks")
    return page


async def show(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `tasks/get`; since 2026-07-28 with the result, and with what is asked of the client's user."""
    task = await find(caller, services, call.text("taskId", 100), asks=call.elicits)
    told = task.facts(modern=call.modern)
    if call.modern and told["status"] == "completed":
        told["result"] = await result_of(services, caller.scope, task.turn)
    elif call.modern and task.approvals:
        told["inputRequests"] = {each.id: approving.asking(each) for each in task.approvals}
    return told


async def update(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `tasks/update`: what the client's user says."""
    task = await find(caller, services, call.text("taskId", 100))
    answers = call.object("inputResponses")
    for approval in task.approvals:
        if approval.id in answers:
            await approving.decide(caller, services, approval.id, answers[approval.id])
    return {}


async def cancel(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `tasks/cancel`.

    Raises:
        RpcError: it is over, for clients of older revisions.
    """
    caller.require(Permission.CONVERSATIONS_END)
    task = await find(caller, services, call.text("taskId", 100), asks=False)
    if task.turn.state != "running":
        if call.modern:
            return {}
        raise RpcError(INVALID_PARAMS, f"Cannot cancel task: already in terminal status '{task.status}'")
    turn = await services.conversations.cancel_turn(caller, task.turn.execution_id)
    if call.modern:
        return {}
    told = Task(turn, task.created_at).facts(modern=False)
    return {**told, "status": "cancelled" if turn.state == "running" else told["status"]}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
