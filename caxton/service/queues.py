"""What waits: calls behind their limits, and requests that are not accepted yet."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from caxton.domain.errors import CaxtonError
from caxton.domain.permissions import Permission
from caxton.domain.quantities import format_rate
from caxton.domain.records import QueueStatus, Records
from caxton.observability.metrics import METRICS
from caxton.service.context import Caller
from caxton.service.fast_path import FastPath
from caxton.views.system import QueueList, QueueView

log = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
"""Seconds between counts of what waits, for `limits.waiting` and for metrics."""


class Queues:
    """Use cases on what waits."""

    def __init__(self, records: Records, fast_path: FastPath) -> None:
        """Look into `records`, and tell `fast_path` how many calls wait."""
        self.records = records
        self.fast_path = fast_path

    async def list(self, caller: Caller, *, everywhere: bool) -> QueueList:
        """Limits that calls of the workspace pass or wait for just now.

        Args:
            caller: who asks.
            everywhere: those of all customers.

        Raises:
            NotPermitted: the caller may not see those of others.
        """
        if everywhere:
            caller.require(Permission.SERVER_INSPECT)
        scope = None if everywhere else caller.scope
        found = await self.records.read(lambda transaction: transaction.queues(scope))
        return QueueList(queues=[_view(each) for each in found], accepting=self.fast_path.waiting)

    async def run(self) -> None:
        """Counts what waits, forever."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                await self._count()
            except CaxtonError as error:
                log.debug("what waits could not be counted: %s", error.message)
            except Exception as error:
                log.warning("what waits could not be counted", extra={"error": type(error).__name__})

    async def _count(self) -> None:
        if not await self.records.read(lambda transaction: transaction.any_places()):
            self.fast_path.queued = {}
            METRICS.queues([])
            return
        self.fast_path.queued = await self.records.read(lambda transaction: transaction.count_waiting_places())
        found = await self.records.read(lambda transaction: transaction.queues(None))
        METRICS.queues([(*_short(each), each.in_flight, each.waiting, _age(each)) for each in found])


def _age(queue: QueueStatus) -> float:
    return 0.0 if queue.oldest is None else max(0.0, (datetime.now(UTC) - queue.oldest).total_seconds())


def _short(queue: QueueStatus) -> tuple[str, str]:
    """Kind and name, without customer and workspace: metrics name no customers."""
    kind, _, name = queue.gate.name.partition(":")
    return kind, "" if kind == "customer" else name.rpartition("/")[2] if kind in ("agent", "tool") else name


def _view(queue: QueueStatus) -> QueueView:
    kind, _, name = queue.gate.name.partition(":")
    customer, workspace, short = _parts(name) if kind in ("agent", "tool") else ("", "", name)
    rate = queue.gate.rate
    return QueueView(
        kind=kind,
        name=short,
        customer=customer or None,
        workspace=workspace or None,
        max_in_flight=queue.gate.max_in_flight,
        rate=format_rate(rate) if rate else None,
        in_flight=queue.in_flight,
        waiting=queue.waiting,
        oldest_seconds=round(_age(queue), 3) if queue.waiting else None,
    )


def _parts(name: str) -> Sequence[str]:
    return name.split("/", 2)
