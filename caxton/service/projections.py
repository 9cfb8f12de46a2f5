"""Views of the log, and metrics that derive from it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from caxton.activities.journal import note
from caxton.domain.errors import Hint, InvalidInput, InvalidState, NotFound
from caxton.domain.events import CATALOGUE
from caxton.domain.events.governance import MetricDefined
from caxton.domain.ids import Scope, is_name, new_id
from caxton.domain.records import EventFilter, Records, Transaction
from caxton.projections.metrics import BUILT_IN, MetricDefinition, MetricValue, Selector, evaluate
from caxton.projections.projection import BATCH, Projection, begin_anew, catch_up, look_ahead, write
from caxton.projections.statistics import summary
from caxton.projections.views import ACTIVITY, DIMENSIONS, PROJECTIONS
from caxton.routing.similar import similar_names
from caxton.service.context import Caller, Role

PATIENCE = 5.0
"""Seconds that a reader waits for a view to catch up with the log; then it sees how far the view is."""

BITE = 150
"""Events that views follow by in the background at once."""

REST = 9
"""How many times longer than a bite takes the background waits before the next one."""

LONGEST_FOLLOW = 5.0
"""Seconds after which the next customer's views have their turn."""

MOST_METRICS = 200
"""Metrics that one workspace may define."""

LONGEST = timedelta(days=400)
"""The longest span of time that a metric is computed over."""


class ProjectedView(BaseModel):
    """A view of the log."""

    view: str
    description: str
    as_of: int
    """The last event of the log that is in it."""
    behind: int
    """Events that are not in it yet."""
    documents: dict[str, Any]


class Projections:
    """Use cases on views and metrics."""

    def __init__(self, records: Records) -> None:
        """Keep views in `records`."""
        self.records = records
        self._seen: dict[str, int] = {}
        """How long each customer's log was when all views had it."""

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
            NotPermitted: the caller is no operator.
        """
        caller.require(Role.OPERATOR)
        projection = _projection(name)
        customer = caller.scope.customer
        await self.records.write(lambda transaction: transaction.drop_documents(customer, projection.name))
        return await self.show(caller, name)

    async def follow(self, customer: str, projection: Projection, patience: float = PATIENCE) -> None:
        """Lets a view catch up with the log, for so many seconds at the most."""
        deadline = time.monotonic() + patience
        while await self.records.write(lambda transaction: catch_up(transaction, customer, projection)) == BATCH:
            if time.monotonic() > deadline:
                return

    async def follow_all(self) -> None:
        """Lets all views of all customers catch up, so that readers do not have to wait. Messages go first.

        It takes small bites, and rests much longer than it works: under load, views may fall behind (they say how far).
        """
        heads = await self.records.read(lambda transaction: transaction.customers_with_events())
        for customer, head in heads.items():
            if self._seen.get(customer) != head and await self._follow_quietly(customer):
                self._seen[customer] = head

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
        """Begins views anew that an older version of Caxton made, or none yet. Returns whether there were any."""

        def old(transaction: Transaction) -> list[Projection]:
            versions = {name: transaction.document_position(customer, name)[1] for name in PROJECTIONS}
            return [each for name, each in PROJECTIONS.items() if versions[name] != each.version]

        found = await self.records.read(old)
        for projection in found:
            await self.records.write(
                lambda transaction, projection=projection: begin_anew(transaction, customer, projection)
            )
        return bool(found)

    # --- metrics ---

    async def metrics(self, caller: Caller, since: datetime | None, until: datetime | None) -> list[MetricValue]:
        """All metrics of the workspace over a span of whole hours: the last day, unless it is given.

        Raises:
            InvalidInput: the span is none, or too long.
        """
        until = until or datetime.now(UTC)
        since = since or until - timedelta(days=1)
        if since >= until or until - since > LONGEST:
            raise InvalidInput(f"`since` must come before `until`, by {LONGEST.days} days at the most")
        scope = caller.scope
        await self.follow(scope.customer, ACTIVITY)

        def read(transaction: Transaction) -> list[MetricValue]:
            hours = [
                document["counts"]
                for document in transaction.documents(scope, ACTIVITY.name, _hours(since, until)).values()
            ]
            definitions = {**BUILT_IN, **_definitions(transaction, scope)}
            return [evaluate(name, definition, hours) for name, definition in definitions.items()]

        return await self.records.read(read)

    async def define(self, caller: Caller, name: str, definition: MetricDefinition) -> MetricDefinition:
        """Defines a metric of the workspace, from all events that there are. The definition is in the log.

        Raises:
            InvalidInput: the name or an event type is not possible.
            InvalidState: there are too many.
        """
        caller.require(Role.OPERATOR)
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
                raise InvalidState(f"a workspace has {MOST_METRICS} metrics at the most", "remove some")
            _tell(transaction, caller, name, definition)

        await self.records.write(put)
        return definition

    async def remove(self, caller: Caller, name: str) -> None:
        """Removes a metric's definition.

        Raises:
            NotFound: the workspace has no such metric.
        """
        caller.require(Role.OPERATOR)

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
