"""Views of the log, and metrics that derive from it."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from caxton.domain.errors import (
    DiskFull,
    EventsDetached,
    Hint,
    InvalidInput,
    InvalidState,
    NotFound,
    StoreUnavailable,
)
from caxton.domain.events import CATALOGUE, Event
from caxton.domain.events.governance import MetricDefined
from caxton.domain.events.system import ViewRebuilt
from caxton.domain.fair_lock import FairLock
from caxton.domain.ids import Scope, is_name, new_id
from caxton.domain.log_changes import LogNews
from caxton.domain.records import EventFilter, Records, Segment, Transaction
from caxton.projections.metrics import BUILT_IN, MetricDefinition, Selector, evaluate
from caxton.projections.projection import BATCH, Projection, begin_anew, catch_up, fold, look_ahead, write
from caxton.projections.statistics import summary
from caxton.projections.views import ACTIVITY, DIMENSIONS, PROJECTIONS
from caxton.recording.journal import note
from caxton.routing.similar import similar_names
from caxton.service.archive import ArchiveFiles
from caxton.service.at_once import AtOnce
from caxton.service.context import Caller
from caxton.views.event_log import MetricValue, ProjectedView

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a reader waits for a view to catch up with the log; then it sees how far the view is."""

BITE = 150
"""Events that views follow by in the background at once."""

REST = 9
"""How many times longer than a bite takes the background waits before the next one."""

LOOK_ANYWAY = 60.0
"""Seconds after which logs are looked at although nobody has told that one has grown."""

LONGEST_FOLLOW = 5.0
"""Seconds after which the next customer's views have their turn."""

MOST_METRICS = 200
"""Metrics that one workspace may define."""

LONGEST = timedelta(days=400)
"""The longest span of time that a metric is computed over."""


