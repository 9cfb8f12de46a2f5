"""A batch of steps: what they read in one transaction, the work side by side, what they write in another one."""

import asyncio
import logging
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from pydantic import TypeAdapter

from caxton.activities.approvals import ApprovalStep, DecisionStep, ReplyStep
from caxton.activities.at_once import AtOnce, at_once
from caxton.activities.closing import Closing
from caxton.activities.model_step import ModelStep
from caxton.activities.opening import Opening
from caxton.activities.prompt import Prompt
from caxton.activities.step import Step, StepPorts
from caxton.activities.tool_step import ToolStep
from caxton.domain.errors import CaxtonError, DiskFull, ErrorReport, StoreUnavailable
from caxton.domain.executions import ExecutionState, StepInput, StepKind, StepResult, TurnOutcome
from caxton.domain.governance import approval_id
from caxton.domain.ids import ConversationId, Scope
from caxton.domain.records import HistoryWanted, Prepared, Transaction
from caxton.observability.tracing import in_trace

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

STORE_FAILURES = (StoreUnavailable, DiskFull)
"""Not the step's fault: the whole batch is tried again until the store works."""

PASSES = 3
"""How often a step is loaded at the most. One that lost a race against another attempt of itself then finds itself recorded."""

AT_A_TIME = 8
"""Steps after which others have their turn: another batch's commit must not wait until all of this one is prepared."""

STEPS = TypeAdapter(list[StepInput])
_RESULTS = TypeAdapter(list[StepResult])


class Batch:
    """Steps that are done together. One that fails becomes a result with its error; the others are not disturbed."""

    def __init__(self, ports: StepPorts, inputs: Sequence[StepInput], *, only_ends: bool = False) -> None:
        """Work through `ports`.

        Args:
            ports: the world.
            inputs: the steps.
            only_ends: whether only first steps that end their turns are recorded; others are left as if nobody had asked.
        """
        self.inputs = inputs
        self.ports = ports
        self.only_ends = only_ends
        self._left: set[int] = set()
        """Steps that do not end their turns, where only those are wanted that do."""
        self._results: dict[int, StepResult] = {}
        self._ready: dict[int, Step] = {}
        """Steps that have acted, and are to be recorded."""
        self._prepared: Prepared[dict[int, StepResult]] | None = None

    @classmethod
    def of_json(cls, ports: StepPorts, steps: bytes) -> "Batch":
        """The batch that `steps` are."""
        return cls(ports, STEPS.validate_json(steps))

    async def basis(self) -> object:
        """What first steps are decided by: the same as before if nothing has changed that they depend on.

        Raises:
            StoreUnavailable: nothing can be read.
        """
        conversations: defaultdict[Scope, list[ConversationId]] = defaultdict(list)
        for step in self.inputs:
            of_scope = conversations[step.scope]
            if step.request is not None and not step.request.one_shot:
                of_scope.append(step.request.conversation_id)

        def read(transaction: Transaction) -> list[object]:
            return [
                (
                    scope,
                    transaction.generation(scope),
                    transaction.conversations_of(scope, ids),  # each message changes its conversation
                    transaction.turns_so_far(scope, ids),
                )
                for scope, ids in conversations.items()
            ]

        return await self.ports.records.read(read)

    async def prepare(self) -> None:
        """Loads, acts, and computes what is to be written. Nothing is written.

        Raises:
            StoreUnavailable: nothing could be read; the batch can be done again.
        """
        steps = {
            number: KINDS[step.kind](step, self.ports)
            for number, step in enumerate(self.inputs)
            if number not in self._results and number not in self._left
        }
        self._results |= await self.ports.records.read(lambda transaction: _load(transaction, steps))
        loaded = {number: step for number, step in steps.items() if number not in self._results}
        errors = await _act_all(loaded) if loaded else {}
        self._results |= {number: StepResult(error=error) for number, error in errors.items()}
        self._ready = {number: step for number, step in loaded.items() if number not in errors}
        if self.only_ends:
            self._leave_what_goes_on()
        self._prepared = await self._prepare_records()

    def _leave_what_goes_on(self) -> None:
        self._ready = {number: step for number, step in self._ready.items() if isinstance(step, AtOnce) and step.ends}
        self._results = {number: result for number, result in self._results.items() if result.outcome is not None}
        self._left = set(range(len(self.inputs))) - self._ready.keys() - self._results.keys()

    async def _prepare_records(self) -> Prepared[dict[int, StepResult]] | None:
        """What is to be written, and what will have come of it; None where that takes a look into the store."""
        records, prepared = self.ports.records, None
        written: dict[int, StepResult] = {}
        for part in _parts(self._ready):
            prepared = records.prepare(partial(_record, steps=part), prepared)
            if prepared is None:
                return None
            written |= prepared.result
            await asyncio.sleep(0)
        return prepared and replace(prepared, result=written)

    async def finish(self) -> list[StepResult]:
        """Writes what was prepared, and tells what came of each step, in their order.

        Raises:
            StoreUnavailable: nothing could be read or written; the batch can be done again.
            DiskFull: likewise.
        """
        await self._write_all()
        return [self._results.get(number) or _lost_race() for number in range(len(self.inputs))]

    async def finish_ends(self) -> list[TurnOutcome | None]:
        """Writes turns that end, and tells how each one did, in the order of the steps; None where one goes on.

        Raises:
            StoreUnavailable: nothing could be read or written; the batch can be done again.
            DiskFull: likewise.
        """
        await self._write_all()
        results = [self._results.get(number) for number in range(len(self.inputs))]
        return [result and result.outcome for result in results]

    async def _write_all(self) -> None:
        for number in range(PASSES):
            if number > 0:
                await self.prepare()
            await self._write()
            if len(self._results) + len(self._left) == len(self.inputs):
                return

    async def finish_as_json(self) -> bytes:
        """Like :meth:`finish`, as JSON without what is not set: the workflow's history keeps it."""
        return _RESULTS.dump_json(await self.finish(), exclude_unset=True)

    async def _write(self) -> None:
        ready, prepared = self._ready, self._prepared
        if not ready:
            return
        if prepared is not None and await self.ports.records.commit(prepared):
            written = prepared.result
        else:
            written = await self.ports.records.write(lambda transaction: _record(transaction, ready))
        for number, result in written.items():
            self._results[number] = result
            ready[number].after(result)


