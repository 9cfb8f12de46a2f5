"""Turns: one-shot requests, waiting for replies, watching a turn as it runs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from caxton.activities.budgets import Spending, refused
from caxton.activities.contents import pack
from caxton.activities.journal import note
from caxton.domain.errors import BudgetUsedUp, CaxtonError, ErrorReport, Hint, NotFound, PayloadTooLarge
from caxton.domain.executions import (
    Execution,
    ExecutionState,
    RoutingStrategy,
    Target,
    TurnOutcome,
    TurnRequest,
    TurnView,
    Usage,
    turn_view,
)
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope, derived_id, digest_of, id_near, new_id
from caxton.domain.json_text import compact_encoder
from caxton.domain.messages import Message
from caxton.domain.ports import BlobStore, DeltaStream, StreamEvent
from caxton.domain.records import ExecutionRecord, Records, Transaction
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import current_traceparent
from caxton.routing.decision import route
from caxton.routing.directory import Directory
from caxton.service.context import Caller, Role
from caxton.service.inbox import InboxSender
from caxton.service.room import DiskRoom
from caxton.service.timeline import Entry, timeline

FIRST_POLL = 0.05
LAST_POLL = 1.0
"""Seconds between looks at the store while a turn runs. In one process the stream wakes the wait at once."""

LONGEST_VARIABLES = 256 << 10
"""Bytes of a request's variables as JSON, ASCII only. They travel with it, and 2 MB are Temporal's limit."""

LONGEST_OFFSET = 16
"""Digits of a position in a text, as a listener gives it back."""

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


class Turns:
    """Use cases on turns."""

    def __init__(
        self,
        records: Records,
        blobs: BlobStore,
        stream: DeltaStream,
        directory: Directory,
        inbox: InboxSender,
        room: DiskRoom,
    ) -> None:
        """Join what turns need."""
        self.room = room
        self.records = records
        self.blobs = blobs
        self.stream = stream
        self.directory = directory
        self.inbox = inbox

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
        caller.require(Role.DEVELOPER)
        scope = caller.scope
        self.inbox.admission.check(scope.customer)
        execution_id = self.execution_id(scope, "", ask.idempotency_key)
        conversation_id = ConversationId(id_near("c", execution_id))
        request = await self.request(caller, ask, execution_id, conversation_id, one_shot=True)
        if ask.idempotency_key is not None or not self._may_enter(request):
            known = await self.find(scope, request, is_new=ask.idempotency_key is None)
            if known is not None and not await self._is_forsaken(scope, known):
                return await self.reply(scope, execution_id, conversation_id, wait)
        view = await self.submit(request, is_new=ask.idempotency_key is None)
        return view or await self.reply(scope, execution_id, conversation_id, wait)

    def _may_enter(self, request: TurnRequest) -> bool:
        """Whether a new request can be let in without a look into the store: there is an agent for it, and no budget.

        It is routed again where it is recorded, by the registry of that moment.
        """
        registry = self.directory.recent(request.scope)
        if registry is None or registry.has_budgets:
            return False
        try:
            route(registry.index, request.target, request.strategy, key=request.execution_id)
        except CaxtonError:
            return False  # perhaps not any more: the store knows, and says why
        return True

    async def submit(self, request: TurnRequest, *, is_new: bool = False) -> TurnView | None:
        """Hands a request to its inbox. Returns the turn if the worker is here and has answered at once.

        `is_new` says that nobody else can send the same request. What the turn tells is committed to the store, so nobody needs
        to wait for the engine, which hears of it next.

        Raises:
            CaxtonError: it was refused.
        """
        finished: asyncio.Future[TurnOutcome | TurnView] = asyncio.get_running_loop().create_future()

        def hear(event: StreamEvent) -> None:
            if event.kind == "reply" and not finished.done():
                finished.set_result(event.data["turn"])

        unsubscribe = self.stream.subscribe(request.execution_id, hear)
        try:
            found = await self.inbox.submit(request, finished, is_new=is_new)
        finally:
            unsubscribe()
        METRICS.messages_accepted()
        if isinstance(found, TurnView):
            return found
        error = outcome_error(found)
        if error is not None:
            raise error
        return None

    async def _is_forsaken(self, scope: Scope, known: ExecutionRecord) -> bool:
        """Whether an execution was begun by a worker that was killed before the engine heard of it.

        Its first steps are recorded, but no workflow has it; sent again, it goes on from there.
        """
        if known.execution.state is not ExecutionState.RUNNING:
            return False
        return not await self.inbox.has_own_workflow(scope, known.execution.conversation_id)

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
        self.room.require()
        target = f"{ask.target.agent}\x1f{ask.target.capability}\x1f{ask.target.version_range}"
        variables = f"\x1f{_sorted_json(ask.variables)}" if ask.variables else ""
        if len(variables) > LONGEST_VARIABLES:
            raise PayloadTooLarge(
                f"the variables take {len(variables) - 1:,} bytes as JSON; {LONGEST_VARIABLES:,} are allowed",
                "send long text as `content`, which may be longer",
            )
        return TurnRequest(
            scope=caller.scope,
            conversation_id=conversation_id,
            execution_id=execution_id,
            message_id=MessageId(id_near("m", execution_id, "request")),
            content=await pack(self.blobs, caller.scope, ask.content),
            target=ask.target,
            strategy=ask.strategy,
            fingerprint=digest_of(f"{target}\x1f{conversation_id}\x1f{ask.content}{variables}".encode()),
            one_shot=one_shot,
            variables=ask.variables or {},
            traceparent=ask.traceparent or current_traceparent(),
            channel=caller.channel,
            sent_at=datetime.now(UTC),
        )

    async def find(
        self, scope: Scope, request: TurnRequest, *, check_route: bool = True, is_new: bool = False
    ) -> ExecutionRecord | None:
        """The execution that is there already for `request` (not if it `is_new`); checks that it could be routed.

        Raises:
            IdempotencyConflict: the key was used for another request.
            RoutingFailed: nobody can do it now.
            BudgetUsedUp: nothing is left of a budget.
        """

        def look(transaction: Transaction) -> ExecutionRecord | None:
            found = None
            if not is_new:
                found = transaction.executions(scope, [request.execution_id]).get(request.execution_id)
            if found is None and check_route:
                registry = self.directory.registry(transaction, scope)
                decision = route(registry.index, request.target, request.strategy, key=request.execution_id)
                if registry.has_budgets:
                    Spending(transaction, scope, decision.agent).check()
            return found

        try:
            found = await self.records.read(look)
        except BudgetUsedUp as error:
            await self._tell_refusal(scope, error.report())
            raise
        if found is not None and found.fingerprint != request.fingerprint:
            raise request.key_conflict()
        return found

    async def _tell_refusal(self, scope: Scope, error: ErrorReport) -> None:
        """Once a budget and period: who is refused again and again must not fill the log."""
        told = refused(error)
        period = str(error.details.get("ends_at"))
        event = note(scope, told, told.subject, told.resource, told.period, period, error_code=error.code)
        await self.records.write(lambda transaction: transaction.add_events_once(scope, [event]))

    async def reply(
        self, scope: Scope, execution_id: ExecutionId, conversation_id: ConversationId, wait: float | None
    ) -> TurnView:
        """The turn, after waiting up to `wait` seconds for its end."""
        if wait is None:
            try:
                return await self.show(scope, execution_id)
            except NotFound:  # accepted, and not begun yet
                return TurnView(execution_id=execution_id, conversation_id=conversation_id, state="running")
        news = asyncio.Event()
        unsubscribe = self.stream.subscribe(execution_id, lambda _event: news.set())
        pause = FIRST_POLL
        try:
            async with asyncio.timeout(wait):
                while True:
                    news.clear()
                    view = await self.reply(scope, execution_id, conversation_id, None)
                    if view.state != "running":
                        return view
                    await _pause(news, pause)
                    pause = min(pause * 1.5, LAST_POLL)
        except TimeoutError:
            return await self.reply(scope, execution_id, conversation_id, None)
        finally:
            unsubscribe()

    async def show(
        self, scope: Scope, execution_id: ExecutionId, conversation_id: ConversationId | None = None
    ) -> TurnView:
        """A turn as it stands. One that waits behind others of its conversation is known to that conversation only.

        Raises:
            NotFound: there is none of that id (and none that waits in the conversation, where that is named).
        """
        try:
            return await self._recorded(scope, execution_id)
        except NotFound:
            if conversation_id is None or await self.inbox.waiting(scope, conversation_id, execution_id) is None:
                raise
        return TurnView(execution_id=execution_id, conversation_id=conversation_id, state="running")

    async def _recorded(self, scope: Scope, execution_id: ExecutionId) -> TurnView:
        def read(transaction: Transaction) -> tuple[Execution, Message | None]:
            turn = transaction.executions_of_turn(scope, execution_id)
            if not turn:  # not a turn's root: an agent's part in one
                turn = list(transaction.executions(scope, [execution_id]).values())
            if not turn:
                raise _unknown(execution_id)
            used = reduce(Usage.plus, (record.execution.usage for record in turn))
            root = turn[0]
            reply = transaction.message(scope, root.reply_id) if root.reply_id else None
            return root.execution.model_copy(update={"usage": used}), reply

        return turn_view(*await self.records.read(read))

    async def steps(self, scope: Scope, execution_id: ExecutionId) -> tuple[Execution | None, list[Entry]]:
        """The turn's root execution (None before it began), and its steps so far."""

        def read(transaction: Transaction) -> tuple[Execution | None, list[Entry]]:
            executions = transaction.executions_of_turn(scope, execution_id)
            if not executions:
                return None, []
            ids = [record.execution.id for record in executions]
            approvals = transaction.approvals_of(scope, ids)
            return executions[0].execution, timeline(executions, transaction.steps(scope, ids), approvals)

        return await self.records.read(read)

    async def watch(
        self, scope: Scope, execution_id: ExecutionId, last_event_id: str | None, *, begun: bool = False
    ) -> AsyncIterator[StreamEvent]:
        """A turn as it happens: its steps, the text as it is made, and at the end the reply or the error.

        Args:
            scope: whose turn.
            execution_id: the turn's root execution.
            last_event_id: the last event that the listener has, to go on behind it.
            begun: whether the turn is known to exist.

        Raises:
            NotFound: there is no such turn (only when `begun` is False).
        """
        if not begun:
            await self.show(scope, execution_id)
        queue: asyncio.Queue[StreamEvent] = asyncio.Queue(maxsize=10_000)
        unsubscribe = self.stream.subscribe(execution_id, lambda event: _offer(queue, event))
        progress = _Progress(last_event_id)
        pause = FIRST_POLL
        try:
            while True:
                root, entries = await self.steps(scope, execution_id)
                for event in progress.new_steps(entries):
                    yield event
                if root is not None and root.state is not ExecutionState.RUNNING:
                    view = await self.show(scope, execution_id)
                    yield _end(view)
                    return
                try:
                    event = await asyncio.wait_for(queue.get(), pause)
                    pause = FIRST_POLL
                except TimeoutError:
                    pause = min(pause * 1.5, LAST_POLL)
                    continue
                while True:
                    if event.kind == "delta":
                        delta = progress.new_text(event)
                        if delta is not None:
                            yield delta
                    if queue.empty():
                        break
                    event = queue.get_nowait()
        finally:
            unsubscribe()


