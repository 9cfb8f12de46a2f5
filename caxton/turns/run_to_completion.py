"""Opening an execution together with what follows, for agents that answer at once: one step in place of several.

What follows is the first model call, and as long as little time has passed the calls of tools that it asks for and the
next model call. Only tools that can change nothing outside of their sandbox: whether any of it will be recorded is not known yet.
"""

import logging
from functools import partial

from caxton.domain.agent_modules import StateScope
from caxton.domain.breakers import BreakerKind
from caxton.domain.costly_work import COSTLY_WORK, STOPPED
from caxton.domain.errors import CaxtonError, DiskFull, StoreUnavailable
from caxton.domain.executions import RequestedCall, StepKind, StepResult, step_of
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.records import Transaction
from caxton.domain.usage import Usage
from caxton.turns.known_steps import Known
from caxton.turns.model_step import ModelStep
from caxton.turns.opening import Opening
from caxton.turns.tool_step import ToolStep

log = logging.getLogger(__name__)


class RunToCompletion:
    """An opening that is loaded, and the steps that follow it. What they need is here, not in the store yet."""

    def __init__(self, opening: Opening, transaction: Transaction, *, may_wait: bool) -> None:
        """Read what the model is to see.

        Args:
            opening: the opening, loaded.
            transaction: where to read.
            may_wait: whether nobody else waits for what is done here, so that it may wait for its customer's share.

        Raises:
            CaxtonError: the model may not be called.
        """
        self.opening = opening
        self.may_wait = may_wait
        self.input = opening.input
        self.model = ModelStep(step_of(StepKind.MODEL, opening.input, opening.plan, 1), opening.ports)
        self.model.read(transaction, opening.begun, opening.message, Known())
        if self.model.module is not None:
            self.model.module.is_brief = True
        self.done: list[ModelStep | ToolStep] = []
        """Steps that have acted, and are to be recorded behind the opening."""
        self.asked: list[ToolStep] = []
        """Calls that the first model call asked for, if they can be made at once."""
        self.stopped: tuple[ModelStep, CaxtonError] | None = None
        """A model call that was stopped because it takes too long, and why."""

    @property
    def waits(self) -> bool:
        """Whether acting waits for something: memory, a sandbox, or content that is not available."""
        return self.opening.agent.spec.memory.enabled or self.model.module is not None or self.opening.waits

    @property
    def ends(self) -> bool:
        """Whether the turn ends with what was done."""
        last = self.done[-1] if self.done else None
        return isinstance(last, ModelStep) and last.ends

    def load(self, transaction: Transaction) -> StepResult | None:
        """It is loaded."""
        raise NotImplementedError

    async def act(self) -> None:
        """Prepares the request and calls the model. Where that fails, only the opening is recorded.

        The workflow then makes the call as a step of its own, as often as the policy for model calls allows.
        """
        await self.opening.act()
        if await self._ask(self.model):
            self.asked = self._tools(self.model)

    async def go_on(self) -> None:
        """Calls tools and the model in turn, until it replies or something has to be left to the workflow.

        The workflow does what is missing, step by step, and finds recorded what has been done.
        """
        short_calls, model, tools = self.opening.ports.short_calls, self.model, self.asked
        until = short_calls.deadline()
        while tools:
            if not await short_calls.make([(tool.called, tool.timed) for tool in tools], until):
                return
            following = model.next([tool.recorded() for tool in tools])
            self.done += tools
            if not await self._ask(following):
                return
            model, tools = following, self._tools(following)

    def record(self, transaction: Transaction) -> StepResult:
        """Records all that was done."""
        opened = self.opening.record(transaction)
        results = [step.record(transaction) for step in self.done]
        if self.stopped is not None:
            model, error = self.stopped
            model.record_stopped(transaction, error)
        if not results:
            return opened
        if results[-1].outcome is not None:
            return StepResult(outcome=results[-1].outcome)  # nobody needs a plan for what has ended
        for step, result in zip(self.done, results, strict=True):
            if isinstance(step, ModelStep):
                opened.last, opened.at = result, step.input.step
            elif opened.last is not None:
                left = [call for call in opened.last.calls if call.call != step.input.call]
                opened.last = opened.last.model_copy(update={"calls": left})
        return opened

    def after(self, result: StepResult) -> None:
        """Counts all that was done."""
        self.opening.after(result)
        if result.outcome is None and result.last is None:
            return
        for step in self.done:
            step.after(result if step is self.done[-1] else StepResult())

    async def _ask(self, model: ModelStep) -> bool:
        if not self.may_wait and COSTLY_WORK.wait(self.input.scope.customer, model.plan.agent_digest):
            return False  # the workflow can wait for the customer's share
        try:
            if not await self._act(model):
                return False
        except (StoreUnavailable, DiskFull):
            raise
        except CaxtonError as error:
            if error.details.get(STOPPED):
                self.stopped = model, error
            return False
        except Exception as error:
            log.debug("a model call failed: %s", type(error).__name__)
            return False
        self.done.append(model)
        return True

    async def _act(self, model: ModelStep) -> bool:
        """Does the call; False if it is a component's that takes longer than the batch waits."""
        if model.module is None:
            await model.act()
            return True
        return await self.opening.ports.short_calls.have_answer(model.module.called, partial(_timed, model))

    def _tools(self, model: ModelStep) -> list[ToolStep]:
        """What `model` asked for, if all of it can be called at once; else nothing."""
        if not model.reply.calls or model.plan.rehearses is not None:
            return []
        plan, calls = self.opening.plan, model.calls
        has_room = model.input.step < plan.max_steps and model.usage.tokens <= plan.max_tokens
        if not has_room or model.spending is not None or not all(self._may_call(call) for call in calls):
            return []
        asked = model.recorded()
        tools: list[ToolStep] = []
        for number, call in enumerate(calls):
            tool = ToolStep(step_of(StepKind.TOOL, self.input, plan, model.input.step, call.call), model.ports)
            tool.take(asked)
            tool.agent = self.opening.agent
            tool.grants = model.prompt.grants.get(tool.server, ())
            tool.chain = (*self.input.chain, plan.agent)
            whole = model.prompt.tools[tool.server]
            tool.tool = whole.within(model.ports.short_calls.wall_time)
            tool.own_time = tool.tool is whole
            tool.usage = model.usage.plus(Usage(tool_calls=number))
            tools.append(tool)
        return tools

    def _may_call(self, call: RequestedCall) -> bool:
        server, _, function = call.name.partition(".")
        tool = self.model.prompt.tools.get(server)
        if call.kind != "tool" or not call.fast or call.needs_approval or tool is None or server == MEMORY:
            return False
        described = tool.function(function)
        return (
            described is not None
            and described.is_idempotent(tool.manifest.idempotent)
            and tool.manifest.is_closed
            and not any(grant.count is not None for grant in self.model.prompt.grants.get(server, ()))
            and self.opening.agent.spec.allows_tool(server, function)
            and self.opening.ports.short_calls.expects((tool.digest, function))
            and self._is_well(tool.name)
        )

    def _is_well(self, tool: str) -> bool:
        """Whether its circuit breaker is closed; else the workflow is to refuse the call, or to make it as a try."""
        breaker = self.opening.ports.directory.breakers(self.input.scope).get((BreakerKind.TOOL, tool))
        return breaker is None or breaker.is_closed


