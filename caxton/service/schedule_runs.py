"""Runs of schedules: each due time becomes one request, accepted like any other."""

import contextlib
import logging
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from caxton.domain.errors import (
    CaxtonError,
    DiskFull,
    EngineUnavailable,
    IdempotencyConflict,
    Overloaded,
    StoreUnavailable,
)
from caxton.domain.events import Event, Payload
from caxton.domain.events.executions import CancellationRequested
from caxton.domain.events.schedules import (
    ScheduleRunBegun,
    ScheduleRunFailed,
    ScheduleRunSkipped,
    ScheduleRunsMissed,
)
from caxton.domain.executions import ExecutionState, TurnView, cancellation_of
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Deadline, Transaction
from caxton.domain.schedules import (
    Cause,
    DeployedSchedule,
    Overlap,
    ScheduleRun,
    scheduled_execution,
)
from caxton.recording import journal
from caxton.service.automatic_requests import AutomaticRequest, AutomaticRequests
from caxton.service.delivery import ConversationRef
from caxton.service.schedule_engine import ScheduleEngine
from caxton.workflows.schedule import DueRun, RunBegun

log = logging.getLogger(__name__)

CHANNEL = "schedule"
"""How its requests came, as the log tells it."""

LOOKED_AT = 50
"""Latest runs among which one that is still at work is looked for."""

LOOK_AGAIN = timedelta(minutes=10)
"""A run that waits for the end of an earlier one is told of it at once, and looks for itself at the latest after this."""

PASSING = (StoreUnavailable, DiskFull, EngineUnavailable, Overloaded)
"""Not the schedule's fault: the due time is tried again until it works."""


class ScheduleRuns:
    """Begins runs."""

    def __init__(self, requests: AutomaticRequests, engine: ScheduleEngine | None = None) -> None:
        """Have `requests` accept what schedules ask; `engine` tells what was missed."""
        self.requests = requests
        self.records = requests.records
        self.turns = requests.turns
        self.engine = engine

    async def begin(self, due: DueRun) -> RunBegun:
        """Has the request of a due time accepted, once whatever happens; or leaves it out, or says that it has to wait.

        Raises:
            CaxtonError: not now; the same due time is to be tried again.
        """
        scope, agent, name = due.scope, due.agent, due.schedule
        found, run = await self.records.read(
            lambda transaction: (
                transaction.schedule(scope, agent, name),
                transaction.schedule_run(scope, agent, name, due.due_at),
            )
        )
        if found is None or found.removed or run is not None:
            return RunBegun(state="settled")
        backfill = found.backfill_of(due.due_at)
        cause: Cause = "backfill" if backfill else "schedule"
        by = backfill.by if backfill else None
        if found.paused and not backfill:
            await self._settle(found, self._skipped(due.due_at, "paused", None, cause))
            return RunBegun(state="settled")
        if not await self.requests.is_known(scope, scheduled_execution(scope, agent, name, due.due_at)):
            busy = await self._at_work(found)
            if busy is not None:
                if backfill or found.definition.overlap is Overlap.BUFFER:
                    return await self._wait_for(due, busy)
                if found.definition.overlap is Overlap.SKIP:
                    await self._settle(found, self._skipped(due.due_at, "overlap", busy, cause))
                    return RunBegun(state="settled")
                await self._cancel(scope, busy)
        await self.run(found, due.due_at, cause, by, requester=backfill.requester if backfill else None)
        await self._tell_missed(found)
        return RunBegun(state="settled")

    async def run(
        self,
        schedule: DeployedSchedule,
        due_at: datetime,
        cause: Cause,
        by: str | None,
        *,
        execution_id: ExecutionId | None = None,
        wait: float | None = None,
        requester: str | None = None,
    ) -> TurnView | None:
        """Has the request of a due time accepted and notes it; None where it was refused, which is noted as well.

        `requester` is the person who wants the run, if one does: four eyes are those of that person and of another one.

        Raises:
            CaxtonError: it was refused for a reason that may pass, and nothing is noted; or somebody asked for the run, and it
                was refused.
        """
        scope, agent = schedule.scope, schedule.agent
        execution_id = execution_id or scheduled_execution(scope, agent, schedule.name, due_at)
        view: TurnView | None = None
        run = ScheduleRun(due_at=due_at, cause=cause, state="begun", execution_id=execution_id, by=by, at=journal.now())
        try:
            if await self.requests.is_known(scope, execution_id):
                view = await self.turns.show(scope, execution_id)
            else:
                view = await self.requests.send(self._request(schedule, due_at, execution_id, requester), wait=wait)
        except IdempotencyConflict:  # accepted before a deployment changed what is asked
            view = await self.turns.show(scope, execution_id)
        except PASSING:
            raise
        except Exception as error:
            if not isinstance(error, CaxtonError):
                log.exception("a run of a schedule could not be begun", extra={"error": type(error).__name__})
                error = CaxtonError("the run could not be begun", reason=type(error).__name__)
            failed = run.model_copy(update={"state": "failed", "execution_id": None, "reason": error.code})
            await self._settle(schedule, failed)
            if cause == "hand":
                raise error from None
            return None
        await self._settle(schedule, run)
        return view

    def _request(
        self, schedule: DeployedSchedule, due_at: datetime, execution_id: ExecutionId, requester: str | None
    ) -> AutomaticRequest:
        definition = schedule.definition
        local = due_at.astimezone(ZoneInfo(definition.time_zone))
        seen = {
            "name": schedule.name,
            "due_at": local.isoformat(timespec="seconds"),
            "date": local.date().isoformat(),
            "time": f"{local:%H:%M}",
            "weekday": f"{local:%A}",
        }
        return AutomaticRequest(
            scope=schedule.scope,
            agent=schedule.agent,
            execution_id=execution_id,
            channel=CHANNEL,
            name=schedule.name,
            capability=definition.capability,
            content=definition.content,
            seen={"schedule": seen},
            variables=definition.variables,
            requester=requester,
        )

    async def _at_work(self, schedule: DeployedSchedule) -> ExecutionId | None:
        """An earlier run that has not ended."""
        scope = schedule.scope

        def read(transaction: Transaction) -> ExecutionId | None:
            runs = transaction.schedule_runs(scope, schedule.agent, schedule.name, LOOKED_AT)
            ids = [run.execution_id for run in runs if run.state == "begun" and run.execution_id]
            ended = {
                name
                for name, record in transaction.executions(scope, ids).items()
                if record.execution.state is not ExecutionState.RUNNING
            }
            known = {*transaction.executions(scope, ids), *transaction.turns_in_hand(scope, ids)}
            return next((each for each in ids if each in known and each not in ended), None)

        return await self.records.read(read)

    async def _wait_for(self, due: DueRun, busy: ExecutionId) -> RunBegun:
        moment = journal.now()
        waits = Deadline(
            scope=due.scope,
            execution_id=busy,
            kind="schedule",
            level=int(moment.timestamp()) & 0x7FFFFFFF,
            due_at=moment + LOOK_AGAIN,
            details={"workflow": due.workflow_id},
        )
        await self.records.write(lambda transaction: transaction.wait_for_turn(waits))
        ended = (await self.turns.show(due.scope, busy)).state != "running"  # between the two looks
        return await self.begin(due) if ended else RunBegun(state="waits")

    async def _cancel(self, scope: Scope, execution_id: ExecutionId) -> None:
        def cancel(transaction: Transaction) -> ConversationRef | None:
            waiting = transaction.turns_in_hand(scope, [execution_id]).get(execution_id)
            if waiting is None or not transaction.cancel_turn(scope, execution_id):
                return None
            about: dict[str, Any] = {"execution_id": execution_id, "correlation_id": execution_id}
            told = CancellationRequested(how=Overlap.CANCEL)
            transaction.add_events(scope, [journal.note(scope, told, execution_id, "schedule", **about)])
            return ConversationRef.of(waiting.request)

        ref = await self.records.write(cancel)
        if ref is not None:
            self.turns.stream.publish(cancellation_of(execution_id), "end", {})
            self.turns.delivery.cancel(ref, execution_id)

    def _skipped(
        self, due_at: datetime, reason: Literal["overlap", "paused"], busy: ExecutionId | None, cause: Cause
    ) -> ScheduleRun:
        return ScheduleRun(
            due_at=due_at, cause=cause, state="skipped", execution_id=busy, reason=reason, at=journal.now()
        )

    async def _settle(self, schedule: DeployedSchedule, run: ScheduleRun) -> None:
        scope = schedule.scope

        def settle(transaction: Transaction) -> None:
            if run.cause == "hand" and any(
                run.execution_id and each.execution_id == run.execution_id
                for each in transaction.schedule_runs(scope, schedule.agent, schedule.name, LOOKED_AT)
            ):
                return  # the same request by hand, sent again
            if transaction.add_schedule_run(scope, schedule.agent, schedule.name, run):
                transaction.add_events_once(scope, [_told(schedule, run)])

        await self.records.write(settle)

    async def _tell_missed(self, schedule: DeployedSchedule) -> None:
        """Tells how many due times were older than the catch-up window. It is told with the next run, and never fails one."""
        if self.engine is None:
            return
        with contextlib.suppress(CaxtonError):
            found = await self.engine.describe(schedule)
            count = found.info.num_actions_missed_catchup_window if found else 0
            if count != schedule.missed:
                await self.records.write(lambda transaction: _note_missed(transaction, schedule, count))


