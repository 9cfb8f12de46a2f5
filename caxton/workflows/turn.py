"""The turn: an agent answers a request, with tools and with the help of other agents. Conversations and inboxes share it."""

import asyncio

from temporalio import workflow

from caxton.domain.errors import (
    CaxtonError,
    ErrorReport,
    ExecutionCancelled,
    StepLimitReached,
    TimeLimitReached,
    TokenLimitReached,
)
from caxton.domain.executions import (
    Plan,
    RequestedCall,
    StepInput,
    StepKind,
    StepResult,
    TurnOutcome,
    TurnRequest,
    step_of,
)
from caxton.domain.ids import Digest, ExecutionId, derived_id
from caxton.workflows.steps import StepRunner


def child_execution_id(parent: ExecutionId, step: int, call: int) -> ExecutionId:
    """The execution of a hand-over: the same after any crash."""
    return ExecutionId(derived_id("x", parent, str(step), str(call)))


class Turn:
    """One turn. All that it learns is recorded by its steps, so it can be begun again at any time without harm."""

    def __init__(
        self,
        request: TurnRequest,
        steps: StepRunner,
        *,
        pinned: dict[str, Digest] | None = None,
        preferred: str | None = None,
    ) -> None:
        """Prepare a turn.

        Args:
            request: what was admitted.
            steps: does the steps, together with those of other turns of the workflow.
            pinned: versions that the conversation began with, by agent; the turn adds those it meets.
            preferred: the agent that the conversation is with.
        """
        self.request = request
        self.steps = steps
        self.pinned = pinned if pinned is not None else {}
        self.preferred = preferred

    async def run(self) -> TurnOutcome:
        """Answers the request. Failures of the work are an outcome, not an exception.

        Raises:
            NeedsOwnWorkflowError: from a runner that does fast steps only.
        """
        opening = StepInput(
            kind=StepKind.OPEN,
            scope=self.request.scope,
            execution_id=self.request.execution_id,
            root_id=self.request.execution_id,
            request=self.request,
            pinned=self.pinned,
            preferred=self.preferred,
            one_shot=self.request.one_shot,
            traceparent=self.request.traceparent,
        )
        return await self._execute(opening)

    async def refuse(self, error: ErrorReport) -> TurnOutcome:
        """Ends a turn that never began."""
        opening = StepInput(
            kind=StepKind.OPEN,
            scope=self.request.scope,
            execution_id=self.request.execution_id,
            root_id=self.request.execution_id,
            request=self.request,
        )
        return await self._close(opening, error)

    async def _execute(self, opening: StepInput) -> TurnOutcome:
        opened = await self.steps.run(opening, fast=True)
        if opened.outcome is not None:
            return opened.outcome
        if opened.plan is None:
            return await self._close(opening, opened.error)
        plan = opened.plan
        self.pinned.setdefault(plan.agent, plan.agent_digest)
        opening = opening.model_copy(update={"plan": plan})
        try:
            return await self._work(opening, plan, opened.first)
        except CaxtonError as error:
            return await self._close(opening, error.report())
        except asyncio.CancelledError:
            await self._close(opening, ExecutionCancelled("the work was cancelled").report())
            raise

    async def _work(self, opening: StepInput, plan: Plan, first: StepResult | None) -> TurnOutcome:
        deadline = workflow.time() + plan.max_time
        for number in range(1, plan.max_steps + 1):
            result = first if number == 1 and first is not None else None
            if result is None:
                result = await self.steps.run(step_of(StepKind.MODEL, opening, plan, number), fast=plan.fast)
            if result.outcome is not None:
                return result.outcome
            if result.error is not None:
                raise CaxtonError.from_report(result.error)
            self._check_limits(plan, result, deadline)
            await self._make_calls(opening, plan, number, result.calls)
        raise StepLimitReached(
            f'agent "{plan.agent}" did not finish within {plan.max_steps} steps',
            f'raise `steps` in [limits] of agent "{plan.agent}", or make its task smaller',
            details={"limit": "steps", "value": plan.max_steps, "agent": plan.agent},
        )

    def _check_limits(self, plan: Plan, result: StepResult, deadline: float) -> None:
        if result.usage.tokens > plan.max_tokens:
            raise TokenLimitReached(
                f'agent "{plan.agent}" used {result.usage.tokens} tokens of {plan.max_tokens}',
                f'raise `tokens` in [limits] of agent "{plan.agent}"',
                details={"limit": "tokens", "value": plan.max_tokens, "agent": plan.agent},
            )
        if workflow.time() > deadline:
            raise TimeLimitReached(
                f'agent "{plan.agent}" did not finish within {plan.max_time:g} s',
                f'raise `time` in [limits] of agent "{plan.agent}"',
                details={"limit": "time", "value": plan.max_time, "agent": plan.agent},
            )

    async def _make_calls(self, opening: StepInput, plan: Plan, number: int, calls: list[RequestedCall]) -> None:
        # All calls end before any failure goes on: a turn that is begun again elsewhere must not meet them still running.
        done = await asyncio.gather(
            *(self._make_call(opening, plan, number, call) for call in calls), return_exceptions=True
        )
        for result in done:
            if isinstance(result, BaseException):
                raise result

    async def _make_call(self, opening: StepInput, plan: Plan, number: int, call: RequestedCall) -> None:
        if call.kind == "capability":
            await self._hand_over(opening, plan, number, call)
            return
        step = step_of(StepKind.TOOL, opening, plan, number, call.call)
        result = await self.steps.run(step, fast=call.fast)
        if result.error is not None:
            # The model gets to see the failure: it is recorded as the call's result.
            await self.steps.run(step.model_copy(update={"error": result.error}), fast=True)

    async def _hand_over(self, opening: StepInput, plan: Plan, number: int, call: RequestedCall) -> None:
        child = StepInput(
            kind=StepKind.OPEN,
            scope=opening.scope,
            execution_id=child_execution_id(opening.execution_id, number, call.call),
            root_id=opening.root_id,
            request=opening.request,
            parent_id=opening.execution_id,
            parent_step=number,
            parent_call=call.call,
            chain=[*opening.chain, plan.agent],
            chain_limits=[*opening.chain_limits, (plan.max_depth, plan.max_loops)],
            pinned=self.pinned,
            traceparent=opening.traceparent,
        )
        await self._execute(child)

    async def _close(self, opening: StepInput, error: ErrorReport | None) -> TurnOutcome:
        closing = opening.model_copy(update={"kind": StepKind.CLOSE, "error": error or _unexplained()})
        closed = await self.steps.run(closing, fast=True)
        assert closed.outcome is not None, "closing an execution always ends it"
        return closed.outcome


def _unexplained() -> ErrorReport:
    return ErrorReport(code="internal", message="the work ended without a result")
