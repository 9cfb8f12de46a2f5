"""The deadline worker: what happens because time passes. Pressure, breaches, escalations, memories.

Any number of processes may run one over the same store. Each deadline is taken by one of them for a while, dealt with by itself,
and put off if that fails, so none holds up another one.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from caxton.domain.errors import CaxtonError, DiskFull, EngineUnavailable, MemoryUnavailable, StoreUnavailable
from caxton.domain.events.governance import DeadlineAbandoned
from caxton.domain.events.memory import MemoryFailed
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.governance import ServiceLevel
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.quantities import format_duration
from caxton.domain.records import Deadline, Records, Transaction
from caxton.governance.service_levels import escalation, record_breach, record_pressure, service_level
from caxton.observability.metrics import METRICS
from caxton.recording import journal
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.service.notices import start_notice
from caxton.workflows.notice import Notice
from caxton.workflows.policies import StepPolicy
from caxton.workflows.schedule import ScheduledRunWorkflow

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between looks: how late pressure, breach and escalation may be noticed."""

AT_A_TIME = 200
"""Deadlines of one look."""

CONCURRENCY = 20
"""Deadlines that are dealt with at the same time."""

LONGEST = 25.0
"""Seconds that one may take."""

TAKEN_FOR = timedelta(seconds=30)
"""For so long a deadline is its taker's alone: longer than it may take. After that its taker has died."""

FOLLOW_EVERY = 5.0
"""Seconds between which the views of a log that grows are brought up to date; a reader brings them up to date at once."""

ENSURE_EVERY = 20.0
"""Seconds between looks whether what is done again and again is noted."""

LATE = timedelta(minutes=1)
"""A deadline that waits for longer than this shows in the server's health."""

NOT_ITS_FAULT = (StoreUnavailable, DiskFull, EngineUnavailable)
"""A deadline is tried again after these as often as it takes."""

PAUSE = timedelta(seconds=5)
"""After a failure that is not the deadline's own."""


_MEMORY = StepPolicy(6, timedelta(milliseconds=500), timedelta(milliseconds=500))
"""Event model 2.0, retry strategies: storing in memory is tried again every 500 ms, five times; then the agent goes on
without."""

_OTHERS = StepPolicy(12, timedelta(seconds=1), timedelta(minutes=10))
"""Half an hour in all: longer than a mistake in a release takes to be repaired, and never the last word without an event."""


_NEVER_GIVEN_UP = StepPolicy(1_000_000, timedelta(seconds=1), timedelta(minutes=10))
"""What is to be deleted must not stay because something was broken for a while."""


