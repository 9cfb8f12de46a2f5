"""Executions, their actions, and model calls (Aximo event model, 3.1 and 3.2)."""

from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class ExecutionEvent(Payload):
    """What happened to an execution."""

    category: ClassVar[Category] = "execution"


class ExecutionTriggered(ExecutionEvent):
    """A request started an execution."""

    sentence: ClassVar[str] = "{target} was asked for"
    target: str
    parent_id: str | None = None
    depth: int = 0
    fingerprint: str | None = None
    """Digest of what was asked."""


class ExecutionProcessing(ExecutionEvent):
    """An agent started to work on an execution."""

    sentence: ClassVar[str] = "{agent} {version} began"
    agent: str
    version: str
    digest: str | None = None


class ExecutionForked(ExecutionEvent):
    """An execution goes on from a step of another one. What is taken over was not done again."""

    sentence: ClassVar[str] = "goes on from {source} after step {step}, with {agent} {version}"
    source: str
    """The execution whose record was taken over."""
    step: int
    """The last step that was taken over; 0 for the request alone."""
    model_calls: int = 0
    """Answers of models that were taken over."""
    results: int = 0
    """Results of tools and of other agents that were taken over."""
    agent: str = ""
    version: str = ""
    rehearsal: str | None = None
    """The rollout for which this is a rehearsal: nobody gets the reply, and no tool runs."""


class ExecutionCompleted(ExecutionEvent):
    """An execution ended with a reply."""

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
    """An execution ended without a reply; the requester got the reason."""

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
    """The cancellation of an execution was requested."""

    sentence: ClassVar[str] = "was asked to stop"
    conversation_ends: bool = False
    by_message: str | None = None
    """The later message of its conversation that it gives way to, where it was one."""
    how: str | None = None
    """Whether that message interrupts or replaces it."""


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
    waited_ms: float | None = None
    """How long the call waited before, for the provider's rate limit."""


class ModelAttemptFailed(ExecutionEvent):
    """A call of a model gave no usable answer; its tokens still count."""

    sentence: ClassVar[str] = "model {model} failed: {reason}"
    model: str
    step: int = 0
    attempt: int = 1
    """Which call of a model it was in this step, from 1."""
    reason: str
    input_tokens: int | None = None
    """None where the provider did not tell."""
    output_tokens: int | None = None
    cost_usd: float | None = None


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
    """An agent decided to act."""

    sentence: ClassVar[str] = "{action_type} {name} prepared"


class ActionDispatched(ActionEvent):
    """An action was carried out."""

    sentence: ClassVar[str] = "{action_type} {name} done"
    message_id: str | None = None
    content_hash: str | None = None
    size_bytes: int | None = None


class ActionFailed(ActionEvent):
    """An action was not carried out."""

    sentence: ClassVar[str] = "{action_type} {name} not done: {reason}"
    reason: str
