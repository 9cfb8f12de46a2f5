"""Conversations and the messages in them."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.json_object import JsonObject
from caxton.api.parts import Parts, as_text, check_said, context_of, files_in
from caxton.api.routes.messages import (
    LONGEST_WAIT,
    IdempotencyKey,
    MessagePage,
    TargetBody,
    Wait,
    answer,
    check_size,
)
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.caller_context import CallerContext
from caxton.domain.conversations import IDLE_TIMEOUT, Conversation, EndReason, WhenBusy
from caxton.domain.executions import Target, TurnView
from caxton.domain.given import GivenConversationId, GivenText, GivenTime
from caxton.domain.ids import Name
from caxton.domain.permissions import Permission
from caxton.service.conversations import Start
from caxton.service.turns import Ask
from caxton.views.deletion import Deletion

router = APIRouter(route_class=GuardedRoute, prefix="/v1/conversations", tags=["conversations"])

Before = Annotated[GivenTime | None, Query(description="Only what is older, for paging.")]
Limit = Annotated[int, Query(ge=1, le=500)]


ENDS_OTHERS = frozenset({WhenBusy.INTERRUPT, WhenBusy.REPLACE})
"""Cancel what is in progress. Where a capability says so, whoever deployed it has decided that; here it is the sender."""


class StartBody(TargetBody):
    """A new conversation."""

    topic: GivenText | None = Field(default=None, max_length=500)
    idle_timeout: float = Field(
        default=IDLE_TIMEOUT, gt=0, le=365 * 86_400, description="Seconds without a message after which it expires."
    )
    metadata: JsonObject = Field(default={})


class MessageBody(BaseModel):
    """A message into a conversation."""

    model_config = ConfigDict(extra="forbid")

    content: str | None = Field(default=None, min_length=1, description="What is said; this or `input`.")
    parts: Parts = Field(default=[], description="What is said in parts, or files beside `content` or `input`.")
    input: JsonObject | None = Field(
        default=None, description="What is said, as the object that the capability's `input` schema describes."
    )
    variables: JsonObject = Field(default_factory=dict[str, Any], json_schema_extra={"default": {}})
    when_busy: WhenBusy | None = None
    """What happens while the conversation works on earlier messages; else as its capability says."""

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        check_said(self.content, self.input, self.parts)
        return self

    @property
    def text(self) -> str:
        """What is said, as the text of a message."""
        return as_text(self.content, self.input, self.parts)

    @property
    def context(self) -> CallerContext | None:
        """Where its files stand among its texts."""
        return context_of(self.content, self.input, self.parts)


class EndBody(BaseModel):
    """Why a conversation ends."""

    model_config = ConfigDict(extra="forbid")

    reason: EndReason = EndReason.COMPLETED


class ConversationPage(BaseModel):
    """Conversations, the latest activity first; `next` pages to older ones."""

    conversations: list[Conversation]
    next: datetime | None = None


@router.post("", status_code=201)
@needs(Permission.MESSAGES_SEND)
async def start(
    body: StartBody, caller: CurrentCaller, services: UseCases, idempotency_key: IdempotencyKey = None
) -> Conversation:
    """Starts a conversation: a durable workflow that waits for messages."""
    wanted = Start(body.target, body.topic, body.idle_timeout, body.strategy, body.metadata, idempotency_key)
    return await services.conversations.start(caller, wanted)


@router.get("")
@needs(Permission.MESSAGES_READ)
@in_turn
async def conversations(
    caller: CurrentCaller,
    services: UseCases,
    active: Annotated[bool | None, Query(description="Only those that go on, or only those that ended.")] = None,
    agent: Annotated[Name | None, Query()] = None,
    before: Before = None,
    limit: Limit = 50,
) -> ConversationPage:
    """Conversations of the workspace."""
    found = await services.conversations.list_conversations(
        caller.scope, active=active, agent=agent, before=before, limit=limit
    )
    return ConversationPage(conversations=found, next=found[-1].last_activity if len(found) == limit else None)


@router.get("/{conversation_id}")
@needs(Permission.MESSAGES_READ)
async def conversation(conversation_id: GivenConversationId, caller: CurrentCaller, services: UseCases) -> Conversation:
    """One conversation."""
    return await services.conversations.show(caller.scope, conversation_id)


@router.delete("/{conversation_id}")
@needs(Permission.CONVERSATIONS_DELETE)
async def delete(
    conversation_id: GivenConversationId,
    caller: CurrentCaller,
    services: UseCases,
    cancel: Annotated[
        bool, Query(description="End it first, if it goes on; the turn in progress is cancelled.")
    ] = False,
) -> Deletion:
    """Deletes a conversation that has ended, with its messages, executions, steps and all that it left elsewhere."""
    return await services.conversations.delete(caller, conversation_id, cancel=cancel)


@router.get("/{conversation_id}/messages")
@needs(Permission.MESSAGES_READ)
@in_turn
async def messages(
    conversation_id: GivenConversationId,
    caller: CurrentCaller,
    services: UseCases,
    everything: Annotated[bool, Query(alias="all", description="Also what agents said to one another.")] = False,
    before: Before = None,
    limit: Limit = 100,
) -> MessagePage:
    """The latest messages of a conversation, oldest first."""
    found = await services.conversations.messages(
        caller.scope, conversation_id, everything=everything, before=before, limit=limit
    )
    return MessagePage(messages=found, next=found[0].created_at if len(found) == limit else None)


@router.post("/{conversation_id}/messages", responses={202: {"model": TurnView}})
@needs(
    Permission.MESSAGES_SEND,
    also={Permission.CONVERSATIONS_END: "with `when_busy` = `interrupt` or `replace`, which end what others asked for"},
)
async def send(
    conversation_id: GivenConversationId,
    body: MessageBody,
    caller: CurrentCaller,
    services: UseCases,
    response: Response,
    wait: Wait = True,
    idempotency_key: IdempotencyKey = None,
) -> TurnView:
    """Writes into a conversation."""
    if body.when_busy in ENDS_OTHERS:
        caller.require(Permission.CONVERSATIONS_END)
    text = body.text
    check_size(text, services.limits.content_bytes)
    files = await files_in(services, caller, body.parts) if body.parts else ()
    asked = Ask(
        Target(),
        text,
        variables=body.variables,
        idempotency_key=idempotency_key,
        when_busy=body.when_busy,
        context=body.context,
        files=files,
    )
    view = await services.conversations.send(caller, conversation_id, asked, wait=LONGEST_WAIT if wait else None)
    return answer(view, response, wait=wait)


@router.post("/{conversation_id}/end")
@needs(Permission.CONVERSATIONS_END)
async def end(
    conversation_id: GivenConversationId, body: EndBody, caller: CurrentCaller, services: UseCases
) -> Conversation:
    """Ends a conversation, after the turn in progress."""
    return await services.conversations.end(caller, conversation_id, body.reason)


@router.post("/{conversation_id}/cancel")
@needs(Permission.CONVERSATIONS_END)
async def cancel(conversation_id: GivenConversationId, caller: CurrentCaller, services: UseCases) -> Conversation:
    """Ends a conversation at once; the turn in progress is cancelled."""
    return await services.conversations.end(caller, conversation_id, EndReason.CANCELLED)
