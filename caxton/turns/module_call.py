"""A step of an agent that is a WebAssembly component: in the place of a model, the component answers."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from caxton.domain.agent_modules import FUNCTION, MODEL, AgentState, AskedCall, Handled, StateScope
from caxton.domain.agents import AgentVersion
from caxton.domain.errors import CAUSE, AgentModuleError, ExecutionFailed
from caxton.domain.executions import Plan, StepInput
from caxton.domain.grants import Asked, Rights, ToolGrant, rights_of
from caxton.domain.ids import ConversationId
from caxton.domain.ports import FailedAttempt, FunctionCall, FunctionResult, ModelReply, ModelRequest, PromptPart
from caxton.domain.records import Transaction
from caxton.domain.refusals import Refusals
from caxton.domain.tools import ToolVersion
from caxton.domain.usage import Usage
from caxton.recording import journal
from caxton.turns.short_calls import FUEL
from caxton.turns.step import StepPorts
from caxton.turns.tool_rights import refusals_told

SHOWN_REFUSAL = 2_000
"""Characters of why a component cannot do something."""


class ModuleCall:
    """The call of an agent's component in one step, and what the agent keeps."""

    def __init__(
        self,
        step: StepInput,
        ports: StepPorts,
        agent: AgentVersion,
        grants: Sequence[ToolGrant],
        chain: Sequence[str | None],
    ) -> None:
        """Prepare to call the component of `agent`, to which `grants` are granted; `chain` are the agents that the work came
        through."""
        assert step.plan is not None
        assert agent.module is not None
        assert agent.spec.wasm is not None
        self.input = step
        self.ports = ports
        self.plan: Plan = step.plan
        self.agent = agent
        self.module: ToolVersion = agent.module
        self.grants = grants
        self.chain = chain
        self.state = AgentState()
        """What it keeps, as it is recorded."""
        self.is_brief = False
        """Whether others wait for the call, which then gets only a part of its limits: whoever repeats it grants them all."""
        self.handled: Handled | None = None

    @property
    def called(self) -> tuple[str, str]:
        """Names the component in just this version, for who learns how long its calls take."""
        return self.agent.digest, FUNCTION

    @property
    def _holder(self) -> ConversationId | None:
        """The conversation that its state belongs to; None if all of them have one."""
        assert self.agent.spec.wasm is not None
        return None if self.agent.spec.wasm.state is StateScope.AGENT else self.plan.conversation_id

    def read(self, transaction: Transaction) -> None:
        """Reads what the agent keeps."""
        if self.agent.keeps_state:
            self.state = transaction.agent_state(self.input.scope, self.agent.name, self._holder)

    def following(self, step: StepInput) -> "ModuleCall":
        """The call that follows in the same batch."""
        call = ModuleCall(step, self.ports, self.agent, self.grants, self.chain)
        call.is_brief = self.is_brief
        call.state = self.state
        if self.handled is not None and self.handled.state.changed:
            call.state = AgentState(self.handled.state.values, self.state.revision + 1)
        return call

    async def respond(self, request: ModelRequest, on_failure: Callable[[FailedAttempt], None]) -> ModelReply:
        """Has the component do the step.

        Raises:
            AgentModuleError: a limit, a trap or a bad answer ended it.
            ExecutionFailed: it says that it cannot do it.
        """
        module = _briefly(self.module) if self.is_brief else self.module
        began = time.perf_counter()
        try:
            handled = await self.ports.sandbox.handle(
                self.input.scope.customer,
                module,
                _message(request, self.plan),
                self.state,
                rights=self._rights(),
                brief=self.is_brief,
            )
        except AgentModuleError as error:
            if not self.is_brief:  # else it is called again, with all its limits
                on_failure(self._failed(error.code, began, error.log, error.refused))
            raise
        if handled.answer is None:
            if handled.refused and not self.is_brief:
                on_failure(self._failed(ExecutionFailed.code, began, handled.log, handled.refused))
            raise ExecutionFailed(
                f'agent "{self.agent.name}" cannot do it: {handled.refusal[:SHOWN_REFUSAL]}',
                details={"agent": self.agent.name, CAUSE: "refused"},
            )
        self.handled = handled
        return ModelReply(
            text=handled.answer.text,
            calls=[self._call(number, call) for number, call in enumerate(handled.answer.calls or (), 1)],
            model=MODEL,
            usage=Usage(model_calls=1, cost_usd=0.0),
        )

    def _failed(self, code: str, began: float, log: Sequence[str], refused: Refusals | None) -> FailedAttempt:
        return FailedAttempt(MODEL, code, time.perf_counter() - began, log=log, refused=refused)

    def record(self, transaction: Transaction, notes: journal.Journal, *, ends: bool) -> None:
        """Records what the component has changed of what it keeps, and what it was refused. Of a request on its own, nothing is
        kept behind its end."""
        if self.handled is not None and self.handled.refused:
            notes.add(refusals_told(self.agent.name, FUNCTION, self.handled.refused))
        if self.handled is None or not self.handled.state.changed or self.plan.rehearses is not None:
            return
        if ends and self.input.one_shot and self._holder is not None:
            return
        transaction.add_agent_state(self.input.scope, self.agent.name, self._holder, self.handled.state)

    def _rights(self) -> Rights:
        asked = Asked(self.module.manifest, self.agent.digest, FUNCTION, {}, self.chain)
        # In a rehearsal nothing is granted, so that it has no effects.
        return rights_of(asked, () if self.plan.rehearses is not None else self.grants, journal.now())

    def _call(self, number: int, call: AskedCall) -> FunctionCall:
        call_id = f"call_{self.input.step}_{number}"
        if call.tool is not None:
            return FunctionCall(call_id, call.tool, "tool", call.given)
        found = next((each for each in self.agent.spec.delegates if call.capability in (each.name, str(each))), None)
        if found is None:
            assert call.capability is not None
            mistake = f'"{call.capability}" is not in `delegates` of agent "{self.agent.name}"'
            return FunctionCall(call_id, call.capability, "capability", call.given, mistake)
        return FunctionCall(call_id, str(found), "capability", call.given)


