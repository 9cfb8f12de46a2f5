"""A model call: the agent thinks once, and replies or asks for calls."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, reduce
from typing import Any

from caxton.domain.costly_work import STOPPED
from caxton.domain.errors import (
    CapabilityOutputInvalid,
    CaxtonError,
    ErrorReport,
    ExecutionFailed,
    ModelAnswerInvalid,
    TimeLimitReached,
)
from caxton.domain.events import SYSTEM
from caxton.domain.events.executions import ActionPrepared, ModelCalled
from caxton.domain.executions import (
    ExecutionState,
    RequestedCall,
    StepInput,
    StepKind,
    StepResult,
    TurnView,
    step_of,
    turn_view,
)
from caxton.domain.governance import ApprovalMode
from caxton.domain.messages import TYPED, Content, Message
from caxton.domain.ports import DeltaSink, FailedAttempt, FunctionCall, ModelReply, ModelRequest
from caxton.domain.records import ExecutionRecord, StepRecord, Transaction
from caxton.domain.usage import Usage
from caxton.governance.budgets import Spending, model_use
from caxton.governance.service_levels import service_level
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import model_span
from caxton.recording import journal
from caxton.recording.contents import pack
from caxton.turns.attempts import ATTEMPT, GivenUp, record_attempts, stopped_attempt
from caxton.turns.breaker_calls import model_breaker
from caxton.turns.caller_functions import ASKED, of_caller, recorded_calls
from caxton.turns.flow_calls import is_limited, model_call, model_place
from caxton.turns.known_steps import Known
from caxton.turns.live_text import LiveText
from caxton.turns.mending import Mending, no_tokens
from caxton.turns.model_records import model_record, reply_metadata, result_of
from caxton.turns.module_call import ModuleCall
from caxton.turns.outcomes import outcome_of
from caxton.turns.prompt import Prompt, read_children, read_prompt
from caxton.turns.remote_call import RemoteCall, in_place_of_a_model
from caxton.turns.replies import ReplyDraft, send_reply
from caxton.turns.step import ONLY, Attempt, StepPorts, publish_step
from caxton.turns.time_left import deadline_of, out_of_time

USELESS_ANSWERS = 2
"""How many answers that make no sense a model may give in a step. They are paid for, and asked for with the same request."""


class ModelStep:
    """One model call of one execution."""

    def __init__(self, step: StepInput, ports: StepPorts, tries: Attempt = ONLY) -> None:
        """Prepare to call, in the attempt `tries` of the step."""
        assert step.plan is not None
        self.input = step
        self.ports = ports
        self.tries = tries
        self.plan = step.plan
        self.prompt: Prompt
        self.reply: ModelReply
        self.content = Content()
        self.asked: Sequence[FunctionCall] = ()
        """Calls of the caller's functions, with which the turn ends."""
        self.took_ms = 0.0
        self.answered_at: datetime
        self.spending: Spending | None = None
        self.attempt = 1
        """Which call of a model this is in this step."""
        self.useless = Counter[str]()
        """Answers of each model in this step that were of no use."""
        self.failed: list[FailedAttempt] = []
        """Calls that brought nothing, and are not recorded yet."""
        self.deadline: datetime | None = None
        """When the agent has to be done; None for a first step, which begins just now."""
        self.begins = step.step == 1
        """Whether all of the execution so far is done in the same batch."""
        self.waited = 0.0
        """Seconds that its calls waited here for their places."""
        self.queued = 0.0
        """Seconds that they waited in the store before."""
        self.mended = 0
        """Replies in this step that did not fit the capability's output."""
        self.spent = 0.0
        """Seconds that the calls took that gave those."""
        self.asked_at = 0.0
        """When the last call began, by the clock that measures spans."""
        self.queued_before = 0.0
        """`queued`, when it began."""
        self.clock: asyncio.Timeout
        """Ends the call when the agent's time is over."""
        self.is_live = False
        """Whether the version at work is the one that is live."""
        self.module: ModuleCall | None = None
        self.remote: RemoteCall | None = None
        """The component, or the agent elsewhere, that answers in the place of a model, if the agent is one."""
        self.turn: TurnView | None = None
        """The whole turn, when it began and ended in one batch."""

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the step recorded already, or reads what the model is to see."""
        scope, execution_id = self.input.scope, self.input.execution_id
        record = transaction.executions(scope, [execution_id])[execution_id]
        if record.execution.state is not ExecutionState.RUNNING:
            return StepResult(outcome=outcome_of(record))
        known = self.ports.known_steps.of(scope, execution_id, self.input.step)
        fresh = transaction.steps_from(scope, execution_id, known.next)
        for each in fresh:
            if each.step == self.input.step and each.call == 0:
                return result_of(each, record.execution.usage)
            if each.step == self.input.step and each.kind == ATTEMPT:
                if STOPPED in each.payload:  # to do it again would take as long
                    raise CaxtonError.from_report(ErrorReport.model_validate(each.payload[STOPPED]))
                self.attempt += 1
                self.useless[str(each.payload.get("model"))] += each.error_code == ModelAnswerInvalid.code
                self.mended += each.error_code == CapabilityOutputInvalid.code
        self._check_running(transaction)
        self.deadline = deadline_of(
            transaction, self.ports.directory, scope, record.execution, self.plan, journal.now()
        )
        if self.deadline <= journal.now():
            raise out_of_time(self.plan)
        message = transaction.message(scope, record.execution.message_id)
        assert message is not None, "an execution is recorded with its request"
        done = [each for each in fresh if each.step < self.input.step]
        known.add(done, read_children(transaction, scope, done), self.input.step)
        self.ports.known_steps.keep(scope, execution_id, known)
        self.read(transaction, record, message, known)
        return None

    def read(self, transaction: Transaction, record: ExecutionRecord, message: Message, known: Known) -> None:
        """Reads what the model is to see for the request `message`, behind what the execution has done so far.

        Raises:
            BudgetUsedUp: nothing is left of a budget.
        """
        self.prompt = read_prompt(transaction, self.ports.directory, self.input, record, message, known)
        if not self.prompt.agent.spec.has_model:
            self.module, self.remote = in_place_of_a_model(transaction, self.input, self.ports, self.prompt, record)
        registry = self.ports.directory.registry(transaction, self.input.scope)
        self.is_live = registry.is_live(self.plan.agent, self.plan.agent_digest)
        if registry.has_budgets:
            self.spending = self._spending(transaction)
            self.spending.check("tokens", "cost_usd")

    def _spending(self, transaction: Transaction) -> Spending:
        rehearsal = self.plan.rehearses is not None
        return Spending(transaction, self.input.scope, self.plan.agent, rehearsal=rehearsal)

    async def act(self) -> None:
        """Calls the model."""
        request = replace(await self.prompt.request(self.ports), place=self._place)
        listened = self.live.is_wanted
        self.live.begin(self.attempt)
        try:
            with model_span(self.plan.agent, request.agent.spec.models[0]) as span:
                self.reply = await self._answer(request, self._say if listened else None)
                span.answered(self.reply)
        except CaxtonError as error:
            if self.failed:
                await self._tell_failures()
            raise self._last(self._given_up(error)) from None
        self.took_ms = self._took(self.reply) * 1000
        self.reply, self.asked = of_caller(self.reply, self.prompt.brought)
        self.answered_at = journal.now()
        if self.reply.text and not listened and self.live.is_wanted:
            self._say(self.reply.text)  # who came in the meantime gets it all at once
        if not self.reply.calls:
            self.content = await pack(self.ports.blobs, self.input.scope, self.reply.text)

    async def _answer(self, request: ModelRequest, on_delta: DeltaSink | None) -> ModelReply:
        """Calls the model, and again where its reply does not fit what the capability promises.

        Raises:
            CapabilityOutputInvalid: none of the replies fits that it may give.
        """
        reply = await self._ask(request, on_delta)
        if request.output is None:
            return reply
        mending = Mending(self.ports.schemas, self.input.scope, request.output, request, self.mended)
        while not reply.calls:
            check = await mending.check(reply)
            if check.fits:
                if check.text != reply.text:
                    self.live.withdraw()
                return replace(reply, text=check.text, metadata={**reply.metadata, TYPED: True})
            if reply.metadata.get("scripted") or not self.prompt.agent.spec.has_model:
                raise mending.failure(self.plan.agent)  # it would say the same again
            took = self._took(reply)
            self.spent += took
            self._note_failure(mending.attempt(reply, took))
            await self._tell_failures()
            mending.check_left(self.plan.agent)
            self._check_left()
            reply = await self._ask(mending.again(reply), on_delta)
        return reply

    def _took(self, reply: ModelReply) -> float:
        """Seconds that the last call took, without those in which it waited here."""
        return max(0.0, time.perf_counter() - self.asked_at - reply.waited + self.queued - self.queued_before)

    def _check_left(self) -> None:
        """Whether tokens and budgets are left for another attempt.

        Raises:
            TokenLimitReached: the turn has no tokens left.
            BudgetUsedUp: a budget is used up.
        """
        if self.prompt.usage.tokens > self.plan.max_tokens:
            raise no_tokens(self.plan)
        if self.spending is not None:
            self.spending.check("tokens", "cost_usd")

    async def _ask(self, request: ModelRequest, on_delta: DeltaSink | None) -> ModelReply:
        """Calls the model, for as long as the agent may still work."""
        self.asked_at, self.queued_before = time.perf_counter(), self.queued
        left = self.plan.max_time - self.spent
        if self.deadline is not None:
            left = (self.deadline - journal.now()).total_seconds()
        self.clock = clock = asyncio.timeout(max(0.0, left))
        try:
            async with clock:
                if self.module is not None:
                    return await self.module.respond(request, self._note_failure)
                if self.remote is not None:
                    return await self.remote.respond(request, self._note_failure, clock.expired)
                return await self.ports.models.respond(request, on_delta, self._note_failure)
        except TimeoutError:
            if not clock.expired():
                raise
            self.failed = [
                replace(each, code=TimeLimitReached.code) if each.code == "cancelled" else each for each in self.failed
            ]
            raise out_of_time(self.plan) from None

    @asynccontextmanager
    async def _place(self, provider: str, model: str, may_queue: bool) -> AsyncGenerator[float]:
        """Waits until the call may begin, which does not count as the agent's time."""
        call = model_call(self.ports.flow_rules, self.input, self.prompt.agent.spec, provider, model)
        async with (
            model_breaker(self.ports.breakers, self.input, self.attempt, provider, model),
            model_place(self.ports.flow, call, self.clock, may_queue=may_queue) as (waited, here),
        ):
            self.waited += here
            self.queued += waited - here
            yield waited

    def _note_failure(self, attempt: FailedAttempt) -> None:
        self.failed.append(attempt)
        self.attempt += 1
        self.useless[attempt.model] += attempt.code == ModelAnswerInvalid.code
        self.live.begin(self.attempt)

    def _given_up(self, error: CaxtonError) -> CaxtonError:
        """`error`, for good once a model has given useless answers: each one is paid for, and the request is the same."""
        if error.retryable and max(self.useless.values(), default=0) >= USELESS_ANSWERS:
            return GivenUp(error)
        return error

    def _last(self, error: CaxtonError) -> CaxtonError:
        """`error`, or that time is over where another attempt would come too late."""
        if not error.retryable or self.deadline is None or self.tries.pause is None or self.tries.is_last:
            return error
        pause = self.tries.pause if error.retry_after is None else error.retry_after
        if journal.now() + timedelta(seconds=pause) < self.deadline:
            return error
        return out_of_time(self.plan, error.code)

    async def _tell_failures(self) -> None:
        """Records calls that brought nothing, in a transaction of their own: the next attempt may be far away."""
        scope, execution_id = self.input.scope, self.input.execution_id

        def write(transaction: Transaction) -> None:
            found = transaction.executions(scope, [execution_id])[execution_id].execution
            if found.state is not ExecutionState.RUNNING:
                return
            notes = journal.Journal(self.input, self.plan.conversation_id, self.plan)
            self._record_failures(transaction, notes)
            transaction.set_usage(scope, execution_id, found.usage.plus(self.failed_usage))
            transaction.append_events(scope, notes.events)
            if self.spending is not None:
                self.spending = self._spending(transaction)

        await self.ports.records.write(write)
        execution = self.prompt.record.execution
        used = execution.model_copy(update={"usage": execution.usage.plus(self.failed_usage)})
        self.prompt.record = replace(self.prompt.record, execution=used)
        self._count_failures()
        self.ports.stream.publish(self.input.root_id, "step", {})

    def record_stopped(self, transaction: Transaction, error: CaxtonError) -> None:
        """Records that the step was stopped, so that nobody does it again."""
        model = self.prompt.agent.spec.models[0]
        transaction.add_step(self.input.scope, stopped_attempt(self.input, self.plan, model, error))

    def _record_failures(self, transaction: Transaction, notes: journal.Journal) -> None:
        record_attempts(transaction, notes, self.input, self.plan, self.failed, self.spending)

    @property
    def failed_usage(self) -> Usage:
        """What calls used that brought nothing."""
        return reduce(Usage.plus, (Usage.of_attempt(each.usage) for each in self.failed), Usage())

    def _count_failures(self) -> None:
        for each in self.failed:
            METRICS.model_attempt_failed(each.model, each.code, each.usage or Usage())
        self.failed = []

    def record(self, transaction: Transaction) -> StepResult:
        """Records what the model said; a reply ends the execution."""
        if not self.plan.fast:
            # A call over the network takes time, in which the work may have been cancelled.
            found = transaction.executions(self.input.scope, [self.input.execution_id])[self.input.execution_id]
            if found.execution.state is not ExecutionState.RUNNING:
                return StepResult(outcome=outcome_of(found))
        notes = journal.Journal(self.input, self.plan.conversation_id, self.plan)
        notes.moment = self.answered_at
        self._record_failures(transaction, notes)
        called = ModelCalled(
            model=self.reply.model,
            step=self.input.step,
            input_tokens=self.reply.usage.input_tokens,
            output_tokens=self.reply.usage.output_tokens,
            cost_usd=self.reply.usage.cost_usd,
            calls=[call.name for call in (*self.calls, *self.asked)],
            scripted=bool(self.reply.metadata.get("scripted")),
            waited_ms=round(self.reply.waited * 1000, 3) if self.reply.waited else None,
        )
        notes.add(called, latency_ms=self.took_ms)
        if self.spending is not None:
            for told in self.spending.add(transaction, model_use(self.reply.usage)):
                notes.add(told, part=f"{told.subject} {told.resource} {told.period}", actor=SYSTEM)
        if self.module is not None:
            self.module.record(transaction, notes, ends=self.ends)
        result = self._record_calls(transaction, notes) if self.calls else self._reply(transaction, notes)
        transaction.append_events(self.input.scope, notes.events)
        result.waited = self.waited
        return result

    @property
    def ends(self) -> bool:
        """Whether the model has replied, and nobody has to agree: then recording it ends the execution."""
        return not self.reply.calls and not self.waits_for_approval

    @property
    def waits_for_approval(self) -> bool:
        """Whether a person has to agree with a reply before it goes out."""
        return self.plan.approval_mode not in (None, ApprovalMode.AUTO)

    @cached_property
    def usage(self) -> Usage:
        """What the execution has used, with this call."""
        return self.prompt.usage.plus(self.failed_usage).plus(self.reply.usage, model_calls=1)

    @cached_property
    def calls(self) -> list[RequestedCall]:
        """What the model asked for."""
        return [self._call(number, call) for number, call in enumerate(self.reply.calls, start=1)]

    @cached_property
    def _recorded_asked(self) -> list[dict[str, Any]]:
        return recorded_calls(self.input.execution_id, self.input.step, self.asked)

    def next(self, tools: Sequence[StepRecord]) -> "ModelStep":
        """The call that follows in the same batch, after the `tools` that this one asked for."""
        step = ModelStep(step_of(StepKind.MODEL, self.input, self.plan, self.input.step + 1), self.ports)
        step.begins, step.is_live = self.begins, self.is_live
        step.prompt = self.prompt.after(step.input, [self.recorded(), *tools], self.usage)
        step.module = self.module and self.module.following(step.input)
        return step

    def _record_calls(self, transaction: Transaction, notes: journal.Journal) -> StepResult:
        transaction.add_step(self.input.scope, self.recorded())
        for call in self.calls:
            prepared = ActionPrepared(
                action_id=f"{self.input.step}.{call.call}", action_type=call.action_type, name=call.name
            )
            notes.add(prepared, part=str(call.call))
        transaction.set_usage(self.input.scope, self.input.execution_id, self.usage)
        return StepResult(calls=self.calls, usage=self.usage)

    def _reply(self, transaction: Transaction, notes: journal.Journal) -> StepResult:
        """A reply ends the execution, unless a person must agree with it first."""
        usage = self.usage
        notes.add(ActionPrepared(action_id=journal.action_id(self.input), action_type="reply"), part="reply")
        record = self.recorded()
        draft = ReplyDraft(
            content=self.content,
            artifacts=self.prompt.artifacts,
            metadata=reply_metadata(self.reply, usage, self.prompt, self._recorded_asked),
        )
        if self.waits_for_approval:
            record = replace(record, payload={**record.payload, "draft": draft.model_dump(mode="json")})
            transaction.add_step(self.input.scope, record)
            transaction.set_usage(self.input.scope, self.input.execution_id, usage)
            return StepResult(needs_approval=True, usage=usage)
        transaction.add_step(self.input.scope, record)
        execution = self.prompt.record.execution.model_copy(update={"usage": usage})
        outcome, message = send_reply(
            transaction,
            self.input,
            execution,
            self.prompt.asked_by,
            draft,
            notes,
            level=service_level(self.prompt.agent, self.plan.capability) if self.plan.rehearses is None else None,
            auto_store=self.prompt.agent.spec.memory.auto_store and self.plan.rehearses is None and not self.asked,
        )
        if self.begins and self.input.execution_id == self.input.root_id:
            # The turn is this one execution, so all of it is known here.
            ended = {"state": ExecutionState.COMPLETED, "finished_at": message.created_at}
            self.turn = turn_view(execution.model_copy(update=ended), message)
        return StepResult(outcome=outcome, usage=usage)

    def after(self, result: StepResult) -> None:
        """Counts the call, and tells listeners that there is news."""
        self._count_failures()
        METRICS.model_call(self.reply.model, self.took_ms / 1000, self.reply.usage, self.reply.waited)
        if result.outcome is not None:
            self.ports.known_steps.forget(self.input.scope, self.input.execution_id)
            started = self.prompt.record.execution.started_at
            if self.plan.rehearses is None:
                METRICS.execution(self.plan.agent, "completed", (journal.now() - started).total_seconds())
                spec, by = self.prompt.agent.spec, self.input.execution_id
                self.ports.breakers.agent_answered(self.input.scope, spec, by, is_live=self.is_live)
        if self.turn is not None:
            self.ports.stream.publish(self.input.root_id, "reply", {"turn": self.turn})
        else:
            publish_step(self.ports, self.input, result)

    def _check_running(self, transaction: Transaction) -> None:
        component = transaction.component(self.input.scope, "agent", self.plan.agent)
        if component is not None and component.state == "Stopped":
            raise ExecutionFailed(
                f'agent "{self.plan.agent}" was stopped before it could finish',
                "start it and ask again",
                details={"agent": self.plan.agent, "state": component.state},
            )

    @cached_property
    def live(self) -> LiveText:
        """What listeners hear of the text."""
        return LiveText(self.input, self.plan.agent, self.ports.stream, secret=self.waits_for_approval)

    def _say(self, text: str) -> None:
        self.live.say(self.attempt, text)

    def _call(self, number: int, call: FunctionCall) -> RequestedCall:
        if call.mistake or call.kind in ("unknown", "caller") or self.plan.rehearses is not None:
            # Nothing is called: what is wrong with it becomes its result, or the record answers, in a rehearsal.
            return RequestedCall(call=number, kind="tool", name=call.name, fast=True)
        if call.kind == "capability":
            return RequestedCall(call=number, kind=call.kind, name=call.name, action_type="capability")
        policy = self.prompt.agent.spec.policy_for(*call.name.partition(".")[::2])
        return RequestedCall(
            call=number,
            kind=call.kind,
            name=call.name,
            fast=self._is_fast(call.name),
            needs_approval=policy.asks_for(call.arguments),
            action_type=policy.action_type,
        )

    def _is_fast(self, name: str) -> bool:
        """Whether a call of the tool that "server.function" names is short and local, and no limit lets it wait."""
        tool = self.prompt.tools.get(name.partition(".")[0])
        if tool is None:
            return True  # an unknown tool fails at once
        limited = is_limited(self.ports.flow_rules, self.input.scope, self.prompt.agent.spec, tool.manifest)
        return tool.manifest.is_fast and not limited

    def recorded(self) -> StepRecord:
        """The call and what the model said, as they are recorded."""
        more: dict[str, Any] = {}
        if self.input.step == 1 and self.prompt.agent.spec.memory.enabled:
            more = {"memories": self.prompt.memories, "memory_failed": self.prompt.memory_failed}
        if self.live.text_id:
            more["text_id"] = self.live.text_id
        if self.asked:
            more[ASKED] = self._recorded_asked
        handled = self.module and self.module.handled
        return model_record(self.input, self.plan, self.reply, self.calls, self.took_ms, handled, more)
