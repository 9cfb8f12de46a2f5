"""A conversation: turns one after another, until somebody ends it or nobody writes any more.

Quick turns are done by the inbox shard of the conversation, together with those of others; this workflow owns the
conversation's life, and does the turns that take longer, and those behind them.
"""

import asyncio
import contextlib
from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from caxton.domain.conversations import IDLE_TIMEOUT, STATE_AFTER, ConversationState, EndReason
from caxton.domain.errors import CaxtonError, ConversationClosed, ExecutionCancelled, NotFound, Overloaded
from caxton.domain.executions import ApprovalStatus, Decision, TurnOutcome, TurnRequest
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.workflows.failures import to_failure
from caxton.workflows.names import STATE
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, RECORD_TIMEOUT, RECORDS_RETRY
from caxton.workflows.steps import StepRunner
from caxton.workflows.turn import Turn

END_CONVERSATION = "end_conversation"

WAITING_TURNS = 100
"""Messages that may wait in one conversation; a further one is refused with a hint to come back."""

TURN_PATIENCE = 5.0
"""Seconds that the end of a conversation waits for a turn that a shard has in hand. They are quick; what takes longer waits
for another attempt, or was left behind by a worker that was killed."""

INBOX_DONE = "done"
"""The signal by which an inbox hears that a turn which it handed over has ended."""


class HandedOver(BaseModel):
    """A request that an inbox hands over."""

    request: TurnRequest
    inbox: str
    """The inbox's workflow, which is to hear of the turn's end."""

    @property
    def traceparent(self) -> str | None:
        return self.request.traceparent


class TurnDone(BaseModel):
    """A turn that was handed over has ended."""

    scope: Scope
    conversation_id: ConversationId
    execution_id: ExecutionId


class ConversationInput(BaseModel):
    """State of a conversation that crosses a continue-as-new. Messages are in the store."""

    scope: Scope
    conversation_id: ConversationId
    idle_timeout: float = IDLE_TIMEOUT
    one_shot: bool = False
    queue: list[TurnRequest] = []
    inboxes: dict[ExecutionId, str] = {}
    """Requests in the queue that an inbox handed over: the inbox's workflow, by execution."""
    cancelled: list[str] = []
    """Turns that were cancelled before they began."""


class EndInput(BaseModel):
    """Why a conversation is to end."""

    scope: Scope
    conversation_id: ConversationId
    reason: EndReason
    actor: str = "system"
    if_silent: bool = False
    """Only if nobody has written for as long as its start allowed: the store knows when the last message was."""
    patience: float = 0.0
    """Seconds that it may wait for a turn in an inbox."""


class EndResult(BaseModel):
    """Whether a conversation has ended. (Nothing at all, from older versions, means that it has.)"""

    wait: float = 0.0
    """Seconds after which to try again, because it has not."""


class ConversationStatus(BaseModel):
    """What the workflow is doing, for the engine's UI and for tests."""

    state: ConversationState
    waiting: int
    running: str | None


