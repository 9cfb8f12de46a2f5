"""Events: facts about what happened, in one append-only log.

The envelope is the canonical one of the Aximo event model; types are named as facts in the past tense. An event is written in
the transaction of the fact that it tells, under an id derived from that fact, so that a retry writes nothing twice.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from caxton.domain.ids import ConversationId, DeploymentId, ExecutionId, derived_id

EXECUTION_TRIGGERED = "execution_triggered"
EXECUTION_PROCESSING = "execution_processing"
EXECUTION_COMPLETED = "execution_completed"
EXECUTION_FAILED = "execution_failed"
ACTION_PREPARED = "action_prepared"
ACTION_DISPATCHED = "action_dispatched"
ACTION_FAILED = "action_failed"
MESSAGE_SENT = "message_sent"
REQUEST_ROUTED = "request_handled"
ROUTING_FAILED = "routing_failed"
MODEL_CALLED = "model_called"
TOOL_EXECUTED = "tool_executed"
TOOL_FAILED = "tool_execution_failed"
TOOL_DENIED = "tool_access_denied"
RESOURCE_LIMIT_EXCEEDED = "resource_limit_exceeded"
CONVERSATION_STARTED = "conversation_started"
CONVERSATION_ENDED = "conversation_ended"
DEPLOYMENT_CREATED = "deployment_created"
DEPLOYMENT_ACTIVATED = "deployment_activated"
DEPLOYMENT_FAILED = "deployment_failed"
VERSION_UPGRADED = "version_upgraded"
VERSION_ROLLED_BACK = "version_rolled_back"
AGENT_STATE_CHANGED = "agent_state_changed"
TOOL_STATE_CHANGED = "tool_state_changed"
SERVER_READY = "caxton_ready"


class Event(BaseModel):
    """One entry of the log. Customer and workspace are those of the scope it is written and read in."""

    event_id: str
    event_type: str
    timestamp: datetime
    customer_id: str
    workspace: str
    deployment_id: DeploymentId | None = None
    skill_id: str | None = None
    """The capability."""
    skill_version: str | None = None
    execution_id: ExecutionId | None = None
    actor: str = "system"
    payload: dict[str, Any] = {}
    correlation_id: str | None = None
    """The turn (its root execution) that the event belongs to."""
    conversation_id: ConversationId | None = None
    risk_level: str | None = None
    approval_mode: str | None = None
    channel_type: str | None = None
    error_code: str | None = None
    latency_ms: float | None = None
    trace_id: str | None = None


def event_id(event_type: str, *fact: str) -> str:
    """The id of the event that tells `fact`: the same whenever it is written again."""
    return derived_id("e", event_type, *fact)
