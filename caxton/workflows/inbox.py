"""An inbox shard: one-shot requests of one customer, many at a time.

It does fast turns itself, all together; a turn that reaches a slow step goes on in a workflow of its own.
"""

import asyncio
from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from caxton.domain.conversations import ConversationState
from caxton.domain.errors import Overloaded
from caxton.domain.executions import TurnOutcome, TurnRequest
from caxton.workflows.conversation import ConversationInput, ConversationWorkflow
from caxton.workflows.failures import to_failure
from caxton.workflows.names import conversation_workflow_id, search_attributes
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, IDLE_INBOX
from caxton.workflows.steps import NeedsOwnWorkflowError, StepRunner
from caxton.workflows.turn import Turn

AT_REST = "continues-as-new-at-rest"
"""Patch: see :meth:`InboxWorkflow._may_continue_as_new`."""

LONGEST_HISTORY = 3 * CONTINUE_AS_NEW_EVENTS
"""Events after which an inbox does not wait for a moment of rest any more."""

TURNS_IN_HAND = 2_000
"""Turns that one shard works on at once; more are refused and come again."""


class InboxInput(BaseModel):
    """Whose inbox it is."""

    customer: str
    shard: int


class InboxBatch(BaseModel):
    """Requests that one update brings."""

    requests: list[TurnRequest]
    alone: bool = False
    """Whether no other update is on its way, and none will be sent before this one is answered."""


@workflow.defn(name="Inbox")
class InboxWorkflow:
    """One shard of a customer's inbox. It keeps nothing across a continue-as-new: requests are answered or in the store."""

    @workflow.init
    def __init__(self, state: InboxInput) -> None:
        self.state = state
        self.steps = StepRunner(fast_only=True)
        self.turns: dict[str, asyncio.Task[TurnOutcome]] = {}
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
                if self.answered != before or self.turns:
                    continue
                self.moving_on = True
                await workflow.wait_condition(workflow.all_handlers_finished)
                return self.answered
            self.moving_on = True
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(self.state)

    @workflow.update(name="submit")
    async def submit(self, batch: InboxBatch) -> list[TurnOutcome]:
        """Answers the requests, in their order: their outcomes, or `running` for those that became workflows."""
        self.is_alone = batch.alone
        return list(await asyncio.gather(*(self._take(request) for request in batch.requests)))

    @submit.validator
    def _check_submit(self, batch: InboxBatch) -> None:
        if self.moving_on:
            raise to_failure(Overloaded("the inbox is about to continue as new", retry_after=0.02))
        if len(self.turns) + len(batch.requests) > TURNS_IN_HAND:
            raise to_failure(
                Overloaded(f"{len(self.turns)} requests are being worked on", "try again in a moment", retry_after=0.5)
            )

    @workflow.query(name="status")
    def status(self) -> dict[str, int]:
        """How many requests are in hand, and how many this run has answered."""
        return {"in_hand": len(self.turns), "answered": self.answered}

    @workflow.query(name="has")
    def has(self, execution_id: str) -> bool:
        """Whether the request is in hand."""
        return execution_id in self.turns

    async def _take(self, request: TurnRequest) -> TurnOutcome:
        key = request.execution_id
        task = self.turns.get(key)
        if task is None:  # else: the same request again, while the first is in hand
            task = self.turns[key] = asyncio.create_task(self._answer(request))
        try:
            return await task
        finally:
            if self.turns.pop(key, None) is not None:
                self.answered += 1

    async def _answer(self, request: TurnRequest) -> TurnOutcome:
        try:
            return await Turn(request, self.steps).run()
        except NeedsOwnWorkflowError:
            await self._give_own_workflow(request)
            return TurnOutcome(
                execution_id=request.execution_id, conversation_id=request.conversation_id, state="running"
            )

    async def _give_own_workflow(self, request: TurnRequest) -> None:
        scope = request.scope
        try:
            await workflow.start_child_workflow(
                ConversationWorkflow.run,
                ConversationInput(scope=scope, conversation_id=request.conversation_id, one_shot=True, queue=[request]),
                id=conversation_workflow_id(scope, request.conversation_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                task_timeout=timedelta(seconds=10),
                search_attributes=search_attributes(
                    scope,
                    agent=request.target.agent,
                    capability=request.target.capability,
                    state=ConversationState.IN_PROGRESS,
                ),
                static_summary=f"{request.target} (one request)",
            )
        except WorkflowAlreadyStartedError:
            return  # a retry of the request found it at work already

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
