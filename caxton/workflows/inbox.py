"""An inbox shard: requests of one customer, many at a time.

It does fast turns itself, all together; a turn that reaches a slow step goes on in a workflow of its own. Messages of one
conversation are answered one after another, in the order in which they come; all of them meet in one shard. When one of them
goes on in the conversation's workflow, later ones follow it there, until that workflow has said that it is done with all.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from caxton.domain.conversations import IDLE_TIMEOUT, ConversationState
from caxton.domain.errors import Overloaded
from caxton.domain.executions import StepResult, TurnOutcome, TurnRequest
from caxton.domain.ids import ExecutionId
from caxton.workflows.conversation import (
    INBOX_DONE,
    WAITING_TURNS,
    ConversationInput,
    ConversationWorkflow,
    HandedOver,
    TurnDone,
)
from caxton.workflows.failures import to_failure
from caxton.workflows.names import conversation_workflow_id, search_attributes
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, IDLE_INBOX
from caxton.workflows.steps import NeedsOwnWorkflowError, StepRunner
from caxton.workflows.turn import Turn

AT_REST = "continues-as-new-at-rest"
"""Patch: see :meth:`InboxWorkflow._may_continue_as_new`."""

OPENS_TOGETHER = "opens-together"
"""Patch: see :meth:`InboxWorkflow._open_together`."""

LONGEST_HISTORY = 3 * CONTINUE_AS_NEW_EVENTS
"""Events after which an inbox does not wait for a moment of rest any more."""

TURNS_IN_HAND = 2_000
"""Turns that one shard works on at once; more are refused and come again."""


ASK_AGAIN = 60.0
"""Seconds after which a conversation whose workflow had to be started again asks the store how long it may be silent."""


class InboxInput(BaseModel):
    """Whose inbox it is, and what crosses a continue-as-new."""

    customer: str
    shard: int
    elsewhere: dict[str, list[ExecutionId]] = {}
    """Turns that go on in their conversation's workflow, by conversation."""


class InboxBatch(BaseModel):
    """Requests that one update brings."""

    requests: list[TurnRequest]
    alone: bool = False
    """Whether no other update is on its way, and none will be sent before this one is answered."""


