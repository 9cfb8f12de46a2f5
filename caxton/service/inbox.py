"""Sends requests to inbox shards, with natural batching; those that stand alone after it was tried to answer them at once.

While an update of a shard is under way, what arrives waits and travels in the next one. So the cost of a request falls as
load rises, and at low load a request waits for nobody.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from temporalio.client import WithStartWorkflowOperation, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from caxton.domain.errors import CaxtonError, Overloaded
from caxton.domain.executions import TurnOutcome, TurnRequest, TurnView
from caxton.domain.fair_queue import FairQueue
from caxton.domain.ids import ConversationId, ExecutionId, Scope, derived_id
from caxton.observability.tracing import in_trace_of_batch
from caxton.service.admission import Admission
from caxton.service.at_once import AtOnce, Opener
from caxton.service.batches import Waiting, fail, take_batch, unsent
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.service.slow_kinds import SlowKinds, kind_of
from caxton.workflows.conversation import ConversationWorkflow
from caxton.workflows.inbox import InboxBatch, InboxInput, InboxWorkflow
from caxton.workflows.names import (
    INBOXES,
    SHARDS,
    SLOW_FROM,
    conversation_workflow_id,
    inbox_shard,
    inbox_workflow_id,
    search_attributes,
)
from caxton.workflows.policies import TASK_TIMEOUT

log = logging.getLogger(__name__)

SECOND_UPDATE_AFTER = 0.1
"""Seconds after which another update of a shard may start although the first is under way: a slow batch holds up nobody."""

LATE_AFTER = 0.05
"""Seconds after which another shard helps: with one, batches are larger and cost less; two go on when one is held up."""

GATHER = 0.001
"""Seconds within which another request must come for a batch to wait for more."""

LONGEST_GATHER = 0.004
"""Seconds that a batch waits for more at the most."""

UPDATES_AT_ONCE = 8
"""Updates of one shard under way at the most."""


ALONE_EVERY = 10
"""Each so manieth update of a shard is under way alone: then its workflow may continue as new."""

LONGEST_ALONE = 2.0
"""Seconds that others wait for it at the most."""


class _Shard:
    def __init__(
        self,
        customer: str,
        number: int,
        engine: Engine,
        opener: Opener | None,
        slow: SlowKinds,
        helped: "_Shard | None" = None,
    ) -> None:
        self.customer = customer
        self.number = number
        self.engine = engine
        self.opener = opener
        self.slow = slow
        self.own = FairQueue[Waiting]()
        """Requests that only this shard may have."""
        self.shared = FairQueue[Waiting]() if helped is None else helped.shared
        """Requests that any of some shards may have: the first one, or while it is late those that help it."""
        self.helped = helped
        self.helper: _Shard | None = None
        self.is_late = False
        """Whether its batch takes longer than usual."""
        if helped is not None:
            helped.helper = self
        self.updates: set[asyncio.Task[None]] = set()
        self.sender: asyncio.Task[None] | None = None
        self.sent = 0
        self.last = 0
        """Requests in the last batch."""

    @property
    def is_idle(self) -> bool:
        return self.sender is None or self.sender.done()

    @property
    def waiting(self) -> int:
        return sum(map(len, self.queues))

    @property
    def queues(self) -> list[FairQueue[Waiting]]:
        """Those that it may take from."""
        return [self.own, self.shared] if self.may_share else [self.own]

    @property
    def may_share(self) -> bool:
        return self.helped is None or (self.helped.is_late and self.helped.may_share)

    def wake(self) -> None:
        """Has it take what waits, or its helper where it is late."""
        if self.is_idle:
            self.sender = asyncio.create_task(self._send_all())
        elif self.is_late and self.helper is not None:
            self.helper.wake()

    async def _send_all(self) -> None:
        while self.waiting:
            self.sent += 1
            alone = self.sent % ALONE_EVERY == 0
            while alone and self.updates:
                await self._stand_aside(self.updates, None)
            await self._gather()
            batch = take_batch(self.queues)
            self.last = len(batch)
            update = asyncio.create_task(self._send(batch, alone=alone))
            self.updates.add(update)
            update.add_done_callback(self.updates.discard)
            answered = _all_done([waiting.done for waiting in batch])
            await self._wait_for_any(update, answered)
            if alone:  # not too long: a batch that waits for a worker must not hold up all others
                await self._stand_aside({update}, LONGEST_ALONE)
            while len(self.updates) >= UPDATES_AT_ONCE:
                await self._stand_aside(self.updates, None)

    async def _wait_for_any(self, update: asyncio.Future[None], answered: asyncio.Future[None]) -> None:
        """Returns when the batch is answered, or when the next may start although it is not."""
        done, _ = await asyncio.wait({update, answered}, timeout=LATE_AFTER, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            await self._stand_aside({update, answered}, SECOND_UPDATE_AFTER - LATE_AFTER)

    async def _stand_aside(self, events: Iterable[asyncio.Future[None]], timeout: float | None) -> None:
        """Waits for one of `events` so many seconds, while another shard takes what comes."""
        self.is_late = True
        if self.shared:
            self.wake()
        await asyncio.wait(events, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        self.is_late = False

    async def _gather(self) -> None:
        """Waits while requests keep coming and are fewer than the last batch had.

        Who was answered together asks again at almost the same time; without this the first to come would travel alone, and
        the others would wait for it. Where one client asks at a time, nothing waits.
        """
        seen = 0
        until = asyncio.get_running_loop().time() + LONGEST_GATHER
        while seen < self.waiting < self.last and asyncio.get_running_loop().time() < until:
            seen = self.waiting
            await asyncio.sleep(GATHER)

    async def _send(self, batch: list[Waiting], *, alone: bool) -> None:
        if not batch:
            return
        requests = [waiting.request for waiting in batch]
        self._tell_ahead(requests)
        try:
            with in_trace_of_batch(request.traceparent for request in requests):
                outcomes = await self._update(InboxBatch(requests=requests, alone=alone))
        except CaxtonError as error:
            fail(batch, error)
            return
        except Exception as error:
            if len(batch) == 1:
                fail(batch, unsent(error))
            else:  # one of them cannot be sent at all: which one shows when each travels by itself
                for waiting in batch:
                    await self._send([waiting], alone=False)
            return
        except BaseException as error:
            fail(batch, unsent(error))
            raise
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.request.one_shot:
                self.slow.note(waiting.request, takes_long=outcome.state == "running")
            if not waiting.done.done():
                waiting.done.set_result(outcome)

    def _tell_ahead(self, requests: Sequence[TurnRequest]) -> None:
        if self.opener is None:
            return
        try:
            self.opener.expect(requests)
        except Exception as error:  # it would only have saved time
            log.warning("requests could not be told of ahead: %s", type(error).__name__)

    async def _update(self, batch: InboxBatch) -> list[TurnOutcome]:
        # The same id when the same batch is sent again after a broken connection: the engine then runs it once.
        update_id = derived_id("u", *(request.execution_id for request in batch.requests))
        for _ in range(200):
            try:
                return await self.engine.call(lambda: self._update_running(batch, update_id))
            except WorkflowMissingError:
                try:
                    return await self.engine.call(lambda: self._update_with_start(batch, update_id))
                except WorkflowMissingError:
                    await asyncio.sleep(0.02)
            except Overloaded as error:
                # The shard is about to continue as new, or full: the same batch comes again.
                await asyncio.sleep(error.retry_after or 0.05)
        raise Overloaded("the inbox stayed full", "try again later", retry_after=2.0)

    async def _update_running(self, batch: InboxBatch, update_id: str) -> list[TurnOutcome]:
        handle = self.engine.client.get_workflow_handle_for(
            InboxWorkflow.run, inbox_workflow_id(self.customer, self.number)
        )
        return await handle.execute_update("submit", batch, id=update_id, result_type=list[TurnOutcome])

    async def _update_with_start(self, batch: InboxBatch, update_id: str) -> list[TurnOutcome]:
        start = WithStartWorkflowOperation(
            InboxWorkflow.run,
            InboxInput(customer=self.customer, shard=self.number),
            id=inbox_workflow_id(self.customer, self.number),
            task_queue=self.engine.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=TASK_TIMEOUT,
            search_attributes=search_attributes(Scope(customer=self.customer), state="Running"),
            static_summary=f"requests of {self.customer}, shard {self.number}",
        )
        return await self.engine.client.execute_update_with_start_workflow(
            "submit", batch, start_workflow_operation=start, id=update_id, result_type=list[TurnOutcome]
        )


class _Shards:
    """The shards of one customer."""

    def __init__(self, customer: str, engine: Engine, opener: Opener | None) -> None:
        self.slow = slow = SlowKinds()
        self.at_once = None if opener is None else AtOnce(opener, slow, self._send)
        self.shards: list[_Shard] = []
        for number in range(INBOXES):
            # Each but the first of a group helps the one before it; those for conversations are no group.
            helps = 0 < number < SHARDS or number > SLOW_FROM
            helped = self.shards[-1] if helps else None
            self.shards.append(_Shard(customer, number, engine, opener, slow, helped))
        self.first, self.for_slow = self.shards[0], self.shards[SLOW_FROM]

    def put(self, waiting: Waiting) -> None:
        """Queues a request: one that stands alone to be answered at once, unless its kind always takes long."""
        if self.at_once is not None and waiting.request.one_shot and not self.slow.has(waiting.request):
            self.at_once.put(waiting)
        else:
            self._send(waiting)

    def _send(self, waiting: Waiting) -> None:
        """Queues a request for its inbox.

        One that stands alone goes to any shard; kinds that always take long have shards of their own. What may be sent twice
        at the same time goes to the same shard each time, which notices; so do messages of one conversation.
        """
        request = waiting.request
        kind = kind_of(request)
        if waiting.is_new and request.one_shot:
            first = self.for_slow if self.slow.has(request) else self.first
            first.shared.put(kind, waiting)
            first.wake()
            return
        number = inbox_shard(request.execution_id, None if request.one_shot else request.conversation_id)
        shard = self.shards[number]
        shard.own.put(kind, waiting)
        shard.wake()


def _all_done(futures: Sequence["asyncio.Future[TurnOutcome | TurnView]"]) -> "asyncio.Future[None]":
    """Done when all of `futures` are. (`asyncio.gather` would make the failures of some its own.)"""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(futures)

    def count(_future: "asyncio.Future[TurnOutcome | TurnView]") -> None:
        nonlocal left
        left -= 1
        if left == 0 and not done.done():
            done.set_result(None)

    for future in futures:
        future.add_done_callback(count)
    return done


class InboxSender:
    """All shards of all customers."""

    def __init__(self, engine: Engine, *, most_waiting: int, opener: Opener | None = None) -> None:
        """Send through `engine`; refuse more than `most_waiting` requests at the same time, or fewer when it goes slowly.

        `opener` does what can be done at once, where this server has one.
        """
        self.engine = engine
        self.opener = opener
        self.admission = Admission(most_waiting)
        self._customers: dict[str, _Shards] = {}
        self._in_hand: dict[ExecutionId, str] = {}
        """Fingerprints of requests that are here."""

    async def has_own_workflow(self, scope: Scope, conversation_id: ConversationId) -> bool:
        """Whether a request went on in a workflow of its own, which runs."""
        handle = self.engine.client.get_workflow_handle(conversation_workflow_id(scope, conversation_id))
        try:
            found = await self.engine.call(handle.describe)
        except WorkflowMissingError:
            return False
        return found.status is WorkflowExecutionStatus.RUNNING

    async def waiting(self, scope: Scope, conversation_id: ConversationId, execution_id: ExecutionId) -> str | None:
        """The fingerprint of a message that is in the hands of its conversation's workflow; None if it is not.

        A worker of a version before this question was asked does not know it: then what waits is not found.
        """
        handle = self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(scope, conversation_id)
        )
        try:
            return await self.engine.call(lambda: handle.query(ConversationWorkflow.fingerprint, execution_id))
        except (WorkflowMissingError, WorkflowQueryFailedError):
            return None

    async def submit(
        self, request: TurnRequest, done: asyncio.Future[TurnOutcome | TurnView], *, is_new: bool = False
    ) -> TurnOutcome | TurnView:
        """Hands `request` to a shard. It is durable when this returns.

        Args:
            request: what to do.
            done: gets the outcome; whoever hears earlier of the finished turn may set it first.
            is_new: whether nobody else can send the same request.

        Raises:
            IdempotencyConflict: another request with the same key is here.
            Overloaded: the inbox stayed full.
            EngineUnavailable: the engine stayed away; the request may or may not have been accepted, and sending it again
                with the same idempotency key is safe.
        """
        customer = request.scope.customer
        shards = self._customers.get(customer)
        if shards is None:
            shards = self._customers[customer] = _Shards(customer, self.engine, self.opener)
        if self._in_hand.setdefault(request.execution_id, request.fingerprint) != request.fingerprint:
            raise request.key_conflict()
        self.admission.enter(customer)
        try:
            shards.put(Waiting(request, done, is_new))
            return await done
        finally:
            self.admission.leave(customer)
            self._in_hand.pop(request.execution_id, None)
