"""Messages between users and agents."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, computed_field

from caxton.domain.caller_context import CALLS, CONTINUED, PLACES
from caxton.domain.caller_context import KEY as CONTEXT
from caxton.domain.ids import ConversationId, Digest, ExecutionId, MessageId
from caxton.domain.tools import Artifact

INLINE_LIMIT = 64 << 10
"""Bytes of content that travel inside a message; what is larger travels as a reference (Temporal: 2 MB a payload)."""

CONTENT_LIMIT = 16 << 20
"""Bytes of content that a message may have at all."""


TYPED = "typed"
"""In the metadata of a message: its text is an object that was checked against a schema."""

APPROVAL = "approval"
"""In the metadata of a message that stands for a reply which no person approved."""

ERROR_CODE = "error_code"
"""In the metadata of a message that tells an error."""


class MessageType(StrEnum):
    """Types of message (architecture 2.0, "Message Structure")."""

    REQUEST = "Request"
    RESPONSE = "Response"
    NOTIFICATION = "Notification"
    ERROR = "Error"


class Content(BaseModel):
    """Text of a message: here (`text`), or under a content address (`digest`)."""

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    digest: Digest | None = None
    size: int = 0
    """Bytes of the text in UTF-8."""


class Message(BaseModel):
    """One message of a conversation."""

    id: MessageId
    conversation_id: ConversationId
    execution_id: ExecutionId | None = None
    type: MessageType
    sender: str
    """"user", or the name of an agent."""
    receiver: str
    reply_to: MessageId | None = None
    content: Content
    artifacts: list[Artifact] = Field(default=[], description="Files that go with it.")
    metadata: dict[str, Any] = Field(
        default={}, description="Facts on how it came about: model, tokens, whether scripted."
    )
    trace_id: str | None = None
    span_id: str | None = None
    created_at: datetime

    @computed_field(description="The reply of a capability with an output schema, as the object that it is.")
    @property
    def data(self) -> dict[str, Any] | None:
        """The object; None where the reply is a text, or so long that it has to be fetched."""
        if not self.metadata.get(TYPED) or self.content.text is None:
            return None
        return json.loads(self.content.text)


@dataclass(frozen=True, slots=True)
class EarlierMessage:
    """What a model is shown of a message before the request: of many, with each turn, so no more than it takes."""

    execution_id: ExecutionId
    type: str
    sender: str
    text: str | None
    """None where the text is under `digest`."""
    digest: Digest | None
    artifacts: Sequence[Artifact]
    metadata: Mapping[str, Any]
    """Of a message of Caxton's own: why it was sent. Of one that is part of a turn which a later one went on with: how."""

    @property
    def is_of_caxton(self) -> bool:
        """Whether Caxton wrote it in an agent's place: an error, or that a person did not approve the reply."""
        return self.type == MessageType.ERROR or APPROVAL in self.metadata

    @property
    def is_part_way(self) -> bool:
        """Whether it belongs to a turn that another one went on with, behind calls of its caller's functions.

        That one has all of it: its request is the earlier one again, and the reply before it is nothing but calls.
        """
        is_call = CALLS in self.metadata and not self.text and self.digest is None
        return is_call or CONTINUED in self.metadata.get(CONTEXT, {})

    @property
    def places(self) -> list[int]:
        """Where its files stand in its text; see :class:`caxton.domain.caller_context.CallerContext`."""
        return self.metadata.get(CONTEXT, {}).get(PLACES, [])

    @property
    def error_code(self) -> str | None:
        """Which error it tells."""
        return self.metadata.get(ERROR_CODE)
