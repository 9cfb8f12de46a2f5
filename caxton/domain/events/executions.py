"""Executions, their actions, and model calls (Aximo event model, 3.1 and 3.2)."""

from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class ExecutionEvent(Payload):
    """What happened to an execution."""

    category: ClassVar[Category] = "execution"


class ExecutionTriggered(ExecutionEvent):
    """A request set off work."""

    sentence: ClassVar[str] = "{target} was asked for"
    target: str
    parent_id: str | None = None
    depth: int = 0
    fingerprint: str | None = None
    """Digest of what was asked."""


class ExecutionProcessing(ExecutionEvent):
    """An agent took the work up."""

    sentence: ClassVar[str] = "{agent} {version} began"
    agent: str
    version: str
    digest: str | None = None


class ExecutionCompleted(ExecutionEvent):
    """The work ended with a reply."""

    sentence: ClassVar[str] = "done"
    message_id: str
    content_hash: str | None = None
    size_bytes: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    approval: str | None = None
    """"rejected" or "timeout" where the reply tells that a person did not approve the agent's."""


class ExecutionFailed(ExecutionEvent):
    """The work ended without one; the requester was told why."""

    sentence: ClassVar[str] = "failed: {user_message}"
    message_id: str
    reason: str
    user_message: str = ""
    suggested_actions: list[str] = []
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class CancellationRequested(ExecutionEvent):
    """Somebody wants work to end."""

    sentence: ClassVar[str] = "was asked to stop"
    conversation_ends: bool = False


class ModelCalled(ExecutionEvent):
    """An agent's model answered: with a reply, or with calls that it wants made."""

    sentence: ClassVar[str] = "model {model} answered"
    model: str
    step: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    calls: list[str] = []
    scripted: bool = False


class ActionEvent(Payload):
    """What an agent does to the world: reply, call a tool, hand work over."""

    category: ClassVar[Category] = "action"
    action_id: str = ""
    """The step and call of the execution, such as "2.1"."""
    action_type: str
    """"reply", "tool", "capability", or what the tool's policy calls it."""
    name: str = ""
    """The tool's function, or the capability."""


class ActionPrepared(ActionEvent):
    """The agent decided on an action."""

    sentence: ClassVar[str] = "{action_type} {name} prepared"


class ActionDispatched(ActionEvent):
    """The action was done."""

    sentence: ClassVar[str] = "{action_type} {name} done"
    message_id: str | None = None
    content_hash: str | None = None
    size_bytes: int | None = None


class ActionFailed(ActionEvent):
    """The action was not done."""

    sentence: ClassVar[str] = "{action_type} {name} not done: {reason}"
    reason: str
