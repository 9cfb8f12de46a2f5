"""One-shot messages, executions and their streams."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.json_object import JsonObject
from caxton.api.lasting_answers import Recheck
from caxton.api.ndjson import NDJSON, Line, Lines, answer_lines
from caxton.api.parts import Parts, as_text, check_said, context_of, files_in
from caxton.api.services import CurrentCaller, Services, UseCases
from caxton.api.sse import STILL_HERE, EventStream, encode_event
from caxton.domain.caller_context import CallerContext
from caxton.domain.capabilities import VersionRange
from caxton.domain.errors import CaxtonError, InvalidInput, PayloadTooLarge
from caxton.domain.events import Event
from caxton.domain.executions import RoutingStrategy, Target, TurnView
from caxton.domain.given import GivenExecutionId, GivenTime
from caxton.domain.ids import Name
from caxton.domain.messages import Message
from caxton.domain.permissions import Permission
from caxton.domain.ports import StreamEvent
from caxton.domain.quantities import format_size
from caxton.service.contents import read_contents
from caxton.service.context import Caller
from caxton.service.turns import Ask
from caxton.views.contents import SaidInTurn

router = APIRouter(route_class=GuardedRoute, tags=["messages"])

LONGEST_WAIT = 600.0
"""Seconds that a request waits for its reply before it answers that the turn is running."""

KEEP_ALIVE = 15.0
"""Seconds between comments in a silent event stream, so that proxies keep it open."""

LONGEST_KEY = 200

MOST_LINES = 1_000
"""Requests in one batch; the size of its body is limited like that of any other request."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        description="The same key with the same request is answered once.",
    ),
]
Wait = Annotated[
    bool,
    Query(
        description="Wait for the reply (200), or answer once it is accepted (202, or 200 if it is answered by then)."
    ),
]


class TargetBody(BaseModel):
    """Whom a request is for: a capability, or one agent by name."""

    model_config = ConfigDict(extra="forbid")

    capability: Name | None = None
    version_range: VersionRange = "*"
    agent: Name | None = None
    strategy: RoutingStrategy = RoutingStrategy.LOAD_BALANCED

    @model_validator(mode="after")
    def _has_target(self) -> Self:
        if (self.capability is None) == (self.agent is None):
            raise ValueError('give either "capability" or "agent"')
        return self

    @property
    def target(self) -> Target:
        """The target that the body names."""
        return Target(capability=self.capability, version_range=self.version_range, agent=self.agent)


class AskBody(TargetBody):
    """A one-shot request."""

    content: str | None = Field(default=None, min_length=1, description="What is asked; this or `input`.")
    parts: Parts = Field(default=[], description="What is asked in parts, or files beside `content` or `input`.")
    input: JsonObject | None = Field(
        default=None, description="What is asked, as the object that the capability's `input` schema describes."
    )
    variables: JsonObject = Field(
        default_factory=dict[str, Any],
        description="Values for the agent's templates: {{ variables.x }}; at most 256 KiB as JSON.",
        json_schema_extra={"default": {}},
    )

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        check_said(self.content, self.input, self.parts)
        return self

    @property
    def text(self) -> str:
        """What is asked, as the text of a message."""
        return as_text(self.content, self.input, self.parts)

    @property
    def context(self) -> CallerContext | None:
        """Where its files stand among its texts."""
        return context_of(self.content, self.input, self.parts)


class BatchLine(AskBody, Line):
    """A request of a batch."""

    idempotency_key: str | None = Field(default=None, min_length=1, max_length=LONGEST_KEY)


LINE_SCHEMA = BatchLine.model_json_schema(ref_template="#/components/schemas/{model}")
del LINE_SCHEMA["$defs"]  # they are among the components already


class MessagePage(BaseModel):
    """Messages, oldest first; `next` pages to older ones."""

    messages: list[Message]
    next: datetime | None = None


class EventPage(BaseModel):
    """Events, oldest first."""

    events: list[Event]


def check_size(content: str, limit: int) -> None:
    """Refuses content over the limit.

    Raises:
        PayloadTooLarge: it has more than `limit` bytes.
    """
    if len(content) > limit or len(content.encode()) > limit:
        raise PayloadTooLarge(
            f"the message is larger than {format_size(limit)}",
            "put it into a file that a tool can read",
            details={"limit": limit},
        )


def answer(view: TurnView, response: Response, *, wait: bool) -> TurnView:
    """The turn as HTTP tells it: 200 when done, 202 while it runs, a problem when it was waited for and failed.

    Raises:
        CaxtonError: why the turn failed.
    """
    if view.state == "running":
        response.status_code = 202
        response.headers["Location"] = f"/v1/executions/{view.execution_id}"
    if wait and view.state == "failed" and view.error is not None:
        error = CaxtonError.from_report(view.error)
        error.details = {
            **error.details,
            "execution_id": view.execution_id,
            "conversation_id": view.conversation_id,
        }
        raise error
    return view


