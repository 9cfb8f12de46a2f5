"""Retention: how long a workspace keeps what, and applying it.

A deadline for each workspace with periods is due every minute, more often where a period is shorter. What is outside of a period
goes in batches, each in a transaction of its own with the event that tells of it; between two, everybody else may write.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from caxton.domain.errors import InvalidInput
from caxton.domain.events.retention import PeriodsSet, RetentionApplied
from caxton.domain.ids import Scope, new_id
from caxton.domain.records import Deadline, Records, Removed, Transaction
from caxton.domain.retention import KINDS, Periods, applied_again_after
from caxton.observability.metrics import METRICS
from caxton.recording import journal
from caxton.service.archive import LOG, Archive
from caxton.service.context import Caller
from caxton.service.deletion import BATCH, Deletions, note_contents, note_deletion
from caxton.views.retention import KindView, RetentionView

A_PART = 10.0
"""Seconds after which the rest waits for the next look: well within what one deadline may take."""

CONVERSATIONS = 50
"""Conversations that one transaction takes away."""

UNCHANGED = "unchanged"

LOOK_BACK = timedelta(days=1)
"""How far before the last time executions are looked at again: they may have been at work then."""


@dataclass
class Retention:
    """Use cases on periods, and what applies them."""

    records: Records
    deletions: Deletions
    defaults: Periods
    archive: Archive
    now: Callable[[], datetime] = field(default=journal.now)
    _steps_done: dict[Scope, tuple[datetime, datetime]] = field(
        default_factory=dict[Scope, tuple[datetime, datetime]], init=False
    )
    """Up to when steps are gone, and when all executions were looked through for that."""

    async def show(self, scope: Scope) -> RetentionView:
        """The periods of a workspace, and how much is outside of them."""
        own = await self.records.read(lambda transaction: transaction.periods(scope))
        return await self._view(scope, own)

    async def set(self, caller: Caller, periods: Periods, *, dry_run: bool) -> RetentionView:
        """Decides how long the workspace keeps what; it is applied within a minute. With `dry_run` it only tells what would go.

        Raises:
            InvalidInput: these cannot be applied together.
        """
        scope = caller.scope
        problem = periods.over(self.defaults).problem
        if problem is not None:
            raise InvalidInput(problem, "give executions a period that is as long")
        if dry_run:
            return await self._view(scope, periods)

        def put(transaction: Transaction) -> None:
            before = transaction.periods(scope)
            transaction.put_periods(scope, periods)
            told = PeriodsSet(periods=periods.model_dump(), before=before.model_dump())
            transaction.add_events(scope, [journal.note(scope, told, new_id("retention"), actor=caller.actor)])
            transaction.apply_retention_at(scope, journal.now() + timedelta(seconds=1), sooner=True)

        await self.records.write(put)
        return await self._view(scope, periods)

    async def _view(self, scope: Scope, own: Periods) -> RetentionView:
        wanted, moment = own.over(self.defaults), self.now()

        def count(transaction: Transaction) -> list[KindView]:
            found: list[KindView] = []
            for kind in KINDS:
                seconds = wanted.seconds(kind)
                outside = 0
                if seconds is not None:
                    outside = transaction.outside(scope, kind, moment - timedelta(seconds=seconds))
                found.append(
                    KindView(
                        kind=kind,
                        seconds=seconds,
                        default=getattr(own, kind) is None,
                        outside=outside,
                    )
                )
            return found

        found = await self.records.read(count)
        return RetentionView(periods=[*found, await self._of_log(scope.customer)])

    async def _of_log(self, customer: str, would: float | str | None = UNCHANGED) -> KindView:
        seconds, default = await self.archive.period(customer)
        if would != UNCHANGED:
            default = would is None
            seconds = self.archive.default if would is None else None if isinstance(would, str) else would
        older = await self.archive.older(customer, seconds)
        return KindView(kind="events", seconds=seconds, default=default, outside=older)

    async def set_events(self, caller: Caller, period: float | str | None, *, dry_run: bool) -> KindView:
        """Decides how long the customer's event log stays in the database. With `dry_run` it only tells how much is older."""
        if not dry_run:
            await self.archive.set(caller, period)
        return await self._of_log(caller.scope.customer, period)

    @property
    def handlers(self) -> Mapping[str, Any]:
        """What deals with the deadlines of retention, by their kind."""
        return {"retention": self._deal}

    async def _deal(self, deadline: Deadline) -> datetime | None:
        of_log = deadline.execution_id == LOG
        return await (self.archive.apply(deadline) if of_log else self.apply(deadline))

    async def ensure(self) -> None:
        """Has the server's own periods applied in all workspaces, also in those that are new."""
        await self.archive.ensure()
        if self.defaults == Periods():
            return

        def note(transaction: Transaction) -> None:
            for scope in transaction.all_scopes():
                transaction.apply_retention_at(scope, journal.now(), sooner=False)

        await self.records.write(note)

    async def apply(self, deadline: Deadline) -> datetime | None:
        """Takes away what is outside of a workspace's periods, for some seconds. Returns when to go on; None if it has none."""
        scope = deadline.scope
        own = await self.records.read(lambda transaction: transaction.periods(scope))
        wanted = own.over(self.defaults)
        if all(wanted.seconds(kind) is None for kind in KINDS):
            return None
        until = time.monotonic() + A_PART
        for kind in KINDS:
            seconds = wanted.seconds(kind)
            if seconds is None:
                continue
            before = self.now() - timedelta(seconds=seconds)
            while await self._batch(scope, kind, before):
                if time.monotonic() > until:
                    return journal.now()
        return journal.now() + applied_again_after(
            min(seconds for kind in KINDS if (seconds := wanted.seconds(kind)) is not None)
        )

    async def _batch(self, scope: Scope, kind: str, before: datetime) -> bool:
        """Takes away one batch. Returns whether there is more; then others have had time to write."""
        began = time.monotonic()
        moment = self.now()

        def remove(transaction: Transaction) -> tuple[int, Removed]:
            removed, count = self._remove(transaction, scope, kind, before)
            if count:
                told = RetentionApplied(kind=kind, count=count, before=before.isoformat())
                transaction.add_events(scope, [journal.note(scope, told, new_id("retention"))])
            return count, removed

        count, removed = await self.records.write(remove)
        METRICS.retention_removed(kind, count)
        if kind == "steps" and not removed.more:
            known = self._steps_done.get(scope)
            full = moment if self._begun_since(scope, moment) is None or known is None else known[1]
            self._steps_done[scope] = (before, full)
        if removed.more:
            await asyncio.sleep(time.monotonic() - began)
        return removed.more

    def _remove(self, transaction: Transaction, scope: Scope, kind: str, before: datetime) -> tuple[Removed, int]:
        if kind == "conversations":
            return self._remove_conversations(transaction, scope, before)
        if kind == "messages":
            removed = transaction.remove_old_messages(scope, before, BATCH * 2)
            count = removed.messages
        elif kind == "executions":
            removed = transaction.remove_old_executions(scope, before, BATCH)
            count = removed.executions
        elif kind == "steps":
            removed = transaction.remove_old_steps(scope, before, self._begun_since(scope, self.now()), BATCH)
            count = removed.steps
        else:
            removed = transaction.remove_old_contents(scope, before, BATCH)
            count = len(removed.digests)
        note_contents(transaction, scope, removed.digests)
        return removed, count

    def _remove_conversations(self, transaction: Transaction, scope: Scope, before: datetime) -> tuple[Removed, int]:
        ids = transaction.ended_conversations(scope, before, CONVERSATIONS)
        if not ids:
            return Removed(), 0
        moment = self.now()
        for each in ids:
            transaction.remove_conversation(scope, each)
        removed = transaction.remove_of_conversations(scope, ids, moment, BATCH)
        note_deletion(transaction, scope, ids, removed, moment)
        removed.more = len(ids) == CONVERSATIONS
        return removed, len(ids)

    def _begun_since(self, scope: Scope, moment: datetime) -> datetime | None:
        """Executions that began earlier have lost their steps already; None once a day, to look at all."""
        known = self._steps_done.get(scope)
        if known is None or moment - known[1] > LOOK_BACK:
            return None
        return known[0] - LOOK_BACK