class Projections:
    """Use cases on views and metrics."""

    def __init__(self, records: Records, files: ArchiveFiles | None = None) -> None:
        """Keep views in `records`. Where one is built again, events that have left the database are read from `files`.

        Without files such a view stays as it is, until a process that has them builds it.
        """
        self.records = records
        self._metrics = FairLock()
        self._rebuilding = AtOnce(1, "rebuilds of a view")
        self._files = files
        self._seen: dict[str, int] = {}
        """How long each customer's log was when all views had it."""
        self._news: LogNews | None = None
        self._are_behind = True
        """Whether views are not known to have all of the logs."""

    async def show(self, caller: Caller, name: str, key: str | None = None) -> ProjectedView:
        """A view of the workspace; one document of it with `key`.

        Raises:
            NotFound: there is no such view.
        """
        projection = _projection(name)
        scope = caller.scope
        await self.follow(scope.customer, projection)

        def read(transaction: Transaction) -> ProjectedView:
            position, _ = transaction.document_position(scope.customer, projection.name)
            found = transaction.documents(scope, projection.name, None if key is None else [key])
            if key is not None and not found:
                raise NotFound(f'the view "{name}" has no "{key[:64]}"', details={"view": name, "key": key[:64]})
            head = transaction.event_head(scope.customer).sequence
            return ProjectedView(
                view=name,
                description=projection.description,
                as_of=position,
                behind=head - position,
                documents={each: _document(projection, document) for each, document in found.items()},
            )

        return await self.records.read(read)

    async def rebuild(self, caller: Caller, name: str) -> ProjectedView:
        """Drops a view of the customer and builds it again from the log.

        Raises:
            NotFound: there is no such view.
            Overloaded: the customer has another one rebuilt.
        """
        projection = _projection(name)
        await self._require_archive(caller.scope.customer, behind=0)
        with self._rebuilding.one(caller.scope.customer):
            await self._drop(caller, projection)
            return await self.show(caller, name)

    async def _drop(self, caller: Caller, projection: Projection) -> None:
        name, customer = projection.name, caller.scope.customer

        def drop(transaction: Transaction) -> None:
            position, _ = transaction.document_position(customer, projection.name, hold=True)
            transaction.drop_documents(customer, projection.name)
            told = ViewRebuilt(view=name, dropped_at=position)
            transaction.add_events(caller.scope, [note(caller.scope, told, new_id("view"), actor=caller.actor)])

        await self.records.write(drop)

    async def follow(self, customer: str, projection: Projection, patience: float = PATIENCE) -> None:
        """Lets a view catch up with the log, for so many seconds at most.

        A store that takes no writes just now keeps nobody from reading: the view stays as it is.
        """
        deadline = time.monotonic() + patience
        if not await self.records.read(lambda transaction: _is_behind(transaction, customer, projection)):
            return
        try:
            await self._from_archive(customer, projection)
            while await self.records.write(lambda transaction: catch_up(transaction, customer, projection)) == BATCH:
                if time.monotonic() > deadline:
                    return
        except (StoreUnavailable, DiskFull) as error:
            log.warning("the view %s stays behind the log: %s", projection.name, error.message)

    async def follow_growth(self) -> None:
        """Waits until a log has grown, and lets all views catch up, unless some are behind anyway."""
        if self._news is None:
            self._news = LogNews(self.records.log_changes)
        if not self._are_behind:
            await self._news.wait(LOOK_ANYWAY)
        await self.follow_all()

    async def follow_all(self) -> None:
        """Lets all views of all customers catch up, so that readers do not have to wait. Messages go first.

        It takes small bites, and rests much longer than it works: under load, views may fall behind (they say how far).
        """
        heads = await self.records.read(lambda transaction: transaction.customers_with_events())
        self._are_behind, all_follow = True, True
        for customer, head in heads.items():
            if self._seen.get(customer) == head:
                continue
            if await self._follow_quietly(customer):
                self._seen[customer] = head
            else:
                all_follow = False
        self._are_behind = not all_follow

    async def _follow_quietly(self, customer: str) -> bool:
        """Lets all views of a customer catch up. Returns whether they have."""
        end = time.monotonic() + LONGEST_FOLLOW
        while time.monotonic() < end:
            began = time.monotonic()
            found, events = await self.records.read(
                lambda transaction: look_ahead(transaction, customer, PROJECTIONS.values(), BITE)
            )
            if found:
                await self.records.write(lambda transaction, found=found: write(transaction, customer, found))
            if events < BITE:
                return not await self._renew(customer)
            await asyncio.sleep(REST * (time.monotonic() - began))
        return False

    async def _renew(self, customer: str) -> bool:
        """Begins views again that an older version of Caxton made, or none yet. Returns whether there were any."""

        def old(transaction: Transaction) -> list[Projection]:
            versions = {name: transaction.document_position(customer, name)[1] for name in PROJECTIONS}
            return [each for name, each in PROJECTIONS.items() if versions[name] != each.version]

        found = await self.records.read(old)
        for projection in found:
            try:
                await self._from_archive(customer, projection)
            except EventsDetached as error:
                log.warning("the view %s is not built again: %s", projection.name, error.message)
                return False
            await self.records.write(
                lambda transaction, projection=projection: begin_anew(transaction, customer, projection)
            )
        return bool(found)

    async def _require_archive(self, customer: str, behind: int) -> list[Segment]:
        """Segments that a view is built from which has read the log up to `behind`.

        Raises:
            EventsDetached: files of some are not in the archive.
        """
        if self._files is None:
            return []
        segments = await self.records.read(lambda transaction: transaction.segments(customer))
        wanted = [segment for segment in segments if segment.head.last > behind]
        missing = self._files.missing(customer, [segment.file for segment in wanted])
        if missing:
            raise EventsDetached(
                f"the view is built from events that left the database with {len(wanted)} segments, and of those "
                f"{len(missing)} are not in {self._files.root / customer}: {', '.join(missing[:3])}"
                + (" …" if len(missing) > 3 else ""),
                "bring the files back to that folder",
                details={"files": missing[:100]},
            )
        return wanted

    async def _from_archive(self, customer: str, projection: Projection) -> None:
        """Folds events that have left the database into a view that has not read them.

        Raises:
            EventsDetached: their files are not in the archive; then the view stays as it is.
        """

        def look(transaction: Transaction) -> tuple[int, int]:
            position, version = transaction.document_position(customer, projection.name)
            return position if version == projection.version else 0, transaction.detached_to(customer)

        position, detached = await self.records.read(look)
        if position >= detached or self._files is None:
            return
        segments = await self._require_archive(customer, position)
        position = await self.records.write(lambda transaction: begin_anew(transaction, customer, projection))
        for segment in segments:
            while position < segment.head.last:
                events = await asyncio.to_thread(self._files.read, customer, segment.file, position, BATCH)

                def go_on(transaction: Transaction, position: int = position, events: list[Event] = events) -> int:
                    write(transaction, customer, [fold(transaction, customer, projection, position, events)])
                    return transaction.document_position(customer, projection.name)[0]

                position = await self.records.write(go_on)

    # --- metrics ---

    async def metrics(self, caller: Caller, since: datetime | None, until: datetime | None) -> list[MetricValue]:
        """All metrics of the workspace over a span of whole hours: the last day, unless it is given.

        Raises:
            InvalidInput: the span is none, or too long.
        """
        until = until or datetime.now(UTC)
        since = since or until - timedelta(days=1)
        if since >= until or until - since > LONGEST:
            raise InvalidInput(f"`since` must come before `until`, by {LONGEST.days} days at most")
        scope = caller.scope
        await self.follow(scope.customer, ACTIVITY)

        def read(transaction: Transaction) -> list[MetricValue]:
            hours = [
                document["counts"]
                for document in transaction.documents(scope, ACTIVITY.name, _hours(since, until)).values()
            ]
            definitions = {**BUILT_IN, **_definitions(transaction, scope)}
            return [evaluate(name, definition, hours) for name, definition in definitions.items()]

        async with self._metrics.turn(scope.customer):
            return await self.records.read(read)

    async def define(self, caller: Caller, name: str, definition: MetricDefinition) -> MetricDefinition:
        """Defines a metric of the workspace, from all events that there are. The definition is in the log.

        Raises:
            InvalidInput: the name or an event type is not possible.
            InvalidState: there are too many.
        """
        if name in BUILT_IN:
            raise InvalidInput(f'"{name}" is built in', "take another name")
        if not is_name(name):
            raise InvalidInput(f'"{name[:64]}" cannot be the name of a metric', "take lower-case letters, digits and -")
        for selector in (definition.count, definition.per):
            if selector is not None and selector.type not in CATALOGUE:
                similar = similar_names(selector.type, CATALOGUE)
                hints = [f'did you mean "{similar[0]}"?'] if similar else []
                raise InvalidInput(
                    f'there is no event type "{selector.type}"',
                    *hints,
                    Hint(text="see all of them", command="caxton events types"),
                )
            if selector is not None:
                _check_dimensions(selector, definition.by)

        def put(transaction: Transaction) -> None:
            known = _definitions(transaction, caller.scope)
            if name not in known and len(known) >= MOST_METRICS:
                raise InvalidState(f"a workspace has {MOST_METRICS} metrics at most", "remove some")
            _tell(transaction, caller, name, definition)

        await self.records.write(put)
        return definition

    async def remove(self, caller: Caller, name: str) -> None:
        """Removes a metric's definition.

        Raises:
            NotFound: the workspace has no such metric.
        """

        def drop(transaction: Transaction) -> bool:
            if name not in _definitions(transaction, caller.scope):
                return False
            _tell(transaction, caller, name, None)
            return True

        if not await self.records.write(drop):
            raise NotFound(
                f'there is no metric "{name[:64]}" of this workspace',
                Hint(text="see which there are", command="caxton metrics list"),
            )


