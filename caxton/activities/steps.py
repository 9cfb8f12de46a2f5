"""The activities that do steps: a batch of fast ones, or one slow one."""

import asyncio
import logging
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from pydantic import TypeAdapter
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from caxton.activities.approvals import ApprovalStep, DecisionStep, ReplyStep
from caxton.activities.at_once import AtOnce, at_once
from caxton.activities.closing import Closing
from caxton.activities.model_step import ModelStep
from caxton.activities.opening import Opening
from caxton.activities.prompt import Prompt
from caxton.activities.step import Step, StepPorts
from caxton.activities.tool_step import ToolStep
from caxton.domain.errors import CaxtonError, DiskFull, ErrorReport, StoreUnavailable
from caxton.domain.executions import ExecutionState, StepInput, StepKind, StepResult
from caxton.domain.governance import approval_id
from caxton.domain.ids import Scope
from caxton.domain.records import HistoryWanted, Transaction
from caxton.observability.tracing import in_trace
from caxton.workflows.failures import to_failure
from caxton.workflows.policies import HEARTBEAT_EVERY
from caxton.workflows.steps import CALL_MODEL, CALL_TOOL, OPEN_TURNS, RUN_FAST_STEPS, WORKER_STOPS

log = logging.getLogger(__name__)

KINDS: dict[StepKind, Callable[[StepInput, StepPorts], Step]] = {
    StepKind.OPEN: Opening,
    StepKind.MODEL: ModelStep,
    StepKind.TOOL: ToolStep,
    StepKind.CLOSE: Closing,
    StepKind.APPROVAL: ApprovalStep,
    StepKind.DECISION: DecisionStep,
    StepKind.REPLY: ReplyStep,
}

_STEPS = TypeAdapter(list[StepInput])
_RESULTS = TypeAdapter(list[StepResult])

Opener = Callable[[bytes], Awaitable[bytes | None]]
"""Does steps that open turns, as JSON: their results as JSON, or None when it cannot."""

STORE_FAILURES = (StoreUnavailable, DiskFull)
"""Not the step's fault: the whole batch is tried again until the store works."""


class StepActivities:
    """Does steps of executions."""

    def __init__(self, ports: StepPorts, opener: Opener | None = None) -> None:
        """Work through `ports`; `opener` does first steps, where it can."""
        self.ports = ports
        self.opener = opener

    @activity.defn(name=RUN_FAST_STEPS)
    async def run_fast_steps(self, batch: list[StepInput]) -> list[StepResult]:
        """Does all steps of the batch: one read transaction, the work side by side, one write transaction."""
        return await do_steps(self.ports, batch)

    @activity.defn(name=OPEN_TURNS)
    async def open_turns(self, batch: RawValue) -> RawValue:
        """Like :meth:`run_fast_steps`, for steps that open turns: elsewhere where that is possible."""
        done = await self.opener(batch.payload.data) if self.opener is not None else None
        if done is None:
            done = await do_steps_as_json(self.ports, batch.payload.data)
        return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=done))

    @activity.defn(name=CALL_MODEL)
    async def call_model(self, step: StepInput) -> StepResult:
        """Calls a model over the network. Heartbeats say that the worker lives."""
        return await _alone(self.ports, step)

    @activity.defn(name=CALL_TOOL)
    async def call_tool(self, step: StepInput) -> StepResult:
        """Calls a tool that may take long or use the network."""
        return await _alone(self.ports, step)


async def _alone(ports: StepPorts, step: StepInput) -> StepResult:
    try:
        [result] = await with_heartbeats(do_steps(ports, [step]))
    except asyncio.CancelledError:
        if not activity.is_worker_shutdown():
            raise
        # No attempt of the step's: the workflow has it begun again by another worker.
        raise ApplicationError("the worker stops", type=WORKER_STOPS, non_retryable=True) from None
    if result.error is not None:
        raise to_failure(result.error)
    return result


async def do_steps(ports: StepPorts, batch: Sequence[StepInput]) -> list[StepResult]:
    """Does `batch`. A step that fails becomes a result with its error; the others are not disturbed.

    Raises:
        StoreUnavailable: nothing could be read or written; the batch can be done again.
        DiskFull: likewise.
    """
    results: dict[int, StepResult] = {}
    # A step that lost a race against another attempt of itself is loaded again, and then finds itself recorded.
    for _ in range(3):
        waiting = [number for number in range(len(batch)) if number not in results]
        if not waiting:
            break
        await _pass(ports, {number: batch[number] for number in waiting}, results)
    return [results.get(number) or _lost_race() for number in range(len(batch))]


async def do_steps_as_json(ports: StepPorts, batch: bytes) -> bytes:
    """Like :func:`do_steps`, from JSON to JSON."""
    return _RESULTS.dump_json(await do_steps(ports, _STEPS.validate_json(batch)))


async def _pass(ports: StepPorts, batch: dict[int, StepInput], results: dict[int, StepResult]) -> None:
    """Loads, acts and records: two transactions for all steps of the batch together."""
    steps: dict[int, Step] = {number: KINDS[step.kind](step, ports) for number, step in batch.items()}
    results |= await ports.records.read(lambda transaction: _load(transaction, steps))
    loaded = {number: step for number, step in steps.items() if number not in results}
    if not loaded:
        return
    errors = await _act_all(loaded)
    results |= {number: StepResult(error=error) for number, error in errors.items()}
    ready = {number: step for number, step in loaded.items() if number not in errors}
    if not ready:
        return
    written = await _write(ports, ready)
    for number, result in written.items():
        results[number] = result
        ready[number].after(result)


