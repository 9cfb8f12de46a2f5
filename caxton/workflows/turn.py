"""The turn: an agent answers a request, with tools and with the help of other agents. Conversations and inboxes share it."""

import asyncio

from temporalio import workflow

from caxton.domain.errors import (
    ApprovalRejected,
    ApprovalTimedOut,
    CaxtonError,
    ConversationClosed,
    ErrorReport,
    ExecutionCancelled,
    StepLimitReached,
    TimeLimitReached,
    TokenLimitReached,
)
from caxton.domain.executions import (
    ApprovalStatus,
    Decision,
    Plan,
    RequestedCall,
    StepInput,
    StepKind,
    StepResult,
    TurnOutcome,
    TurnRequest,
    opening_of,
    step_of,
)
from caxton.domain.governance import ApprovalState, Verdict
from caxton.domain.ids import Digest, ExecutionId, derived_id
from caxton.workflows.clock import TurnClock
from caxton.workflows.steps import NeedsOwnWorkflowError, StepRunner


def child_execution_id(parent: ExecutionId, step: int, call: int) -> ExecutionId:
    """The execution of a hand-over: the same after any crash."""
    return ExecutionId(derived_id("x", parent, str(step), str(call)))


class Turn:
    """One turn. All that it learns is recorded by its steps, so it can be begun again at any time without harm."""

    def __init__(self, request: TurnRequest, steps: StepRunner) -> None:
        """Prepare a turn.

        Args:
            request: what was admitted.
            steps: does the steps, together with those of other turns of the workflow.
        """
        self.request = request
        self.steps = steps
        self.pinned: dict[str, Digest] = {}
        """Versions of agents that have worked on it."""
        self.clock = TurnClock()
        self.waiting: dict[str, asyncio.Future[ApprovalStatus]] = {}
        """Approvals that the turn waits for, by id."""
        self._asked: dict[str, StepInput] = {}

    @property
    def opening(self) -> StepInput:
        """Its first step.

        What the conversation's earlier turns settled (versions, the agent that it is with) the step finds in the store.
        """
        return opening_of(self.request, pinned=self.pinned, yields=self.steps.fast_only)

    async def run(self, opened: StepResult | None = None) -> TurnOutcome:
        """Answers the request. Failures of the work are an outcome, not an exception.

        Args:
            opened: what the first step brought, where it has been done.

        Raises:
            NeedsOwnWorkflowError: from a runner that does fast steps only.
        """
        return await self._execute(self.opening, opened)

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

    async def decide(self, decision: Decision) -> ApprovalStatus:
        """Records what a person, or the clock, decided, and lets the work go on. The first decision stands.

        Raises:
            CaxtonError: it cannot be recorded.
        """
        asked = self._asked[decision.approval_id]
        step = asked.model_copy(update={"kind": StepKind.DECISION, "decision": decision})
        result = await self.steps.run(step, fast=True)
        if result.error is not None:
            raise CaxtonError.from_report(result.error)
        assert result.approval is not None, "a decision always has a status"
        waiting = self.waiting.get(decision.approval_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(result.approval)
        return result.approval

    async def _execute(self, opening: StepInput, opened: StepResult | None = None) -> TurnOutcome:
        if opened is None:
            opened = await self.steps.run(opening, fast=True)
        if opened.outcome is not None:
            return opened.outcome
        if opened.must_wait:
            raise NeedsOwnWorkflowError
        if opened.plan is None:
            if self._is_refused(opened.error):
                return self._outcome(opened.error)
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

    def _is_refused(self, error: ErrorReport | None) -> bool:
        """Whether the conversation has ended and nobody was told that the message is accepted: then nothing is recorded."""
        return self.steps.fast_only and error is not None and error.code == ConversationClosed.code

    def _outcome(self, error: ErrorReport | None) -> TurnOutcome:
        request = self.request
        return TurnOutcome(
            execution_id=request.execution_id, conversation_id=request.conversation_id, state="failed", error=error
        )

    async def _work(self, opening: StepInput, plan: Plan, first: StepResult | None) -> TurnOutcome:
        deadline = self.clock.time() + plan.max_time
        for number in range(1, plan.max_steps + 1):
            result = first if number == 1 and first is not None else None
            if result is None:
                result = await self.steps.run(step_of(StepKind.MODEL, opening, plan, number), fast=plan.fast)
            if result.outcome is not None:
                return result.outcome
            if result.error is not None:
                raise CaxtonError.from_report(result.error)
            if result.needs_approval:
                return await self._reply_when_approved(opening, plan, number)
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
        if self.clock.time() > deadline:
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
        if call.needs_approval:
            status = await self._approval(opening, plan, number, call.call)
            if status.state is not ApprovalState.GRANTED:
                # The model gets to see it, as the call's result, and can tell the user or find another way.
                refused = step.model_copy(update={"error": _not_approved(call.name, status)})
                await self.steps.run(refused, fast=True)
                return
        result = await self.steps.run(step.model_copy(update={"yields": call.fast}), fast=call.fast)
        if result.must_wait:  # a batch must not be held up by it
            result = await self.steps.run(step, fast=False)
        if result.error is not None:
            # The model gets to see the failure: it is recorded as the call's result.
            await self.steps.run(step.model_copy(update={"error": result.error}), fast=True)

    async def _reply_when_approved(self, opening: StepInput, plan: Plan, number: int) -> TurnOutcome:
        await self._approval(opening, plan, number, 0)
        result = await self.steps.run(step_of(StepKind.REPLY, opening, plan, number), fast=True)
        if result.outcome is None:
            raise CaxtonError.from_report(result.error or _unexplained())
        return result.outcome

    async def _approval(self, opening: StepInput, plan: Plan, number: int, call: int) -> ApprovalStatus:
        """Asks a person, and waits as long as the policy allows. The wait does not count as the agent's time."""
        if self.steps.fast_only:
            raise NeedsOwnWorkflowError
        step = step_of(StepKind.APPROVAL, opening, plan, number, call)
        result = await self.steps.run(step, fast=True)
        if result.approval is None:
            raise CaxtonError.from_report(result.error or _unexplained())
        status = result.approval
        if status.state is not ApprovalState.PENDING:
            return status
        decided: asyncio.Future[ApprovalStatus] = asyncio.get_running_loop().create_future()
        self.waiting[status.id], self._asked[status.id] = decided, step
        self.clock.pause()
        try:
            await workflow.wait_condition(
                decided.done, timeout=status.remaining, timeout_summary=f"approval of {plan.agent} {number}.{call}"
            )
        except TimeoutError:
            await self.decide(Decision(approval_id=status.id, verdict=Verdict.TIMEOUT))
        finally:
            self.clock.resume()
            self.waiting.pop(status.id, None)
        return decided.result()

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


def _not_approved(name: str, status: ApprovalStatus) -> ErrorReport:
    details = {"approval_id": status.id, "decided_by": status.decided_by}
    if status.state is ApprovalState.REJECTED:
        why = f": {status.reason}" if status.reason else ""
        return ApprovalRejected(f'{status.decided_by} refused the call of "{name}"{why}', details=details).report()
    return ApprovalTimedOut(
        f'the call of "{name}" needed approval, and nobody decided in time', details=details
    ).report()


def _unexplained() -> ErrorReport:
    return ErrorReport(code="internal", message="the work ended without a result")