class _Progress:
    """What a listener has seen. Event ids are `<last step>` or `<last step>+<characters of text since>`."""

    def __init__(self, last_event_id: str | None) -> None:
        self.step, _, offset = (last_event_id or "").partition("+")
        self.offset = int(offset) if offset.isdecimal() and len(offset) < LONGEST_OFFSET else 0
        self.resuming = bool(self.step)

    def new_steps(self, entries: list[Entry]) -> list[StreamEvent]:
        ids = [entry.id for entry in entries]
        if self.resuming and self.step not in ids:
            return []
        start = ids.index(self.step) + 1 if self.step in ids else 0
        self.resuming = False
        fresh = entries[start:]
        if fresh:
            self.step, self.offset = fresh[-1].id, 0
        return [StreamEvent(entry.id, "step", entry.data) for entry in fresh]

    def new_text(self, event: StreamEvent) -> StreamEvent | None:
        end, text = int(event.id or 0), str(event.data["text"])
        fresh = text[max(0, self.offset - (end - len(text))) :]
        if not fresh:
            return None
        self.offset = end
        return StreamEvent(f"{self.step}+{end}", "delta", {**event.data, "text": fresh})


def _offer(queue: asyncio.Queue[StreamEvent], event: StreamEvent) -> None:
    if not queue.full():  # a listener that does not keep up loses deltas, never the reply
        queue.put_nowait(event)


async def _pause(news: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return


def _end(view: TurnView) -> StreamEvent:
    if view.state == "failed":
        error = view.error or ErrorReport(code="execution_failed", message="the turn failed")
        data = error.model_dump(mode="json", exclude_none=True)
        return StreamEvent("end", "error", {**data, "turn": view.model_dump(mode="json", exclude_none=True)})
    return StreamEvent("end", "reply", view.model_dump(mode="json", exclude_none=True))


def _unknown(execution_id: str) -> NotFound:
    return NotFound(
        f'there is no execution "{execution_id}"',
        Hint(text="see the latest", command="caxton events list --type execution_triggered"),
        details={"execution": execution_id},
    )


def outcome_error(outcome: TurnOutcome) -> CaxtonError | None:
    """The error of a turn that was refused before it was recorded."""
    if outcome.state == "failed" and outcome.reply_id is None and outcome.error is not None:
        return CaxtonError.from_report(outcome.error)
    return None
