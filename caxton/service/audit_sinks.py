"""Carries the event log to its sinks: in order, at least once, from a place that each sink has in the store.

The place moves when the sink has taken a batch, so nothing is left out after a crash, and a batch may come twice. One process
of an installation carries for each sink: whoever has its lease.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from caxton.domain.audit import AuditSink
from caxton.domain.errors import AuditSinkBehind, CaxtonError, ChannelFailed
from caxton.domain.log_changes import LogNews
from caxton.domain.records import Records, Transaction
from caxton.observability.metrics import METRICS
from caxton.recording.journal import now

log = logging.getLogger(__name__)

BATCH = 100
"""Events a sink gets at once."""

GATHER = 0.25
"""Seconds from the news that the log has grown until it is read: what comes meanwhile travels along."""

PAUSE = 0.5
"""Half the seconds after the first failure; then twice as long each time."""

POLL_INTERVAL = 1.0
"""Seconds between looks how far the sinks are."""

LEASE = 20.0
"""Seconds for which one process carries for a sink; it renews that as long as it lives, and looks for events as often."""

LONGEST_WAIT = 30.0
"""Seconds after which a sink that does not answer is tried again, at most."""


@dataclass(frozen=True, slots=True)
class SinkRule:
    """What a sink's place in the log means for everything else."""

    required: bool = False
    """Whether changes are refused while it is too far behind."""
    max_events: int = 10_000
    max_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a sink is behind the log."""

    events: int
    seconds: float
    """Since the first event that it has not taken."""

    def exceeds(self, rule: SinkRule) -> bool:
        """Whether that is too far."""
        return self.events > rule.max_events or self.seconds > rule.max_seconds


class AuditCarrier:
    """Brings events to one sink, forever."""

    def __init__(self, records: Records, name: str, sink: AuditSink) -> None:
        """Carry from `records` to `sink`."""
        self.records = records
        self.name = name
        self.sink = sink
        self._owner = random.randrange(1, 2**31)
        self._renewed = -LEASE
        self._carries = False
        """Whether it had the lease the last time."""

    async def run(self) -> None:
        """Carries what there is, and waits for more. A sink that is down is tried again; nothing else waits for it."""
        wait, failing = PAUSE, False
        grown = LogNews(self.records.log_changes)
        try:
            while True:
                try:
                    busy = await self.carry()
                    if failing:
                        log.info("audit sink %s takes events again", self.name)
                    failing = False
                    wait = 0.0 if busy else await self._news(grown)
                except ChannelFailed as error:
                    log.log(
                        logging.DEBUG if failing else logging.WARNING, "audit sink %s: %s", self.name, error.message
                    )
                    wait, failing = min(max(wait, PAUSE) * 2, LONGEST_WAIT), True
                except CaxtonError as error:
                    log.warning("audit sink %s waits: %s", self.name, error.message)
                    wait = 1.0
                except Exception as error:  # whatever it is, the others go on, and so does this one
                    log.exception("audit sink %s failed", self.name, extra={"error": type(error).__name__})
                    wait = 5.0
                await asyncio.sleep(wait)
        finally:
            grown.leave()
            with contextlib.suppress(Exception):
                await self.sink.close()

    async def _news(self, grown: LogNews) -> float:
        """Waits until there may be something to carry. Returns how many seconds more are good."""
        if not self._carries:
            return LEASE / 3
        return GATHER if await grown.wait(LEASE / 3) else 0.0

    async def carry(self) -> bool:
        """Brings one batch of each customer. Returns whether there may be more.

        Raises:
            ChannelFailed: the sink has not taken one.
            StoreUnavailable: the log cannot be read, or the place not be kept.
        """
        self._carries = await self._has_lease()
        if not self._carries:
            return False
        more = False
        for customer, (position, head) in (await self.records.read(lambda tx: _places(tx, self.name))).items():
            if position >= head:
                continue
            events = await self.records.read(
                lambda tx, customer=customer, position=position: tx.log(customer, after=position, limit=BATCH)
            )
            if not events:
                continue
            await self.sink.send(events)
            reached = events[-1].sequence or position
            await self.records.write(
                lambda tx, customer=customer, reached=reached: tx.set_document_position(
                    customer, sink_view(self.name), reached, 1
                )
            )
            METRICS.audit_sent(self.name, len(events))
            more = more or reached < head
        return more

    async def _has_lease(self) -> bool:
        """Takes or renews the lease; False while another process has it."""
        if time.monotonic() - self._renewed < LEASE / 3:
            return True

        def take(transaction: Transaction) -> bool:
            until, owner = transaction.document_position("", _lease(self.name), hold=True)
            moment = int(now().timestamp() * 1000)
            if owner not in (0, self._owner) and until > moment:
                return False
            transaction.set_document_position("", _lease(self.name), moment + int(LEASE * 1000), self._owner)
            return True

        if await self.records.write(take):
            self._renewed = time.monotonic()
            return True
        return False


class AuditLag:
    """How far the sinks are, as every process sees it in the store; refuses changes while a required one is too far behind."""

    def __init__(self, records: Records, rules: Mapping[str, SinkRule]) -> None:
        """Watch the sinks that have `rules`."""
        self.records = records
        self.rules = rules
        self.lags: dict[str, Lag] = {}
        self._refusal: AuditSinkBehind | None = None

    async def run(self) -> None:
        """Looks every second, forever."""
        while True:
            with contextlib.suppress(CaxtonError):
                await self.look()
            await asyncio.sleep(POLL_INTERVAL)

    async def look(self) -> None:
        """Looks how far the sinks are."""

        def read(transaction: Transaction) -> dict[str, Lag]:
            return {name: _lag(transaction, name) for name in self.rules}

        self.lags = await self.records.read(read)
        self._refusal = None
        for name, lag in self.lags.items():
            METRICS.audit_lag(name, lag.events, lag.seconds)
            if self.rules[name].required and lag.exceeds(self.rules[name]):
                self._refusal = AuditSinkBehind(
                    f"nothing is changed while the audit sink {name} is {lag.events} events and {lag.seconds:.0f} s behind",
                    "bring it back, or set required = false for it in [audit] of the server's caxton.toml",
                    details={"sink": name, "events": lag.events, "seconds": round(lag.seconds)},
                    retry_after=5.0,
                )

    def check_changes(self) -> None:
        """Returns if changes are possible.

        Raises:
            AuditSinkBehind: a sink without which nothing is to be changed is too far behind.
        """
        if self._refusal is not None:
            raise self._refusal

    async def check(self, name: str) -> str:
        """How far one sink is, for health.

        Raises:
            AuditSinkBehind: too far.
        """
        lag = self.lags.get(name, Lag(0, 0.0))
        told = f"{lag.events} events and {lag.seconds:.0f} s behind"
        if lag.exceeds(self.rules[name]):
            raise AuditSinkBehind(f"the audit sink {name} is {told}")
        return told


def _places(transaction: Transaction, name: str) -> dict[str, tuple[int, int]]:
    """Position and head of every customer's log."""
    heads = transaction.customers_with_events()
    return {
        customer: (transaction.document_position(customer, sink_view(name))[0], head)
        for customer, head in heads.items()
    }


def _lag(transaction: Transaction, name: str) -> Lag:
    behind, seconds = 0, 0.0
    for customer, (position, head) in _places(transaction, name).items():
        if position < head:
            behind += head - position
            first = transaction.log(customer, after=position, limit=1)
            if first:
                seconds = max(seconds, (now() - first[0].timestamp).total_seconds())
    return Lag(behind, max(0.0, seconds))


def sink_view(name: str) -> str:
    """How the place up to which a sink has the log is called."""
    return f"sink:{name}"


def _lease(name: str) -> str:
    return f"sink-lease:{name}"