def _briefly(module: ToolVersion) -> ToolVersion:
    """The same, with fewer instructions: in its sandbox there is nothing to wait for."""
    limits = module.manifest.limits
    less = limits.model_copy(update={"fuel": min(limits.fuel, FUEL)})
    return module.model_copy(update={"manifest": module.manifest.model_copy(update={"limits": less})})


def _message(request: ModelRequest, plan: Plan) -> str:
    """What the component gets."""
    opening = max((place for place, part in enumerate(request.parts) if part.role == "user"), default=-1)
    earlier = request.parts[: max(opening, 0)]
    spec = request.agent.spec
    message: dict[str, Any] = {
        "request": request.request,
        "capability": plan.capability,
        "step": request.step,
        "results": _results(request.parts[opening + 1 :]),
        "history": [{"role": part.role, "text": part.text} for part in earlier],
        "parameters": spec.parameters,
        "variables": dict(request.variables),
        "agent": {"name": spec.name, "version": spec.version},
        "conversation": plan.conversation_id,
        "execution": request.execution_id,
    }
    if request.input:
        message["input"] = request.input
    if request.files:
        message["files"] = list(request.files)
    if request.memories:
        message["memories"] = list(request.memories)
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), default=str)


def _results(parts: Sequence[PromptPart]) -> list[dict[str, Any]]:
    """Results of all calls so far, in their order; `step` is the one that asked for them."""
    groups = [part.results for part in parts if part.role == "results"]
    return [_result(step, call, result) for step, group in enumerate(groups, 1) for call, result in enumerate(group, 1)]


def _result(step: int, call: int, result: FunctionResult) -> dict[str, Any]:
    told = {"step": step, "call": call, "name": result.name, "text": result.text, "is_error": result.is_error}
    return told if result.structured is None else {**told, "json": result.structured}
