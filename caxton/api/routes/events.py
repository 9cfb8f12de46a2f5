"""The event log."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from caxton.api.services import CurrentCaller, Services, UseCases
from caxton.api.sse import STILL_HERE, encode_event
from caxton.domain.events import CATALOGUE, Event
from caxton.domain.events.chain import read_place
from caxton.domain.events.replay import Replay
from caxton.domain.ids import ExecutionId
from caxton.domain.records import EventFilter
from caxton.service.context import Caller
from caxton.service.event_log import Verification
from caxton.service.onboarding import ClientEvent

router = APIRouter(prefix="/v1", tags=["events"])

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
    since: AwareDatetime | None = Field(default=None, description="ISO 8601 with a time zone; inclusive.")
    until: AwareDatetime | None = Field(default=None, description="ISO 8601 with a time zone; exclusive.")

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

    cursor: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="`next` of the last page.")
    order: Literal["oldest", "newest"] = "oldest"
    limit: int = Field(default=100, ge=1, le=1000)


class EventTailQuery(EventQuery):
    """Filters of a live tail."""

    cursor: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="The id of the last event seen; without it only what is new."
    )


class EventExportQuery(EventQuery):
    """Filters of an export."""

    after: int = Field(default=0, ge=0, description="Begin behind this sequence.")
    everything: bool = Field(
        default=False, description="The customer's whole log, over all workspaces: what the chain can be verified from."
    )


class EventType(BaseModel):
    """A type of event."""

    type: str
    category: str
    schema_version: int
    description: str
    reserved: str | None = None
    """Which part of Caxton will emit it, when none does yet."""
    payload: dict[str, Any]
    """JSON Schema of the payload."""


class EventTypes(BaseModel):
    """The catalogue."""

    types: list[EventType]


@router.get("/events")
async def events(query: Annotated[EventListQuery, Query()], caller: CurrentCaller, services: UseCases) -> EventsPage:
    """Events of the workspace, in the log's order or the newest first."""
    wanted = await query.wanted(services, caller)
    page = await services.event_log.page(
        caller, wanted, cursor=query.cursor, newest=query.order == "newest", limit=query.limit
    )
    return EventsPage(events=[EventView.of(event) for event in page.events], next=page.next)


@router.get("/events/types")
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


@router.get("/events/tail", response_class=StreamingResponse)
async def tail(
    query: Annotated[EventTailQuery, Query()],
    caller: CurrentCaller,
    services: UseCases,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)] = None,
) -> StreamingResponse:
    """Events as they are written (server-sent events; each id is a cursor to come back to)."""
    wanted = await query.wanted(services, caller)
    found = await services.event_log.tail(caller, wanted, cursor=query.cursor, last_event_id=last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_encoded(found), media_type="text/event-stream", headers=headers)


@router.get("/events/export", response_class=StreamingResponse)
async def export(
    query: Annotated[EventExportQuery, Query()], caller: CurrentCaller, services: UseCases
) -> StreamingResponse:
    """Events as lines of JSON, up to the end of the log as of now. The export itself is an event."""
    wanted = await query.wanted(services, caller)
    lines = await services.event_log.export(caller, wanted, after=query.after, everything=query.everything)
    headers = {"Content-Disposition": 'attachment; filename="events.ndjson"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.get("/events/verify")
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
async def onboarding(body: FirstSteps, caller: CurrentCaller, services: UseCases) -> Response:
    """Takes events of a user's first steps into the log, each once."""
    await services.onboarding.tell(caller, body.events)
    return Response(status_code=204)


@router.get("/events/{event_id}")
async def event(event_id: str, caller: CurrentCaller, services: UseCases) -> EventView:
    """One event."""
    return EventView.of(await services.event_log.show(caller, event_id))


@router.get("/executions/{execution_id}/events")
async def execution_events(execution_id: str, caller: CurrentCaller, services: UseCases) -> EventsPage:
    """What happened in a turn."""
    found = await services.event_log.trace(caller, ExecutionId(execution_id))
    return EventsPage(events=[EventView.of(event) for event in found])


@router.get("/executions/{execution_id}/replay")
async def execution_replay(execution_id: str, caller: CurrentCaller, services: UseCases) -> Replay:
    """The turn's outcome rebuilt from events alone, and where it differs from what was recorded."""
    return await services.event_log.replay(caller, ExecutionId(execution_id))


async def _encoded(found: AsyncIterator[tuple[str, Event] | None]) -> AsyncIterator[str]:
    async for item in found:
        yield STILL_HERE if item is None else encode_event("event", item[1].model_dump_json(), item[0])
