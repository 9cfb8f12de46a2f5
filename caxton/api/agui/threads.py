"""Threads: the conversations that they are, what has been asked in them, and what they wait for."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial

from caxton.api.agui.bodies import GivenFile, Inline
from caxton.api.services import Services
from caxton.api.targets import target_named
from caxton.domain.conversations import ENDED, Conversation, WhenBusy
from caxton.domain.errors import ConversationBusy, Hint, IdempotencyConflict, InvalidInput, NotFound
from caxton.domain.executions import Target
from caxton.domain.governance import Approval, ApprovalState
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope, digest_of
from caxton.domain.messages import Content
from caxton.domain.records import Transaction
from caxton.recording.contents import unpack
from caxton.service.context import Caller
from caxton.service.conversations import Start, identity_of

MOST_GENERATIONS = 100
"""Conversations of one thread, one after another: an old one expires, and the thread goes on."""

_GIVES_WAY = frozenset({WhenBusy.INTERRUPT, WhenBusy.REPLACE})


@dataclass(frozen=True, slots=True)
class Found:
    """A thread as a run finds it."""

    conversation: Conversation
    turn: ExecutionId | None
    """The turn that the run is, if it has been asked for before."""
    waiting: Sequence[Approval] = ()
    """The approvals that a new message would have to wait for."""

    def check_free(self) -> None:
        """Makes sure that a new message does not have to wait for a person's decision on an earlier one.

        Raises:
            ConversationBusy: it would have to; what waits is told.
        """
        if not self.waiting:
            return
        about = "; ".join(message_of(each) for each in self.waiting)
        raise ConversationBusy(
            f"the thread waits for a person to decide: {about}",
            f'answer each interrupt with `resume`, as [{{"interruptId": "{self.waiting[0].id}", "status": "resolved", '
            '"payload": {"approved": true}}]; then send the message again',
            Hint(text="or have it decided elsewhere", command="caxton approvals list"),
            details={"interrupts": [each.id for each in self.waiting], "conversation_id": self.conversation.id},
        )


class Thread:
    """One thread, as a caller has it with a capability."""

    def __init__(self, caller: Caller, services: Services, capability: str, identity: str) -> None:
        """Look at the thread `identity` with a capability, or with an agent as `agent:NAME`."""
        self._caller = caller
        self._services = services
        self._capability = capability
        self._identity = identity

    async def find(self, run: str) -> Found:
        """What the thread is now, for a run.

        Raises:
            NotFound: there is no such capability.
            InvalidInput: the thread has had too many conversations.
        """
        target, services, scope = _target_of(self._capability), self._services, self._caller.scope
        for generation in range(MOST_GENERATIONS):
            key = self._key(generation)
            identity = identity_of(scope, key)
            turn = services.turns.execution_id(scope, identity, run)
            found = await services.turns.records.read(partial(self._look, identity, turn))
            if found is None:
                begun = await services.conversations.start(self._caller, Start(target, idempotency_key=key))
                return Found(begun, None)
            if found.turn is not None or found.conversation.state not in ENDED:
                return found
        raise InvalidInput("the thread has been gone on with too often", "begin a new thread")

    def _look(self, identity: ConversationId, turn: ExecutionId, transaction: Transaction) -> Found | None:
        scope = self._caller.scope
        conversation = transaction.conversation(scope, identity)
        if conversation is None:
            return None
        if turn in transaction.executions(scope, [turn]) or turn in transaction.turns_in_hand(scope, [turn]):
            return Found(conversation, turn)
        return Found(conversation, None, self._waits_for(transaction, conversation))

    async def conversations(self) -> AsyncGenerator[str]:
        """The ids of the thread's conversations, the oldest first."""
        scope = self._caller.scope
        for generation in range(MOST_GENERATIONS):
            try:
                found = await self._services.conversations.show(scope, identity_of(scope, self._key(generation)))
            except NotFound:
                return
            yield found.id
            if found.state not in ENDED:
                return

    def _key(self, generation: int) -> str:
        return f"agui\x1f{self._capability}\x1f{self._identity}\x1f{generation}"

    async def check_same(self, turn: ExecutionId, text: str, files: Sequence[GivenFile]) -> None:
        """Makes sure that a run which is asked for again asks for the same.

        Raises:
            IdempotencyConflict: it was begun with another message.
        """
        scope = self._caller.scope

        def read(transaction: Transaction) -> tuple[Content, list[Digest]] | None:
            waiting = transaction.turns_in_hand(scope, [turn]).get(turn)
            if waiting is not None:
                return waiting.request.content, [file.digest for file in waiting.request.files]
            record = transaction.executions(scope, [turn]).get(turn)
            message = transaction.message(scope, record.execution.message_id) if record is not None else None
            return None if message is None else (message.content, [file.digest for file in message.artifacts])

        known = await self._services.turns.records.read(read)
        if known is None:  # what was asked has been deleted
            return
        content, digests = known
        given = [digest_of(file.content) if isinstance(file, Inline) else file.digest for file in files]
        if given != digests or await unpack(self._services.blobs, scope, content) != text:
            raise IdempotencyConflict(
                "the run was begun with another message", "give each run a runId of its own", details={"param": "runId"}
            )

    def _waits_for(self, transaction: Transaction, conversation: Conversation) -> list[Approval]:
        scope = self._caller.scope
        turn = transaction.next_turn(scope, conversation.id)
        if turn is None or not turn.begun:
            return []
        executions = transaction.executions_of_turn(scope, turn.request.execution_id)
        pending = pending_of(transaction, scope, [each.execution.id for each in executions])
        digest = executions[0].execution.agent_digest if executions else None
        if not pending or digest is None or conversation.capability is None:
            return pending
        directory = self._services.agents.directory
        offered = directory.agent_version(transaction, scope, digest).spec.offers(conversation.capability)
        return [] if offered is not None and offered.when_busy in _GIVES_WAY else pending


def pending_of(transaction: Transaction, scope: Scope, executions: Sequence[ExecutionId]) -> list[Approval]:
    """The approvals that executions wait for."""
    found = transaction.approvals_of(scope, executions) if executions else []
    return [each for each in found if each.state is ApprovalState.PENDING]


def message_of(approval: Approval) -> str:
    """What an approval is about, in a sentence."""
    if approval.question is not None:  # its text is not for everybody
        return f"{approval.name} asks a question"
    wanted = f"call {approval.name}" if approval.call else "reply"
    return f"{approval.agent} wants to {wanted}"


def _target_of(capability: str) -> Target:
    """Whom the last part of the path stands for.

    Raises:
        NotFound: it is no such name.
    """
    hint = 'name one, such as "analyze-data" or "analyze-data@^1", or an agent as "agent:NAME"'
    return target_named(capability, "capability", hint)
