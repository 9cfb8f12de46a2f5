"""Collections of the Qdrant back end: made when first written to, one for each kind of row of each place.

Without an address the client keeps everything in this process (its local mode). That is for one process and one thread at a time,
so a lock stands around it.
"""

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from caxton.adapters.memory.lance_rows import VECTOR
from caxton.adapters.memory.qdrant_options import Server
from caxton.adapters.memory.qdrant_points import point_id
from caxton.domain.errors import Hint, MemoryUnavailable
from caxton.domain.memory_port import Place

log = logging.getLogger(__name__)

T = TypeVar("T")
Name = Literal["entities", "relations"]
NAMES: tuple[Name, ...] = ("entities", "relations")

PAGE = 500
"""Points read at once."""

BATCH = 8 << 20
"""Bytes written at once, about: servers take 32 MB."""

WORDS = "words"
"""The sparse vector of an entity's words."""

OLDEST_SERVER = (1, 18)
"""Older ones cannot add the vectors of another embedder, and take no notice of the condition under which a point is replaced."""

INDICES: dict[Name, dict[str, str]] = {
    "entities": {"scope": "keyword", "type": "keyword", "facts": "keyword", "updated_at": "integer", "odd": "bool"},
    "relations": {"source": "keyword", "target": "keyword", "type": "keyword"},
}
"""Fields with conditions."""


class _GoneError(Exception):
    """The collection is not as it was: another process removed it, or it never had our vectors."""

    def __init__(self, told: MemoryUnavailable) -> None:
        super().__init__(told.message)
        self.told = told


