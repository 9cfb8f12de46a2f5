"""Taking over what an execution recorded: its steps, under the name of a fork. Nothing of them is done again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.caller_context import KEY as CONTEXT
from caxton.domain.caller_context import CallerContext
from caxton.domain.errors import Hint, InvalidInput, InvalidState, NotFound, RecordDeleted
from caxton.domain.events import agent_actor
from caxton.domain.events.executions import ActionPrepared, ExecutionForked
from caxton.domain.executions import Execution, ExecutionState, RequestedCall, StepResult, Target, TurnRequest
from caxton.domain.forks import ANSWER, EARLIER, TAKEN_OVER, Earlier, Fork, HandedOver
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope, digest_of, id_near
from caxton.domain.messages import Message
from caxton.domain.origin import Origin
from caxton.domain.records import ExecutionRecord, StepRecord, Transaction
from caxton.recording import journal
from caxton.recording.journal import Journal
from caxton.turns.known_steps import Children
from caxton.turns.prompt import child_id, read_children

LARGEST_RECORD: Final = 4 << 20
"""Characters that a fork takes over: they are read and written in one transaction."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What a fork begins with."""

    steps: Sequence[StepRecord] = ()
    left: list[RequestedCall] = field(default_factory=list[RequestedCall])
    """Calls of its last step that have no recorded result: they are really made."""

    @property
    def model_calls(self) -> int:
        """How many answers of models are taken over."""
        return sum(step.kind == "model" for step in self.steps)

    @property
    def results(self) -> int:
        """How many results of tools and of other agents are taken over."""
        calls = [call for step in self.steps if step.kind == "model" for call in step.payload.get("calls", [])]
        return len(calls) - len(self.left)

    @property
    def standing(self) -> dict[str, Any]:
        """Where the fork stands: `last` and `at` of a :class:`StepResult`."""
        if not self.steps:
            return {}
        return {"last": StepResult(calls=self.left), "at": self.steps[-1].step}


def take_over(
    transaction: Transaction, scope: Scope, fork: Fork, execution_id: ExecutionId, agent: AgentSpec
) -> TakenOver:
    """What `execution_id` takes over as `fork` says, for `agent` to go on with.

    Raises:
        NotFound: there is no such execution.
        InvalidState: it has not ended.
        InvalidInput: there is no such step, nothing follows it, or `agent` may not do what it asks for.
        RecordDeleted: what it did is deleted.
    """
    source = forkable(transaction, scope, fork.execution_id)
    return copies(transaction, scope, _until(transaction, scope, source, fork.step), execution_id, agent)


def copies(
    transaction: Transaction, scope: Scope, recorded: Sequence[StepRecord], execution_id: ExecutionId, agent: AgentSpec
) -> TakenOver:
    """The steps of another execution as those of `execution_id`, for `agent` to go on with.

    Raises:
        InvalidInput: `agent` may not do what they ask for.
        RecordDeleted: an answer to them is deleted.
    """
    children = read_children(transaction, scope, recorded)
    results = {(step.step, step.call) for step in recorded if step.kind == "tool"}
    steps: list[StepRecord] = []
    left: list[RequestedCall] = []
    for step in recorded:
        payload = {**step.payload, TAKEN_OVER: True}
        if step.kind == "tool":
            payload[TAKEN_OVER] = ".".join(filter(None, (step.tool, step.function))) or step.payload.get(TAKEN_OVER)
        else:
            calls = [dict(call) for call in step.payload.get("calls", [])]
            for call in calls:
                answer = call.get(ANSWER) or _answer(step, call, children)
                if call["kind"] == "capability" and answer is not None:
                    call[ANSWER] = answer
                elif call["kind"] == "capability" or (step.step, call["call"]) not in results:
                    left.append(_to_make(agent, step, call))
            payload["calls"] = calls
        # No name of a tool: it was not called here, so nothing counts the call.
        unmeasured: dict[str, Any] = dict.fromkeys(("tool", "function", "duration_ms", "cpu_ms", "fuel", "memory"))
        steps.append(replace(step, execution_id=execution_id, payload=payload, created_at=None, **unmeasured))
    return TakenOver(steps, left)


def fork_request(
    scope: Scope, execution_id: ExecutionId, source: ExecutionRecord, message: Message, agent: AgentVersion, fork: Fork
) -> TurnRequest:
    """The request of a fork: what was asked of `source`, as a turn and a conversation of its own."""
    context = message.metadata.get(CONTEXT)
    what = ("fork", fork.execution_id, str(fork.step), fork.agent_digest, fork.rehearsal or "")
    return TurnRequest(
        scope=scope,
        conversation_id=ConversationId(id_near("c", execution_id)),
        execution_id=execution_id,
        message_id=MessageId(id_near("m", execution_id, "request")),
        content=message.content,
        target=Target(agent=agent.name, capability=source.execution.capability),
        fingerprint=digest_of("\x1f".join(what).encode()),
        one_shot=True,
        variables=source.variables,
        sent_at=journal.now(),
        context=None if context is None else CallerContext.model_validate(context),
        files=tuple(message.artifacts),
        fork=fork,
    )


def earlier_of(execution: Execution, message: Message) -> Earlier | None:
    """What the agent saw of the conversation before its request `message`; nothing for work that was handed over to it."""
    known = message.metadata.get(EARLIER)
    if known is not None:
        return Earlier.model_validate(known)
    if execution.depth:
        return None
    return Earlier(conversation_id=execution.conversation_id, before=message.created_at)


