"""A step of an agent that is elsewhere: in the place of a model, a remote agent answers over the A2A protocol."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from caxton.domain.agent_modules import AgentState
from caxton.domain.agents import AgentVersion
from caxton.domain.errors import CAUSE, CaxtonError, RemoteAgentFailed, RemoteAgentTimeout
from caxton.domain.executions import Plan, StepInput
from caxton.domain.grants import Asked, ToolGrant, rights_of
from caxton.domain.ids import derived_id
from caxton.domain.ports import FailedAttempt, ModelReply, ModelRequest
from caxton.domain.records import ExecutionRecord, Transaction
from caxton.domain.remote_agents import FUNCTION, MODEL, Remote, RemoteMessage, RemoteSession, RemoteTask
from caxton.domain.usage import Usage
from caxton.recording import journal
from caxton.turns.attempts import GivenUp
from caxton.turns.module_call import ModuleCall
from caxton.turns.prompt import Prompt
from caxton.turns.step import StepPorts
from caxton.turns.tool_rights import chain_of

FIRST_LOOK: Final = 0.25
"""Seconds until a task is looked at, the first time."""
LONGEST_LOOK: Final = 5.0
"""Seconds between two looks."""

CANCEL_WITHIN: Final = 5.0
"""Seconds that a remote agent has to take notice of a cancellation."""

SHOWN: Final = 2_000
"""Characters of what a remote agent says of a failure."""

CONTEXT, ASKING = "context", "asking"
"""Under which the conversation keeps the remote context, and the task that waits for another message."""


class RemoteCall:
    """The call of a remote agent in one step. Its task is kept before it is waited for: after a crash it is found again."""

    def __init__(
        self,
        step: StepInput,
        ports: StepPorts,
        agent: AgentVersion,
        grants: Sequence[ToolGrant],
        chain: Sequence[str | None],
    ) -> None:
        """Prepare to call `agent`, to which `grants` are granted; `chain` are the agents that the work came through."""
        assert step.plan is not None
        assert agent.spec.a2a is not None
        assert agent.remote is not None
        self.input = step
        self.ports = ports
        self.plan: Plan = step.plan
        self.agent = agent
        asked = Asked(agent.remote.manifest, agent.digest, FUNCTION, {}, chain)
        rights = rights_of(asked, grants, journal.now())
        self.remote = Remote(step.scope.customer, agent.spec.a2a, agent.remote, rights)
        self.state = AgentState()
        self.name = f"{MODEL}:{agent.name}"
        self._ended = False
        """Whether the remote task was ended for it took too long: the same message again would find it ended."""

    @property
    def _task_key(self) -> str:
        return f"{self.input.execution_id}.{self.input.step}"

    async def respond(
        self, request: ModelRequest, on_failure: Callable[[FailedAttempt], None], out_of_time: Callable[[], bool]
    ) -> ModelReply:
        """Has the remote agent answer.

        Args:
            request: what is asked.
            on_failure: hears of it if it fails.
            out_of_time: whether the agent's time is over, once the call is given up.

        Raises:
            ModelError: it does not answer, or says that it cannot do it.
            GivenUp: it has taken too long.
            ToolError: nobody has granted what it needs.
        """
        if self.plan.rehearses is not None:
            raise RemoteAgentFailed(
                f'the remote agent "{self.agent.name}" is not called in a rehearsal: nobody knows what it would do',
                details={"agent": self.agent.name, CAUSE: "rehearsal"},
            )
        began = time.perf_counter()
        try:
            if request.place is None:
                task = await self._work(request, out_of_time)
                return self._reply(task, 0.0)
            async with request.place(self.name, self.name, True) as waited:
                task = await self._work(request, out_of_time)
            return self._reply(task, waited)
        except CaxtonError as error:
            on_failure(FailedAttempt(self.name, error.code, time.perf_counter() - began))
            if self._ended:
                raise GivenUp(error) from None
            raise

    def _reply(self, task: RemoteTask, waited: float) -> ModelReply:
        metadata = {"remote_task": task.id} if task.id else {}
        usage = Usage(model_calls=1, cost_usd=0.0)
        return ModelReply(task.text, [], self.name, usage, metadata, waited)

    async def _work(self, request: ModelRequest, out_of_time: Callable[[], bool]) -> RemoteTask:
        self.state = await self.ports.records.read(self._kept)
        timeout = self.remote.agent.timeout
        async with self.ports.remote_agents.open(self.remote) as session:
            task_id = self.state.values.get(self._task_key)
            try:
                async with asyncio.timeout(timeout):
                    task = await session.get(task_id) if task_id else await self._send(session, request)
                    task_id = task.id
                    return await self._end_of(session, task)
            except asyncio.CancelledError:
                await self._pass_on(session, task_id, out_of_time)
                raise
            except TimeoutError:
                self._ended = True
                await self._pass_on(session, task_id, lambda: True)
                raise RemoteAgentTimeout(
                    f'the remote agent "{self.agent.name}" has not answered within {timeout:g} s',
                    "raise timeout in [a2a] of the agent's file",
                    details={"agent": self.agent.name},
                ) from None

    def _kept(self, transaction: Transaction) -> AgentState:
        return transaction.agent_state(self.input.scope, self.agent.name, self.plan.conversation_id)

    async def _send(self, session: RemoteSession, request: ModelRequest) -> RemoteTask:
        """Sends the message, and keeps the task before anything else."""
        message = RemoteMessage(
            id=derived_id("a2a", self.input.execution_id, str(self.input.step)),
            text=request.request,
            data=dict(request.input) or None,
            context=self.state.values.get(CONTEXT),
            task=self.state.values.get(ASKING),
        )
        task = await session.send(message)
        if task.id is not None:
            kept = {self._task_key: task.id, **({CONTEXT: task.context} if task.context else {})}
            await self.ports.records.write(lambda transaction: self._keep(transaction, kept, ASKING))
        return task

    def _keep(self, transaction: Transaction, kept: dict[str, str], *gone: str) -> None:
        state = self._kept(transaction)
        for key in gone:
            state.delete(key)
        for key, value in kept.items():
            state.set(key, value)
        transaction.add_agent_state(self.input.scope, self.agent.name, self.plan.conversation_id, state)

    async def _end_of(self, session: RemoteSession, task: RemoteTask) -> RemoteTask:
        pause = FIRST_LOOK
        while task.goes_on:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)
            assert task.id is not None
            task = await session.get(task.id)
        if task.state in ("TASK_STATE_COMPLETED", "TASK_STATE_INPUT_REQUIRED"):
            kept = {ASKING: task.id} if task.state == "TASK_STATE_INPUT_REQUIRED" and task.id else {}
            if task.id is not None:
                await self.ports.records.write(lambda transaction: self._keep(transaction, kept, self._task_key))
            return task
        how = {
            "TASK_STATE_CANCELED": "has ended the work",
            "TASK_STATE_REJECTED": "has refused the work",
            "TASK_STATE_AUTH_REQUIRED": "wants a login that nobody here can give",
        }.get(task.state, "could not do the work")
        said = f": {task.text[:SHOWN]}" if task.text else ""
        raise RemoteAgentFailed(
            f'the remote agent "{self.agent.name}" {how}{said}',
            details={"agent": self.agent.name, "state": task.state, CAUSE: "remote"},
        )

    async def _pass_on(self, session: RemoteSession, task_id: str | None, out_of_time: Callable[[], bool]) -> None:
        """Cancels the remote task where the turn is cancelled; where only this worker stops, another one goes on with it."""

        async def cancel() -> None:
            known = task_id or (await self.ports.records.read(self._kept)).values.get(self._task_key)
            if known is None or not (out_of_time() or await self._is_cancelled()):
                return
            async with asyncio.timeout(CANCEL_WITHIN):
                await session.cancel(known)

        work = asyncio.ensure_future(cancel())
        try:
            await asyncio.shield(work)
        except (CaxtonError, TimeoutError):
            return  # it is told once; what the remote agent does then is its own matter

    async def _is_cancelled(self) -> bool:
        scope, root = self.input.scope, self.input.root_id

        def read(transaction: Transaction) -> bool:
            turn = transaction.turns_in_hand(scope, [root]).get(root)
            return turn is None or turn.cancelled

        return await self.ports.records.read(read)


def in_place_of_a_model(
    transaction: Transaction, step: StepInput, ports: StepPorts, prompt: Prompt, record: ExecutionRecord
) -> tuple[ModuleCall | None, RemoteCall | None]:
    """What answers in a step of an agent that has no model: its component, or an agent elsewhere."""
    agent = prompt.agent
    grants = prompt.grants.get(agent.name, ())
    chain = chain_of(transaction, step.scope, record.execution) if grants else (agent.name,)
    if agent.remote is not None:
        return None, RemoteCall(step, ports, agent, grants, chain)
    module = ModuleCall(step, ports, agent, grants, chain)
    module.read(transaction)
    return module, None
