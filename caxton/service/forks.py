"""Forks: new executions that take over what old ones recorded."""

from dataclasses import dataclass

from caxton.domain.agents import AgentVersion
from caxton.domain.errors import Hint, InvalidInput, NotFound
from caxton.domain.executions import Execution, TurnRequest, TurnView
from caxton.domain.fair_lock import FairLock
from caxton.domain.forks import Fork
from caxton.domain.ids import Digest, ExecutionId, Scope
from caxton.domain.messages import Message
from caxton.domain.origin import current_origin
from caxton.domain.permissions import Permission
from caxton.domain.records import ExecutionRecord, Transaction
from caxton.observability.tracing import current_traceparent
from caxton.routing.similar import similar_names
from caxton.service.context import Caller
from caxton.service.turns import Turns
from caxton.turns.forking import earlier_of, fork_request, forkable, record_deleted

REST = 0.02
"""Seconds between two forks, for others."""


@dataclass(frozen=True, slots=True)
class ForkWanted:
    """What is to be forked, and who goes on with it."""

    execution_id: ExecutionId
    at: int
    """The last step that is taken over; 0 for the request alone."""
    agent: str | None = None
    """None for the agent that did it, in the version that did it."""
    version: str | None = None
    """Of `agent`; None for the one that is live."""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    record: ExecutionRecord
    message: Message
    version: AgentVersion
    is_live: bool
    """Whether whoever asks the agent now is answered by this version."""

    @property
    def execution(self) -> Execution:
        return self.record.execution


class Forks:
    """Use cases on forks."""

    def __init__(self, turns: Turns) -> None:
        """Have `turns` accept what is forked."""
        self.turns = turns
        self._taking = FairLock(REST)
        """One record is taken over at a time: it may have megabytes, and all who send messages wait for it."""

    async def fork(self, caller: Caller, wanted: ForkWanted, *, wait: float | None) -> TurnView:
        """Goes on from a step of an execution that has ended, as a turn of its own in a conversation of its own.

        Args:
            caller: who wants it.
            wanted: what is taken over, and who goes on.
            wait: seconds to wait for the reply; None not to wait.

        Raises:
            NotFound: there is no such execution, or no such version of the agent.
            InvalidState: the execution has not ended.
            InvalidInput: there is no such step, nothing follows it, or the agent does not offer what was asked for.
            RecordDeleted: what it did has been deleted.
            NotPermitted: the caller may not read executions, or not run a version that is not live.
        """
        caller.require(Permission.MESSAGES_READ)
        if wanted.version is not None:
            caller.require(Permission.DEPLOYMENTS_WRITE)  # before it is told which versions there are
        turns, scope = self.turns, caller.scope
        turns.fast_path.check(scope.customer)
        turns.disk.require(scope.customer)
        found = await turns.records.read(lambda transaction: _find(transaction, scope, wanted))
        if not found.is_live and Permission.DEPLOYMENTS_WRITE not in caller.permissions:
            refusal = caller.refusal(Permission.DEPLOYMENTS_WRITE)
            raise refusal.with_hint(
                f'agent "{found.version.name}" {found.version.spec.version} is not live: '
                f'go on with the live one, by "agent": "{found.version.name}"'
            )
        async with self._taking.turn(scope.customer):
            view = await turns.submit(self._request(caller, wanted, found), wait=None)
        if wait is None or view.state != "running":
            return view
        return await turns.reply(scope, view.execution_id, wait)

    def _request(self, caller: Caller, wanted: ForkWanted, found: _Found) -> TurnRequest:
        execution_id = self.turns.execution_id(caller.scope, "", wanted.idempotency_key)
        fork = Fork(
            execution_id=wanted.execution_id,
            step=wanted.at,
            agent_digest=found.version.digest,
            actor=caller.actor,
            earlier=earlier_of(found.execution, found.message),
        )
        made = fork_request(caller.scope, execution_id, found.record, found.message, found.version, fork)
        return made.model_copy(
            update={
                "traceparent": current_traceparent(),
                "channel": caller.channel,
                "origin": current_origin(),
                "requester": caller.principal,
            }
        )


def _find(transaction: Transaction, scope: Scope, wanted: ForkWanted) -> _Found:
    execution = forkable(transaction, scope, wanted.execution_id)
    message = transaction.message(scope, execution.message_id)
    if message is None:
        raise record_deleted(execution.id, "its request was deleted")
    digest = _digest(transaction, scope, wanted, execution)
    version = transaction.agent_versions(scope, [digest])[digest]
    if execution.capability is not None and version.spec.offers(execution.capability) is None:
        raise InvalidInput(
            f'agent "{version.name}" {version.spec.version} does not offer "{execution.capability}", which was asked for',
            Hint(text="see who offers it", command="caxton capabilities"),
            details={"agent": version.name, "version": version.spec.version, "capability": execution.capability},
        )
    live = transaction.component(scope, "agent", version.name)
    is_live = live is not None and live.digest == digest
    return _Found(transaction.executions(scope, [execution.id])[execution.id], message, version, is_live)


def _digest(transaction: Transaction, scope: Scope, wanted: ForkWanted, execution: Execution) -> Digest:
    """The version that goes on."""
    assert execution.agent_digest is not None, "an execution that an agent took up has its version"
    if wanted.agent is None:
        return execution.agent_digest
    if wanted.version is None:
        component = transaction.component(scope, "agent", wanted.agent)
        if component is None:
            raise _unknown_agent(transaction, scope, wanted.agent)
        return component.digest
    known = transaction.versions_of(scope, "agent", wanted.agent)
    digest = next((digest for version, digest in known if version == wanted.version), None)
    if digest is None and not known:
        raise _unknown_agent(transaction, scope, wanted.agent)
    if digest is None:
        names = list(dict.fromkeys(version for version, _ in known))
        raise NotFound(
            f'there was never an agent "{wanted.agent}" {wanted.version}',
            Hint(text=f"known versions: {', '.join(names[:20])}"),
            Hint(text="see which agents there are", command="caxton agent list"),
            details={"agent": wanted.agent, "version": wanted.version, "versions": names[:100]},
        )
    return digest


def _unknown_agent(transaction: Transaction, scope: Scope, name: str) -> NotFound:
    similar = similar_names(name, [each.name for each in transaction.components(scope, "agent")])
    return NotFound(
        f'there is no agent "{name}"',
        *(Hint(text=f'did you mean "{each}"?') for each in similar[:1]),
        Hint(text="see which agents there are", command="caxton agent list"),
        details={"agent": name, "similar": similar},
    )
