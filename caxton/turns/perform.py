"""Doing one step of a turn: read, act, record. What a workflow has activities do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from caxton.domain.conversations import WhenBusy
from caxton.domain.errors import (
    CaxtonError,
    ConversationClosed,
    ErrorReport,
    ExecutionCancelled,
    ExecutionInterrupted,
    ExecutionReplaced,
    StoreUnavailable,
)
from caxton.domain.executions import (
    Execution,
    ExecutionState,
    NextTurn,
    Queue,
    StepDone,
    StepInput,
    StepKind,
    StepResult,
    TurnRequest,
    opening_of,
)
from caxton.domain.flow import CallQueued, PlaceLost
from caxton.domain.ids import ExecutionId
from caxton.domain.records import RaceLost, Transaction, TurnInHand
from caxton.observability.tracing import in_trace
from caxton.recording import journal
from caxton.turns.accept import read_histories
from caxton.turns.approvals import ApprovalStep, DecisionStep, ReplyStep
from caxton.turns.closing import Closing, report_of_ending
from caxton.turns.model_step import ModelStep
from caxton.turns.opening import Opening
from caxton.turns.run_to_completion import RunToCompletion, run_to_completion
from caxton.turns.step import ONLY, STORE_FAILURES, Attempt, Step, StepPorts, unexpected
from caxton.turns.tool_step import ToolStep

log = logging.getLogger(__name__)

T = TypeVar("T")

PASSES = 10
"""How often a step is read at most. One that lost a race against another attempt of itself then finds itself recorded."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0
"""Seconds between attempts to record: a full disk or a database that restarts must not lose what was done."""

WHAT_IS_TRIED = {StepKind.OPEN: "delivery", StepKind.MODEL: "model", StepKind.TOOL: "tool"}
"""What steps try again, in words."""

KINDS: dict[StepKind, Callable[[StepInput, StepPorts], Step]] = {
    StepKind.TOOL: ToolStep,
    StepKind.APPROVAL: ApprovalStep,
    StepKind.DECISION: DecisionStep,
    StepKind.REPLY: ReplyStep,
}


@dataclass(frozen=True)
class TryAgainError(Exception):
    """The step failed in a way that may pass, and its policy allows another attempt."""

    code: str
    after: float | None
    """Seconds to wait, where the one who refused said so."""


async def perform(ports: StepPorts, step: StepInput, attempt: Attempt = ONLY) -> StepDone:
    """Does `step`, and records what came of it; a failure too, unless another attempt follows.

    A model call that fails for good ends its execution. A tool call that does is a result, for the model to see.

    Raises:
        TryAgainError: so it is.
        PlaceLost: the call was given up, to be begun again.
    """
    try:
        return await _heard(ports, step, StepDone.of(await do_step(ports, partial(_step, ports, step, attempt))))
    except CallQueued as queued:
        return StepDone(queued=True, waited=round(queued.waited, 3))
    except PlaceLost:
        raise
    except Exception as error:
        report = unexpected(error, step).report()
    if report.retryable and not attempt.is_last:
        raise _again(ports, step, report, attempt)
    if step.kind is StepKind.TOOL:
        return StepDone.of(await do_step(ports, partial(ToolStep, step, ports, failure=report)))
    return await end(ports, step, report)


async def open_child(ports: StepPorts, step: StepInput, attempt: Attempt = ONLY) -> StepDone:
    """Begins an execution that another one handed work to, or finds it begun.

    Raises:
        TryAgainError: nobody can do it now, and another attempt follows.
    """
    turn = await _turn(ports, step)
    if turn is None:
        return StepDone(ended=True)
    try:
        return await _heard(ports, step, await _open(ports, step, turn))
    except Exception as error:
        report = unexpected(error, step).report()
    if report.retryable and not attempt.is_last:
        raise _again(ports, step, report, attempt)
    return await _close(ports, step, turn.request, report)


async def _heard(ports: StepPorts, step: StepInput, done: StepDone) -> StepDone:
    """`done`, with whether its turn is cancelled where it found the end of an execution below another one.

    A worker may have heard of it, ended that execution, and died before the one above could be told.
    """
    if not done.ended or step.parent_id is None:
        return done
    turn = await _turn(ports, step)
    return done.model_copy(update={"cancelled": True}) if turn is not None and turn.cancelled else done


def _again(ports: StepPorts, step: StepInput, report: ErrorReport, attempt: Attempt) -> TryAgainError:
    """The failure that has the step tried again, after those who listen to the turn are told when."""
    after = report.retry_after
    if step.kind is StepKind.OPEN and after is not None and attempt.longest is not None:
        after = min(after, attempt.longest)
    about = {
        "what": WHAT_IS_TRIED.get(step.kind, "step"),
        "name": step.plan.agent if step.plan else "",
        "agent": step.plan.agent if step.plan else None,
        "code": report.code,
        "message": report.message,
        "attempt": attempt.number + 1,
        "of": attempt.most,
        "after": round(attempt.pause or 0.0 if after is None else after, 3),
    }
    ports.stream.publish(step.root_id, "retry", {name: value for name, value in about.items() if value is not None})
    return TryAgainError(report.code, after)