async def _write(ports: StepPorts, ready: dict[int, Step]) -> dict[int, StepResult]:
    prepared = ports.records.prepare(lambda transaction: _record(transaction, ready))
    if prepared is not None and await ports.records.commit(prepared):
        return prepared.result
    return await ports.records.write(lambda transaction: _record(transaction, ready))


def _load(transaction: Transaction, steps: dict[int, Step]) -> dict[int, StepResult]:
    """Loads `steps`; returns results of those with nothing left to do."""
    _find_begun(transaction, steps.values())
    results: dict[int, StepResult] = {}
    for number, step in steps.items():
        try:
            found = step.load(transaction)
            if found is None and isinstance(step, Opening):
                # Half the transactions, and half of what the workflow has to wait for.
                steps[number] = at_once(step, transaction)
        except STORE_FAILURES:
            raise
        except Exception as error:
            found = StepResult(error=_report(error, step))
        if found is not None:
            results[number] = found
    _read_histories(transaction, (step for number, step in steps.items() if number not in results))
    return results


def _find_begun(transaction: Transaction, steps: Iterable[Step]) -> None:
    openings: defaultdict[Scope, list[Opening]] = defaultdict(list)
    for step in steps:
        if isinstance(step, Opening):
            openings[step.input.scope].append(step)
    for scope, found in openings.items():
        begun = transaction.executions(scope, [opening.input.execution_id for opening in found])
        for opening in found:
            opening.found = begun.get(opening.input.execution_id)
        _find_conversations(transaction, scope, [opening for opening in found if opening.in_conversation])


def _find_conversations(transaction: Transaction, scope: Scope, openings: list[Opening]) -> None:
    if not openings:
        return
    ids = [opening.request.conversation_id for opening in openings]
    conversations, so_far = transaction.conversations_of(scope, ids), transaction.turns_so_far(scope, ids)
    for opening in openings:
        opening.conversation = conversations.get(opening.request.conversation_id)
        opening.so_far = so_far.get(opening.request.conversation_id, opening.so_far)


def _read_histories(transaction: Transaction, steps: Iterable[Step]) -> None:
    wanted: defaultdict[Scope, list[tuple[Prompt, HistoryWanted]]] = defaultdict(list)
    for step in steps:
        model = step.model if isinstance(step, AtOnce) else step
        if isinstance(model, ModelStep) and model.prompt.history_wanted is not None:
            wanted[step.input.scope].append((model.prompt, model.prompt.history_wanted))
    for scope, found in wanted.items():
        histories = transaction.histories(scope, [history for _, history in found])
        for (prompt, _), history in zip(found, histories, strict=True):
            prompt.history = history


def _record(transaction: Transaction, steps: dict[int, Step]) -> dict[int, StepResult]:
    """Records all that nobody else has recorded meanwhile (another attempt of the same activity may have).

    Whether somebody has is looked up only after the keys of a first attempt turned out to be taken.
    """
    written: dict[int, StepResult] = {}
    for number, step in steps.items():
        key = step.input
        if not transaction.retried:
            taken = False
        elif key.kind in (StepKind.MODEL, StepKind.TOOL):
            taken = (key.execution_id, key.step, key.call) in transaction.recorded(key.scope, [key.execution_id])
        elif key.kind is StepKind.OPEN:
            taken = bool(transaction.executions(key.scope, [key.execution_id]))
        elif key.kind is StepKind.APPROVAL:
            taken = transaction.approval(key.scope, approval_id(key.execution_id, key.step, key.call)) is not None
        elif key.kind is StepKind.DECISION:
            taken = False  # it changes a row that waits, and no other
        else:
            found = transaction.executions(key.scope, [key.execution_id]).get(key.execution_id)
            taken = found is not None and found.execution.state is not ExecutionState.RUNNING
        if not taken:
            with in_trace(key.traceparent):
                written[number] = step.record(transaction)
    return written


async def _act_all(steps: dict[int, Step]) -> dict[int, ErrorReport]:
    """Acts; steps that wait for something wait side by side. Returns the errors of those that failed."""
    errors: dict[int, ErrorReport | None] = {}
    waiting: dict[int, Step] = {}
    for number, step in steps.items():
        if isinstance(step, AtOnce) and not step.waits:
            errors[number] = await _act(step)  # a task of its own would cost more than the work
        else:
            waiting[number] = step
    done = await asyncio.gather(*(_act(step) for step in waiting.values()))
    errors.update(zip(waiting, done, strict=True))
    return {number: error for number, error in errors.items() if error is not None}


async def _act(step: Step) -> ErrorReport | None:
    try:
        with in_trace(step.input.traceparent):
            await step.act()
    except STORE_FAILURES:
        raise
    except Exception as error:
        return _report(error, step)
    return None


def _report(error: Exception, step: Step) -> ErrorReport:
    if isinstance(error, CaxtonError):
        return error.report()
    # A bug of ours must not be tried for ever, and what it prints may hold content: the log gets the trace only.
    where = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "a step failed unexpectedly",
        extra={
            "execution_id": step.input.execution_id,
            "step": step.input.kind,
            "error": type(error).__name__,
            "where": f"{where.filename}:{where.lineno}",
        },
    )
    return ErrorReport(
        code="internal",
        message="something went wrong inside Caxton",
        reason=f"{type(error).__name__} in step {step.input.kind}",
    )


def _lost_race() -> StepResult:
    return StepResult(error=ErrorReport(code="internal", message="the step is being done elsewhere", retryable=True))


async def with_heartbeats(work: Awaitable[list[StepResult]]) -> list[StepResult]:
    """Awaits `work`, and tells the engine meanwhile that it goes on."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_EVERY)

    beating = asyncio.create_task(beat())
    try:
        return await work
    finally:
        beating.cancel()
