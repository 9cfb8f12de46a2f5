"""The event log, and the views and metrics of it.

Generated from `async_resources/event_log.py` by `python -m caxton.client.unasync`.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from caxton.client.sse import StreamEvent
from caxton.client.sync_resources.calls import Calls, segment
from caxton.domain.ids import new_id
from caxton.views.event_log import EventType, MetricValue, ProjectedView, SegmentList, Verification

if TYPE_CHECKING:
    from caxton.domain.events import Event

VERIFY_TIMEOUT = 900.0
"""Seconds to wait for a verification: it reads the whole log, some 50,000 events a second."""


class EventLogCalls(Calls):
    """The event log, and the views and metrics of it."""

    def event_page(
        self, *, cursor: str | None = None, order: str = "oldest", limit: int = 100, **filters: Any
    ) -> tuple[list["Event"], str | None]:
        """Events of the workspace, and the cursor of the next page.

        Args:
            cursor: of the last page, to go on with the same filters.
            order: "oldest" or "newest" first.
            limit: how many, 1000 at most.
            filters: type (a list), execution, agent, actor, capability, conversation, deployment, error, since, until.
        """
        # Here, for its catalogue takes a seventh of the time that a command needs to start.
        from caxton.domain.events import Event

        found = self._get("/v1/events", cursor=cursor, order=order, limit=limit, **filters)
        return [Event.model_validate(event) for event in found["events"]], found.get("next")

    def event(self, event_id: str) -> "Event":
        """One event."""
        from caxton.domain.events import Event

        return Event.model_validate(self._get(f"/v1/events/{segment(event_id)}"))

    def tail(self, *, cursor: str | None = None, **filters: Any) -> Iterator[StreamEvent]:
        """Events as they are written, forever; `data` of each is an :class:`Event`, its id a cursor."""
        return self._transport.stream("/v1/events/tail", params={"cursor": cursor, **filters})

    def export(self, *, after: int = 0, everything: bool = False, **filters: Any) -> Iterator[str]:
        """Events as JSON lines."""
        params = {"after": after, "everything": "true" if everything else None, **filters}
        return self._transport.lines("/v1/events/export", params=params)

    def verify_events(self, expect: str | None = None) -> Verification:
        """Verifies the customer's log; `expect` is an earlier head, SEQUENCE:HASH."""
        response = self._transport.request(
            "GET", "/v1/events/verify", params={"expect": expect}, timeout=VERIFY_TIMEOUT
        )
        return Verification.model_validate(response.json())

    def event_segments(self) -> SegmentList:
        """Segments of the customer's log that have left the database."""
        return SegmentList.model_validate(self._get("/v1/event-segments"))

    def tell_first_steps(self, events: list[dict[str, Any]]) -> None:
        """Hands in events that happened without a server; sent again, they are taken once."""
        self._transport.request("POST", "/v1/onboarding", json={"events": events}, idempotency_key=new_id("i"))

    def event_types(self) -> list[EventType]:
        """The catalogue of events."""
        return [EventType.model_validate(each) for each in self._get("/v1/events/types")["types"]]

    def views(self) -> dict[str, str]:
        """Lists the views of the log, and what each shows."""
        return dict(self._get("/v1/views")["views"])

    def view(self, name: str, key: str | None = None) -> ProjectedView:
        """A view of the log; one document of it with `key`."""
        return ProjectedView.model_validate(self._get(f"/v1/views/{segment(name)}", key=key))

    def rebuild_view(self, name: str) -> ProjectedView:
        """Drops a view, and builds it again from the log."""
        return ProjectedView.model_validate(self._post(f"/v1/views/{segment(name)}/rebuild", None))

    def metrics(self, *, since: str | None = None, until: str | None = None) -> list[MetricValue]:
        """Metrics that derive from events: of the last day, unless a span is given (ISO 8601 with a time zone)."""
        found = self._get("/v1/metrics", since=since, until=until)
        return [MetricValue.model_validate(each) for each in found["metrics"]]

    def define_metric(self, name: str, definition: Mapping[str, Any]) -> None:
        """Defines a metric: `count` and perhaps `per` (each with type and further conditions), `by`, `description`."""
        self._transport.request("PUT", f"/v1/metrics/{segment(name)}", json=definition)

    def remove_metric(self, name: str) -> None:
        """Removes a metric."""
        self._transport.request("DELETE", f"/v1/metrics/{segment(name)}")