def _note_missed(transaction: Transaction, schedule: DeployedSchedule, count: int) -> None:
    scope = schedule.scope
    known = transaction.schedule(scope, schedule.agent, schedule.name, hold=True)
    if known is None or known.missed == count:
        return
    transaction.put_schedule(known.model_copy(update={"missed": count}))
    if count > known.missed:  # less: the engine's schedule is a new one
        told = ScheduleRunsMissed(schedule=schedule.name, count=count - known.missed)
        fact = (schedule.agent, schedule.name, "missed", journal.now().isoformat())
        transaction.add_events(scope, [journal.note(scope, told, *fact, agent=schedule.agent)])


def _told(schedule: DeployedSchedule, run: ScheduleRun) -> Event:
    payload: Payload
    if run.state == "begun":
        late = max(0.0, (run.at - run.due_at).total_seconds())
        payload = ScheduleRunBegun(schedule=schedule.name, due_at=run.due_at, cause=run.cause, late_s=round(late, 3))
    elif run.state == "skipped":
        payload = ScheduleRunSkipped(schedule=schedule.name, due_at=run.due_at, reason=run.reason or "")
    else:
        payload = ScheduleRunFailed(schedule=schedule.name, due_at=run.due_at, cause=run.cause, reason=run.reason or "")
    return journal.note(
        schedule.scope,
        payload,
        run.execution_id or scheduled_execution(schedule.scope, schedule.agent, schedule.name, run.due_at),
        run.due_at.isoformat(),
        actor=run.by or "system",
        agent=schedule.agent,
        execution_id=run.execution_id,
        correlation_id=run.execution_id if run.state == "begun" else None,
        error_code=run.reason if run.state == "failed" else None,
        channel_type=CHANNEL,
    )