@workflow.defn(name="Conversation")
class ConversationWorkflow:
    """One conversation, from its first message to its end."""

    @workflow.init
    def __init__(self, state: ConversationInput) -> None:
        self.state = state
        self.queue: list[TurnRequest] = list(state.queue)
        self.inboxes = dict(state.inboxes)
        self.silence = state.idle_timeout
        """Seconds to wait for a message before the store is asked for the last one."""
        self.outcomes: dict[str, TurnOutcome] = {}
        self.ending: EndInput | None = None
        self.has_ended = False
        """Whether the store says so."""
        self.moving_on = False
        self.steps = StepRunner()
        self.current: TurnRequest | None = None
        self.turn: asyncio.Task[TurnOutcome] | None = None
        self.work: Turn | None = None
        self.cancelled = set(state.cancelled)
        """Turns that were cancelled by themselves: the conversation goes on."""

    @workflow.run
    async def run(self, state: ConversationInput) -> str:
        """Answers messages in order. Returns why the conversation ended."""
        while self.ending is None:
            if not self.queue and not await self._wait_for_message():
                if await self._expire():
                    break
                continue
            if self.queue:
                await self._answer(self.queue[0])
                if self.state.one_shot:
                    self._end(EndReason.COMPLETED)
            if self.ending is None and self._should_continue_as_new():
                await self._continue_as_new()
        reason = self.ending.reason if self.ending else EndReason.TIMEOUT
        await self._close(reason)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return reason

    @workflow.signal(name="take")
    def take(self, handed: HandedOver) -> None:
        """Takes a message that an inbox hands over."""
        key = handed.request.execution_id
        self.inboxes[key] = handed.inbox
        if not self._is_known(key):
            self.queue.append(handed.request)

    @workflow.update(name="submit")
    async def submit(self, request: TurnRequest) -> TurnOutcome:
        """Takes a message and answers when its turn is done (or, at a continue-as-new, that it is running)."""
        key = request.execution_id
        if key not in self.outcomes and not self._is_known(key):
            self.queue.append(request)
        await workflow.wait_condition(lambda: key in self.outcomes or self.moving_on or not self._is_known(key))
        running = TurnOutcome(execution_id=key, conversation_id=request.conversation_id, state="running")
        return self.outcomes.get(key, running)

    @submit.validator
    def _check_submit(self, request: TurnRequest) -> None:
        if self.ending is not None:
            raise to_failure(ConversationClosed("the conversation has ended", "start a new one"))
        if len(self.queue) >= WAITING_TURNS:
            raise to_failure(
                Overloaded(f"{len(self.queue)} messages wait in this conversation", "wait for replies", retry_after=1.0)
            )

    @workflow.update(name="decide")
    async def decide(self, decision: Decision) -> ApprovalStatus:
        """Takes a person's decision on an action that waits. Returns how the approval stands now."""
        assert self.work is not None
        try:
            return await self.work.decide(decision)
        except CaxtonError as error:
            raise to_failure(error) from error

    @decide.validator
    def _check_decide(self, decision: Decision) -> None:
        if self.work is None or decision.approval_id not in self.work.waiting:
            raise to_failure(NotFound("nothing waits for this approval"))

    @workflow.signal(name="end")
    def end(self, request: EndInput) -> None:
        """Ends the conversation: after the turn in hand, or at once when it is cancelled."""
        if self.ending is None:
            self.ending = request
        if request.reason is EndReason.CANCELLED and self.turn is not None:
            self.turn.cancel()

    @workflow.signal(name="cancel_turn")
    def cancel_turn(self, execution_id: str) -> None:
        """Ends a turn, in hand or waiting, or about to be handed over, and nothing else."""
        self.cancelled.add(execution_id)
        if self.turn is not None and self.current is not None and self.current.execution_id == execution_id:
            self.turn.cancel()

    @workflow.query(name="status")
    def status(self) -> ConversationStatus:
        """What the conversation is doing."""
        state = STATE_AFTER[self.ending.reason] if self.ending else ConversationState.IN_PROGRESS
        return ConversationStatus(
            state=state, waiting=len(self.queue), running=self.current.execution_id if self.current else None
        )

    @workflow.query(name="has")
    def has(self, execution_id: str) -> bool:
        """Whether the turn is in hand, or waits."""
        return self._is_known(execution_id)

    @workflow.query(name="fingerprint")
    def fingerprint(self, execution_id: str) -> str | None:
        """Of the request that is in hand, or waits, under that id."""
        return next((waiting.fingerprint for waiting in self.queue if waiting.execution_id == execution_id), None)

    def _is_known(self, execution_id: str) -> bool:
        return any(waiting.execution_id == execution_id for waiting in self.queue)

    async def _wait_for_message(self) -> bool:
        try:
            await workflow.wait_condition(
                lambda: bool(self.queue) or self.ending is not None,
                timeout=timedelta(seconds=self.silence),
                timeout_summary="idle time-out",
            )
        except TimeoutError:
            return False
        return True

    async def _answer(self, request: TurnRequest) -> None:
        self.current = request
        turn = self.work = Turn(request, self.steps)
        error = ExecutionCancelled("the work was cancelled").report()
        was_cancelled = request.execution_id in self.cancelled
        self.turn = asyncio.create_task(turn.refuse(error) if was_cancelled else turn.run())
        try:
            outcome = await self.turn
        except asyncio.CancelledError:
            if self.ending is None and request.execution_id not in self.cancelled:  # the workflow itself is cancelled
                self._end(EndReason.CANCELLED)
            outcome = TurnOutcome(
                execution_id=request.execution_id, conversation_id=request.conversation_id, state="failed"
            )
        finally:
            self.turn = None
            self.work = None
            self.current = None
        self.silence = self.state.idle_timeout
        await self._finish(request, outcome)

    async def _finish(self, request: TurnRequest, outcome: TurnOutcome) -> None:
        """A request has its answer: tells those who wait for it."""
        self.queue.remove(request)
        self.cancelled.discard(request.execution_id)
        inbox = self.inboxes.pop(request.execution_id, None)
        if inbox is None:
            self.outcomes[request.execution_id] = outcome
            return
        scope = request.scope
        done = TurnDone(scope=scope, conversation_id=request.conversation_id, execution_id=request.execution_id)
        with contextlib.suppress(FailureError):  # an inbox that is gone remembers nothing
            await workflow.get_external_workflow_handle(inbox).signal(INBOX_DONE, done)

    def _end(self, reason: EndReason) -> None:
        self.ending = EndInput(scope=self.state.scope, conversation_id=self.state.conversation_id, reason=reason)

    def _should_continue_as_new(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested()

    async def _continue_as_new(self) -> None:
        self.moving_on = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        carried = {"queue": self.queue, "inboxes": self.inboxes, "cancelled": sorted(self.cancelled)}
        workflow.continue_as_new(self.state.model_copy(update=carried))

    async def _expire(self) -> bool:
        """Ends a conversation in which nobody has written for long; False if somebody has, as the store knows."""
        expiring = EndInput(
            scope=self.state.scope,
            conversation_id=self.state.conversation_id,
            reason=EndReason.TIMEOUT,
            if_silent=True,
            patience=TURN_PATIENCE,
        )
        self.silence = await self._record_end(expiring)
        return self.has_ended

    async def _close(self, reason: EndReason) -> None:
        """Ends the conversation, after what a shard has in hand of it."""
        deadline = workflow.time() + TURN_PATIENCE
        await self._refuse_all()
        while self.ending is not None and not self.has_ended:
            self.ending.patience = max(0.0, deadline - workflow.time())
            wait = await self._record_end(self.ending)
            if not self.has_ended:
                await workflow.sleep(wait)
            await self._refuse_all()
        workflow.upsert_search_attributes([STATE.value_set(STATE_AFTER[reason])])

    async def _refuse_all(self) -> None:
        """Messages that were accepted but never begun: each gets its one answer, that the conversation ended first."""
        error = ConversationClosed("the conversation ended before the message was answered").report()
        while self.queue:
            request = self.queue[0]
            await self._finish(request, await Turn(request, self.steps).refuse(error))

    async def _record_end(self, request: EndInput) -> float:
        """Records the end. Returns the seconds after which to try again if it is too early for that; else 0."""
        found: EndResult | None = await workflow.execute_local_activity(
            END_CONVERSATION,
            request,
            result_type=EndResult | None,  # type: ignore[arg-type] # older versions returned nothing
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary=f"end: {request.reason}",
        )
        self.has_ended = found is None or found.wait == 0
        return found.wait if found else 0.0


def is_closed(error: ApplicationError) -> bool:
    """Whether a refused update says that the conversation has ended."""
    return error.type == ConversationClosed.code
