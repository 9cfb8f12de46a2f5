"""A worker hears of a cancellation before the workflow does: the turn ends there, too, and no other model is asked."""

from collections.abc import AsyncIterator

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from caxton.domain.executions import NextTurn, Plan, Queue, RequestedCall, StepDone, StepInput
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope
from caxton.runtime.engine import find_engine
from caxton.runtime.temporal import CaxtonPlugin
from caxton.workflows.conversation import ConversationInput, ConversationWorkflow
from caxton.workflows.steps import CALL_MODEL, CALL_TOOL, CLOSE_EXECUTION, NEXT_TURN, OPEN_EXECUTION, RUN_STEP

ROOT = ExecutionId("x_root")
STATE = ConversationInput(
    scope=Scope(customer="acme", workspace="here"), conversation_id=ConversationId("c_1"), one_shot=True
)


def plan(execution_id: ExecutionId, agent: str) -> Plan:
    return Plan(
        execution_id=execution_id,
        conversation_id=STATE.conversation_id,
        agent=agent,
        agent_version="1.0.0",
        agent_digest=Digest("0" * 64),
        fast=False,
        max_steps=3,
        max_depth=3,
        max_loops=1,
        max_tokens=1000,
        max_time=60,
        model_timeout=10,
    )


class Told:
    """Activities that tell what the workflow wanted of them. A call of helper or tool hears that the turn is cancelled."""

    def __init__(self, call: RequestedCall, *, begun: bool) -> None:
        self.call = call
        self.begun = begun
        """Whether the execution below has not ended yet when it is opened."""
        self.turns = 1
        self.closed: list[tuple[str, str]] = []
        self.called: list[str] = []

    @activity.defn(name=NEXT_TURN)
    async def next_turn(self, _queue: Queue) -> NextTurn | None:
        self.turns -= 1
        asked = StepDone(calls=[self.call])
        opened = StepDone(plan=plan(ROOT, "asks"), last=asked)
        return NextTurn(execution_id=ROOT, one_shot=True, opened=opened) if self.turns == 0 else None

    @activity.defn(name=OPEN_EXECUTION)
    async def open_execution(self, step: StepInput) -> StepDone:
        if not self.begun:
            return StepDone(ended=True, cancelled=True)
        return StepDone(plan=plan(step.execution_id, "helps"))

    @activity.defn(name=CALL_MODEL)
    async def call_model(self, step: StepInput) -> StepDone:
        assert step.plan is not None
        self.called.append(step.plan.agent)
        return StepDone(ended=True, cancelled=step.plan.agent == "helps")

    @activity.defn(name=CALL_TOOL)
    async def call_tool(self, _step: StepInput) -> StepDone:
        self.called.append("tool")
        return StepDone(ended=True, cancelled=True)

    @activity.defn(name=CLOSE_EXECUTION)
    async def close(self, step: StepInput) -> StepDone:
        assert step.plan is not None
        assert step.ending is not None
        self.closed.append((step.plan.agent, step.ending.code))
        return StepDone(ended=True)

    @activity.defn(name=RUN_STEP)
    async def run_step(self, _step: StepInput) -> StepDone:
        raise AssertionError("nothing is short here")


@pytest.fixture
async def engine() -> AsyncIterator[Client]:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=str(find_engine(None))) as environment:
        yield await Client.connect(environment.client.service_client.config.target_host, plugins=[CaxtonPlugin()])


@pytest.mark.parametrize(
    ("call", "begun", "called", "closed"),
    [
        (RequestedCall(call=1, kind="capability", name="help"), True, ["helps"], ["helps", "asks"]),
        (RequestedCall(call=1, kind="capability", name="help"), False, [], ["asks"]),
        (RequestedCall(call=1, kind="tool", name="slow.call"), True, ["tool"], ["asks"]),
    ],
    ids=["hand-over", "hand-over that has ended", "tool"],
)
async def test_the_turn_above_ends_as_well(
    engine: Client, call: RequestedCall, *, begun: bool, called: list[str], closed: list[str]
) -> None:
    told = Told(call, begun=begun)
    activities = [told.next_turn, told.open_execution, told.call_model, told.call_tool, told.close, told.run_step]
    async with Worker(engine, task_queue="here", workflows=[ConversationWorkflow], activities=activities):
        await engine.execute_workflow(ConversationWorkflow.run, STATE, id="c_1", task_queue="here")
    assert told.called == called
    assert told.closed == [(agent, "execution_cancelled") for agent in closed]
