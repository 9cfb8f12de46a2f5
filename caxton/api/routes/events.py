"""The event log."""

import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.ndjson import Lines
from caxton.api.services import CurrentCaller, Services, UseCases
from caxton.api.sse import STILL_HERE, EventStream, encode_event
from caxton.domain.events import CATALOGUE, Event
from caxton.domain.events.chain import read_place
from caxton.domain.given import GivenExecutionId, GivenId, GivenText, GivenTime, Position
from caxton.domain.permissions import Permission
from caxton.domain.records import EventFilter
from caxton.domain.replay import Replay
from caxton.service.context import Caller
from caxton.service.onboarding import ClientEvent
from caxton.views.event_log import EventType, SegmentList, Verification

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["events"])

AT_A_TIME = 100
"""Events that are written as JSON in one go: a few milliseconds."""

Text = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]


class EventView(Event):
    """An event, with its sentence for people."""

    message: str

    @classmethod
    def of(cls, event: Event) -> Self:
        """`event` with what it says."""
        return cls.model_construct(**dict(event), message=event.user_message)


class EventsPage(BaseModel):
    """Events, and where to go on."""

    events: list[EventView]
    next: str | None = None
    """Cursor of the next page; null at the end."""


class EventQuery(BaseModel):
    """Filters; all that are given must fit."""

    model_config = ConfigDict(extra="forbid")

    type: list[Text] = Field(default=[], max_length=50, description="Event types; one of them must fit.")
    execution: Text | None = Field(default=None, description="Any execution of a turn: gives the whole turn.")
    agent: Text | None = None
    actor: Text | None = Field(default=None, description='Who did it, such as "operator:anna" or "agent:analyst".')
    capability: Text | None = None
    conversation: Text | None = None
    deployment: Text | None = None
    error: Text | None = Field(default=None, description="Error code.")
    since: GivenTime | None = Field(default=None, description="ISO 8601 with a time zone; inclusive.")
    until: GivenTime | None = Field(default=None, description="ISO 8601 with a time zone; exclusive.")

    async def wanted(self, services: Services, caller: Caller) -> EventFilter:
        """The filter that this stands for."""
        root = await services.event_log.root_of(caller, self.execution) if self.execution else None
        return EventFilter(
            types=frozenset(self.type),
            correlation_id=root,
            agent=self.agent,
            actor=self.actor,
            skill_id=self.capability,
            conversation_id=self.conversation,
            deployment_id=self.deployment,
            error_code=self.error,
            since=self.since,
            until=self.until,
        )


class EventListQuery(EventQuery):
    """Filters of a list."""

    cursor: Annotated[GivenText, Field(max_length=200)] | None = Field(
        default=None, description="`next` of the last page."
    )
    order: Literal["oldest", "newest"] = "oldest"
    limit: int = Field(default=100, ge=1, le=1000)


class EventTailQuery(EventQuery):
    """Filters of a live tail."""

    cursor: Annotated[GivenText, Field(max_length=200)] | None = Field(
        default=None, description="The id of the last event seen; without it only what is new."
    )


class EventExportQuery(EventQuery):
    """Filters of an export."""

    after: Position = Field(default=0, description="Begin behind this sequence.")
    everything: bool = Field(
        default=False, description="The customer's whole log, over all workspaces: what the chain can be verified from."
    )


class EventTypes(BaseModel):
    """The catalogue."""

    types: list[EventType]


@router.get("/events", response_model=EventsPage)
@needs(Permission.EVENTS_READ)
async def events(query: Annotated[EventListQuery, Query()], caller: CurrentCaller, services: UseCases) -> Response:
    """Events of the workspace, in the log's order or the newest first."""
    wanted = await query.wanted(services, caller)
    page = await services.event_log.page(
        caller, wanted, cursor=query.cursor, newest=query.order == "newest", limit=query.limit
    )
    return await _page(services, caller.scope.customer, page.events, page.next)


@router.get("/events/types")
@needs(Permission.EVENTS_READ)
async def event_types(caller: CurrentCaller) -> EventTypes:  # noqa: ARG001 - the gate wants a key here too
    """Every type of event with the JSON Schema of its payload."""
    return EventTypes(
        types=[
            EventType(
                type=name,
                category=model.category,
                schema_version=model.schema_version,
                description=(model.__doc__ or "").strip(),
                reserved=model.reserved or None,
                payload=model.model_json_schema(),
            )
            for name, model in sorted(CATALOGUE.items())
        ]
    )


