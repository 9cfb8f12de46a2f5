"""`auto_store`: a request and its reply become a memory, after the reply went out."""

from dataclasses import dataclass

from caxton.domain.events import agent_actor
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.memory import TEXT_LIMIT, Provenance
from caxton.domain.ports import BlobStore
from caxton.domain.records import Records, Transaction
from caxton.memory.memories import Memories, Noticed, own_scope
from caxton.recording.contents import unpack

ASKED = 600
"""Characters of the request that are remembered: the reply has to be within what is embedded; the conversation has the rest."""

SAID = TEXT_LIMIT // 4 - ASKED
"""Characters of the reply: of four bytes at most."""


@dataclass
class AutoStore:
    """Remembers what executions did."""

    memories: Memories
    records: Records
    blobs: BlobStore

    async def remember(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Remembers an execution that has replied; one that is gone is no reason to fail.

        Raises:
            MemoryUnavailable: it could not be kept.
        """

        def read(transaction: Transaction):
            record = transaction.executions(scope, [execution_id]).get(execution_id)
            if record is None or record.reply_id is None or record.execution.agent_digest is None:
                return None
            execution = record.execution
            digest = execution.agent_digest
            assert digest is not None
            agent = transaction.agent_versions(scope, [digest]).get(digest)
            request = transaction.message(scope, execution.message_id)
            reply = transaction.message(scope, record.reply_id)
            return (execution, agent, request, reply) if agent and request and reply else None

        found = await self.records.read(read)
        if found is None:
            return
        execution, agent, request, reply = found
        asked = _shortened(await unpack(self.blobs, scope, request.content), ASKED)
        said = _shortened(await unpack(self.blobs, scope, reply.content), SAID)
        noticed = Noticed(
            text=f"Asked: {asked}\nAnswered: {said}",
            scope=own_scope(agent.spec, execution.conversation_id),
            type="exchange",
            metadata={"capability": execution.capability} if execution.capability else {},
            provenance=Provenance(
                agent=agent.name, conversation_id=execution.conversation_id, execution_id=execution_id
            ),
        )
        await self.memories.remember(scope, [noticed], agent_actor(agent.name))


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
