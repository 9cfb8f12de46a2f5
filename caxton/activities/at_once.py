"""Opening an execution together with what follows, for agents that answer at once: one step in place of several.

What follows is the first model call, and as long as little time has passed the calls of tools that it asks for and the
next model call. Only tools that can change nothing outside of their sandbox: whether any of it will be recorded is not known yet.
"""

import logging

from caxton.activities.model_step import ModelStep
from caxton.activities.opening import Opening
from caxton.activities.step import Step
from caxton.activities.tool_step import ToolStep
from caxton.domain.errors import CaxtonError, DiskFull, StoreUnavailable
from caxton.domain.executions import RequestedCall, StepKind, StepResult, Usage, step_of
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.records import Transaction

log = logging.getLogger(__name__)


class AtOnce:
    """An opening that is loaded, and the steps that follow it. What they need is here, not in the store yet."""

    def __init__(self, opening: Opening, transaction: Transaction) -> None:
        """Read what the model is to see.

        Raises:
            CaxtonError: the model may not be called.
        """
        self.opening = opening
        self.input = opening.input
        self.model = ModelStep(step_of(StepKind.MODEL, opening.input, opening.plan, 1), opening.ports)
        self.model.read(transaction, opening.begun, opening.message, [])
        self.done: list[ModelStep | ToolStep] = []
        """Steps that have acted, and are to be recorded behind the opening."""
        self.asked: list[ToolStep] = []
        """Calls that the first model call asked for, if they can be made at once."""

    @property
    def waits(self) -> bool:
        """Whether acting waits for something: memory, or content that is not at hand."""
        return (
            self.opening.agent.spec.memory.enabled
            or self.opening.handed_over is not None
            or self.opening.message.content.digest is not None
        )

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
        if not self.done or opened.plan is None:
            return opened
        results = [step.record(transaction) for step in self.done]
        if results[-1].outcome is not None:
            return StepResult(outcome=results[-1].outcome)  # nobody needs a plan for what has ended
        opened.first = results[0]
        return opened

    def after(self, result: StepResult) -> None:
        """Counts all that was done."""
        self.opening.after(result)
        if result.outcome is None and result.first is None:
            return
        for step in self.done:
            step.after(result if step is self.done[-1] else StepResult())

    async def _ask(self, model: ModelStep) -> bool:
        try:
            await model.act()
        except (StoreUnavailable, DiskFull):
            raise
        except Exception as error:
            log.debug("a model call failed: %s", type(error).__name__)
            return False
        self.done.append(model)
        return True

    def _tools(self, model: ModelStep) -> list[ToolStep]:
        """What `model` asked for, if all of it can be called at once; else nothing."""
        if not model.reply.calls:
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
            tool.tool = model.prompt.tools[tool.server].within(model.ports.short_calls.wall_time)
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
            and self.opening.agent.spec.allows_tool(server, function)
            and self.opening.ports.short_calls.expects((tool.digest, function))
        )


def at_once(opening: Opening, transaction: Transaction) -> Step:
    """What is to be done for an opening that is loaded: with the first model call where the agent answers at once."""
    if not opening.plan.fast or (opening.ports.only_opens and opening.agent.spec.memory.enabled):
        return opening
    try:
        return AtOnce(opening, transaction)
    except CaxtonError:
        return opening  # the model call fails as a step of its own, after the opening is recorded
