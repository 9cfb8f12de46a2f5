"""Turns as tasks of the A2A protocol: one as it stands, and lists of them, the latest change first."""

import base64
import binascii
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Final

from caxton.domain.errors import CursorInvalid, ErrorReport
from caxton.domain.executions import Execution, TurnView
from caxton.domain.given import is_id
from caxton.domain.governance import Approval
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope
from caxton.domain.messages import Content, Message
from caxton.domain.records import EndedTurns, ExecutionRecord, Records, Transaction, TurnInHand
from caxton.domain.usage import Usage
from caxton.recording.journal import request_id
from caxton.views.a2a import CANCELED_CODES, REJECTED_CODES, TERMINAL, TaskState, first_pending, since, state_of

MOST_IN_PROGRESS: Final = 2_000
"""Turns in progress of one workspace that a list looks at: those that were accepted last."""

_START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Task:
    """A turn as a task."""

    id: ExecutionId
    conversation_id: ConversationId
    state: TaskState
    since: datetime
    """Since when it is in its state."""
    asked_id: MessageId
    asked: Content | None
    """What was asked; None where that has been deleted."""
    asked_at: datetime
    agent: str | None = None
    capability: str | None = None
    error: ErrorReport | None = None
    usage: Usage = field(default_factory=Usage)
    approval: Approval | None = None
    """What it waits for."""
    approvals: int = 0
    """How many it has asked for until now."""
    reply: Message | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class TasksWanted:
    """Which tasks are wanted."""

    conversation_id: ConversationId | None = None
    state: TaskState | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks, the latest change first."""

    tasks: list[Task]
    next: str
    """The cursor of the next page; empty where there is none."""
    total: int


def read_task(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> Task | None:
    """The task that a turn is; None where there is no turn of that id."""
    executions = transaction.executions_of_turn(scope, execution_id)
    if executions:
        return _task(transaction, scope, executions)
    waiting = transaction.turns_in_hand(scope, [execution_id]).get(execution_id)
    return None if waiting is None else _waiting(waiting)


def list_tasks(transaction: Transaction, scope: Scope, wanted: TasksWanted, cursor: str, limit: int) -> TaskPage:
    """Tasks, the latest change first.

    Args:
        transaction: reads.
        scope: whose.
        wanted: which.
        cursor: `next` of the page before; empty for the first one.
        limit: how many at most.

    Raises:
        CursorInvalid: no list gave it out.
    """
    before = _read_cursor(cursor) if cursor else None
    going_on = [] if wanted.state in TERMINAL else _in_progress(transaction, scope, wanted)
    found = [task for task in going_on if before is None or _place(task) < before]
    total, ended = len(going_on), _ended_wanted(wanted)
    if ended is not None:
        total += transaction.count_ended_turns(scope, ended)
        records = transaction.ended_turns(scope, ended, before, limit + 1)
        found += [_task(transaction, scope, _with_children(transaction, scope, record)) for record in records]
    found.sort(key=_place, reverse=True)
    page = found[:limit]
    return TaskPage(page, cursor_behind(page[-1]) if len(found) > limit else "", total)


class Tasks:
    """Use cases on tasks."""

    def __init__(self, records: Records) -> None:
        """Read from `records`."""
        self.records = records

    async def show(self, scope: Scope, execution_id: str) -> Task | None:
        """One task; None where there is none of that id."""
        if not is_id(execution_id):
            return None
        identity = ExecutionId(execution_id)
        return await self.records.read(lambda transaction: read_task(transaction, scope, identity))

    async def list_tasks(self, scope: Scope, wanted: TasksWanted, cursor: str, limit: int) -> TaskPage:
        """Tasks of the workspace; see :func:`list_tasks`."""
        return await self.records.read(lambda transaction: list_tasks(transaction, scope, wanted, cursor, limit))


def task_of(turn: TurnView, text: str, capability: str | None) -> Task | None:
    """The task that a turn is which has just been answered, without a look into the store; None where that is needed.

    Args:
        turn: the turn, as whoever asked got it.
        text: what was asked.
        capability: which it was for; None where that is not known.
    """
    if turn.state != "completed" or turn.reply is None or capability is None:
        return None
    ended = turn.reply.created_at  # a turn ends with its reply
    return Task(
        id=turn.execution_id,
        conversation_id=turn.conversation_id,
        state=TaskState.COMPLETED,
        since=ended,
        asked_id=request_id(turn.execution_id),
        asked=Content(text=text, size=len(text.encode(errors="replace"))),
        asked_at=ended,
        agent=turn.agent,
        capability=capability,
        usage=turn.usage,
        reply=turn.reply,
    )


def _task(transaction: Transaction, scope: Scope, executions: list[ExecutionRecord]) -> Task:
    """A task of which all executions are recorded, the root first."""
    record = executions[0]
    root: Execution = record.execution
    ids = [each.execution.id for each in executions]
    approvals = transaction.approvals_of(scope, ids) if root.finished_at is None else []
    approval = first_pending(approvals)
    request = transaction.message(scope, root.message_id)
    return Task(
        id=root.id,
        conversation_id=root.conversation_id,
        state=state_of(root, approval),
        since=since(root, approval),
        asked_id=root.message_id,
        asked=request.content if request is not None else None,
        asked_at=request.created_at if request is not None else root.started_at,
        agent=root.agent,
        capability=root.capability,
        error=root.error,
        usage=reduce(Usage.plus, (each.execution.usage for each in executions)),
        approval=approval,
        approvals=len(approvals),
        reply=transaction.message(scope, record.reply_id) if record.reply_id else None,
    )


def _with_children(transaction: Transaction, scope: Scope, root: ExecutionRecord) -> list[ExecutionRecord]:
    return transaction.executions_of_turn(scope, root.execution.id) or [root]


def _waiting(turn: TurnInHand) -> Task:
    """A task that waits behind others of its conversation."""
    request = turn.request
    return Task(
        id=request.execution_id,
        conversation_id=request.conversation_id,
        state=TaskState.SUBMITTED,
        since=turn.accepted_at,
        asked_id=request.message_id,
        asked=request.content,
        asked_at=turn.accepted_at,
        capability=request.target.capability,
        agent=request.target.agent,
    )


def _in_progress(transaction: Transaction, scope: Scope, wanted: TasksWanted) -> list[Task]:
    found: list[Task] = []
    for turn in transaction.turns_in_progress(scope, wanted.conversation_id, MOST_IN_PROGRESS):
        task = read_task(transaction, scope, turn.request.execution_id)
        if task is None or task.has_ended:
            continue
        if wanted.state in (None, task.state) and task.since >= (wanted.since or _START):
            found.append(task)
    return found


def _ended_wanted(wanted: TasksWanted) -> EndedTurns | None:
    """Which of the ended ones are wanted; None for none."""
    every = EndedTurns(conversation_id=wanted.conversation_id, since=wanted.since)
    if wanted.state is None:
        return every
    if wanted.state is TaskState.COMPLETED:
        return replace(every, failed=False)
    if wanted.state is TaskState.CANCELED:
        return replace(every, completed=False, codes=CANCELED_CODES)
    if wanted.state is TaskState.REJECTED:
        return replace(every, completed=False, codes=REJECTED_CODES)
    if wanted.state is TaskState.FAILED:
        return replace(every, completed=False, other_codes=CANCELED_CODES | REJECTED_CODES)
    return None


def _place(task: Task) -> tuple[datetime, ExecutionId]:
    return task.since, task.id


def cursor_behind(task: Task) -> str:
    """With what a list goes on behind `task`."""
    micros = (task.since - _START) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{task.id}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, ExecutionId]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        micros, _, identity = text.partition(".")
        moment = _START + timedelta(microseconds=int(micros))
    except (ValueError, OverflowError, binascii.Error, UnicodeDecodeError):
        identity, moment = "", _START
    if not is_id(identity):
        raise CursorInvalid("the page token is damaged", "begin without one, or use nextPageToken of the last page")
    return moment, ExecutionId(identity)
