"""The calls of turns, as flow control sees them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from caxton.domain.agents import AgentSpec
from caxton.domain.errors import ModelRateLimited, Overloaded
from caxton.domain.executions import StepInput
from caxton.domain.flow import FlowCall, FlowControl, FlowRules, Gate, weight_of
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.tools import ToolManifest


def model_call(rules: FlowRules, step: StepInput, agent: AgentSpec, provider: str, model: str) -> FlowCall:
    """A call of a provider's model.

    Args:
        rules: the server's limits.
        step: the step that makes the call.
        agent: the agent that does.
        provider: its name; "" for a script that takes its time.
        model: "provider:model".
    """
    gates = rules.model_gates(provider, model) if provider else []
    return _call(rules, step, agent, f"provider:{provider}", gates)


@asynccontextmanager
async def model_place(
    flow: FlowControl, call: FlowCall, clock: asyncio.Timeout, *, may_queue: bool
) -> AsyncGenerator[tuple[float, float]]:
    """Around a call of a model: `clock` stands still until it begins. Gives the seconds that it waited, in all and here.

    Raises:
        ModelRateLimited: it may not queue, and would wait for too long.
        CallQueued: it waits in the store.
        PlaceLost: the call was given up, to be made again.
    """
    loop, until = asyncio.get_running_loop(), clock.when()
    began = loop.time()
    left = 0.0 if until is None else until - began
    clock.reschedule(None)
    async with AsyncExitStack() as stack:
        try:
            waited = await stack.enter_async_context(flow.place(call, may_queue=may_queue))
        except Overloaded as error:
            raise ModelRateLimited(
                error.message, *error.hints, details=error.details, retry_after=error.retry_after
            ) from None
        now = loop.time()
        clock.reschedule(now + left)
        yield waited, now - began


def tool_call(rules: FlowRules, step: StepInput, agent: AgentSpec, tool: ToolManifest) -> FlowCall:
    """A call of a tool."""
    scope = step.scope
    gates = rules.tool_gates(scope, tool.name, tool.limits)
    return _call(rules, step, agent, f"tool:{scope.customer}/{scope.workspace}/{tool.name}", gates)


def direct_call(rules: FlowRules, scope: Scope, call_id: str, tool: ToolManifest) -> FlowCall:
    """A call of a tool by hand, which belongs to no execution."""
    customer = rules.customer(scope.customer)
    return FlowCall(
        scope=scope,
        execution_id=ExecutionId(call_id),
        step=0,
        call=0,
        root_id=ExecutionId(call_id),
        conversation_id=ConversationId(""),
        agent=f"{scope.workspace}/",
        resource=f"tool:{scope.customer}/{scope.workspace}/{tool.name}",
        gates=(*rules.customer_gates(scope), *rules.tool_gates(scope, tool.name, tool.limits)),
        weight=weight_of(customer.priority),
    )


def is_limited(rules: FlowRules, scope: Scope, agent: AgentSpec, tool: ToolManifest) -> bool:
    """Whether calls of the tool by the agent have to pass any gate."""
    gates = rules.gates(scope, agent.name, agent.limits)
    return bool(gates or rules.tool_gates(scope, tool.name, tool.limits))


def _call(rules: FlowRules, step: StepInput, agent: AgentSpec, resource: str, gates: Sequence[Gate]) -> FlowCall:
    scope = step.scope
    assert step.plan is not None
    return FlowCall(
        scope=scope,
        execution_id=step.execution_id,
        step=step.step,
        call=step.call,
        root_id=step.root_id,
        conversation_id=step.plan.conversation_id,
        agent=f"{scope.workspace}/{agent.name}",
        resource=resource,
        gates=(*rules.gates(scope, agent.name, agent.limits), *gates),
        weight=weight_of(rules.customer(scope.customer).priority),
        agent_weight=weight_of(agent.limits.priority),
    )
