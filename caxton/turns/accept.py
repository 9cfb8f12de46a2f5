"""Accepting requests: many at a time, in one transaction with as much of their work as can be done at once.

All that is asked is read in one transaction, the work is done side by side, and what came of it is written in another one: the
execution, its messages and events, and its end, where an agent answers at once. What does not end there stays in
progress (a row of `turns`), and the workflow of its conversation continues it. A request behind others of its conversation
only gets such a row.

Whatever another process writes between the reading and the writing is noticed when it is written, and the reading begins again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain, islice

from caxton.domain.conversations import ENDED, Conversation, WhenBusy
from caxton.domain.errors import CaxtonError, ConversationBusy, Overloaded, StoreUnavailable
from caxton.domain.events.executions import CancellationRequested
from caxton.domain.executions import Accepted, ExecutionState, StepResult, TurnOutcome, TurnRequest, opening_of
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import ExecutionRecord, HistoryWanted, Prepared, RaceLost, Transaction, TurnsSoFar
from caxton.observability.tracing import in_trace
from caxton.recording import journal
from caxton.turns.model_step import ModelStep
from caxton.turns.opening import Opening
from caxton.turns.outcomes import outcome_of
from caxton.turns.prompt import Prompt
from caxton.turns.run_to_completion import RunToCompletion, run_to_completion
from caxton.turns.step import STORE_FAILURES, StepPorts, unexpected

log = logging.getLogger(__name__)

PASSES = 5
"""How often a request is read at most, before its caller is told to try again: each time somebody else's write came first."""

PARTS = 4
"""Requests after which others have their turn in the event loop."""

MOST_WAITING = 100
"""Turns that one conversation may have in progress; a further message is refused with a hint to come back."""

DELIVERED_WITHIN = timedelta(seconds=5)
"""When a turn's workflow is told of it again, unless the turn has ended by then."""

Doing = Opening | RunToCompletion

Queued = dict[int, tuple[TurnRequest, Conversation, WhenBusy]]
"""Requests of conversations that have others in progress, and what happens to those."""


async def accept(ports: StepPorts, requests: Sequence[TurnRequest]) -> list[Accepted]:
    """Accepts `requests`, of which no two are of the same conversation: what became of each, in their order.

    Raises:
        StoreUnavailable: nothing could be read or written; nothing was accepted, or it is found when it comes again.
        DiskFull: likewise.
    """
    batch = _Batch(ports, requests)
    for _ in range(PASSES):
        if await batch.run():
            break
    return batch.results()


class _Batch:
    def __init__(self, ports: StepPorts, requests: Sequence[TurnRequest]) -> None:
        self.ports = ports
        self.requests = requests
        self._results: dict[int, Accepted] = {}
        self._tried = False
        """Whether something could not be written in the short way, which does not tell why."""

    def results(self) -> list[Accepted]:
        lost = StoreUnavailable("others write to the same conversation all the time", "try again", retry_after=0.1)
        refused = Accepted(state="refused", error=lost.report())
        return [self._results.get(number, refused) for number in range(len(self.requests))]

    async def run(self) -> bool:
        """Does what has no result yet. False if something has to be done again."""
        wanted = {number: request for number, request in enumerate(self.requests) if number not in self._results}
        found = await self.ports.records.read(lambda transaction: _Found(transaction, self.ports, wanted))
        self._results |= found.results
        await self._act(found.doing)
        return await self._write(found.doing, found.queued)

    async def _act(self, doing: dict[int, Doing]) -> None:
        waiting: dict[int, Doing] = {}
        for part in _parts(doing):
            for number, step in part.items():
                if isinstance(step, RunToCompletion) and not step.waits:
                    await self._act_one(number, doing)  # a task of its own would cost more than the work
                else:
                    waiting[number] = step
            await asyncio.sleep(0)
        await asyncio.gather(*(self._act_one(number, doing) for number in waiting))
        going_on = [step for step in doing.values() if isinstance(step, RunToCompletion) and step.asked]
        await asyncio.gather(*(_go_on(step) for step in going_on))

    async def _act_one(self, number: int, doing: dict[int, Doing]) -> None:
        step = doing[number]
        try:
            with in_trace(step.input.traceparent):
                await step.act()
        except STORE_FAILURES:
            raise
        except Exception as error:
            self._refuse(number, unexpected(error, step.input))
            del doing[number]

    async def _write(self, doing: dict[int, Doing], queued: Queued) -> bool:
        if not doing and not queued:
            return True
        recording = _Recording(doing, queued)
        prepared = None if self._tried else await self._prepare(recording)
        try:
            if prepared is None:
                await self.ports.records.write(recording.all)
            elif not await self.ports.records.commit(prepared):
                self._tried = True
                return False
        except RaceLost:
            return False
        except STORE_FAILURES:
            raise
        except Exception as error:
            numbers = [*doing, *queued]
            if len(numbers) > 1:
                return await self._write_each(doing, queued)
            self._refuse(numbers[0], unexpected(error, opening_of(self.requests[numbers[0]])))
            return True
        for number, result in recording.written.items():
            self._results[number] = _accepted(result)
            doing[number].after(result)
        for number in queued:
            self._results[number] = Accepted(state="running", gave_way=recording.gave_way.get(number, []))
        return True

    async def _write_each(self, doing: dict[int, Doing], queued: Queued) -> bool:
        """Writes them one by one: some of them cannot be recorded at all, and harm nobody but themselves."""
        done = [await self._write({number: step}, {}) for number, step in doing.items()]
        done += [await self._write({}, {number: waiting}) for number, waiting in queued.items()]
        return all(done)

    async def _prepare(self, recording: "_Recording") -> Prepared[None] | None:
        """What is to be written, ready to be committed; None where that takes a look into the store."""
        records, prepared = self.ports.records, None
        for work in recording.parts():
            try:
                prepared = records.prepare(work, prepared)
            except RaceLost:
                raise
            except Exception:
                return None  # it is met again, and told, when all is recorded in one go
            if prepared is None:
                return None
            await asyncio.sleep(0)
        return prepared

    def _refuse(self, number: int, error: CaxtonError) -> None:
        self._results[number] = Accepted(state="refused", error=error.report())


