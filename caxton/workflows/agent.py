"""An agent's lifecycle: it owns the state that the registry shows and routers read."""

import asyncio

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ActivityError

from caxton.domain.agents import AGENT_LIFECYCLE, AgentState
from caxton.domain.errors import CaxtonError, ErrorReport
from caxton.domain.ids import Digest, Scope
from caxton.domain.origin import Origin
from caxton.workflows.failures import report_of, to_failure
from caxton.workflows.names import STATE
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, RECORD_TIMEOUT, RECORDS_RETRY

PROJECT_AGENT_STATE = "project_agent_state"
LOAD_AGENT = "load_agent"
COUNT_WORK_IN_HAND = "count_work_in_hand"

FIRST_DRAIN_POLL = 0.5
"""Seconds between the first counts of a draining agent's work in progress."""

DRAIN_POLL_SHARE = 0.1
"""Later it is counted after a tenth of the time that it has taken so far: the end of an hour's drain is noticed six minutes
late at most, and the history has some hundred counts, not thousands."""

DEFAULT_GRACE = 30.0
"""Seconds that work in progress gets to finish."""


class AgentInput(BaseModel):
    """State of an agent's lifecycle that crosses a continue-as-new."""

    scope: Scope
    name: str
    digest: Digest
    state: AgentState = AgentState.UNLOADED


class AgentStatus(BaseModel):
    """An agent's state, as its workflow sees it."""

    name: str
    digest: Digest
    state: AgentState
    reason: str | None = None


class AgentChange(BaseModel):
    """A state to show in the registry."""

    scope: Scope
    name: str
    digest: Digest
    before: AgentState
    state: AgentState
    reason: str | None = None
    actor: str = "system"
    origin: Origin | None = None


class StartRequest(BaseModel):
    """Who starts it, and from where."""

    actor: str = "system"
    origin: Origin | None = None


class StopRequest(StartRequest):
    """How to stop."""

    grace: float = DEFAULT_GRACE
    """Seconds that work in progress gets to finish."""
    reason: str | None = None
    """Why, where nobody asked for it."""


def pause_of_drain(seconds: float) -> float:
    """Seconds until work in progress is counted again, when an agent has been draining for `seconds`."""
    return max(FIRST_DRAIN_POLL, DRAIN_POLL_SHARE * seconds)


@workflow.defn(name="Agent")
class AgentWorkflow:
    """The lifecycle of one agent of a workspace, over all its versions."""

    @workflow.init
    def __init__(self, agent: AgentInput) -> None:
        self.agent = agent
        self.reason: str | None = None
        self.removed = False
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, agent: AgentInput) -> None:
        """Lives until the agent is removed."""
        await workflow.wait_condition(lambda: self.removed or self._should_continue_as_new())
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.removed:
            workflow.continue_as_new(self.agent)

    @workflow.signal(name="deployed")
    async def deployed(self, digest: Digest) -> None:
        """A deployment made `digest` the active version, and the agent run."""
        async with self.lock:
            self.agent = self.agent.model_copy(update={"digest": digest, "state": AgentState.RUNNING})
            self.reason = None
            self._show_state()

    @workflow.signal(name="removed")
    def remove(self) -> None:
        """A deployment removed the agent."""
        self.removed = True

    @workflow.update(name="start")
    async def start(self, request: StartRequest | None = None) -> AgentStatus:
        """Loads and runs the agent. An agent that runs already is left alone."""
        async with self.lock:
            await self._start(request or StartRequest())
        return self.status()

    @workflow.update(name="stop")
    async def stop(self, request: StopRequest) -> AgentStatus:
        """Takes no new work, waits for work in progress, stops. What is not done by then fails at its next step."""
        async with self.lock:
            await self._stop(request)
        return self.status()

    @workflow.update(name="restart")
    async def restart(self, request: StopRequest) -> AgentStatus:
        """Stops and starts."""
        async with self.lock:
            if self.agent.state is AgentState.RUNNING:
                await self._stop(request)
            await self._start(request)
        return self.status()

    @workflow.query(name="status")
    def status(self) -> AgentStatus:
        """The present state."""
        return AgentStatus(name=self.agent.name, digest=self.agent.digest, state=self.agent.state, reason=self.reason)

    async def _start(self, request: StartRequest) -> None:
        if self.agent.state is AgentState.RUNNING:
            return
        await self._change(AgentState.LOADED, by=request)
        problem = await self._load()
        if problem is not None:
            await self._change(AgentState.FAILED, problem.message, by=request)
            raise to_failure(CaxtonError.from_report(problem))
        await self._change(AgentState.RUNNING, by=request)

    async def _stop(self, request: StopRequest) -> None:
        if self.agent.state is AgentState.STOPPED:
            return
        if self.agent.state is AgentState.FAILED and workflow.patched("stop-what-failed"):
            await self._change(AgentState.STOPPED, request.reason, by=request)  # it takes no work already
            return
        await self._change(AgentState.DRAINING, by=request)
        began = workflow.time()
        deadline = began + request.grace
        while (waiting := await self._work_in_hand()) and workflow.time() < deadline:
            pause = pause_of_drain(workflow.time() - began)
            await workflow.sleep(min(pause, max(0.01, deadline - workflow.time())))
        left = f"stopped with {waiting} executions in progress" if waiting else None
        await self._change(AgentState.STOPPED, left or request.reason, by=request)

    async def _load(self) -> ErrorReport | None:
        try:
            await workflow.execute_activity(
                LOAD_AGENT,
                self.agent,
                start_to_close_timeout=RECORD_TIMEOUT,
                retry_policy=RECORDS_RETRY,
                summary=f"load {self.agent.name}",
            )
        except ActivityError as error:
            return report_of(error)
        return None

    async def _work_in_hand(self) -> int:
        return await workflow.execute_local_activity(
            COUNT_WORK_IN_HAND,
            self.agent,
            result_type=int,
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
        )

    async def _change(self, state: AgentState, reason: str | None = None, *, by: StartRequest) -> None:
        before = self.agent.state
        try:
            AGENT_LIFECYCLE.change(before, state, name=self.agent.name)
        except CaxtonError as error:
            raise to_failure(error) from None
        self.agent = self.agent.model_copy(update={"state": state})
        self.reason = reason
        await workflow.execute_local_activity(
            PROJECT_AGENT_STATE,
            AgentChange(
                scope=self.agent.scope,
                name=self.agent.name,
                digest=self.agent.digest,
                before=before,
                state=state,
                reason=reason,
                actor=by.actor,
                origin=by.origin,
            ),
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary=f"{self.agent.name} is {state}",
        )
        self._show_state()

    def _show_state(self) -> None:
        workflow.upsert_search_attributes([STATE.value_set(self.agent.state)])

    def _should_continue_as_new(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested()