async def _again_and_again(work: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        try:
            await work()
        except CaxtonError as error:
            log.warning("deadlines wait: %s", error.message)
        except Exception as error:
            log.exception("the deadline worker failed and goes on", extra={"error": type(error).__name__})


Handler = Callable[[Deadline], Coroutine[Any, Any, datetime | None]]
"""Deals with a deadline. Returns when it is due again; None if it is over."""


@dataclass
class DeadlineWorker:
    """Deals with what is due."""

    records: Records
    engine: Engine
    follow: Callable[[], Coroutine[Any, Any, None]] | None = field(default=None, repr=False)
    """Waits until the log has grown, and lets its views catch up."""
    remember: Callable[[Scope, ExecutionId], Coroutine[Any, Any, None]] | None = field(default=None, repr=False)
    """Remembers what an execution was asked, and what it replied."""
    others: Mapping[str, Handler] = field(default_factory=dict[str, Handler], repr=False)
    """What deals with further kinds."""
    ensure: Callable[[], Coroutine[Any, Any, None]] | None = field(default=None, repr=False)
    """Notes what is to be done again and again, should it not be noted."""

    async def run(self) -> None:
        """Works forever. A store or an engine that is away for a while only delays it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_again_and_again(self._deal_with_all, EVERY))
            if self.follow is not None:
                # Beside the deadlines, which do not wait: it may take long.
                group.create_task(_again_and_again(self.follow, FOLLOW_EVERY))
            if self.ensure is not None:
                group.create_task(_again_and_again(self.ensure, ENSURE_EVERY))

    async def _deal_with_all(self) -> None:
        while await self.look() == AT_A_TIME:
            pass

    async def look(self) -> int:
        """Deals with what is due now. Returns how much that was."""
        due = await self._take()
        if not due:
            return 0
        slots = asyncio.Semaphore(CONCURRENCY)

        async def deal(deadline: Deadline) -> None:
            async with slots:
                await self._deal_with(deadline)

        promises: list[Deadline] = []
        others: list[Coroutine[Any, Any, None]] = []
        for deadline in due:
            if deadline.kind in ("pressure", "breach") and not deadline.attempts:
                promises.append(deadline)
            else:  # also one that has failed, and would spoil the transaction of all promises
                others.append(deal(deadline))
        await asyncio.gather(self._deal_with_promises(promises), *others)
        return len(due)

    async def _take(self) -> list[Deadline]:
        moment = journal.now()
        if not await self.records.read(lambda transaction: transaction.any_deadline_due(moment)):
            return []
        return await self.records.write(
            lambda transaction: transaction.take_deadlines(moment, moment + TAKEN_FOR, AT_A_TIME)
        )

    async def _deal_with_promises(self, due: Sequence[Deadline]) -> None:
        """Those that need nothing but the store, in one transaction; if that fails, each half of them in one, and so on."""
        if len(due) <= 1:
            for deadline in due:
                await self._deal_with(deadline)
            return
        try:
            told = await self.records.write(lambda transaction: _record(transaction, due))
        except NOT_ITS_FAULT as error:
            log.warning("deadlines wait: %s", error.message)
        except Exception:
            log.info("deadlines are dealt with in two halves, for one of them fails")
            middle = len(due) // 2
            await self._deal_with_promises(due[:middle])
            await self._deal_with_promises(due[middle:])
        else:
            _count(told)

    async def _deal_with(self, deadline: Deadline) -> None:
        """Deals with one. If it fails that is noted, and it is tried again later."""
        try:
            async with asyncio.timeout(LONGEST):
                await self._do(deadline)
        except (StoreUnavailable, DiskFull) as error:
            log.warning("a deadline waits: %s", error.message)  # nothing can be noted now: it is due again soon
        except EngineUnavailable as error:
            log.warning("a deadline waits: %s", error.message)
            await self._put_off(deadline, journal.now() + PAUSE, deadline.attempts)
        except Exception as error:
            await self._note_failure(deadline, error)

    async def _do(self, deadline: Deadline) -> None:
        if deadline.kind == "memory":
            if self.remember is not None:
                await self.remember(deadline.scope, deadline.execution_id)
            await self.records.write(lambda transaction: transaction.remove_deadline(deadline))
            return
        if deadline.kind == "schedule":
            await self._wake(deadline)
            await self.records.write(lambda transaction: transaction.remove_deadline(deadline))
            return
        handler = self.others.get(deadline.kind)
        if handler is not None:
            again = await handler(deadline)
            if again is None:
                await self.records.write(lambda transaction: transaction.remove_deadline(deadline))
            else:
                await self.records.write(lambda transaction: transaction.postpone_deadline(deadline, again, 0))
            return
        if deadline.kind == "escalation":
            await self._tell(deadline)
        _count(await self.records.write(lambda transaction: _record(transaction, [deadline])))

    async def _note_failure(self, deadline: Deadline, error: Exception) -> None:
        policy = _MEMORY if deadline.kind == "memory" else _NEVER_GIVEN_UP if deadline.kind in self.others else _OTHERS
        attempts, code = deadline.attempts + 1, _code(error)
        METRICS.deadline_failed(deadline.kind)
        where = {"execution": deadline.execution_id, "attempt": attempts}
        log.warning("a deadline could not be dealt with (%s: %s)", deadline.kind, code, extra=where)
        if attempts < policy.attempts:
            await self._put_off(deadline, journal.now() + policy.wait(attempts), attempts)
            return
        try:
            await self.records.write(lambda transaction: _give_up(transaction, deadline, attempts, code))
        except CaxtonError as failure:
            log.warning("a deadline waits: %s", failure.message)

    async def _put_off(self, deadline: Deadline, until: datetime, attempts: int) -> None:
        try:
            await self.records.write(lambda transaction: transaction.postpone_deadline(deadline, until, attempts))
        except CaxtonError as error:
            log.warning("a deadline waits: %s", error.message)

    async def _wake(self, deadline: Deadline) -> None:
        """Tells the run of a schedule that what it waits for may have ended: it looks for itself."""
        handle = self.engine.client.get_workflow_handle(deadline.details["workflow"])
        try:
            await self.engine.call(lambda: handle.signal(ScheduledRunWorkflow.turn_ended))
        except WorkflowMissingError:
            return

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
        await start_notice(self.engine, notice)


async def check_deadlines(records: Records) -> str:
    """How much waits, for the server's health and its metrics.

    Raises:
        CaxtonError: what is due has waited for long.
    """
    moment = journal.now()
    backlog = await records.read(lambda transaction: transaction.deadline_backlog(moment))
    late = moment - backlog.oldest if backlog.oldest else timedelta(0)
    METRICS.deadlines(backlog.due, late.total_seconds(), backlog.given_up)
    if late > LATE:
        raise CaxtonError(f"{backlog.due} are due, the first for {format_duration(late.total_seconds())}")
    return f"{backlog.due} due, {backlog.given_up} given up"


def _code(error: Exception) -> str:
    return error.code if isinstance(error, CaxtonError) else type(error).__name__


def _count(event_types: Sequence[str]) -> None:
    for event_type in event_types:
        METRICS.governance(event_type)


def _give_up(transaction: Transaction, deadline: Deadline, attempts: int, code: str) -> None:
    """Tells in the log that there is no other attempt. What was promised stays in the table; a memory is only lost."""
    scope, execution_id = deadline.scope, deadline.execution_id
    if deadline.kind == "memory":
        if transaction.remove_deadline(deadline):
            failed = MemoryFailed(execution_id=execution_id, attempts=attempts)
            event = journal.note(scope, failed, execution_id, "memory", error_code=MemoryUnavailable.code)
            transaction.add_events_once(scope, [event])
        return
    if transaction.postpone_deadline(deadline, None, attempts):
        told = DeadlineAbandoned(kind=deadline.kind, execution_id=execution_id, attempts=attempts, reason=code)
        event = journal.note(scope, told, execution_id, deadline.kind, str(deadline.level), error_code=code)
        transaction.add_events_once(scope, [event])


def _record(transaction: Transaction, due: Sequence[Deadline]) -> list[str]:
    """Strikes deadlines out and tells what they mean; returns the types of the events."""
    of_scope: defaultdict[Scope, list[Deadline]] = defaultdict(list)
    for deadline in due:
        if transaction.remove_deadline(deadline):
            of_scope[deadline.scope].append(deadline)
    told: list[str] = []
    for scope, removed in of_scope.items():
        executions = transaction.executions(scope, list({deadline.execution_id for deadline in removed}))
        for deadline in removed:
            found = executions.get(deadline.execution_id)
            if found is not None:
                told += _meaning(transaction, deadline, found.execution)
    return told


def _meaning(transaction: Transaction, deadline: Deadline, execution: Execution) -> list[str]:
    scope = deadline.scope
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
