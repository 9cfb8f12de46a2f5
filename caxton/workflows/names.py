"""Ids of workflows: derived from what they stand for, so that starting one twice finds the first."""

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


def agent_workflow_id(scope: Scope, agent: str) -> str:
    """The workflow of an agent's lifecycle."""
    return f"agent/{scope.customer}/{scope.workspace}/{agent}"


def deployment_workflow_id(scope: Scope) -> str:
    """The workflow of a workspace's deployment: one id a workspace, so that there is one at a time."""
    return f"deployment/{scope.customer}/{scope.workspace}"


def rollout_workflow_id(scope: Scope, rollout_id: str) -> str:
    """The workflow that looks at a rollout."""
    return f"rollout/{scope.customer}/{scope.workspace}/{rollout_id}"


def schedule_id(scope: Scope, agent: str, name: str) -> str:
    """The engine's schedule of an agent's schedule."""
    return f"schedule/{scope.customer}/{scope.workspace}/{agent}/{name}"


def scheduled_run_workflow_id(scope: Scope, agent: str, name: str) -> str:
    """The workflow of a due time; the engine puts the time behind it."""
    return f"scheduled-run/{scope.customer}/{scope.workspace}/{agent}/{name}"


def notice_workflow_id(scope: Scope, execution_id: ExecutionId, cause: str, level: int) -> str:
    """The workflow that tells a channel: one for each step of an execution's escalation."""
    return f"notice/{scope.customer}/{scope.workspace}/{execution_id}/{cause}/{level}"


def push_workflow_id(scope: Scope, execution_id: ExecutionId, config_id: str) -> str:
    """The workflow that tells a receiver of push notifications how a task stands."""
    return f"push/{scope.customer}/{scope.workspace}/{execution_id}/{config_id}"


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
