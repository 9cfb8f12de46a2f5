"""Turns: one-shot requests, waiting for replies, watching a turn as it runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from caxton.domain.caller_context import CallerContext
from caxton.domain.conversations import WhenBusy
from caxton.domain.errors import BudgetUsedUp, ErrorReport, PayloadTooLarge
from caxton.domain.executions import RoutingStrategy, Target, TurnRequest, TurnView, cancellation_of, turn_view
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope, derived_id, digest_of, id_near, new_id
from caxton.domain.json_text import compact_encoder
from caxton.domain.origin import current_origin
from caxton.domain.ports import BlobStore, DeltaStream, StreamEvent
from caxton.domain.records import Records, Transaction
from caxton.domain.tools import Artifact
from caxton.domain.usage import Usage
from caxton.governance.budgets import refused
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import current_traceparent
from caxton.recording.contents import pack
from caxton.recording.journal import note
from caxton.service.context import Caller
from caxton.service.delivery import ConversationRef, Delivery
from caxton.service.disk_guard import DiskGuard
from caxton.service.fast_path import FastPath
from caxton.service.workers import Workers
from caxton.turns.forking import unknown_execution

FIRST_POLL = 1.0
"""Seconds until it is looked, the first time, whether any worker has taken a turn; then less and less often."""

LONGEST_POLL = 30.0
"""Seconds between two looks at a turn in the end, should its news have been lost: under load, thousands wait for long."""

LONGEST_VARIABLES = 256 << 10
"""Bytes of a request's variables as JSON, ASCII only: they are kept beside it, and read for each of its steps."""

LONGEST_CONTEXT = 512 << 10
"""Characters of what a caller brings along, as JSON: it is kept with the request, and read for each of its steps."""

REPETITIONS = 50
"""Of a request that failed again and again, how many are looked up at a time."""