async def _timed(model: ModelStep) -> float | None:
    """Has a component answer; the seconds of CPU that it took: in its sandbox there is nothing else to wait for."""
    await model.act()
    handled = model.module.handled if model.module else None
    return handled.usage.cpu_ms / 1000 if handled else None


def _is_closed(opening: Opening) -> bool:
    """Whether a component can be called before it is recorded that it was.

    Then nothing outside of its sandbox hears of it, and no other message changes what it keeps.
    """
    module, wasm = opening.agent.module, opening.agent.spec.wasm
    if module is None or wasm is None:
        return True
    shared = opening.agent.keeps_state and wasm.state is StateScope.AGENT
    return module.manifest.is_closed and not shared


def run_to_completion(
    opening: Opening, transaction: Transaction, *, may_wait: bool = False
) -> "Opening | RunToCompletion":
    """What is to be done for an opening that is loaded: with the first model call where the agent answers at once.

    See `RunToCompletion` for the arguments.
    """
    if opening.taken.steps:
        return opening  # the workflow goes on behind what was taken over
    if not opening.plan.fast or (opening.ports.accepts_only and opening.agent.spec.memory.enabled):
        return opening
    if not _is_closed(opening):
        return opening
    try:
        return RunToCompletion(opening, transaction, may_wait=may_wait)
    except CaxtonError:
        return opening  # the model call fails as a step of its own, after the opening is recorded
