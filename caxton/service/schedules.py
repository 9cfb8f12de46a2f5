"""Schedules: what is deployed, when it is due, and what became of it; pause, resume, run by hand and backfill."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from caxton.domain.errors import Hint, InvalidState
from caxton.domain.events import Payload
from caxton.domain.events.schedules import ScheduleBackfilled, SchedulePaused, ScheduleResumed
from caxton.domain.executions import TurnView
from caxton.domain.ids import Scope, new_id
from caxton.domain.records import Records, Transaction
from caxton.domain.schedules import (
    MOST_BACKFILLED,
    Backfill,
    DeployedSchedule,
    ScheduleRun,
    scheduled_execution,
    triggered_execution,
    unknown_schedule,
    wrong_range,
)
from caxton.recording import journal
from caxton.routing.similar import similar_names
from caxton.service.context import Caller
from caxton.service.engine import WorkflowMissingError
from caxton.service.schedule_engine import ScheduleEngine
from caxton.service.schedule_runs import ScheduleRuns
from caxton.views.schedules import BackfillView, ScheduleDetails, ScheduleView

RUNS_SHOWN = 20
"""Latest runs that are shown of a schedule."""

ASKED_AT_A_TIME = 20
"""Schedules of which the engine is asked at the same time when they are listed."""

KEPT_BACKFILLS = 20


class Schedules:
    """Use cases on schedules."""

    def __init__(self, records: Records, engine: ScheduleEngine, runs: ScheduleRuns) -> None:
        """Join what schedules need."""
        self.records = records
        self.engine = engine
        self.runs = runs

    async def list_schedules(self, caller: Caller, agent: str | None = None) -> list[ScheduleView]:
        """All schedules of the workspace, or of one agent."""
        scope = caller.scope

        def read(transaction: Transaction) -> list[tuple[DeployedSchedule, list[ScheduleRun]]]:
            found = transaction.schedules(scope, agent)
            return [(each, transaction.schedule_runs(scope, each.agent, each.name, 1)) for each in found]

        slots = asyncio.Semaphore(ASKED_AT_A_TIME)

        async def view(schedule: DeployedSchedule, runs: Sequence[ScheduleRun]) -> ScheduleView:
            async with slots:
                return await self._view(schedule, runs)

        return await asyncio.gather(*(view(*each) for each in await self.records.read(read)))

    async def show(self, caller: Caller, agent: str, name: str) -> ScheduleDetails:
        """One schedule, with its latest runs.

        Raises:
            NotFound: there is none of that name.
        """
        scope = caller.scope

        def read(transaction: Transaction) -> tuple[DeployedSchedule, list[ScheduleRun]]:
            return _known(transaction, scope, agent, name), transaction.schedule_runs(scope, agent, name, RUNS_SHOWN)

        schedule, runs = await self.records.read(read)
        view = await self._view(schedule, runs)
        return ScheduleDetails(**view.model_dump(), runs=runs)

    async def pause(self, caller: Caller, agent: str, name: str, reason: str) -> ScheduleDetails:
        """Lets due times pass without a run. What is at work goes on.

        Raises:
            NotFound: there is none of that name.
            InvalidState: it is paused already.
        """
        await self._change(caller, agent, name, SchedulePaused(schedule=name, reason=reason), paused=True)
        return await self.show(caller, agent, name)

    async def resume(self, caller: Caller, agent: str, name: str, reason: str) -> ScheduleDetails:
        """Runs due times again from now on; those that passed meanwhile are not made up for.

        Raises:
            NotFound: there is none of that name.
            InvalidState: it is not paused.
        """
        await self._change(caller, agent, name, ScheduleResumed(schedule=name, reason=reason), paused=False)
        return await self.show(caller, agent, name)

    async def trigger(self, caller: Caller, agent: str, name: str, key: str | None, *, wait: float | None) -> TurnView:
        """Runs it now, whether it is paused or still at work.

        Args:
            caller: who asks.
            agent: whose schedule.
            name: which.
            key: an idempotency key: the same one is one run.
            wait: seconds to wait for the reply; None not to wait.

        Raises:
            NotFound: there is none of that name.
            CaxtonError: the request was refused; nothing was accepted.
        """
        schedule = await self.records.read(lambda transaction: _known(transaction, caller.scope, agent, name))
        execution_id = triggered_execution(caller.scope, agent, name, key) if key else None
        view = await self.runs.run(
            schedule,
            journal.now(),
            "hand",
            caller.actor,
            execution_id=execution_id,
            wait=wait,
            requester=caller.principal,
        )
        assert view is not None
        return view

    async def backfill(self, caller: Caller, agent: str, name: str, start: datetime, end: datetime) -> BackfillView:
        """Has due times of the past run, one after another; those that have been run before are not run again.

        Raises:
            NotFound: there is no schedule of that name.
            InvalidInput: the range is not in the past, or has no or too many due times.
            InvalidState: the engine does not know the schedule yet.
        """
        scope = caller.scope
        schedule = await self.records.read(lambda transaction: _known(transaction, scope, agent, name))
        if end <= start:
            raise wrong_range("the range ends before it begins", "give `start` before `end`")
        if end > journal.now():
            raise wrong_range("the range ends in the future", "what is due later is run when it is due; end it now")
        try:
            due = await self.engine.due_times(schedule, start, end)
        except WorkflowMissingError:
            raise _not_yet(name) from None
        if not due:
            raise wrong_range("the schedule was not due in that range", f"see when it is: {schedule.definition.timing}")
        if len(due) >= MOST_BACKFILLED:
            raise wrong_range(
                f"the range has {MOST_BACKFILLED:,} due times or more", "backfill it in parts, one after another"
            )
        ids = {scheduled_execution(scope, agent, name, each) for each in due}
        asked = Backfill(start=start, end=end, by=caller.actor, requester=caller.principal, asked_at=journal.now())

        def note(transaction: Transaction) -> int:
            held = _known(transaction, scope, agent, name, hold=True)
            backfills = [*held.backfills, asked][-KEPT_BACKFILLS:]
            transaction.put_schedule(held.model_copy(update={"backfills": backfills}))
            told = ScheduleBackfilled(schedule=name, start=start, end=end, count=len(due))
            self._tell(transaction, caller, agent, told)
            if not schedule.definition.jitter:
                return len(transaction.executions(scope, sorted(ids)))
            # These times are with jitter, those of runs without: what was run is found by its time.
            early = start - timedelta(seconds=schedule.definition.jitter)
            runs = transaction.schedule_runs(scope, agent, name, MOST_BACKFILLED)
            begun = [run for run in runs if run.cause != "hand" and run.state == "begun"]
            return min(len(due), sum(early < run.due_at <= end for run in begun))

        known = await self.records.write(note)
        await self.engine.backfill(schedule, start, end)
        return BackfillView(start=start, end=end, due=len(due), known=known)

    async def _change(
        self, caller: Caller, agent: str, name: str, told: SchedulePaused | ScheduleResumed, *, paused: bool
    ) -> None:
        scope = caller.scope

        def change(transaction: Transaction) -> None:
            held = _known(transaction, scope, agent, name, hold=True)
            if held.paused == paused:
                command = f"caxton schedule {'resume' if paused else 'pause'} {agent}/{name}"
                raise InvalidState(
                    f'schedule "{name}" is {"paused already" if paused else "not paused"}',
                    Hint(text="to resume it" if paused else "to pause it", command=command),
                    details={"schedule": name, "agent": agent},
                )
            news = {
                "paused": paused,
                "reason": told.reason if paused else "",
                "changed_by": caller.actor,
                "changed_at": journal.now(),
                "revision": held.revision + 1,
            }
            transaction.put_schedule(held.model_copy(update=news))
            self._tell(transaction, caller, agent, told)

        await self.records.write(change)
        await self.engine.apply(scope)

    def _tell(self, transaction: Transaction, caller: Caller, agent: str, told: Payload) -> None:
        event = journal.note(caller.scope, told, new_id("schedule"), actor=caller.actor, agent=agent)
        transaction.add_events(caller.scope, [event])

    async def _view(self, schedule: DeployedSchedule, runs: Sequence[ScheduleRun]) -> ScheduleView:
        definition = schedule.definition
        found = await self.engine.describe(schedule)
        return ScheduleView(
            agent=schedule.agent,
            name=schedule.name,
            capability=definition.capability,
            cron=definition.cron,
            interval=definition.interval,
            time_zone=definition.time_zone,
            timing=definition.timing,
            jitter=definition.jitter,
            overlap=definition.overlap,
            catch_up=definition.catch_up,
            paused=schedule.paused,
            reason=schedule.reason,
            next=list(found.info.next_action_times) if found and not schedule.paused else [],
            missed=found.info.num_actions_missed_catchup_window if found else schedule.missed,
            last=runs[0] if runs else None,
            in_engine=schedule.applied == schedule.revision,
        )


def _known(transaction: Transaction, scope: Scope, agent: str, name: str, *, hold: bool = False) -> DeployedSchedule:
    found = transaction.schedule(scope, agent, name, hold=hold)
    if found is None or found.removed:
        names = [each.name for each in transaction.schedules(scope, agent)]
        similar = similar_names(name, names)
        raise unknown_schedule(agent, name, similar[0] if similar else None)
    return found


def _not_yet(name: str) -> InvalidState:
    return InvalidState(f'the engine does not know schedule "{name}" yet', "try again in a moment")
