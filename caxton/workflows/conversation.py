"""A conversation: turns one after another, until somebody ends it or nobody writes any more."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from caxton.domain.conversations import IDLE_TIMEOUT, STATE_AFTER, ConversationState, EndReason
from caxton.domain.errors import CaxtonError, ConversationClosed, ExecutionCancelled, NotFound, Overloaded
from caxton.domain.executions import ApprovalStatus, Decision, TurnOutcome, TurnRequest
from caxton.domain.ids import ConversationId, Digest, Scope
from caxton.workflows.failures import to_failure
from caxton.workflows.names import STATE
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, RECORD_TIMEOUT, RECORDS_RETRY
from caxton.workflows.steps import StepRunner
from caxton.workflows.turn import Turn

END_CONVERSATION = "end_conversation"

WAITING_TURNS = 100
"""Messages that may wait in one conversation; a further one is refused with a hint to come back."""


class ConversationInput(BaseModel):
    """State of a conversation that crosses a continue-as-new. Messages are in the store."""

    scope: Scope
    conversation_id: ConversationId
    idle_timeout: float = IDLE_TIMEOUT
    one_shot: bool = False
    pinned: dict[str, Digest] = {}
    preferred: str | None = None
    queue: list[TurnRequest] = []


class EndInput(BaseModel):
    """Why a conversation is to end."""

    scope: Scope
    conversation_id: ConversationId
    reason: EndReason
    actor: str = "system"


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
        self.outcomes: dict[str, TurnOutcome] = {}
        self.ending: EndInput | None = None
        self.moving_on = False
        self.steps = StepRunner()
        self.current: TurnRequest | None = None
        self.turn: asyncio.Task[TurnOutcome] | None = None
        self.work: Turn | None = None
        self.cancelled: set[str] = set()
        """Turns that were cancelled by themselves: the conversation goes on."""

    @workflow.run
    async def run(self, state: ConversationInput) -> str:
        """Answers messages in order. Returns why the conversation ended."""
        while self.ending is None:
            if not self.queue and not await self._wait_for_message():
                break
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
        """Ends a turn, in hand or waiting, and nothing else."""
        if self._is_known(execution_id):
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

    def _is_known(self, execution_id: str) -> bool:
        return any(waiting.execution_id == execution_id for waiting in self.queue)

    async def _wait_for_message(self) -> bool:
        try:
            await workflow.wait_condition(
                lambda: bool(self.queue) or self.ending is not None,
                timeout=timedelta(seconds=self.state.idle_timeout),
                timeout_summary="idle time-out",
            )
        except TimeoutError:
            return False
        return True

    async def _answer(self, request: TurnRequest) -> None:
        self.current = request
        turn = self.work = Turn(request, self.steps, pinned=self.state.pinned, preferred=self.state.preferred)
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
        if self.state.preferred is None and turn.pinned:
            self.state.preferred = next(iter(turn.pinned))
        self.outcomes[request.execution_id] = outcome
        self.queue.remove(request)

    def _end(self, reason: EndReason) -> None:
        self.ending = EndInput(scope=self.state.scope, conversation_id=self.state.conversation_id, reason=reason)

    def _should_continue_as_new(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested()

    async def _continue_as_new(self) -> None:
        self.moving_on = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self.state.model_copy(update={"queue": self.queue}))

    async def _close(self, reason: EndReason) -> None:
        closing = self.ending or EndInput(
            scope=self.state.scope, conversation_id=self.state.conversation_id, reason=reason
        )
        self.ending = closing
        for request in self.queue:
            # Accepted but never begun: each gets its one answer, that the conversation ended first.
            turn = Turn(request, self.steps, pinned=self.state.pinned)
            self.outcomes[request.execution_id] = await turn.refuse(
                ConversationClosed("the conversation ended before the message was answered").report()
            )
        self.queue = []
        await workflow.execute_local_activity(
            END_CONVERSATION,
            closing,
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary=f"end: {reason}",
        )
        workflow.upsert_search_attributes([STATE.value_set(STATE_AFTER[reason])])


def is_closed(error: ApplicationError) -> bool:
    """Whether a refused update says that the conversation has ended."""
    return error.type == ConversationClosed.code