@dataclass
class _Line:
    """Messages of one conversation that are in hand."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    members: set[str] = field(default_factory=set[str])


@workflow.defn(name="Inbox")
class InboxWorkflow:
    """One shard of a customer's inbox.

    It keeps no request across a continue-as-new: they are answered, or in the store, or handed over.
    """

    @workflow.init
    def __init__(self, state: InboxInput) -> None:
        self.state = state
        self.steps = StepRunner(fast_only=True)
        self.opening: set[str] = set()
        """Requests whose first steps are being done together."""
        self.leading: set[str] = set()
        """Messages of conversations among them, and those that go on: each has its conversation's turn."""
        self.turns: dict[str, asyncio.Task[TurnOutcome]] = {}
        self.lines: dict[str, _Line] = {}
        self.elsewhere = {key: list(turns) for key, turns in state.elsewhere.items()}
        self.moving_on = False
        self.is_alone = False
        self.answered = 0

    @workflow.run
    async def run(self, state: InboxInput) -> int:
        """Works until nobody writes for a while. Returns how many requests this run answered."""
        # Runs that began before this was so go on as they began.
        is_time = self._may_continue_as_new if workflow.patched(AT_REST) else self._should_continue_as_new
        while True:
            before = self.answered
            try:
                await workflow.wait_condition(is_time, timeout=IDLE_INBOX, timeout_summary="idle inbox")
            except TimeoutError:
                if self.answered != before or self.turns or self.elsewhere:
                    continue
                self.moving_on = True
                await workflow.wait_condition(workflow.all_handlers_finished)
                return self.answered
            self.moving_on = True
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(self.state.model_copy(update={"elsewhere": self.elsewhere}))

    @workflow.update(name="submit")
    async def submit(self, batch: InboxBatch) -> list[TurnOutcome]:
        """Answers the requests, in their order: their outcomes, or `running` for those that became workflows."""
        self.is_alone = batch.alone
        fresh = await self._admit(batch.requests) if workflow.patched(OPENS_TOGETHER) else {}
        # At once: they take their places in line before anything that comes with a later update.
        others: dict[str, asyncio.Task[TurnOutcome]] = {
            request.execution_id: asyncio.create_task(self._take(request))
            for request in batch.requests
            if request.execution_id not in fresh
        }
        opened = await self._open_together(fresh)
        outcomes = {key: result.outcome for key, result in opened.items() if result.outcome is not None}
        self.answered += len(outcomes)
        for key, request in fresh.items():
            if key not in outcomes:
                others[key] = asyncio.create_task(self._take(request, opened.get(key)))
        outcomes |= zip(others, await asyncio.gather(*others.values()), strict=True)
        return [outcomes[request.execution_id] for request in batch.requests]

    @submit.validator
    def _check_submit(self, batch: InboxBatch) -> None:
        if self.moving_on:
            raise to_failure(Overloaded("the inbox is about to continue as new", retry_after=0.02))
        in_hand = len(self.turns) + len(self.opening)
        if in_hand + len(batch.requests) > TURNS_IN_HAND:
            raise to_failure(
                Overloaded(f"{in_hand} requests are being worked on", "try again in a moment", retry_after=0.5)
            )

    @workflow.signal(name=INBOX_DONE)
    def done(self, turn: TurnDone) -> None:
        """A turn that was handed over has ended."""
        key = _conversation_key(turn)
        turns = self.elsewhere.get(key, [])
        if turn.execution_id in turns:
            turns.remove(turn.execution_id)
            if not turns:
                del self.elsewhere[key]

    @workflow.query(name="status")
    def status(self) -> dict[str, int]:
        """How many requests are in hand, and how many this run has answered."""
        return {"in_hand": len(self.turns) + len(self.opening), "answered": self.answered}

    @workflow.query(name="has")
    def has(self, execution_id: str) -> bool:
        """Whether the request is in hand."""
        return execution_id in self.turns or execution_id in self.opening

    async def _admit(self, requests: list[TurnRequest]) -> dict[str, TurnRequest]:
        """Those that wait for nothing: neither in hand already, nor with others of their conversation before them."""
        fresh: dict[str, TurnRequest] = {}
        for request in requests:
            if not self.has(request.execution_id) and (request.one_shot or await self._lead(request)):
                fresh[request.execution_id] = request
                self.opening.add(request.execution_id)
        return fresh

    async def _open_together(self, fresh: dict[str, TurnRequest]) -> dict[str, StepResult]:
        """Does the first steps of all of them as one: most are answered by them.

        A task for each of them would cost more than all the rest of the workflow. A step that may be tried again is not
        among the results.
        """
        if not fresh:
            return {}
        try:
            results = await self.steps.open_together([Turn(request, self.steps).opening for request in fresh.values()])
        except BaseException:
            for request in fresh.values():
                self._leave(request)
            raise
        finally:
            self.opening.difference_update(fresh)
        opened: dict[str, StepResult] = {}
        for request, result in zip(fresh.values(), results, strict=True):
            if result.outcome is not None:
                self._leave(request)
            if result.error is None or not result.error.retryable:
                opened[request.execution_id] = result
        return opened

    async def _lead(self, request: TurnRequest) -> bool:
        """Lets a message of a conversation that nothing stands before begin a line; False if something does."""
        key = _conversation_key(request)
        if key in self.lines or key in self.elsewhere:
            return False
        line = self.lines[key] = _Line()
        line.members.add(request.execution_id)
        await line.turn.acquire()  # it is free
        self.leading.add(request.execution_id)
        return True

    def _leave(self, request: TurnRequest) -> None:
        """A message that led its line is answered, or goes on elsewhere: the next one has its turn."""
        if request.execution_id not in self.leading:
            return
        self.leading.remove(request.execution_id)
        self.lines[_conversation_key(request)].turn.release()
        self._step_out(request)

    def _step_out(self, request: TurnRequest) -> None:
        """A message is not in its conversation's line any more."""
        key = _conversation_key(request)
        self.lines[key].members.discard(request.execution_id)
        if not self.lines[key].members:
            del self.lines[key]

    async def _take(self, request: TurnRequest, opened: StepResult | None = None) -> TurnOutcome:
        key = request.execution_id
        if key in self.opening:  # the same request again, while the first is being opened
            await workflow.wait_condition(lambda: key not in self.opening)
        task = self.turns.get(key)
        if task is None:  # else: the same request again, while the first is in hand
            task = self.turns[key] = asyncio.create_task(self._answer(request, opened))
        try:
            return await task
        finally:
            if self.turns.pop(key, None) is not None:
                self.answered += 1

    async def _answer(self, request: TurnRequest, opened: StepResult | None) -> TurnOutcome:
        if request.execution_id in self.leading:
            try:
                return await self._answer_next(request, _conversation_key(request), opened)
            finally:
                self._leave(request)
        if not request.one_shot:
            return await self._answer_in_line(request)
        try:
            return await Turn(request, self.steps).run(opened)
        except NeedsOwnWorkflowError:
            await self._start_workflow(request)
            return _running(request)

    async def _answer_in_line(self, request: TurnRequest) -> TurnOutcome:
        """Answers a message of a conversation when those before it are answered."""
        key = _conversation_key(request)
        line = self.lines.get(key) or _Line()
        # One that is being handed over is in the line and elsewhere for a moment, and counts once.
        waiting = len(line.members.union(self.elsewhere.get(key, ())))
        if waiting >= WAITING_TURNS:
            return _refused(request, waiting)
        self.lines[key] = line
        line.members.add(request.execution_id)
        try:
            async with line.turn:
                return await self._answer_next(request, key)
        finally:
            self._step_out(request)

    async def _answer_next(self, request: TurnRequest, key: str, opened: StepResult | None = None) -> TurnOutcome:
        """Answers a message that nothing of its conversation stands before, here; or hands it over."""
        while key in self.elsewhere:
            if request.execution_id in self.elsewhere[key] or await self._hand_over(request, key):
                return _running(request)
            # The conversation's workflow has ended with all that it had: the store says what is to become of this one.
            self.elsewhere.pop(key, None)
        try:
            return await Turn(request, self.steps).run(opened)
        except NeedsOwnWorkflowError:
            while not await self._hand_over(request, key):
                if await self._start_workflow(request):
                    break
            return _running(request)

    async def _hand_over(self, request: TurnRequest, key: str) -> bool:
        """Hands a message to the workflow of its conversation; False if there is none."""
        workflow_id = conversation_workflow_id(request.scope, request.conversation_id)
        # Remembered before it is sent: the answer that it is done may come sooner than the one that it has arrived.
        self._remember(request, key)
        try:
            await workflow.get_external_workflow_handle_for(ConversationWorkflow.run, workflow_id).signal(
                ConversationWorkflow.take, HandedOver(request=request, inbox=workflow.info().workflow_id)
            )
        except FailureError:
            return False
        return True

    def _remember(self, request: TurnRequest, key: str) -> None:
        turns = self.elsewhere.setdefault(key, [])
        if request.execution_id not in turns:
            turns.append(request.execution_id)

    async def _start_workflow(self, request: TurnRequest) -> bool:
        """Starts a workflow that goes on with the request: of its own, or its conversation's that is gone.

        False if there is one.
        """
        scope = request.scope
        one_shot = request.one_shot
        inboxes = {} if one_shot else {request.execution_id: workflow.info().workflow_id}
        try:
            await workflow.start_child_workflow(
                ConversationWorkflow.run,
                ConversationInput(
                    scope=scope,
                    conversation_id=request.conversation_id,
                    one_shot=one_shot,
                    idle_timeout=IDLE_TIMEOUT if one_shot else ASK_AGAIN,
                    queue=[request],
                    inboxes=inboxes,
                ),
                id=conversation_workflow_id(scope, request.conversation_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=(
                    WorkflowIDReusePolicy.REJECT_DUPLICATE if one_shot else WorkflowIDReusePolicy.ALLOW_DUPLICATE
                ),
                task_timeout=timedelta(seconds=10),
                search_attributes=search_attributes(
                    scope,
                    agent=request.target.agent,
                    capability=request.target.capability,
                    state=ConversationState.IN_PROGRESS,
                ),
                static_summary=f"{request.target} (one request)"
                if one_shot
                else f"conversation about {request.target}",
            )
        except WorkflowAlreadyStartedError:
            return False  # a retry of the request found it at work already
        return True

    def _may_continue_as_new(self) -> bool:
        """Whether the history is long and nothing is in hand; or too long to wait for that.

        An update that reaches a run while it ends is sent away by the engine for a whole second. So the run ends together
        with an update that is alone; whoever sends updates lets there be one now and then.
        """
        if workflow.info().get_current_history_length() > LONGEST_HISTORY:
            return True
        return self.is_alone and self._should_continue_as_new() and workflow.all_handlers_finished()

    def _should_continue_as_new(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested()


def _conversation_key(of: TurnRequest | TurnDone) -> str:
    return f"{of.scope.workspace}/{of.conversation_id}"


def _running(request: TurnRequest) -> TurnOutcome:
    return TurnOutcome(execution_id=request.execution_id, conversation_id=request.conversation_id, state="running")


def _refused(request: TurnRequest, waiting: int) -> TurnOutcome:
    """The outcome of a message that is not taken, for too many wait before it. Nothing is recorded."""
    error = Overloaded(f"{waiting} messages wait in this conversation", "wait for replies", retry_after=1.0)
    return TurnOutcome(
        execution_id=request.execution_id,
        conversation_id=request.conversation_id,
        state="failed",
        error=error.report(),
    )