def _check_dimensions(selector: Selector, by: str | None) -> None:
    """Refuses what events of that type never have: such a metric could only be zero."""
    fields = CATALOGUE[selector.type].model_fields
    for name in ("action_type", "tool"):
        if (getattr(selector, name) is not None or by == name) and name not in fields:
            raise InvalidInput(
                f'events of type "{selector.type}" have no {name}', "leave it out, or count another type"
            )


def _is_behind(transaction: Transaction, customer: str, projection: Projection) -> bool:
    position, version = transaction.document_position(customer, projection.name)
    return version != projection.version or position < transaction.event_head(customer).sequence


def _projection(name: str) -> Projection:
    found = PROJECTIONS.get(name)
    if found is None:
        similar = similar_names(name, PROJECTIONS)
        hints = [f'did you mean "{similar[0]}"?'] if similar else []
        raise NotFound(
            f'there is no view "{name[:64]}"; there are {", ".join(sorted(PROJECTIONS))}',
            *hints,
            details={"view": name[:64], "views": sorted(PROJECTIONS)},
        )
    return found


def _document(projection: Projection, document: Any) -> Any:
    if projection is not ACTIVITY:
        return _shown(document)
    counts: list[dict[str, Any]] = []
    for key, number in sorted(document["counts"].items()):
        values = zip(DIMENSIONS, key.split("\x1f"), strict=True)
        counts.append({**{name: value for name, value in values if value}, "count": number})
    return {"counts": counts}


def _shown(document: Any) -> Any:
    """Documents as people want them: percentiles in place of buckets."""
    if isinstance(document, dict):
        found: dict[str, Any] = {}
        for key, value in document.items():  # pyright: ignore[reportUnknownVariableType]
            if key == "times":
                found |= summary(value)  # pyright: ignore[reportUnknownArgumentType]
            else:
                found[str(key)] = _shown(value)  # pyright: ignore[reportUnknownArgumentType]
        return found
    return document


def _hours(since: datetime, until: datetime) -> list[str]:
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found: list[str] = []
    while hour < until:
        found.append(hour.strftime("%Y-%m-%dT%H"))
        hour += timedelta(hours=1)
    return found


def _definitions(transaction: Transaction, scope: Scope) -> dict[str, MetricDefinition]:
    """The workspace's own metrics: what the log says last of each."""
    wanted = EventFilter(types=frozenset({MetricDefined.event_type}))
    found: dict[str, MetricDefinition] = {}
    for event in transaction.events(scope, wanted, limit=10_000):
        name, definition = str(event.payload["name"]), event.payload.get("definition")
        found.pop(name, None)
        if definition is not None:
            found[name] = MetricDefinition.model_validate(definition)
    return found


def _tell(transaction: Transaction, caller: Caller, name: str, definition: MetricDefinition | None) -> None:
    told = MetricDefined(
        name=name, definition=definition.model_dump(mode="json", exclude_none=True) if definition else None
    )
    transaction.add_events(caller.scope, [note(caller.scope, told, new_id("metric"), actor=caller.actor)])