def _parts(steps: dict[int, Step]) -> Iterator[dict[int, Step]]:
    numbered = iter(steps.items())
    while part := dict(islice(numbered, AT_A_TIME)):
        yield part


async def do_steps(ports: StepPorts, inputs: Sequence[StepInput]) -> list[StepResult]:
    """Does `inputs` as one batch.

    Raises:
        StoreUnavailable: nothing could be read or written; the batch can be done again.
        DiskFull: likewise.
    """
    batch = Batch(ports, inputs)
    await batch.prepare()
    return await batch.finish()


async def do_steps_as_json(ports: StepPorts, inputs: bytes) -> bytes:
    """Like :func:`do_steps`, from JSON to JSON."""
    batch = Batch.of_json(ports, inputs)
    await batch.prepare()
    return await batch.finish_as_json()


async def end_turns(ports: StepPorts, openings: Sequence[StepInput]) -> list[TurnOutcome | None]:
    """Does those of `openings` that end their turns in one transaction: how they ended, and None for the others.

    Raises:
        StoreUnavailable: nothing could be read or written; the batch can be done again.
        DiskFull: likewise.
    """
    batch = Batch(ports, openings, only_ends=True)
    await batch.prepare()
    return await batch.finish_ends()


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
    for part in _parts(steps):
        for number, step in part.items():
            if isinstance(step, AtOnce) and not step.waits:
                errors[number] = await _act(step)  # a task of its own would cost more than the work
            else:
                waiting[number] = step
        await asyncio.sleep(0)
    done = await asyncio.gather(*(_act(step) for step in waiting.values()))
    errors.update(zip(waiting, done, strict=True))
    going_on = [step for step in steps.values() if isinstance(step, AtOnce) and step.asked]
    if going_on:
        await asyncio.gather(*(_go_on(step) for step in going_on))
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


async def _go_on(step: AtOnce) -> None:
    with in_trace(step.input.traceparent):
        await step.go_on()


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