@router.post("/v1/messages", responses={202: {"model": TurnView}})
@needs(Permission.MESSAGES_SEND)
async def ask(
    body: AskBody,
    caller: CurrentCaller,
    services: UseCases,
    response: Response,
    wait: Wait = True,
    idempotency_key: IdempotencyKey = None,
) -> TurnView:
    """Sends a request to whoever offers the capability (or to an agent by name)."""
    text = body.text
    check_size(text, services.limits.content_bytes)
    files = await files_in(services, caller, body.parts) if body.parts else ()
    asked = Ask(body.target, text, body.strategy, body.variables, idempotency_key, context=body.context, files=files)
    view = await services.turns.ask(caller, asked, wait=LONGEST_WAIT if wait else None)
    return answer(view, response, wait=wait)


@router.post(
    "/v1/messages/batch",
    response_class=Lines,
    response_description="A line an answer, as soon as it is there.",
    openapi_extra={"requestBody": {"required": True, "content": {NDJSON: {"schema": LINE_SCHEMA}}}},
)
@needs(Permission.MESSAGES_SEND)
async def ask_many(request: Request, caller: CurrentCaller, services: UseCases) -> Response:
    """Sends many requests at once, one JSON object per line. Each is answered, or refused, by itself: by a line of its own."""
    if "idempotency-key" in request.headers:
        raise InvalidInput(
            "a batch has no idempotency key of its own", 'give each line its own, as "idempotency_key" in its object'
        )
    lines = [line for line in (await request.body()).splitlines() if line.strip()]
    if len(lines) > MOST_LINES:
        raise PayloadTooLarge(
            f"a batch has {MOST_LINES} requests at most; these are {len(lines)}",
            "send several batches",
            details={"limit": MOST_LINES},
        )
    if not lines:
        raise InvalidInput("the batch is empty", "send one JSON object per line")
    services.rates.check_batch(caller, len(lines) - 1, LONGEST_WAIT)  # the request itself was counted as one

    async def ask_line(body: BatchLine) -> TurnView:
        return await _ask_line(body, caller, services, request.state.recheck)

    return Lines(answer_lines(lines, BatchLine, ask_line, lambda: services.rates.pace(caller)))


async def _ask_line(body: BatchLine, caller: Caller, services: Services, recheck: Recheck) -> TurnView:
    await recheck()  # lines wait for one another, and their key may have ended meanwhile
    text = body.text
    check_size(text, services.limits.content_bytes)
    files = await files_in(services, caller, body.parts) if body.parts else ()
    asked = Ask(
        body.target, text, body.strategy, body.variables, body.idempotency_key, context=body.context, files=files
    )
    return answer(await services.turns.ask(caller, asked, wait=LONGEST_WAIT), Response(), wait=True)


@router.get("/v1/messages")
@needs(Permission.MESSAGES_READ)
@in_turn
async def messages(
    caller: CurrentCaller,
    services: UseCases,
    agent: Annotated[Name | None, Query()] = None,
    before: Annotated[GivenTime | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MessagePage:
    """The latest messages, of all or of one agent."""
    found = await services.conversations.messages_of(caller.scope, agent, before=before, limit=limit)
    return MessagePage(messages=found, next=found[0].created_at if len(found) == limit else None)


@router.get("/v1/executions/{execution_id}")
@needs(Permission.MESSAGES_READ)
async def execution(execution_id: GivenExecutionId, caller: CurrentCaller, services: UseCases) -> TurnView:
    """A turn as it stands."""
    return await services.turns.show(caller.scope, execution_id)


class Contents(BaseModel):
    """What was said in a turn, oldest first."""

    contents: list[SaidInTurn]


@router.get("/v1/executions/{execution_id}/contents")
@needs(Permission.MESSAGES_READ)
@in_turn
async def contents(execution_id: GivenExecutionId, caller: CurrentCaller, services: UseCases) -> Contents:
    """What was said in a turn, in full: messages, answers of models, arguments and results of calls."""
    return Contents(contents=await read_contents(services.turns.records, caller.scope, execution_id))


@router.post("/v1/executions/{execution_id}/cancel")
@needs(Permission.CONVERSATIONS_END)
async def cancel(execution_id: GivenExecutionId, caller: CurrentCaller, services: UseCases) -> TurnView:
    """Ends a turn, and nothing else: its conversation goes on."""
    return await services.conversations.cancel_turn(caller, execution_id)


@router.get("/v1/executions/{execution_id}/stream", response_class=EventStream)
@needs(Permission.MESSAGES_READ)
async def stream(
    execution_id: GivenExecutionId,
    caller: CurrentCaller,
    services: UseCases,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=300)] = None,
) -> Response:
    """A turn as it happens (server-sent events `step`, `delta`, then `reply` or `error`); resumes after Last-Event-ID.

    A `reset` says that the `delta`s since the last step count no more: the model call broke off, and `attempt` begins.
    A `retry` says what failed, and after how many seconds it is tried again.
    """
    await services.turns.show(caller.scope, execution_id)
    events = services.listening.watch(caller.scope, execution_id, last_event_id, silence=KEEP_ALIVE)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(_encoded(events), headers=headers)


async def _encoded(events: AsyncGenerator[StreamEvent | None]) -> AsyncIterator[str]:
    async with aclosing(events):
        async for event in events:
            yield STILL_HERE if event is None else encode_event(event.kind, event.data, event.id)