_sorted_json = compact_encoder(sort_keys=True)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as a caller makes it."""

    target: Target
    content: str
    strategy: RoutingStrategy = RoutingStrategy.LOAD_BALANCED
    variables: dict[str, Any] | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    when_busy: WhenBusy | None = None
    context: CallerContext | None = None
    files: Sequence[Artifact] = ()
    """Files that go along; see :class:`caxton.service.files.Files`."""


class Turns:
    """Use cases on turns."""

    def __init__(
        self,
        records: Records,
        blobs: BlobStore,
        stream: DeltaStream,
        fast_path: FastPath,
        delivery: Delivery,
        disk: DiskGuard,
        workers: Workers | None = None,
    ) -> None:
        """Join what turns need; `workers` where none is in this process."""
        self.disk = disk
        self.records = records
        self.blobs = blobs
        self.stream = stream
        self.fast_path = fast_path
        self.delivery = delivery
        self.workers = workers

    async def ask(self, caller: Caller, ask: Ask, *, wait: float | None) -> TurnView:
        """Sends a one-shot request.

        Args:
            caller: who asks.
            ask: what, of whom.
            wait: seconds to wait for the reply; None not to wait.

        Returns:
            The turn: done, or running when it was not waited for or took longer.

        Raises:
            RoutingFailed: nobody can do it now; nothing was accepted.
            IdempotencyConflict: the key was used for another request.
            Overloaded: too much waits.
        """
        scope = caller.scope
        self.fast_path.check(scope.customer)
        execution_id = self.execution_id(scope, "", ask.idempotency_key)
        conversation_id = ConversationId(id_near("c", execution_id))
        request = await self.request(caller, ask, execution_id, conversation_id, one_shot=True)
        return await self.submit(request, wait=wait)

    async def submit(self, request: TurnRequest, *, wait: float | None) -> TurnView:
        """Has a request accepted, and waits up to `wait` seconds for its reply (not at all for None).

        Raises:
            CaxtonError: it was refused; nothing was accepted.
        """
        if wait is None:
            self.stream.expect(request.execution_id)  # who does not wait may listen
        listener = _Listener()
        METRICS.in_flight(1)
        unsubscribe = self.stream.subscribe(request.execution_id, listener.hear, only_end=True)
        try:
            try:
                accepted = await self.fast_path.submit(request)
            except BudgetUsedUp as error:
                await self._tell_refusal(request.scope, error.report())
                raise
            if accepted.state == "failed_before":
                return await self.submit(await self._anew(request), wait=wait)
            METRICS.messages_accepted()
            if listener.turn is not None:
                return listener.turn
            if accepted.state == "ended":
                return await self.show(request.scope, request.execution_id)
            ref = ConversationRef.of(request)
            for each in accepted.gave_way:
                self.stream.publish(cancellation_of(each), "end", {})
                self.delivery.cancel(ref, each)
            self.delivery.notify(ref)
            if wait is None:
                return _running(request.execution_id, request.conversation_id)
            return await self._wait(listener, request.scope, request.execution_id, wait)
        finally:
            METRICS.in_flight(-1)
            unsubscribe()

    async def _anew(self, request: TurnRequest) -> TurnRequest:
        """What to accept in place of a request that has failed before: the last of its repetitions, or the first one."""
        while True:
            repetitions = [request := request.again() for _ in range(REPETITIONS)]
            ids = [each.execution_id for each in repetitions]

            def read(transaction: Transaction, ids: list[ExecutionId] = ids, scope: Scope = request.scope) -> set[str]:
                return {*transaction.executions(scope, ids), *transaction.turns_in_hand(scope, ids)}

            known = await self.records.read(read)
            latest = [each for each in repetitions if each.execution_id in known]
            if len(latest) < len(repetitions):
                return latest[-1] if latest else repetitions[0]

    def execution_id(self, scope: Scope, conversation_id: str, key: str | None) -> ExecutionId:
        """The execution that a request stands for: with an idempotency key, the same each time."""
        if key is None:
            return ExecutionId(new_id("x"))
        return ExecutionId(derived_id("x", scope.customer, scope.workspace, conversation_id, key))

    async def request(
        self,
        caller: Caller,
        ask: Ask,
        execution_id: ExecutionId,
        conversation_id: ConversationId,
        *,
        one_shot: bool,
    ) -> TurnRequest:
        """The request as workflows take it: long content goes to the blob store first.

        Raises:
            DiskFull: there is no room for more work.
            PayloadTooLarge: the variables are too long to travel with the request.
        """
        self.disk.require(caller.scope.customer)
        target = f"{ask.target.agent}\x1f{ask.target.capability}\x1f{ask.target.version_range}"
        variables = f"\x1f{_sorted_json(ask.variables)}" if ask.variables else ""
        if len(variables) > LONGEST_VARIABLES:
            raise PayloadTooLarge(
                f"the variables take {len(variables) - 1:,} bytes as JSON; {LONGEST_VARIABLES:,} are allowed",
                "send long text as `content`, which may be longer",
            )
        context = "" if ask.context is None else f"\x1f{ask.context.model_dump_json(exclude_defaults=True)}"
        if len(context) > LONGEST_CONTEXT:
            raise PayloadTooLarge(
                f"the earlier messages and instructions take {len(context) - 1:,} characters as JSON; "
                f"{LONGEST_CONTEXT:,} are allowed",
                "leave the oldest out, or go on with a conversation that the server keeps",
            )
        files = "".join(f"\x1f{file.digest} {file.name}" for file in ask.files)
        return TurnRequest(
            scope=caller.scope,
            conversation_id=conversation_id,
            execution_id=execution_id,
            message_id=MessageId(id_near("m", execution_id, "request")),
            content=await pack(self.blobs, caller.scope, ask.content),
            target=ask.target,
            strategy=ask.strategy,
            fingerprint=digest_of(
                f"{target}\x1f{conversation_id}\x1f{ask.content}{variables}{context}{files}".encode()
            ),
            one_shot=one_shot,
            variables=ask.variables or {},
            traceparent=ask.traceparent or current_traceparent(),
            channel=caller.channel,
            origin=current_origin(),
            sent_at=datetime.now(UTC),
            requester=caller.principal,
            when_busy=ask.when_busy,
            context=ask.context,
            files=tuple(ask.files),
        )

    async def _tell_refusal(self, scope: Scope, error: ErrorReport) -> None:
        """Once a budget and period: who is refused again and again must not fill the log."""
        told = refused(error)
        period = str(error.details.get("ends_at"))
        event = note(scope, told, told.subject, told.resource, told.period, period, error_code=error.code)
        await self.records.write(lambda transaction: transaction.add_events_once(scope, [event]))

    async def reply(self, scope: Scope, execution_id: ExecutionId, wait: float) -> TurnView:
        """The turn, after waiting up to `wait` seconds for its end.

        Raises:
            NotFound: there is no such turn.
        """
        listener = _Listener()
        unsubscribe = self.stream.subscribe(execution_id, listener.hear, only_end=True)
        try:
            view = await self.show(scope, execution_id)
            return view if view.state != "running" else await self._wait(listener, scope, execution_id, wait)
        finally:
            unsubscribe()

    async def _wait(self, listener: "_Listener", scope: Scope, execution_id: ExecutionId, wait: float) -> TurnView:
        """The turn, as soon as it has ended or `wait` seconds are over. Whoever ends it wakes the listener."""
        until = asyncio.get_running_loop().time() + wait
        pause = self.stream.poll if self.workers is None else FIRST_POLL
        while True:
            left = until - asyncio.get_running_loop().time()
            await _pause(listener.news, min(pause, left))
            listener.news.clear()
            view = listener.turn or await self.show(scope, execution_id)
            if view.state != "running" or left <= pause:
                return view
            if self.workers is not None:
                await self.workers.check_taken(scope, execution_id)
            pause = min(pause * 2, LONGEST_POLL)

    async def show(self, scope: Scope, execution_id: ExecutionId) -> TurnView:
        """A turn as it stands.

        Raises:
            NotFound: there is none of that id.
        """
        return await self.records.read(lambda transaction: read_turn(transaction, scope, execution_id))


def read_turn(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> TurnView:
    """A turn as it stands.

    Raises:
        NotFound: there is none of that id.
    """
    turn = transaction.executions_of_turn(scope, execution_id)
    if not turn:  # not a turn's root: an agent's part in one
        turn = list(transaction.executions(scope, [execution_id]).values())
    if not turn:
        waiting = transaction.turns_in_hand(scope, [execution_id]).get(execution_id)
        if waiting is None:
            raise unknown_execution(execution_id)
        return _running(execution_id, waiting.request.conversation_id)
    used = reduce(Usage.plus, (record.execution.usage for record in turn))
    root = turn[0]
    reply = transaction.message(scope, root.reply_id) if root.reply_id else None
    return turn_view(root.execution.model_copy(update={"usage": used}), reply)


class _Listener:
    """Hears of one turn."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.turn: TurnView | None = None
        """The turn, where its end came with the news."""

    def hear(self, event: StreamEvent) -> None:
        if event.kind == "reply":
            self.turn = event.data["turn"]
        self.news.set()


def _running(execution_id: ExecutionId, conversation_id: ConversationId) -> TurnView:
    return TurnView(execution_id=execution_id, conversation_id=conversation_id, state="running")


async def _pause(news: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return