class _Found:
    """What the store says of requests: which are known or refused, which can begin, and which have to wait."""

    def __init__(self, transaction: Transaction, ports: StepPorts, wanted: dict[int, TurnRequest]) -> None:
        self.ports = ports
        self.results: dict[int, Accepted] = {}
        self.doing: dict[int, Doing] = {}
        self.queued: Queued = {}
        by_scope: defaultdict[Scope, dict[int, TurnRequest]] = defaultdict(dict)
        for number, request in wanted.items():
            by_scope[request.scope][number] = request
        for scope, requests in by_scope.items():
            self._look(transaction, scope, requests)
        self._read_histories(transaction)

    def _look(self, transaction: Transaction, scope: Scope, requests: dict[int, TurnRequest]) -> None:
        ids = [request.execution_id for request in requests.values()]
        begun, in_hand = transaction.executions(scope, ids), transaction.turns_in_hand(scope, ids)
        conversation_ids = [request.conversation_id for request in requests.values() if not request.one_shot]
        conversations = transaction.conversations_of(scope, conversation_ids)
        waiting, so_far = (
            transaction.turns_waiting(scope, conversation_ids),
            transaction.turns_so_far(scope, conversation_ids),
        )
        for number, request in requests.items():
            known = begun.get(request.execution_id)
            waits = in_hand.get(request.execution_id)
            try:
                if known is not None:
                    _check_same(request, known.fingerprint)
                    self.results[number] = self._come_before(transaction, scope, known)
                elif waits is not None:
                    _check_same(request, waits.request.fingerprint)
                    self.results[number] = _known(None)
                else:
                    conversation = conversations.get(request.conversation_id)
                    before = waiting.get(request.conversation_id, 0)
                    if conversation is not None and before:
                        at_work = so_far.get(request.conversation_id)
                        self._queue(transaction, number, request, conversation, before, at_work)
                    else:
                        self._begin(transaction, number, request, conversation, so_far)
            except STORE_FAILURES:
                raise
            except Exception as error:
                report = unexpected(error, opening_of(request)).report()
                self.results[number] = Accepted(state="refused", error=report)

    def _come_before(self, transaction: Transaction, scope: Scope, known: ExecutionRecord) -> Accepted:
        """A request that has begun. One that failed in a way that may pass can be done again, unless that would do harm."""
        if known.execution.state is ExecutionState.RUNNING:
            return _known(None)
        error = known.execution.error
        if error is not None and error.retryable and self._may_be_repeated(transaction, scope, known.execution.id):
            return Accepted(state="failed_before")
        return _known(outcome_of(known))

    def _may_be_repeated(self, transaction: Transaction, scope: Scope, root_id: ExecutionId) -> bool:
        """Whether a turn has called no tool that may not be called twice."""
        registry = self.ports.directory.registry(transaction, scope)
        ids = [record.execution.id for record in transaction.executions_of_turn(scope, root_id)]
        for step in chain.from_iterable(transaction.steps(scope, ids).values()):
            if step.kind != "tool" or step.tool is None:
                continue
            tool = registry.running_tool(step.tool)
            function = tool.function(step.function or "") if tool else None
            if tool is None or function is None or not function.is_idempotent(tool.manifest.idempotent):
                return False
        return True

    def _queue(
        self,
        transaction: Transaction,
        number: int,
        request: TurnRequest,
        conversation: Conversation,
        before: int,
        at_work: TurnsSoFar | None,
    ) -> None:
        if conversation.state in ENDED:
            raise conversation.closed()
        how = request.when_busy or self._when_busy(transaction, request, conversation, at_work)
        if how is WhenBusy.REJECT:
            raise ConversationBusy(
                "the conversation still works on an earlier message",
                "wait for its reply, or send this one with when_busy = enqueue, interrupt or replace",
                retry_after=1.0,
            )
        if before >= MOST_WAITING:
            raise Overloaded(f"{before} messages wait in this conversation", "wait for replies", retry_after=1.0)
        self.queued[number] = request, conversation, how

    def _when_busy(
        self, transaction: Transaction, request: TurnRequest, conversation: Conversation, at_work: TurnsSoFar | None
    ) -> WhenBusy:
        """What the capability says, as the agent at work offers it."""
        if at_work is None or at_work.digest is None or conversation.capability is None:
            return WhenBusy.ENQUEUE
        agent = self.ports.directory.agent_version(transaction, request.scope, at_work.digest)
        offered = agent.spec.offers(conversation.capability)
        return offered.when_busy if offered else WhenBusy.ENQUEUE

    def _begin(
        self,
        transaction: Transaction,
        number: int,
        request: TurnRequest,
        conversation: Conversation | None,
        so_far: dict[ConversationId, TurnsSoFar],
    ) -> None:
        opening = Opening(opening_of(request), self.ports, request, in_hand=False)
        if opening.in_conversation:
            opening.conversation = conversation
            opening.so_far = so_far.get(request.conversation_id, opening.so_far)
        found = opening.load(transaction)
        assert found is None, "what is known was found before"
        self.doing[number] = run_to_completion(opening, transaction)

    def _read_histories(self, transaction: Transaction) -> None:
        read_histories(transaction, [step.model for step in self.doing.values() if isinstance(step, RunToCompletion)])


