"""A conversation: turns one after another, until somebody ends it or nobody writes for a while.

Messages are accepted, ordered and recorded by the store, and many are answered there (:mod:`caxton.turns.accept`). What is
not is in progress there until it is answered; this workflow is told that something is, asks for it, and does it. Nothing but ids
crosses from the one to the other, so nothing that anybody says can outgrow an engine's limits.
"""

import asyncio
from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow

from caxton.domain.conversations import IDLE_TIMEOUT, STATE_AFTER, ConversationState, EndReason
from caxton.domain.errors import CaxtonError, NotFound
from caxton.domain.executions import ApprovalStatus, Decision, Queue
from caxton.domain.ids import ConversationId, Scope
from caxton.domain.origin import Origin
from caxton.workflows.failures import to_failure
from caxton.workflows.names import STATE
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, RECORD_TIMEOUT, RECORDS_RETRY
from caxton.workflows.steps import StepRunner
from caxton.workflows.turn import HistoryFullError, Turn

END_CONVERSATION = "end_conversation"
REFUSE_WAITING = "refuse_waiting"


class EndInput(BaseModel):
    """Why a conversation is to end."""

    scope: Scope
    conversation_id: ConversationId
    reason: EndReason
    actor: str = "system"
    origin: Origin | None = None
    if_silent: bool = False
    """Only if nobody has written for as long as its start allowed: the store knows when the last message was."""


class ConversationInput(BaseModel):
    """Which conversation it is. Its turns are in the store, so hardly anything crosses a continue-as-new."""

    scope: Scope
    conversation_id: ConversationId
    idle_timeout: float = IDLE_TIMEOUT
    one_shot: bool = False
    ending: EndInput | None = None
    """Why it is to end, after the turn in progress."""


class EndResult(BaseModel):
    """Whether a conversation has ended."""

    wait: float = 0.0
    """Seconds after which to try again, because it has not."""


class ConversationStatus(BaseModel):
    """What the workflow is doing, for the engine's UI and for tests."""

    state: ConversationState
    running: str | None


