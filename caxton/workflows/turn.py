"""The turn: an agent answers a request, with tools and with the help of other agents."""

import asyncio

from temporalio import workflow

from caxton.domain.errors import (
    ExecutionCancelled,
    NotFound,
    StepLimitReached,
    TimeLimitReached,
    TokenLimitReached,
)
from caxton.domain.executions import (
    ApprovalStatus,
    Decision,
    Ending,
    NextTurn,
    Plan,
    RequestedCall,
    StepDone,
    StepInput,
    StepKind,
    step_of,
)
from caxton.domain.governance import ApprovalState, Verdict
from caxton.domain.ids import Digest, ExecutionId, Scope, derived_id
from caxton.workflows.clock import TurnClock
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS
from caxton.workflows.steps import CallLostError, StepRunner


def child_execution_id(parent: ExecutionId, step: int, call: int) -> ExecutionId:
    """The execution of a hand-over: the same after any crash."""
    return ExecutionId(derived_id("x", parent, str(step), str(call)))


class HistoryFullError(Exception):
    """The workflow's history is long: the turn goes on in its next run, from its last recorded step."""


class _EndedError(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class _TurnCancelledError(Exception):
    """A step heard that the turn is cancelled before the workflow did."""


class Turn:
    """One turn. All that it learns is recorded by its steps, so it can be gone on with from there at any time."""

    def __init__(self, scope: Scope, begun: NextTurn, steps: StepRunner) -> None:
        """Prepare to go on with a turn that has begun.

        Args:
            scope: whose turn.
            begun: which, and where it stands.
            steps: does its steps.
        """
        self.begun = begun
        self.steps = steps
        self.opening = StepInput(
            kind=StepKind.OPEN,
            scope=scope,
            execution_id=begun.execution_id,
            root_id=begun.execution_id,
            one_shot=begun.one_shot,
            traceparent=begun.traceparent,
        )
        self.pinned: dict[str, Digest] = {}
        """Versions of agents that have worked on it."""
        self.clock = TurnClock()
        self.waiting: dict[str, asyncio.Future[ApprovalStatus]] = {}
        """Approvals that the turn waits for, by id."""
        self._asked: dict[str, StepInput] = {}
        self.others_wait: bool | None = None
        """Whether the conversation had other turns in progress when this one ended; None if nobody has looked."""

    async def run(self) -> None:
        """Goes on with the turn until it has ended. Failures of the work are recorded, and no exception.

        Raises:
            HistoryFullError: the next run of the workflow has to go on with it.
        """
        await self._execute(self.opening, self.begun.opened, self.begun.elapsed)

    async def decide(self, decision: Decision) -> ApprovalStatus:
        """Records what a person, or the clock, decided, and lets the work go on. The first decision stands.

        Raises:
            CaxtonError: it cannot be recorded.
        """
        asked = self._asked[decision.approval_id]
        step = asked.model_copy(update={"kind": StepKind.DECISION, "decision": decision})
        result = await self.steps.run(step, fast=True)
        if result.approval is None:  # the turn has ended meanwhile
            raise NotFound("nothing waits for this approval")
        waiting = self.waiting.get(decision.approval_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(result.approval)
        return result.approval

    async def _execute(self, opening: StepInput, opened: StepDone, elapsed: float = 0.0) -> None:
        if opened.cancelled:
            raise _TurnCancelledError
        if opened.ended:
            return
        plan = opened.plan
        assert plan is not None, "what is open has a plan"
        self.pinned.setdefault(plan.agent, plan.agent_digest)
        opening = opening.model_copy(update={"plan": plan})
        try:
            await self._work(opening, plan, opened, elapsed)
        except _EndedError as error:
            await self._close(opening, error.ending)
        except CallLostError as error:
            await self._close(opening, Ending(code=str(error)))
        except _TurnCancelledError:
            await self._close(opening, Ending(code=ExecutionCancelled.code))
            if opening.parent_id is not None:
                raise
        except asyncio.CancelledError:
            await self._close(opening, Ending(code=ExecutionCancelled.code))
            raise

    async def _work(self, opening: StepInput, plan: Plan, opened: StepDone, elapsed: float) -> None:
        deadline = self.clock.time() + plan.max_time - elapsed
        last, first = opened.last, opened.at if opened.last is not None else 1
        for number in range(first, plan.max_steps + 1):
            if last is None:
                step = step_of(StepKind.MODEL, opening, plan, number)
                left = deadline - self.clock.time()
                step = step.model_copy(update={"time_left": round(left, 3)})
                last = await self.steps.run(step, fast=plan.fast, clock=self.clock)
            if last.cancelled:
                raise _TurnCancelledError
            if last.ended:
                self.others_wait = last.others_wait
                return
            if last.needs_approval:
                await self._reply_when_approved(opening, plan, number)
                return
            if last.tokens > plan.max_tokens:
                raise _EndedError(Ending(code=TokenLimitReached.code, value=plan.max_tokens))
            if self.clock.time() > deadline:
                raise _EndedError(Ending(code=TimeLimitReached.code, value=plan.max_time))
            await self._make_calls(opening, plan, number, last.calls)
            last = None
            self._check_history()
        raise _EndedError(Ending(code=StepLimitReached.code, value=plan.max_steps))

    def _check_history(self) -> None:
        info = workflow.info()
        if info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested():
            raise HistoryFullError

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
                await self.steps.run(step.model_copy(update={"refused": True}), fast=True)
                return
        done = await self.steps.run(step, fast=call.fast, clock=self.clock)
        while done.approval is not None:  # the tool's server asks a person: it is called again with the answer
            await self._decision(plan, step, done.approval)
            done = await self.steps.run(step, fast=call.fast, clock=self.clock)
        if done.cancelled:
            raise _TurnCancelledError

    async def _reply_when_approved(self, opening: StepInput, plan: Plan, number: int) -> None:
        await self._approval(opening, plan, number, 0)
        await self.steps.run(step_of(StepKind.REPLY, opening, plan, number), fast=True)

    async def _approval(self, opening: StepInput, plan: Plan, number: int, call: int) -> ApprovalStatus:
        """Asks a person, and waits as long as the policy allows. The wait does not count as the agent's time."""
        step = step_of(StepKind.APPROVAL, opening, plan, number, call)
        result = await self.steps.run(step, fast=True)
        if result.approval is None:
            raise _EndedError(Ending(code=ExecutionCancelled.code))  # the execution has ended meanwhile
        return await self._decision(plan, step, result.approval)

    async def _decision(self, plan: Plan, step: StepInput, status: ApprovalStatus) -> ApprovalStatus:
        """Waits until somebody has decided on what `step` asked for, or the time for it is over."""
        if status.state is not ApprovalState.PENDING:
            return status
        decided: asyncio.Future[ApprovalStatus] = asyncio.get_running_loop().create_future()
        self.waiting[status.id], self._asked[status.id] = decided, step
        self.clock.pause()
        try:
            await workflow.wait_condition(
                decided.done,
                timeout=status.remaining,
                timeout_summary=f"approval of {plan.agent} {step.step}.{step.call}",
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
            parent_id=opening.execution_id,
            parent_step=number,
            parent_call=call.call,
            chain=[*opening.chain, plan.agent],
            chain_limits=[*opening.chain_limits, (plan.max_depth, plan.max_loops)],
            pinned=self.pinned,
            one_shot=opening.one_shot,
            traceparent=opening.traceparent,
        )
        await self._execute(child, await self.steps.begin(child))

    async def _close(self, opening: StepInput, ending: Ending) -> None:
        await self.steps.close(opening.model_copy(update={"kind": StepKind.CLOSE, "ending": ending}))