def read_histories(transaction: Transaction, steps: Sequence[ModelStep]) -> None:
    """Reads what earlier messages the models of `steps` are to see, for all of them together."""
    wanted: defaultdict[Scope, list[tuple[Prompt, HistoryWanted]]] = defaultdict(list)
    for step in steps:
        if step.prompt.history_wanted is not None:
            wanted[step.input.scope].append((step.prompt, step.prompt.history_wanted))
    for scope, found in wanted.items():
        histories = transaction.histories(scope, [history for _, history in found])
        for (prompt, _), history in zip(found, histories, strict=True):
            prompt.history = history


class _Recording:
    """Writes what was done. It may run more than once."""

    def __init__(self, doing: dict[int, Doing], queued: Queued) -> None:
        self.doing = doing
        self.queued = queued
        self.written: dict[int, StepResult] = {}
        self.gave_way: dict[int, list[ExecutionId]] = {}

    def all(self, transaction: Transaction) -> None:
        """Writes everything."""
        if transaction.retried:
            raise RaceLost
        self._record(transaction, self.doing)
        self._queue(transaction)

    def parts(self) -> Iterator["partial[None]"]:
        """The same, as functions that each write a part of it."""
        for part in _parts(self.doing):
            yield partial(self._record, doing=part)
        if self.queued:
            yield partial(self._queue)

    def _record(self, transaction: Transaction, doing: dict[int, Doing]) -> None:
        for number, step in doing.items():
            with in_trace(step.input.traceparent):
                result = step.record(transaction)
            opening = step.opening if isinstance(step, RunToCompletion) else step
            if result.outcome is None:
                due = journal.now() + DELIVERED_WITHIN
                transaction.add_turn(step.input.scope, opening.request, begun=True, due_at=due)
            self.written[number] = result

    def _queue(self, transaction: Transaction) -> None:
        for number, (request, conversation, how) in self.queued.items():
            if not transaction.touch_conversation(
                request.scope, request.conversation_id, messages=0, participants=(), accepted=conversation
            ):
                raise RaceLost
            if how in (WhenBusy.INTERRUPT, WhenBusy.REPLACE):
                self.gave_way[number] = _give_way(transaction, request, how)
            due = journal.now() + DELIVERED_WITHIN
            transaction.add_turn(request.scope, request, begun=False, due_at=due)


def _give_way(transaction: Transaction, request: TurnRequest, how: WhenBusy) -> list[ExecutionId]:
    """Ends what the conversation has in progress, and tells in the log for which message."""
    due = journal.now() + DELIVERED_WITHIN
    found = transaction.give_way(request.scope, request.conversation_id, how, due)
    events = [
        journal.note(
            request.scope,
            CancellationRequested(by_message=request.message_id, how=how),
            request.message_id,
            execution_id,
            actor=journal.sender_actor(request.sender),
            conversation_id=request.conversation_id,
            execution_id=execution_id,
            correlation_id=execution_id,
        )
        for execution_id in found
    ]
    transaction.add_events(request.scope, events)
    return found


def _parts(doing: dict[int, Doing]) -> Iterator[dict[int, Doing]]:
    numbered = iter(list(doing.items()))
    while part := dict(islice(numbered, PARTS)):
        yield part


def _check_same(request: TurnRequest, fingerprint: str) -> None:
    if fingerprint != request.fingerprint:
        raise request.key_conflict()


def _known(outcome: TurnOutcome | None) -> Accepted:
    return Accepted(state="running") if outcome is None else Accepted(state="ended", outcome=outcome)


def _accepted(result: StepResult) -> Accepted:
    return _known(result.outcome)


async def _go_on(step: RunToCompletion) -> None:
    with in_trace(step.input.traceparent):
        await step.go_on()
