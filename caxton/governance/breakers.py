"""Circuit breakers at work: asked before each call, told what came of it, shared by all processes through the store.

To ask is a look into memory. What is there is as fresh as the transaction that routed the request, or read the step: each reads
with the registry's generation also that of the breakers, and reads them again where it has moved. So what one process opens is
open for all others from their next transaction on.

To tell is counting in memory while all is well. Failures, and successes of what has failed lately, are written by a
transaction of their own a moment later, many at a time: there the breaker opens and closes, with its event.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from caxton.domain.agents import AgentSpec
from caxton.domain.breakers import ONE_AT_A_TIME, Breaker, BreakerKind, BreakerSettings, BreakerState, Calls
from caxton.domain.errors import CaxtonError
from caxton.domain.events import Payload
from caxton.domain.events.breakers import CircuitBreakerClosed, CircuitBreakerHalfOpened, CircuitBreakerOpened
from caxton.domain.events.tools import ToolQuarantined
from caxton.domain.ids import Scope
from caxton.domain.records import Records, Transaction
from caxton.governance.alerts import alert
from caxton.observability.metrics import METRICS
from caxton.recording import journal
from caxton.routing.decision import NOBODY
from caxton.routing.directory import Breakers, Directory

log = logging.getLogger(__name__)

WRITE_EVERY = 0.1
"""Seconds between two writes: how late a breaker opens at most, over and above the write itself."""

MOST_COUNTED = 10_000
"""Subjects whose successes are remembered; beyond that all are forgotten, which only makes a rate look worse."""

SUPPOSED = 2.0
"""Seconds for which a call that may be a try keeps others from trying, until the store knows of it."""

Key = tuple[Scope, BreakerKind, str]


@dataclass(slots=True)
class _Told:
    settings: BreakerSettings
    calls: Calls = field(default_factory=Calls)


@dataclass(slots=True)
class _Counted:
    """Successes of what has not failed lately."""

    since: float
    number: int = 0
    before: int = 0
    """In the window before this one."""


class _Resting(Mapping[str, float]):
    """Agents at rest, as one request sees them."""

    def __init__(self, breakers: "CircuitBreakers", scope: Scope, by: str, known: Breakers) -> None:
        self._breakers, self._scope, self._by, self._known = breakers, scope, by, known

    def __getitem__(self, agent: str) -> float:
        if (BreakerKind.AGENT, agent) not in self._known:
            raise KeyError(agent)
        # One that has rested since it was found here may be asked at once.
        return self._breakers.wait(self._scope, BreakerKind.AGENT, agent, self._by) or 0.0

    def __contains__(self, agent: object) -> bool:
        if (BreakerKind.AGENT, agent) not in self._known:
            return False
        return self._breakers.wait(self._scope, BreakerKind.AGENT, str(agent), self._by) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for kind, name in self._known if kind is BreakerKind.AGENT and name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class CircuitBreakers:
    """The circuit breakers of all workspaces, as one process sees them."""

    def __init__(
        self,
        records: Records,
        directory: Directory,
        models: BreakerSettings,
        providers: Mapping[str, BreakerSettings] | None = None,
        alerts: Sequence[str] = (),
    ) -> None:
        """Keep breakers in `records`.

        Args:
            records: the store.
            directory: what is known of them here.
            models: thresholds for providers of models.
            providers: those of single providers.
            alerts: channels that are told when a tool is quarantined.
        """
        self.alerts = alerts
        self.records = records
        self.directory = directory
        self._models = models
        self._providers = providers or {}
        self._told: dict[Key, _Told] = {}
        self._counted: dict[Key, _Counted] = {}
        self._trying: dict[Key, tuple[str, float]] = {}
        self._write: asyncio.Task[None] | None = None
        self._written = 0.0

    def of_provider(self, name: str) -> BreakerSettings:
        """The thresholds of a model provider."""
        return self._providers.get(name, self._models)

    # --- asked -----------------------------------------------------------------------------------------------------

    def wait(self, scope: Scope, kind: BreakerKind, name: str, by: str) -> float | None:
        """Seconds after which `by` should ask again; None if the call may go, also as the one that tries."""
        breaker = self.directory.breakers(scope).get((kind, name))
        return None if breaker is None or breaker.is_closed else self._wait(scope, breaker, by)

    def take(self, scope: Scope, kind: BreakerKind, name: str, by: str) -> bool:
        """Whether a call that may go is a try. Then no other one of this process tries, and it is to be claimed in the store."""
        breaker = self.directory.breakers(scope).get((kind, name))
        if breaker is None or breaker.is_closed:
            return False
        self._trying[scope, kind, name] = by, time.time() + SUPPOSED
        return True

    def resting(self, scope: Scope, by: str) -> Mapping[str, float]:
        """Agents that take no work of `by`, with the seconds after which to ask again: found out for those that are looked up."""
        breakers = self.directory.breakers(scope)
        return _Resting(self, scope, by, breakers) if breakers else NOBODY

    def claim(self, transaction: Transaction, scope: Scope, kind: BreakerKind, name: str, by: str) -> bool:
        """Makes `by` the one call that tries. False when another one does, or it rests again."""
        breaker, now = transaction.breaker(scope, kind, name), time.time()
        if breaker is None:
            return True
        wait = breaker.wait(now, by)
        if wait is None:
            return True
        if wait > 0:
            return False
        tried = breaker.tried(by, now)
        transaction.put_breaker(scope, tried)
        transaction.bump_breakers(scope)
        if breaker.state is not BreakerState.HALF_OPEN:
            _tell(transaction, scope, breaker, tried)
        return True

    def _wait(self, scope: Scope, breaker: Breaker, by: str) -> float | None:
        now = time.time()
        wait = breaker.wait(now, by)
        if wait is None or wait > 0:
            return wait
        trying = self._trying.get((scope, breaker.kind, breaker.name))
        taken = trying is not None and trying[0] != by and now < trying[1]
        return ONE_AT_A_TIME if taken else None

    # --- told ------------------------------------------------------------------------------------------------------

    def tell(
        self,
        scope: Scope,
        kind: BreakerKind,
        name: str,
        settings: BreakerSettings,
        by: str,
        ok: bool | None,
        code: str | None = None,
    ) -> None:
        """Counts a call.

        Args:
            scope: whose.
            kind: what was called.
            name: which.
            settings: its thresholds.
            by: the call's name, by which a try is known.
            ok: whether it worked; None if it says nothing of what was called.
            code: why it did not.
        """
        key = (scope, kind, name)
        self._trying.pop(key, None)
        told = self._told.get(key)
        if told is None:
            if ok is not False and (kind, name) not in self.directory.breakers(scope):
                if ok:
                    self._count(key, settings)
                return
            told = self._told[key] = _Told(settings)
            told.calls.earlier = self._take_counted(key, settings)
        told.settings = settings
        told.calls.add(by, ok, code)
        if self._write is None or self._write.done():
            # In a context of its own: what it tells in the log is no request of whoever called last.
            self._write = asyncio.create_task(self._write_soon(), context=Context())

    def agent_answered(self, scope: Scope, agent: AgentSpec, by: str, *, is_live: bool) -> None:
        """Counts a turn that an agent has answered. What another version than the live one does says nothing of that."""
        self.tell(scope, BreakerKind.AGENT, agent.name, agent.breaker, by, True if is_live else None)

    def _count(self, key: Key, settings: BreakerSettings) -> None:
        counted, now = self._counted.get(key), time.monotonic()
        if counted is None:
            if len(self._counted) >= MOST_COUNTED:
                self._counted.clear()
            counted = self._counted[key] = _Counted(now)
        elif now - counted.since > settings.window:
            is_next = now - counted.since <= 2 * settings.window
            counted.since, counted.before, counted.number = now, counted.number if is_next else 0, 0
        counted.number += 1

    def _take_counted(self, key: Key, settings: BreakerSettings) -> int:
        """Successes of about the last window."""
        counted, now = self._counted.pop(key, None), time.monotonic()
        if counted is None or now - counted.since > settings.window:
            return 0
        return counted.number + round(counted.before * (1 - (now - counted.since) / settings.window))

    @asynccontextmanager
    async def guard(
        self,
        scope: Scope,
        kind: BreakerKind,
        name: str,
        settings: BreakerSettings,
        by: str,
        *,
        refuse: Callable[[float], CaxtonError],
        own_fault: Callable[[BaseException], bool],
    ) -> AsyncGenerator[None]:
        """Around a call: refuses it while the breaker is open, and tells what came of it.

        Args:
            scope: whose.
            kind: what is called.
            name: which.
            settings: its thresholds.
            by: the call's name.
            refuse: the error for a refusal, given the seconds after which to ask again.
            own_fault: whether a failure is that of what was called, and not of whoever called it.

        Raises:
            CaxtonError: what `refuse` makes.
        """
        wait = self.wait(scope, kind, name, by)
        if wait is None and self.take(scope, kind, name, by):
            claimed = await self.records.write(lambda transaction: self.claim(transaction, scope, kind, name, by))
            wait = None if claimed else ONE_AT_A_TIME
        if wait is not None:
            METRICS.breaker_refused(kind)
            raise refuse(wait)
        try:
            yield
        except BaseException as error:
            failed = own_fault(error)
            code = error.code if isinstance(error, CaxtonError) else type(error).__name__
            self.tell(scope, kind, name, settings, by, False if failed else None, code if failed else None)
            raise
        self.tell(scope, kind, name, settings, by, True)

    # --- written ---------------------------------------------------------------------------------------------------

    async def _write_soon(self) -> None:
        while self._told:
            await asyncio.sleep(max(0.0, self._written + WRITE_EVERY - time.monotonic()))
            told, self._told = self._told, {}
            try:
                for key, changed in await self.records.write(partial(_write_all, told, self.alerts)):
                    if key[1] is BreakerKind.VIOLATIONS:
                        log.warning('tool "%s" is quarantined', changed.name)
                        continue
                    METRICS.breaker_changed(key[1], changed.state)
                    log.warning("the circuit breaker of %s is %s", changed.subject, changed.state)
            except CaxtonError as error:
                log.warning("circuit breakers could not be kept: %s", error.message)
            except Exception as error:
                log.error("circuit breakers could not be kept", extra={"error": type(error).__name__})
            self._written = time.monotonic()

    async def written(self) -> None:
        """Waits until all that was told is kept."""
        if self._write is not None:
            await self._write


def reset(
    transaction: Transaction,
    scope: Scope,
    kind: BreakerKind,
    name: str,
    reason: Literal["reset", "deployed"],
    **who: Any,
) -> bool:
    """Closes a breaker, and forgets what was held against it. False when there is nothing to forget.

    `reason` is "reset" or "deployed"; `who` further facts of the event's envelope.
    """
    breaker = transaction.breaker(scope, kind, name)
    if breaker is None:
        return False
    transaction.remove_breaker(scope, kind, name)
    transaction.bump_breakers(scope)
    if reason == "reset" or not breaker.is_closed:
        closed = CircuitBreakerClosed(subject=breaker.subject, kind=kind, name=name, reason=reason)
        transaction.add_events(scope, [_note(scope, kind, name, closed, **who)])
    return True


def _write_all(told: Mapping[Key, _Told], alerts: Sequence[str], transaction: Transaction) -> list[tuple[Key, Breaker]]:
    now = time.time()
    changed: list[tuple[Key, Breaker]] = []
    # In one order everywhere, so that no two transactions wait for one another.
    for key in sorted(told, key=lambda key: (key[0].customer, key[0].workspace, key[1], key[2])):
        scope, kind, name = key
        settings, calls = told[key].settings, told[key].calls
        found = transaction.breaker(scope, kind, name)
        before = found or Breaker(kind=kind, name=name)
        after = before.after(calls, settings, now)
        if kind is BreakerKind.VIOLATIONS and not after.is_closed:
            _quarantine(transaction, scope, after, alerts)
            changed.append((key, after))
            continue
        if after.is_forgotten(settings, now):
            if found is not None:
                transaction.remove_breaker(scope, kind, name)
                transaction.bump_breakers(scope)
        elif after != before:
            transaction.put_breaker(scope, after)
            if found is None or (found.state, found.probe) != (after.state, after.probe):
                transaction.bump_breakers(scope)
        if after.state is not before.state:
            _tell(transaction, scope, before, after)
            changed.append((key, after))
    return changed


def _quarantine(transaction: Transaction, scope: Scope, found: Breaker, alerts: Sequence[str]) -> None:
    """Takes a tool out of service until an administrator releases it."""
    if transaction.remove_breaker(scope, found.kind, found.name):
        transaction.bump_breakers(scope)
    violations = max(1, found.failures)
    reason = f"{violations} violations, the last: {found.code}"
    if not transaction.suspend_component(scope, "tool", found.name, reason):
        return
    told = ToolQuarantined(tool=found.name, violations=violations, calls=found.calls, reason=found.code or "")
    transaction.add_events(scope, [_note(scope, found.kind, found.name, told, error_code=found.code)])
    alert(transaction, scope, "quarantine", found.name, alerts, {"violations": violations, "reason": found.code})


def _tell(transaction: Transaction, scope: Scope, before: Breaker, after: Breaker) -> None:
    kind, name = after.kind, after.name
    told: Payload
    if after.state is BreakerState.OPEN:
        told = CircuitBreakerOpened(
            subject=after.subject,
            kind=kind,
            name=name,
            failures=max(1, after.failures),
            calls=after.calls,
            openings=after.openings,
            retry_after_s=round(after.retry_at - after.since, 3),
            reason=after.code or "",
        )
    elif after.state is BreakerState.HALF_OPEN:
        told = CircuitBreakerHalfOpened(subject=after.subject, kind=kind, name=name)
    else:
        rested = round(max(0.0, after.since - before.since), 3)
        told = CircuitBreakerClosed(subject=after.subject, kind=kind, name=name, reason="recovered", rested_s=rested)
    transaction.add_events(scope, [_note(scope, kind, name, told, error_code=after.code)])


def _note(scope: Scope, kind: BreakerKind, name: str, told: Payload, **more: Any) -> Any:
    agent = name if kind is BreakerKind.AGENT else None
    return journal.note(scope, told, name, kind, journal.now().isoformat(), agent=agent, **more)