class Collections:
    """The collections of all places."""

    def __init__(self, folder: Path, column: str, dimensions: int, server: Server | None) -> None:
        """Connect to `server` when something is first asked; open `folder` now, if there is none.

        Raises:
            MemoryUnavailable: another process has the folder open.
        """
        self.models: Any = import_module("qdrant_client.models")
        self.column = column
        self.dimensions = dimensions
        self.remote = server is not None
        self._prefix = server.prefix if server else "caxton"
        self._folder = folder
        self._where = urlsplit(server.url).hostname if server else None
        self._known: set[str] = set()
        self._checked = not self.remote
        self._lock: AbstractContextManager[Any] = nullcontext() if self.remote else threading.RLock()
        self._failures = _failures(self.remote)
        self.client: Any = self._told(lambda: _client(folder, server))

    def run(self, place: Place, name: Name, work: Callable[[str], T], missing: T, *, create: bool = False) -> T:
        """What `work` makes of the name of a collection; `missing` where there is none.

        Raises:
            MemoryUnavailable: Qdrant does not answer, or refuses.
        """
        collection = self.name(place, name)
        for attempt in range(2):
            try:
                with self._lock:
                    return self._told(lambda: work(collection)) if self._ready(collection, name, create) else missing
            except _GoneError as error:
                self._known.discard(collection)
                if attempt:
                    raise error.told from None
        raise AssertionError("unreachable")

    # --- points ---

    def upsert(self, place: Place, name: Name, points: Sequence[Any], **condition: Any) -> None:
        """Writes points, on a condition if there is one. They can be found when this returns."""
        for batch in _batches(points):
            self.run(
                place,
                name,
                lambda collection, batch=batch: self.client.upsert(collection, batch, wait=True, **condition),
                None,
                create=True,
            )

    def delete(self, place: Place, name: Name, condition: Any) -> int:
        """Removes points. Returns how many there were."""
        present = self.count(place, name, condition)
        if present:
            selector = self.models.FilterSelector(filter=condition)
            self.run(place, name, lambda collection: self.client.delete(collection, selector, wait=True), None)
        return present

    def count(self, place: Place, name: Name, condition: Any = None) -> int:
        """How many points are meant."""
        return self.run(
            place,
            name,
            lambda collection: int(self.client.count(collection, count_filter=condition, exact=True).count),
            0,
        )

    def retrieve(self, place: Place, name: Name, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Payload of those of the points that exist."""
        rows: list[dict[str, Any]] = []
        for start in range(0, len(ids), PAGE):
            part = [point_id(identity) for identity in ids[start : start + PAGE]]
            rows += self.run(
                place,
                name,
                lambda collection, part=part: [point.payload for point in self.client.retrieve(collection, part)],
                list[dict[str, Any]](),
            )
        return rows

    def scroll(
        self,
        place: Place,
        name: Name,
        condition: Any,
        fields: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        start: str | None = None,
    ) -> list[dict[str, Any]]:
        """Payload of the points that are meant, in the order of their ids, from `start`."""
        rows: list[dict[str, Any]] = []
        chosen = list(fields) if fields else True
        while limit is None or len(rows) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(rows))
            found, start = self.run(
                place,
                name,
                lambda collection, size=size, start=start: self.client.scroll(
                    collection, scroll_filter=condition, limit=size, offset=start, with_payload=chosen
                ),
                (list[Any](), None),
            )
            rows += [point.payload for point in found]
            if start is None:
                break
        return rows

    # --- places ---

    def name(self, place: Place, name: Name) -> str:
        """The collection's name. Names of customers and workspaces have no dot, but for the one that begins ".global"."""
        place.check()
        return f"{self._prefix}.{place.customer}.{place.workspace}.{name}"

    def forget(self, place: Place) -> None:
        """Removes the collections of a place."""
        for name in NAMES:
            collection = self.name(place, name)
            with self._lock:
                self._known.discard(collection)
                with suppress(_GoneError):
                    self._told(lambda collection=collection: self.client.delete_collection(collection))

    def size(self, place: Place) -> int:
        """Bytes on this machine's disk; a server does not tell."""
        if self.remote:
            return 0
        files = (file for name in NAMES for file in self._path(self.name(place, name)).rglob("*"))
        return sum(file.stat().st_size for file in files if file.is_file())

    def settle(self, place: Place) -> None:
        """Takes deleted content out of the files of the local mode; a server does that itself."""
        if self.remote:
            return
        for name in NAMES:
            file = self._path(self.name(place, name)) / "storage.sqlite"
            with self._lock:
                if file.is_file():
                    self._told(lambda file=file: _vacuum(file))

    def drop_old_vectors(self, place: Place) -> None:
        """Removes the vectors of embedders that are used no more."""

        def drop(collection: str) -> None:
            vectors = self.client.get_collection(collection).config.params.vectors
            for old in [each for each in vectors if each.startswith(VECTOR) and each != self.column]:
                self.client.delete_vector_name(collection, old)

        self.run(place, "entities", drop, None)

    def check(self) -> None:
        """Whether a server answers; this process does.

        Raises:
            MemoryUnavailable: it does not, or is too old.
        """
        if self.remote:
            self._check_version()

    def close(self) -> None:
        """Ends the connection, or lets other processes open the folder."""
        with self._lock:
            self.client.close()

    def _path(self, collection: str) -> Path:
        return self._folder / "collection" / collection

    # --- making ---

    def _ready(self, collection: str, name: Name, create: bool) -> bool:
        """Whether the collection is there, with all that it needs."""
        if collection in self._known:
            return True
        if not self._checked:
            self._check_version()
        if not self._told(lambda: self.client.collection_exists(collection)):
            if not create:
                return False
            try:
                self._told(lambda: self._create(collection, name))
            except MemoryUnavailable:  # another process may have been faster
                if not self._told(lambda: self.client.collection_exists(collection)):
                    raise
        self._told(lambda: self._complete(collection, name))
        self._known.add(collection)
        return True

    def _create(self, collection: str, name: Name) -> None:
        models = self.models
        words = {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)}
        vectors = {self.column: models.VectorParams(size=self.dimensions, distance=models.Distance.COSINE)}
        self.client.create_collection(
            collection,
            vectors_config=vectors if name == "entities" else {},
            sparse_vectors_config=words if name == "entities" else None,
        )

    def _complete(self, collection: str, name: Name) -> None:
        """Adds what is missing: our embedder's vectors, and indices that a killed process did not come to."""
        models = self.models
        found = self.client.get_collection(collection)
        if name == "entities" and self.column not in (found.config.params.vectors or {}):
            config = models.DenseVectorConfig(size=self.dimensions, distance=models.Distance.COSINE)
            self.client.create_vector_name(collection, self.column, models.DenseVectorNameConfig(dense=config))
        if self.remote:  # the local mode has no indices
            for field, kind in INDICES[name].items():
                if field not in found.payload_schema:
                    self.client.create_payload_index(collection, field, models.PayloadSchemaType(kind))

    def _check_version(self) -> None:
        told: str = self._told(self.client.info).version
        numbers = re.match(r"(\d+)\.(\d+)", told)
        if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_SERVER:
            raise MemoryUnavailable(
                f"Qdrant {told} is too old for the memory",
                Hint(text=f"upgrade it to {'.'.join(map(str, OLDEST_SERVER))} or newer"),
            )
        self._checked = True

    # --- failing ---

    def _told(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except self._failures as error:
            raise self._reported(error) from None  # what it says may quote the request

    def _reported(self, error: Exception) -> Exception:
        if not self.remote:
            if "already accessed" in str(error):
                return MemoryUnavailable(
                    "another process has the memory open",
                    "Qdrant without a server is for one process: set url in [memory.options]",
                )
            return MemoryUnavailable(
                "the memory cannot be used", reason=f"{type(error).__name__} in Qdrant's local mode"
            )
        status = getattr(error, "status_code", None)
        source = getattr(error, "source", error)
        reason = f"{self._where}: " + (f"HTTP {status}" if status else type(source).__name__)
        if status in (401, 403):
            hint = "set api_key in [memory.options] to a reference to its key, such as env:QDRANT_API_KEY"
            return MemoryUnavailable("Qdrant refuses the key", hint, reason=reason)
        if status in (400, 404):
            return _GoneError(MemoryUnavailable("Qdrant refuses the request", reason=reason))
        hint = "look whether it runs, and whether url in [memory.options] is its address"
        return MemoryUnavailable(
            "Qdrant does not answer", hint, reason=reason, retry_after=getattr(error, "retry_after_s", None)
        )


def _client(folder: Path, server: Server | None) -> Any:
    made: Any = import_module("qdrant_client").QdrantClient
    if server is None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return made(path=str(folder), force_disable_check_same_thread=True)  # threads take turns, by our lock
    # As a header, because the client prints a warning for a key without TLS; and we look at the version ourselves.
    headers = {"api-key": server.key.get_secret_value()} if server.key else None
    return made(url=server.url, headers=headers, timeout=server.timeout, check_compatibility=False)


def _failures(remote: bool) -> tuple[type[Exception], ...]:
    if not remote:
        return (ValueError, KeyError, RuntimeError, OSError, sqlite3.Error)
    api: Any = import_module("qdrant_client.http.exceptions").ApiException
    other: Any = import_module("qdrant_client.common.client_exceptions").QdrantException
    return (api, other)


def _vacuum(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM")


def _batches(points: Sequence[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for point in points:
        # A number takes about 20 bytes as JSON, and there are a few vectors.
        weight = len(str(point.payload)) * 3 + 20 * sum(
            len(getattr(each, "values", each)) for each in point.vector.values()
        )
        if batch and size + weight > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += weight
    if batch:
        yield batch