@workflow.defn(name="ConversationTurns")
class ConversationWorkflow:
    """One conversation, from its start to its end; or a one-shot request, until it is answered."""

    @workflow.init
    def __init__(self, state: ConversationInput) -> None:
        self.state = state
        self.queue = Queue(scope=state.scope, conversation_id=state.conversation_id)
        self.is_told = True
        """Whether the store may have a turn in progress that nobody has looked for."""
        self.ending = state.ending
        self.has_ended = False
        """Whether the store says so."""
        self.steps = StepRunner()
        self.turn: Turn | None = None
        self.work: asyncio.Task[None] | None = None
        self.is_turn_cancelled = False
        """Whether the turn in progress was cancelled by itself: the conversation goes on."""

    @workflow.run
    async def run(self, state: ConversationInput) -> str:
        """Answers turns in their order. Returns why the conversation ended."""
        silence = None if state.one_shot else asyncio.create_task(self._expire())
        while self.ending is None and not self.has_ended:
            if self.is_told:
                self.is_told = False
                await self._answer_all()
                if state.one_shot:
                    self._end(EndReason.COMPLETED)
                elif self._is_history_long():
                    await self._continue_as_new()
            else:
                await workflow.wait_condition(lambda: self.is_told or self.ending is not None or self.has_ended)
        if silence is not None:
            silence.cancel()
        reason = self.ending.reason if self.ending else EndReason.TIMEOUT
        if not state.one_shot:
            await self._close(reason)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return reason

    @workflow.signal(name="turn_accepted")
    def turn_accepted(self) -> None:
        """The store has a turn of this conversation in progress."""
        self.is_told = True

    @workflow.signal(name="workers_restarted")
    def workers_restarted(self) -> None:
        """All workers are other ones than before: nothing will come of calls that those had in progress."""
        self.is_told = True
        self.steps.workers_restarted()

    @workflow.signal(name="call_admitted")
    def call_admitted(self, execution_id: str, step: int, call: int) -> None:
        """It is the turn of a call that has queued for a place."""
        self.steps.call_admitted(execution_id, step, call)

    @workflow.update(name="decide")
    async def decide(self, decision: Decision) -> ApprovalStatus:
        """Takes a person's decision on an action that waits. Returns how the approval stands now."""
        assert self.turn is not None
        try:
            return await self.turn.decide(decision)
        except CaxtonError as error:
            raise to_failure(error) from error

    @decide.validator
    def _check_decide(self, decision: Decision) -> None:
        if self.turn is None or decision.approval_id not in self.turn.waiting:
            raise to_failure(NotFound("nothing waits for this approval"))

    @workflow.signal(name="end")
    def end(self, request: EndInput) -> None:
        """Ends the conversation: after the turn in progress, or at once when it is cancelled."""
        if self.ending is None:
            self.ending = request
        if request.reason is EndReason.CANCELLED and self.work is not None:
            self.work.cancel()

    @workflow.signal(name="cancel_turn")
    def cancel_turn(self, execution_id: str) -> None:
        """Ends the turn in progress, if it is that one. One that waits is marked in the store, and ends when its turn comes."""
        if self.work is not None and self.turn is not None and self.turn.begun.execution_id == execution_id:
            self.is_turn_cancelled = True
            self.work.cancel()

    @workflow.query(name="status")
    def status(self) -> ConversationStatus:
        """What the conversation is doing."""
        state = STATE_AFTER[self.ending.reason] if self.ending else ConversationState.IN_PROGRESS
        return ConversationStatus(state=state, running=self.turn.begun.execution_id if self.turn else None)

    async def _answer_all(self) -> None:
        """Answers what is in progress, one turn after another."""
        while self.ending is None and await self._answer_next():
            if self._is_history_long():
                await self._continue_as_new()

    async def _answer_next(self) -> bool:
        """Answers the next turn, if there is one. Returns whether there may be another one."""
        begun = await self.steps.next_turn(self.queue)
        if begun is None:
            return False
        self.turn = turn = Turn(self.state.scope, begun, self.steps)
        self.is_turn_cancelled = False
        self.work = asyncio.create_task(self.turn.run())
        try:
            await self.work
        except HistoryFullError:
            await self._continue_as_new()
        except asyncio.CancelledError:
            if self.ending is None and not self.is_turn_cancelled:  # the workflow itself is cancelled
                self._end(EndReason.CANCELLED)
        finally:
            self.work = None
            self.turn = None
        # Who has a turn accepted later than this one ended tells so after that.
        return turn.others_wait is not False

    def _end(self, reason: EndReason) -> None:
        self.ending = EndInput(scope=self.state.scope, conversation_id=self.state.conversation_id, reason=reason)

    def _is_history_long(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested()

    async def _continue_as_new(self) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self.state.model_copy(update={"ending": self.ending}))

    async def _expire(self) -> None:
        """Ends a conversation in which nobody has written for long, as the store knows. One timer at a time."""
        request = EndInput(
            scope=self.state.scope,
            conversation_id=self.state.conversation_id,
            reason=EndReason.TIMEOUT,
            if_silent=True,
        )
        wait = self.state.idle_timeout
        while not self.has_ended:
            await workflow.sleep(timedelta(seconds=wait), summary="idle time-out")
            wait = await self._record_end(request)

    async def _close(self, reason: EndReason) -> None:
        """Ends the conversation, after what it has in progress."""
        while not self.has_ended:
            begun: int = await workflow.execute_local_activity(
                REFUSE_WAITING,
                args=[self.queue, reason is EndReason.CANCELLED],
                result_type=int,
                start_to_close_timeout=RECORD_TIMEOUT,
                retry_policy=RECORDS_RETRY,
                summary="refuse what waits",
            )
            if begun:
                await self._answer_next()
            assert self.ending is not None
            wait = await self._record_end(self.ending)
            if wait:
                await workflow.sleep(wait)
        workflow.upsert_search_attributes([STATE.value_set(STATE_AFTER[reason])])

    async def _record_end(self, request: EndInput) -> float:
        """Records the end. Returns the seconds after which to try again if it is too early for that; else 0."""
        found = await workflow.execute_local_activity(
            END_CONVERSATION,
            request,
            result_type=EndResult,
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary=f"end: {request.reason}",
        )
        self.has_ended = found.wait == 0
        return found.wait
