"""Ids of workflows: derived from what they stand for, so that starting one twice finds the first."""

import zlib

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from caxton.domain.ids import ConversationId, ExecutionId, Scope

CUSTOMER = SearchAttributeKey.for_keyword("CaxtonCustomer")
WORKSPACE = SearchAttributeKey.for_keyword("CaxtonWorkspace")
AGENT = SearchAttributeKey.for_keyword("CaxtonAgent")
CAPABILITY = SearchAttributeKey.for_keyword("CaxtonCapability")
STATE = SearchAttributeKey.for_keyword("CaxtonState")

SEARCH_ATTRIBUTES = (CUSTOMER, WORKSPACE, AGENT, CAPABILITY, STATE)
"""Registered with the engine before anything starts, so that its UI can filter by them."""


def conversation_workflow_id(scope: Scope, conversation_id: ConversationId) -> str:
    """The workflow of a conversation."""
    return f"conversation/{scope.customer}/{scope.workspace}/{conversation_id}"


def inbox_workflow_id(customer: str, shard: int) -> str:
    """The workflow of one shard of a customer's inbox."""
    return f"inbox/{customer}/{shard}"


SHARDS = 2
"""Inbox workflows a customer for requests that stand alone: one keeps a core busy, two hide each other's commits."""

CONVERSATION_SHARDS = 1
"""Inbox workflows a customer for messages of conversations, numbered behind those. Who holds a conversation waits for each
reply, so fewer come at a time than stand-alone requests, and together in one batch they cost least."""

SLOW_SHARDS = 2
"""Inbox workflows a customer for requests that stand alone and always take long, numbered behind those."""

SLOW_FROM = SHARDS + CONVERSATION_SHARDS
"""The number of their first."""

INBOXES = SLOW_FROM + SLOW_SHARDS
"""Inbox workflows a customer in all."""


def inbox_shard(execution_id: ExecutionId, conversation_id: ConversationId | None) -> int:
    """The shard of a request that has to meet others: the same request again, or messages of the same conversation.

    Any of the :data:`SHARDS` will do for others.
    """
    if conversation_id is None:
        return zlib.crc32(execution_id.encode()) % SHARDS
    return SHARDS + zlib.crc32(conversation_id.encode()) % CONVERSATION_SHARDS


def agent_workflow_id(scope: Scope, agent: str) -> str:
    """The workflow of an agent's lifecycle."""
    return f"agent/{scope.customer}/{scope.workspace}/{agent}"


def deployment_workflow_id(scope: Scope) -> str:
    """The workflow of a workspace's deployment: one id a workspace, so that there is one at a time."""
    return f"deployment/{scope.customer}/{scope.workspace}"


def notice_workflow_id(scope: Scope, execution_id: ExecutionId, cause: str, level: int) -> str:
    """The workflow that tells a channel: one for each step of an execution's escalation."""
    return f"notice/{scope.customer}/{scope.workspace}/{execution_id}/{cause}/{level}"


def search_attributes(
    scope: Scope, *, agent: str | None = None, capability: str | None = None, state: str | None = None
) -> TypedSearchAttributes:
    """What the engine's UI can filter a workflow by."""
    pairs: list[SearchAttributePair[str]] = [
        SearchAttributePair(CUSTOMER, scope.customer),
        SearchAttributePair(WORKSPACE, scope.workspace),
    ]
    for key, value in ((AGENT, agent), (CAPABILITY, capability), (STATE, state)):
        if value is not None:
            pairs.append(SearchAttributePair(key, value))
    return TypedSearchAttributes(pairs)
