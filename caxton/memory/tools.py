"""Memory as tools that an agent may call: `remember`, `recall`, `relate`, `forget` of the tool "memory", allowlisted like any."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from caxton.domain.agents import AgentSpec
from caxton.domain.errors import InvalidInput
from caxton.domain.events import agent_actor
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.memory import Match, MemoryId, MemoryQuery, Provenance
from caxton.domain.memory_functions import FUNCTIONS
from caxton.domain.tools import ToolResult
from caxton.memory.memories import Memories, Noticed, own_scope, scopes_of

if TYPE_CHECKING:
    import jsonschema_rs


class MemoryTools:
    """Calls of the tool "memory" by one agent."""

    def __init__(
        self, memories: Memories, scope: Scope, spec: AgentSpec, execution_id: ExecutionId, conversation: str
    ) -> None:
        """Act for the agent of `spec` in one execution."""
        self.memories = memories
        self.scope = scope
        self.spec = spec
        self.actor = agent_actor(spec.name)
        self.provenance = Provenance(agent=spec.name, conversation_id=conversation, execution_id=execution_id)
        self.conversation = conversation

    async def call(self, function: str, arguments: Mapping[str, Any]) -> ToolResult:
        """The result of one call. Errors of what was asked are results, for the model to see.

        Raises:
            MemoryUnavailable: the memory cannot be reached.
        """
        problem = next(_validator(function).iter_errors(dict(arguments)), None)
        if problem is not None:
            text = f"the arguments do not fit: {problem.message}"
            return ToolResult(content=[{"type": "text", "text": text}], is_error=True)
        try:
            found = await self._call(function, arguments)
        except InvalidInput as error:
            return ToolResult(content=[{"type": "text", "text": error.message}], is_error=True)
        except ValidationError as error:
            text = f"the arguments do not fit: {error.errors()[0]['msg']}"
            return ToolResult(content=[{"type": "text", "text": text}], is_error=True)
        text = json.dumps(found, ensure_ascii=False)
        return ToolResult(content=[{"type": "text", "text": text}], structured=found)

    async def _call(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if function == "remember":
            noticed = Noticed(
                text=str(arguments["text"]),
                scope=own_scope(self.spec, self.conversation),
                name=str(arguments.get("name", "")),
                metadata=arguments.get("metadata") or {},
                provenance=self.provenance,
            )
            [entity] = await self.memories.remember(self.scope, [noticed], self.actor)
            return {"id": entity.id}
        if function == "recall":
            query = MemoryQuery(
                text=str(arguments["query"]),
                scopes=scopes_of(self.spec, self.conversation),
                limit=int(arguments.get("limit") or self.spec.memory.search_limit),
                min_similarity=self.spec.memory.min_similarity,
                where=arguments.get("where") or {},
            )
            found = await self.memories.recall(self.scope, query, self.actor, agent=self.spec.name)
            return {"memories": [told(match) for match in found]}
        if function == "relate":
            await self._check_reach([arguments["source"], arguments["target"]])
            relation = await self.memories.relate(
                self.scope,
                MemoryId(str(arguments["source"])),
                str(arguments["type"]),
                MemoryId(str(arguments["target"])),
                {},
                self.actor,
            )
            return {"id": relation.id}
        await self._check_reach([arguments["id"]])
        removed = await self.memories.forget(self.scope, [MemoryId(str(arguments["id"]))], self.actor, "UserInitiated")
        return {"removed": removed}

    async def _check_reach(self, ids: Sequence[Any]) -> None:
        """An agent relates and forgets what it can recall, and nothing else.

        Raises:
            InvalidInput: one of the memories is out of its reach.
        """
        reach = scopes_of(self.spec, self.conversation)
        for identity in map(str, ids):
            found = await self.memories.find(self.scope, MemoryId(identity))
            if found is None or found[1].scope not in reach:  # told alike: ids say something of the texts
                raise InvalidInput(f'there is no memory "{identity[:64]}"', "find its id with a search")


@lru_cache(maxsize=8)
def _validator(function: str) -> "jsonschema_rs.Validator":
    import jsonschema_rs

    schema = next(known.inputSchema for known in FUNCTIONS if known.name == function)
    return jsonschema_rs.validator_for(schema)


def told(match: Match) -> dict[str, Any]:
    """A memory as a model gets it, with where it comes from."""
    entity = match.entity
    return {
        "id": entity.id,
        "text": entity.text,
        "metadata": entity.metadata,
        "similarity": match.similarity,
        # All of it is there, empty where it is not known: a template must not fail over a memory made by hand.
        "from": {name: value or "" for name, value in entity.provenance.model_dump().items()},
        "at": entity.updated_at.isoformat(timespec="seconds"),
    }