def tell_fork(notes: Journal, fork: Fork, taken: TakenOver, agent: AgentSpec, origin: Origin | None) -> None:
    """Notes where the execution comes from, and which actions it has taken over undone."""
    forked = ExecutionForked(
        source=fork.execution_id,
        step=fork.step,
        model_calls=taken.model_calls,
        results=taken.results,
        agent=agent.name,
        version=agent.version,
        origin=origin,
        rehearsal=fork.rehearsal,
    )
    notes.add(forked, actor=fork.actor)
    for call in taken.left:
        prepared = ActionPrepared(action_id=f"{fork.step}.{call.call}", action_type=call.action_type, name=call.name)
        notes.add(prepared, part=f"left {call.call}", actor=agent_actor(agent.name))


def _to_make(agent: AgentSpec, step: StepRecord, call: dict[str, Any]) -> RequestedCall:
    """A call that is to be made, by the rules of `agent`: it may be another one than the agent that asked for it."""
    if call["kind"] == "capability" and call["name"] not in {str(request) for request in agent.delegates}:
        raise InvalidInput(
            f'step {step.step} of execution {step.execution_id} hands over "{call["name"]}", which agent "{agent.name}" '
            f"{agent.version} does not delegate",
            Hint(text="fork at an earlier step", command=f"caxton fork {step.execution_id} --at {step.step - 1}"),
            details={"execution": step.execution_id, "step": step.step, "capability": call["name"]},
        )
    if call["kind"] == "tool":
        policy = agent.policy_for(*call["name"].partition(".")[::2])
        asks = bool(call.get("needs_approval")) or policy.asks_for(call["arguments"])
        call |= {"fast": False, "needs_approval": asks, "action_type": policy.action_type}
    return RequestedCall.model_validate(call)


def _answer(step: StepRecord, call: dict[str, Any], children: Children) -> dict[str, Any] | None:
    """What another agent answered a call of `step`; None if the call is a tool's, or was never answered.

    Raises:
        RecordDeleted: the answer is deleted.
    """
    if call["kind"] != "capability":
        return None
    execution, message = children.get(child_id(step.execution_id, step.step, call["call"]), (None, None))
    if execution is None or execution.state is ExecutionState.RUNNING:
        return None
    if message is None:
        raise record_deleted(step.execution_id, f"the answer to its call {step.step}.{call['call']} was deleted")
    answer = HandedOver(
        content=message.content,
        data=message.data,
        is_error=execution.state is not ExecutionState.COMPLETED,
        artifacts=message.artifacts,
        scripted=bool(message.metadata.get("scripted")),
    )
    return answer.model_dump(mode="json", exclude_none=True)


def unknown_execution(execution_id: str) -> NotFound:
    """There is none of that id in the workspace."""
    return NotFound(
        f'there is no execution "{execution_id}"',
        Hint(text="see the latest", command="caxton execution show --last"),
        details={"execution": execution_id},
    )


def forkable(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> Execution:
    """The execution, if it has ended.

    Raises:
        NotFound: there is none of that id.
        InvalidState: it goes on, or no agent took it up.
    """
    record = transaction.executions(scope, [execution_id]).get(execution_id)
    if record is None and not transaction.turns_in_hand(scope, [execution_id]):
        raise unknown_execution(execution_id)
    if record is None or record.execution.state is ExecutionState.RUNNING:
        raise InvalidState(
            f"execution {execution_id} has not ended",
            Hint(text="wait for its end", command=f"caxton execution wait {execution_id}"),
            Hint(text="or end it now", command=f"caxton execution cancel {execution_id}"),
            details={"execution": execution_id, "state": "Running"},
        )
    if record.execution.agent is None:
        raise InvalidState(
            f"no agent took up execution {execution_id}, so there is nothing to take over",
            "ask again",
            details={"execution": execution_id, "state": record.execution.state},
        )
    return record.execution


def _until(transaction: Transaction, scope: Scope, execution: Execution, step: int) -> list[StepRecord]:
    """What `execution` recorded up to a step: model calls, and results of tools.

    Raises:
        InvalidInput: there is no such step, or nothing follows it.
        RecordDeleted: the steps have been deleted.
    """
    if step == 0:
        return []
    latest = transaction.last_model_step(scope, execution.id)
    if latest is None and execution.usage.model_calls:
        raise record_deleted(execution.id, "its steps were deleted")
    last, is_reply = 0, False
    if latest is not None:
        is_reply = not latest[0].payload.get("calls")
        last = latest[0].step - is_reply
    if step > last:
        is_reply = is_reply and step == last + 1
        why = "is its reply: nothing follows it" if is_reply else "is not recorded"
        raise InvalidInput(
            f"step {step} of execution {execution.id} {why}",
            Hint(
                text=f"choose a step from 0 (the request) to {last}" if last else "choose 0, the request alone",
                command=f"caxton fork {execution.id} --at {last}",
            ),
            details={"execution": execution.id, "step": step, "last": last},
        )
    check_size(transaction, scope, execution.id, step)
    return [each for each in transaction.steps_from(scope, execution.id, 0, step) if each.kind in ("model", "tool")]


def check_size(transaction: Transaction, scope: Scope, execution_id: ExecutionId, step: int) -> None:
    """Checks that what was recorded up to `step` is not too much to be read at once.

    Raises:
        InvalidInput: it is.
    """
    if transaction.size_of_steps(scope, execution_id, step) > LARGEST_RECORD:
        raise InvalidInput(
            f"step {step} of execution {execution_id} has too much before it to be taken over",
            Hint(text="choose an earlier step", command=f"caxton fork {execution_id}"),
            details={"execution": execution_id, "step": step, "limit": LARGEST_RECORD},
        )


def record_deleted(execution_id: str, what: str) -> RecordDeleted:
    """What would have to be taken over is gone."""
    return RecordDeleted(
        f"execution {execution_id} cannot be taken over: {what}",
        Hint(text="see for how long things are kept", command="caxton retention show"),
        details={"execution": execution_id},
    )