@router.get("/events/tail", response_class=EventStream)
@needs(Permission.EVENTS_READ)
async def tail(
    query: Annotated[EventTailQuery, Query()],
    caller: CurrentCaller,
    services: UseCases,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)] = None,
) -> Response:
    """Events as they are written (server-sent events; each id is a cursor to come back to)."""
    wanted = await query.wanted(services, caller)
    found = await services.event_log.tail(caller, wanted, cursor=query.cursor, last_event_id=last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(_encoded(found), headers=headers)


@router.get("/events/export", response_class=Lines)
@needs(Permission.EVENTS_EXPORT, also={Permission.EVENTS_AUDIT: "with `everything`"})
async def export(query: Annotated[EventExportQuery, Query()], caller: CurrentCaller, services: UseCases) -> Response:
    """Events as JSON lines, up to the end of the log as of now. The export itself is an event."""
    wanted = await query.wanted(services, caller)
    lines = await services.event_log.export(caller, wanted, after=query.after, everything=query.everything)
    headers = {"Content-Disposition": 'attachment; filename="events.ndjson"'}
    return Lines(lines, headers=headers)


@router.get("/events/verify")
@needs(Permission.EVENTS_AUDIT)
async def verify(
    caller: CurrentCaller,
    services: UseCases,
    expect: Annotated[
        str | None,
        Query(pattern=r"^\d{1,18}:[0-9a-f]{64}$", description="SEQUENCE:HASH that was written down earlier."),
    ] = None,
) -> Verification:
    """Recomputes the hash chain of the customer's whole log, and checks its invariants."""
    return await services.event_log.verify(caller, read_place(expect) if expect else None)


class FirstSteps(BaseModel):
    """Events of a user's first steps, which happened without a server."""

    model_config = ConfigDict(extra="forbid")

    events: list[ClientEvent] = Field(max_length=200)


@router.post("/onboarding", status_code=204)
@needs(Permission.ONBOARDING_WRITE)
async def onboarding(body: FirstSteps, caller: CurrentCaller, services: UseCases) -> Response:
    """Takes events of a user's first steps into the log, each once."""
    await services.onboarding.tell(caller, body.events)
    return Response(status_code=204)


@router.get("/events/{event_id}")
@needs(Permission.EVENTS_READ)
async def event(event_id: GivenId, caller: CurrentCaller, services: UseCases) -> EventView:
    """One event."""
    return EventView.of(await services.event_log.show(caller, event_id))


@router.get("/event-segments")
@needs(Permission.EVENTS_AUDIT, also={Permission.SERVER_INSPECT: "for the folder that they are in"})
async def event_segments(caller: CurrentCaller, services: UseCases) -> SegmentList:
    """Segments of the customer's log that have left the database."""
    inspects = Permission.SERVER_INSPECT in caller.permissions
    return await services.retention.archive.list_segments(caller.scope.customer, with_folder=inspects)


@router.get("/executions/{execution_id}/events", response_model=EventsPage)
@needs(Permission.EVENTS_READ)
async def execution_events(execution_id: GivenExecutionId, caller: CurrentCaller, services: UseCases) -> Response:
    """What happened in a turn."""
    found = await services.event_log.trace(caller, execution_id)
    return await _page(services, caller.scope.customer, found)


@router.get("/executions/{execution_id}/replay")
@needs(Permission.EVENTS_READ)
async def execution_replay(execution_id: GivenExecutionId, caller: CurrentCaller, services: UseCases) -> Replay:
    """The turn's outcome rebuilt from events alone, and where it differs from what was recorded."""
    return await services.event_log.replay(caller, execution_id)


async def _page(services: Services, customer: str, events: Sequence[Event], following: str | None = None) -> Response:
    """Events as JSON. Of many that takes long, and is done in a thread, some at a time."""

    def write(some: Sequence[Event]) -> bytes:
        return b",".join(EventView.of(event).model_dump_json().encode() for event in some)

    parts = [events[place : place + AT_A_TIME] for place in range(0, len(events), AT_A_TIME)]
    if len(parts) <= 1:
        written = [write(part) for part in parts]
    else:
        written = [await services.event_log.do_long(customer, partial(write, part)) for part in parts]
    content = b'{"events":[' + b",".join(written) + b'],"next":' + json.dumps(following).encode() + b"}"
    return Response(content, media_type="application/json")


async def _encoded(found: AsyncIterator[tuple[str, Event] | None]) -> AsyncIterator[str]:
    async for item in found:
        yield STILL_HERE if item is None else encode_event("event", item[1].model_dump_json(), item[0])