async def close(ports: StepPorts, step: StepInput) -> StepDone:
    """Ends an execution as `step.ending` says."""
    assert step.ending is not None
    return await end(ports, step, report_of_ending(step.ending, step.plan))


async def cancel(ports: StepPorts, step: StepInput) -> StepDone:
    """Ends an execution whose turn somebody cancelled."""
    done = await end(ports, step, ExecutionCancelled("the work was cancelled").report())
    return done.model_copy(update={"cancelled": True})


async def end(ports: StepPorts, step: StepInput, report: ErrorReport) -> StepDone:
    """Ends an execution with a failure. One whose turn has ended stays as it is."""
    turn = await _turn(ports, step)
    if turn is None:
        return StepDone(ended=True)
    if report.code == ExecutionCancelled.code:
        report = why_cancelled(turn).report()
    return await _close(ports, step, turn.request, report)


def why_cancelled(turn: TurnInHand) -> ExecutionCancelled:
    """Why a cancelled turn ends."""
    if turn.given_way is WhenBusy.INTERRUPT:
        return ExecutionInterrupted("another message interrupted the work")
    if turn.given_way is WhenBusy.REPLACE:
        return ExecutionReplaced("another message replaced this one")
    return ExecutionCancelled("the work was cancelled")


async def next_turn(ports: StepPorts, queue: Queue, attempt: Attempt = ONLY) -> NextTurn | None:
    """Begins the conversation's next turn, or finds it begun; None if the conversation has none in progress.

    Turns that end at once are answered on the way: those that were cancelled while they waited, those that nobody can do, those
    that an agent answers in one transaction.

    Raises:
        TryAgainError: nobody can do the next one now, and another attempt follows.
    """
    while True:
        turn, opened, elapsed = await ports.records.read(partial(_next, ports, queue))
        if turn is None:
            return None
        opening = opening_of(turn.request)
        with in_trace(turn.request.traceparent):
            if turn.cancelled:
                await _close_all(ports, opening, turn.request, why_cancelled(turn).report())
                continue
            try:
                opened = opened or await _open(ports, opening, turn)
            except Exception as error:
                report = unexpected(error, opening).report()
                if report.retryable and not attempt.is_last:
                    raise _again(ports, opening, report, attempt) from None
                attempt = ONLY  # for those behind it, this is the first and last
                await _close(ports, opening, turn.request, report)
                continue
        if not opened.ended:
            return NextTurn(
                execution_id=turn.request.execution_id,
                one_shot=turn.request.one_shot,
                opened=opened,
                elapsed=elapsed,
                traceparent=turn.request.traceparent,
            )


async def refuse_waiting(ports: StepPorts, queue: Queue, *, cancelled: bool) -> int:
    """Ends the turns of a conversation that ends: those that have not begun, or all of them when it is `cancelled`.

    Returns how many are left.
    """
    turns = await ports.records.read(lambda transaction: transaction.turns_of(queue.scope, queue.conversation_id))
    left = 0
    for turn in turns:
        if turn.begun and not cancelled:
            left += 1
            continue
        error = (
            why_cancelled(turn)
            if turn.begun or turn.cancelled
            else ConversationClosed("the conversation ended before the message was answered")
        )
        await _close_all(ports, opening_of(turn.request), turn.request, error.report())
    return left


async def do_step(ports: StepPorts, make: Callable[[], Step]) -> StepResult:
    """Reads, acts and records the step that `make` makes. While the store is away, reading and recording wait for it.

    Raises:
        CaxtonError: the step cannot be done.
    """
    for _ in range(PASSES):
        step = make()
        with in_trace(step.input.traceparent):
            found = await _patiently(partial(ports.records.read, partial(_load, step=step)))
            if found is not None:
                return found
            await step.act()
            try:
                result = await _patiently(partial(ports.records.write, partial(_record, step=step)))
            except RaceLost:
                continue
            step.after(result)
            return result
    raise StoreUnavailable("others write the same step all the time", retry_after=1.0)


