"""The watch: what happens because time passes. Pressure, breaches, escalations, and work that nobody has any more.

Any number of processes may watch the same store: whoever strikes a deadline out has dealt with it, in the same transaction.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from caxton.activities import journal
from caxton.activities.service_levels import escalation, record_breach, record_pressure, service_level
from caxton.domain.errors import CaxtonError, MemoryUnavailable
from caxton.domain.events.memory import MemoryFailed
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.governance import ServiceLevel
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Deadline, Records, Transaction
from caxton.observability.metrics import METRICS
from caxton.service.engine import Engine
from caxton.workflows.names import notice_workflow_id, search_attributes
from caxton.workflows.notice import Notice, NoticeWorkflow
from caxton.workflows.policies import TASK_TIMEOUT

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between looks: how late pressure, breach and escalation may be noticed."""

AT_ONCE = 200
"""Deadlines dealt with in one look."""

SWEEP_EVERY = 20.0
"""Seconds between searches for executions that nobody works on."""

FOLLOW_EVERY = 5.0
"""Seconds between which the views of the log are brought up to date; a reader brings them up to date at once."""

MEMORY_RETRY = timedelta(milliseconds=500)
"""Event model 2.0, retry strategies: storing in memory is tried again every 500 ms …"""

MEMORY_ATTEMPTS = 5
"""… five times; then the agent goes on without."""

Sweep = Callable[[], Coroutine[Any, Any, int]]


async def _again_and_again(work: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        try:
            await work()
        except CaxtonError as error:
            log.warning("deadlines wait: %s", error.message)
        except Exception as error:
            log.exception("the watch failed and goes on", extra={"error": type(error).__name__})


@dataclass
class Watch:
    """Deals with what is due."""

    records: Records
    engine: Engine
    sweep: Sweep | None = field(default=None, repr=False)
    """Closes executions that no workflow has."""
    follow: Callable[[], Coroutine[Any, Any, None]] | None = field(default=None, repr=False)
    """Lets the views of the log catch up."""
    remember: Callable[[Scope, ExecutionId], Coroutine[Any, Any, None]] | None = field(default=None, repr=False)
    """Remembers what an execution was asked, and what it replied."""

    async def run(self) -> None:
        """Watches for ever. A store or an engine that is away for a while only delays it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            if self.follow is not None:
                # Beside the watch: it may take long, and deadlines do not wait.
                group.create_task(_again_and_again(self.follow, FOLLOW_EVERY))

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        swept = clock()

        async def watch() -> None:
            nonlocal swept
            while await self.look() == AT_ONCE:
                pass
            if self.sweep is not None and clock() - swept >= SWEEP_EVERY:
                swept = clock()
                await self.sweep()

        await _again_and_again(watch, EVERY)

    async def look(self) -> int:
        """Deals with everything that is due now. Returns how much that was."""
        moment = journal.now()
        due = await self.records.read(lambda transaction: transaction.due_deadlines(moment, AT_ONCE))
        for deadline in due:
            if deadline.kind == "memory":
                await self._remember(deadline)
                continue
            if deadline.kind == "escalation":
                await self._tell(deadline)
            told = await self.records.write(lambda transaction, deadline=deadline: _record(transaction, deadline))
            for event_type in told:
                METRICS.governance(event_type)
        return len(due)

    async def _remember(self, deadline: Deadline) -> None:
        """Remembers a request with its reply, at most five times again while the memory does not work.

        Remembering twice is remembering once: equal content has one id.
        """
        if self.remember is None:
            await self.records.write(lambda transaction: transaction.remove_deadline(deadline))
            return
        try:
            await self.remember(deadline.scope, deadline.execution_id)
        except MemoryUnavailable as error:
            log.warning("memory: %s (attempt %d)", error.message, deadline.level + 1)
            again = replace(deadline, level=deadline.level + 1, due_at=journal.now() + MEMORY_RETRY)
            await self.records.write(lambda transaction: _postpone(transaction, deadline, again))
            return
        await self.records.write(lambda transaction: transaction.remove_deadline(deadline))

    async def _tell(self, deadline: Deadline) -> None:
        """Starts the notice before the event that tells of it: under the same id, so it is sent once after any crash."""
        details = deadline.details
        notice = Notice(
            scope=deadline.scope,
            execution_id=deadline.execution_id,
            cause=details["cause"],
            level=details["level"],
            channel=details["channel"],
        )
        try:
            await self.engine.call(
                lambda: self.engine.client.start_workflow(
                    NoticeWorkflow.run,
                    notice,
                    id=notice_workflow_id(deadline.scope, deadline.execution_id, notice.cause, notice.level),
                    task_queue=self.engine.task_queue,
                    task_timeout=TASK_TIMEOUT,
                    execution_timeout=timedelta(days=2),
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=search_attributes(deadline.scope),
                    static_summary=f"tell {notice.channel}: {notice.cause}",
                )
            )
        except WorkflowAlreadyStartedError:
            return


def _postpone(transaction: Transaction, deadline: Deadline, again: Deadline) -> None:
    """Notes the next attempt, or in the log that there is none."""
    if not transaction.remove_deadline(deadline):
        return
    if again.level <= MEMORY_ATTEMPTS:
        transaction.add_deadlines(deadline.scope, [again])
        return
    failed = MemoryFailed(execution_id=deadline.execution_id, attempts=again.level)
    event = journal.note(deadline.scope, failed, deadline.execution_id, "memory", error_code=MemoryUnavailable.code)
    transaction.add_events_once(deadline.scope, [event])


def _record(transaction: Transaction, deadline: Deadline) -> list[str]:
    """Strikes the deadline out and tells what it means; returns the types of the events."""
    if not transaction.remove_deadline(deadline):
        return []
    scope = deadline.scope
    found = transaction.executions(scope, [deadline.execution_id]).get(deadline.execution_id)
    if found is None:
        return []
    execution = found.execution
    if deadline.kind == "escalation":
        details = deadline.details
        event = escalation(scope, execution, details["cause"], details["level"], details["channel"])
        transaction.add_events_once(scope, [event])
        return [event.event_type]
    level = _level(transaction, deadline, execution)
    if level is None or execution.state is not ExecutionState.RUNNING:
        return []
    if deadline.kind == "pressure":
        record_pressure(transaction, scope, execution, level)
        return ["pressure_invoked"]
    record_breach(transaction, scope, execution, level, answered=False)
    return ["sla_breached"]


def _level(transaction: Transaction, deadline: Deadline, execution: Execution) -> ServiceLevel | None:
    if execution.agent_digest is None:
        return None
    agent = transaction.agent_versions(deadline.scope, [execution.agent_digest]).get(execution.agent_digest)
    return service_level(agent, execution.capability) if agent else None
