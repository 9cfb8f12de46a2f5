"""Versions that were replaced and have work in progress: looked after until it is done, and shown."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from caxton.deploying.drains import Drains as DrainChanges
from caxton.deploying.drains import in_hand
from caxton.domain.drains import DRAIN_TIME, Drain, InHand
from caxton.domain.ids import DeploymentId
from caxton.domain.records import Deadline, Records, Transaction
from caxton.recording import journal
from caxton.service.context import Caller
from caxton.views.drains import DrainView
from caxton.workflows.agent import pause_of_drain

LONGEST_PAUSE = 600.0
"""Seconds between looks at a version that drains for days."""


@dataclass
class Drains:
    """Looks after versions that drain."""

    records: Records
    longest: float = DRAIN_TIME
    """Seconds that conversations get to end on the version that they began with."""

    async def look(self, deadline: Deadline) -> datetime | None:
        """Ends a drain when nothing is in progress, or its time has passed. Returns when to look again; None when it is over."""
        drain, left = await self.records.read(lambda transaction: self._read(transaction, deadline))
        if drain is None:
            return None
        now = journal.now()
        if left and (drain.is_over or now < drain.ends_at(self.longest)):
            return self._next(drain, now)

        def end(transaction: Transaction) -> bool:
            found, still = self._read(transaction, deadline)
            if found is None:
                return False
            if not still or not found.is_over:
                DrainChanges(transaction, found.scope).end(found, still)
            return bool(still)

        return self._next(drain, now) if await self.records.write(end) else None

    def _read(self, transaction: Transaction, deadline: Deadline) -> tuple[Drain | None, InHand]:
        about = deadline.details
        drain = transaction.drain(deadline.scope, about["kind"], about["name"], about["digest"])
        if drain is None:
            return None, InHand()
        return drain, in_hand(transaction, drain, keeps_conversations=about["conversations"])

    def _next(self, drain: Drain, now: datetime) -> datetime:
        passed = (now - drain.began_at).total_seconds()
        again = now + timedelta(seconds=min(LONGEST_PAUSE, pause_of_drain(passed)))
        return again if drain.is_over else max(now, min(again, drain.ends_at(self.longest)))

    async def list_drains(self, caller: Caller, deployment_id: DeploymentId | None = None) -> list[DrainView]:
        """Versions of the workspace, or of one deployment, that were replaced and have work in progress."""

        def read(transaction: Transaction) -> list[DrainView]:
            found = transaction.drains(caller.scope, deployment_id=deployment_id)
            views = [self._view(transaction, drain) for drain in found]
            return [view for view in views if view.turns or view.conversations or view.calls]

        return await self.records.read(read)

    def _view(self, transaction: Transaction, drain: Drain) -> DrainView:
        return DrainView(
            kind=drain.kind,
            name=drain.name,
            version=drain.version,
            digest=drain.digest,
            deployment_id=drain.deployment_id,
            since=drain.began_at,
            ends_at=drain.ends_at(self.longest),
            moves=drain.is_over,
            **in_hand(transaction, drain).model_dump(),
        )