class _Open:
    """Opening an execution, with what follows where its agent answers at once."""

    def __init__(self, ports: StepPorts, step: StepInput, turn: TurnInHand) -> None:
        self.input = step
        self.ports = ports
        self.turn = turn
        self.doing: Opening | RunToCompletion

    def load(self, transaction: Transaction) -> StepResult | None:
        scope, request = self.input.scope, self.turn.request
        opening = self.doing = Opening(self.input, self.ports, request, in_hand=True)
        opening.found = transaction.executions(scope, [self.input.execution_id]).get(self.input.execution_id)
        if opening.found is None and opening.in_conversation:
            opening.conversation = transaction.conversation(scope, request.conversation_id)
            so_far = transaction.turns_so_far(scope, [request.conversation_id])
            opening.so_far = so_far.get(request.conversation_id, opening.so_far)
        found = opening.load(transaction)
        if found is None:
            self.doing = doing = run_to_completion(opening, transaction, may_wait=True)
            if isinstance(doing, RunToCompletion):
                read_histories(transaction, [doing.model])
        return found

    async def act(self) -> None:
        await self.doing.act()
        if isinstance(self.doing, RunToCompletion) and self.doing.asked:
            await self.doing.go_on()

    def record(self, transaction: Transaction) -> StepResult:
        return self.doing.record(transaction)

    def after(self, result: StepResult, /) -> None:
        self.doing.after(result)


def _step(ports: StepPorts, step: StepInput, attempt: Attempt) -> Step:
    return ModelStep(step, ports, attempt) if step.kind is StepKind.MODEL else KINDS[step.kind](step, ports)


def _load(transaction: Transaction, step: Step) -> StepResult | None:
    found = step.load(transaction)
    if found is None and isinstance(step, ModelStep):
        read_histories(transaction, [step])
    return found


def _record(transaction: Transaction, step: Step) -> StepResult:
    if transaction.retried:
        raise RaceLost  # another attempt of the same step recorded it meanwhile: it is found when it is loaded again
    with in_trace(step.input.traceparent):  # this runs in a thread of the store's
        return step.record(transaction)


async def _open(ports: StepPorts, step: StepInput, turn: TurnInHand) -> StepDone:
    return StepDone.of(await do_step(ports, partial(_Open, ports, step, turn)))


async def _close(ports: StepPorts, step: StepInput, request: TurnRequest, report: ErrorReport) -> StepDone:
    return StepDone.of(await do_step(ports, partial(Closing, step, ports, request, report)))


async def _close_all(ports: StepPorts, opening: StepInput, request: TurnRequest, report: ErrorReport) -> None:
    """Ends a turn, the executions below its root first."""

    def running(transaction: Transaction) -> list[Execution]:
        found = transaction.executions_of_turn(opening.scope, opening.root_id)
        return [record.execution for record in found if record.execution.state is ExecutionState.RUNNING]

    executions = {execution.id: execution for execution in await ports.records.read(running)}
    for execution in sorted(executions.values(), key=lambda execution: -execution.depth):
        if execution.parent_id is not None:
            child = opening.model_copy(
                update={
                    "execution_id": execution.id,
                    "parent_id": execution.parent_id,
                    "chain": _chain(execution, executions),
                }
            )
            await _close(ports, child, request, report)
    await _close(ports, opening, request, report)


def _chain(execution: Execution, executions: Mapping[ExecutionId, Execution]) -> list[str]:
    chain: list[str] = []
    above = executions.get(execution.parent_id) if execution.parent_id else None
    while above is not None:
        chain.insert(0, above.agent or "?")
        above = executions.get(above.parent_id) if above.parent_id else None
    return chain


async def _turn(ports: StepPorts, step: StepInput) -> TurnInHand | None:
    """The turn that `step` belongs to; None if it has ended."""
    found = await _patiently(
        partial(ports.records.read, lambda transaction: transaction.turns_in_hand(step.scope, [step.root_id]))
    )
    return found.get(step.root_id)


def _next(ports: StepPorts, queue: Queue, transaction: Transaction) -> tuple[TurnInHand | None, StepDone | None, float]:
    """The turn whose turn it is; if it has begun, where it stands, and for how many seconds it has been at work."""
    turn = transaction.next_turn(queue.scope, queue.conversation_id)
    if turn is None or turn.cancelled or not turn.begun:
        return turn, None, 0.0
    step = opening_of(turn.request)
    opening = Opening(step, ports, turn.request, in_hand=True)
    opening.found = transaction.executions(queue.scope, [step.execution_id])[step.execution_id]
    try:
        found = opening.load(transaction)
    except CaxtonError:
        return turn, None, 0.0  # met again, and recorded, where the turn is opened
    assert found is not None, "it has begun"
    return turn, StepDone.of(found), _elapsed(transaction, step, opening.found.execution, turn)


def _elapsed(transaction: Transaction, opening: StepInput, execution: Execution, turn: TurnInHand) -> float:
    """Seconds since the turn began, without those in which it waited for people, or for places of its calls."""
    now = journal.now()
    waited = sum(
        (min(now, approval.decided_at or now) - approval.requested_at).total_seconds()
        for approval in transaction.approvals_of(opening.scope, [opening.execution_id])
    )
    return max(0.0, (now - execution.started_at).total_seconds() - waited - turn.waited)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Runs `work`, again and again while the store is away or full."""
    wait = FIRST_WAIT
    while True:
        try:
            return await work()
        except STORE_FAILURES as error:
            log.warning("the store does not work, a step waits for it: %s", error.message)
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
