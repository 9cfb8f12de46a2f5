"""Tables of the LanceDB back end: opened when used, one writer a place at a time, repaired when an index is damaged.

Damaged indices are dropped and built again; damaged data is told. LanceDB keeps old versions of its files for readers that are
in progress, so what was deleted leaves the disk when a place has been maintained twice, a minute apart.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from caxton.adapters.memory import lance_maintenance
from caxton.adapters.memory.lance_rows import VECTOR, entity_schema, relation_schema, vector_field
from caxton.domain.errors import Hint, MemoryUnavailable
from caxton.domain.ids import digest_of, is_name
from caxton.domain.memory_port import GLOBAL_PLACE, Place, is_place

log = logging.getLogger(__name__)

T = TypeVar("T")
WORDS_INDEX = "words_of_all_languages"
"""The full-text index; its name says how it finds words."""

Name = Literal["entities", "relations"]
NAMES: tuple[Name, ...] = ("entities", "relations")

INDEX_FROM = 5_000
"""Entities from which a vector index is worth it: below, looking at all of them is as fast."""

OPEN_TABLES = 512
"""Tables that stay open; the one that was not used for longest is closed."""

KEPT_OF_FILES = 16 << 20
"""Bytes that all tables together keep of what they know of their files. LanceDB's own limit is a gigabyte for each, and every
write adds 36 KB: 6,000 memories that come one by one would leave 200 MB."""

KEPT_OF_INDICES = 1 << 30
"""Bytes that they keep of indices: 24 MB for 100,000 vectors."""

ATTEMPTS = 10
"""A write that met maintenance, or a writer without our lock, is tried again."""

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process's write."""

WRITES_BEFORE_MAINTENANCE = 32
"""Each write leaves a small file, and a search looks into all of them."""

SECONDS_BEFORE_MAINTENANCE = 30.0

OLD_VERSIONS = timedelta(minutes=1)
"""How long readers may go on with files that have been replaced."""

_FAILURES = (OSError, RuntimeError, ValueError)
"""What LanceDB raises, whatever went wrong."""


@dataclass
class _Open:
    table: Any
    identity: int
    """Of the folder: another process may have removed the place, and begun it again."""


@dataclass
class _Unsettled:
    writes: int = 0
    since: float = field(default_factory=time.monotonic)


class Tables:
    """The tables of all places below a folder."""

    def __init__(self, root: Path, column: str, dimensions: int) -> None:
        """Keep tables below `root`; `column` is the one of the vectors in use."""
        self.root = root
        self.column = column
        self.dimensions = dimensions
        self._open: OrderedDict[tuple[Place, Name], _Open] = OrderedDict()
        self._guard = threading.Lock()
        self._stripes: dict[str, tuple[threading.RLock, Any]] = {}
        self._unsettled: dict[Place, _Unsettled] | None = None
        self._maintenance: subprocess.Popen[str] | None = None
        self._caches: Any = None
        self._closing = False

    @property
    def kept(self) -> int:
        """Bytes that LanceDB keeps of files and indices."""
        return self._caches.size_bytes if self._caches is not None else 0

    def folder(self, place: Place) -> Path:
        """Where the tables of a place are."""
        place.check()
        return self.root / place.customer / place.workspace

    def read(self, place: Place, name: Name, work: Callable[[Any], T], missing: T) -> T:
        """What `work` reads of a table; `missing` where there is none.

        Raises:
            MemoryUnavailable: it cannot be read, also not with its indices built again.
        """
        table = self.table(place, name)
        if table is None:
            return missing
        try:
            return work(table)
        except _FAILURES as error:
            table = self._mended(place, name, error)
        return missing if table is None else _told(place, "read", lambda: work(table))

    def write(self, place: Place, name: Name, work: Callable[[Any], T]) -> T:
        """Writes to a table, which is made where there is none; one writer a place at a time, over all processes.

        Raises:
            MemoryUnavailable: it cannot be written.
        """
        with self.lock(place):
            self.note_change(place)
            table = self.table(place, name, create=True)
            try:
                return _repeated(lambda: work(table))
            except _FAILURES as error:
                table = self._mended(place, name, error) or self.table(place, name, create=True)
            return _told(place, "written", lambda: work(table))

    @contextmanager
    def lock(self, place: Place) -> Generator[None]:
        """Nobody else writes to the place meanwhile."""
        stripe = digest_of(f"{place.customer}/{place.workspace}".encode())[:2]  # no name of a place outlives it
        with self._guard:
            if stripe not in self._stripes:
                folder = self.root / ".locks"
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock = import_module("filelock").FileLock(folder / stripe, thread_local=False)
                self._stripes[stripe] = threading.RLock(), lock
            threads, processes = self._stripes[stripe]
        with threads:
            try:
                processes.acquire(timeout=LOCK_TIMEOUT, poll_interval=0.002)
            except TimeoutError:
                raise MemoryUnavailable("the memory is being written by another process", retry_after=1.0) from None
            try:
                yield
            finally:
                processes.release()

    def table(self, place: Place, name: Name, *, create: bool = False) -> Any:
        """The table, or None where there is none.

        Raises:
            MemoryUnavailable: it cannot be opened.
        """
        path = self.folder(place) / f"{name}.lance"
        identity = _identity(path)
        if identity is None and not create:
            self._close(place, name)
            return None
        key = (place, name)
        with self._guard:
            known = self._open.get(key)
            if known is not None and known.identity == identity:
                self._open.move_to_end(key)
                return known.table
        with self.lock(place):
            table = _told(place, "opened", lambda: self._prepare(place, name))
        with self._guard:
            self._open[key] = _Open(table, _identity(path) or 0)
            if len(self._open) > OPEN_TABLES:
                self._open.popitem(last=False)
        return table

    def forget(self, place: Place) -> None:
        """Removes the folder of a place: with all old versions and indices."""
        with self.lock(place):
            for name in NAMES:
                self._close(place, name)
            shutil.rmtree(self.folder(place), ignore_errors=True)
            with self._guard:
                if self._unsettled is not None:
                    self._unsettled.pop(place, None)

    def check(self) -> None:
        """Whether the folder can be used, or made.

        Raises:
            MemoryUnavailable: it cannot.
        """
        present = next(each for each in (self.root, *self.root.parents) if each.exists())
        if not present.is_dir() or not os.access(present, os.R_OK | os.W_OK | os.X_OK):
            raise MemoryUnavailable("the folder of the memory cannot be used", "look who may write to it")

    def close(self) -> None:
        """Gives open tables up, and ends maintenance: it goes on another time."""
        self._closing = True
        if self._maintenance is not None and self._maintenance.poll() is None:
            self._maintenance.terminate()
        with self._guard:
            self._open.clear()

    # --- maintenance ---

    def unsettled(self) -> list[Place]:
        """Places to maintain: at first all, for nobody knows how the last process ended; then those with enough writes."""
        with self._guard:
            if self._unsettled is None:
                self._unsettled = {place: _Unsettled() for place in self._places()}
                return list(self._unsettled)
            now = time.monotonic()
            return [
                place
                for place, found in self._unsettled.items()
                if found.writes >= WRITES_BEFORE_MAINTENANCE or now - found.since >= SECONDS_BEFORE_MAINTENANCE
            ]

    def maintain(self, place: Place) -> None:
        """Builds and merges indices, compacts, takes deleted content out of the files: in a process of its own."""
        with self._guard:
            found = (self._unsettled or {}).pop(place, None)
        removed = False
        for name in NAMES:
            table = self.table(place, name)
            if table is not None:
                removed |= self._maintain(place, name, table)
        # What this replaced can be removed when nobody reads it; then there is nothing more to do.
        if (removed or (found is not None and found.writes)) and self._unsettled is not None:
            again = _Unsettled(since=time.monotonic() + OLD_VERSIONS.total_seconds() - SECONDS_BEFORE_MAINTENANCE)
            with self._guard:
                self._unsettled.setdefault(place, again)

    def _maintain(self, place: Place, name: Name, table: Any) -> bool:
        """Returns whether anything was there to do."""
        before = table.version
        if name == "entities":
            self._drop_old_vectors(place, table)
        failed = self._run_maintenance(place, name)
        if failed and not self._closing:
            log.warning("a place of memory could not be maintained, and is tried again: %s", failed)
            self._mended(place, name, OSError(failed))
            self.note_change(place)
        return table.version != before

    def _run_maintenance(self, place: Place, name: Name) -> str:
        """Returns what went wrong, if anything did."""
        path = self.folder(place) / f"{name}.lance"
        command = [sys.executable, "-m", lance_maintenance.__name__, str(path), "--index-from", str(INDEX_FROM)]
        command += ["--old-versions", str(OLD_VERSIONS.total_seconds())]
        if name == "entities":
            command += ["--column", self.column]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            self._maintenance = process
            if self._closing:
                process.terminate()
            _, told = process.communicate()
        lines = told.strip().splitlines()
        return (lines[-1][:300] if lines else f"exit code {process.returncode}") if process.returncode else ""

    def _drop_old_vectors(self, place: Place, table: Any) -> None:
        """Columns of embedders that are used no more, once every entity was embedded again."""
        old = [name for name in table.schema.names if name.startswith(VECTOR) and name != self.column]
        if old and not table.count_rows(f"{self.column} IS NULL"):
            with self.lock(place):
                _repeated(lambda: table.drop_columns(old))

    def vector_index(self, table: Any) -> Any:
        """The index of the vectors in use, or None."""
        return next((index for index in table.list_indices() if index.columns == [self.column]), None)

    def note_change(self, place: Place) -> None:
        """Something was written, or is to be."""
        with self._guard:
            if self._unsettled is not None:
                self._unsettled.setdefault(place, _Unsettled()).writes += 1

    def note_access(self, place: Place) -> None:
        """Something was read, which is to be written down some time: it costs searches nothing meanwhile."""
        with self._guard:
            if self._unsettled is not None:
                self._unsettled.setdefault(place, _Unsettled())

    def _places(self) -> Iterator[Place]:
        customers = sorted(self.root.iterdir()) if self.root.is_dir() else []
        for customer in customers:
            if is_name(customer.name):
                yield from (
                    Place(customer.name, each.name) for each in sorted(customer.iterdir()) if is_place(each.name)
                )

    # --- opening and repairing ---

    def _prepare(self, place: Place, name: Name) -> Any:
        lancedb = _lancedb()
        folder = self.folder(place)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Every read looks whether another process has written, for memories that can be found at once.
        self._caches = self._caches or lancedb.Session(
            index_cache_size_bytes=KEPT_OF_INDICES, metadata_cache_size_bytes=KEPT_OF_FILES
        )
        database = lancedb.connect(folder, read_consistency_interval=timedelta(0), session=self._caches)
        if (folder / f"{name}.lance").is_dir():
            table = database.open_table(name)
        else:
            schema = entity_schema(self.column, self.dimensions) if name == "entities" else relation_schema()
            table = database.create_table(name, schema=schema)
        if name == "entities" and self.column not in table.schema.names:
            table.add_columns([vector_field(self.column, self.dimensions)])
        self._build_column_indices(table, name)
        return table

    def _build_column_indices(self, table: Any, name: Name) -> None:
        from lancedb.index import FTS, Bitmap, BTree

        indices = table.list_indices()
        # Those of earlier versions knew words by their spaces alone.
        stale = [index for index in indices if index.columns == ["text"] and index.name != WORDS_INDEX]
        for index in stale:
            table.drop_index(index.name)
        present = {tuple(index.columns) for index in indices if index not in stale}
        wanted: dict[str, Any] = {"id": BTree()}
        words = FTS(base_tokenizer="icu/split")  # Chinese, Japanese, Thai and others have no spaces between words
        wanted |= {"text": words, "scope": Bitmap()} if name == "entities" else {"source": BTree(), "target": BTree()}
        for column, config in wanted.items():
            if (column,) not in present:
                table.create_index(column, config=config, name=WORDS_INDEX if column == "text" else None)

    def _mended(self, place: Place, name: Name, error: Exception) -> Any:
        """The table again, without its damaged indices; None where it is gone.

        Raises:
            MemoryUnavailable: it is not an index that is damaged.
        """
        self._close(place, name)
        if _identity(self.folder(place) / f"{name}.lance") is None:
            return None
        with self.lock(place):
            table = self.table(place, name)
            damaged = [index.name for index in table.list_indices() if not self._works(table, index)]
            if not damaged:
                return table
            log.warning("memory: damaged indices are built again", extra={"indices": damaged, "error": _reason(error)})
            for index in damaged:
                _told(place, "repaired", lambda index=index: table.drop_index(index))
            _told(place, "repaired", lambda: self._build_column_indices(table, name))
            self._close(place, name)  # what it has read of the damaged files
            self.note_change(place)
            return self.table(place, name)

    def _works(self, table: Any, index: Any) -> bool:
        """Whether an index can be used."""
        [column] = index.columns
        try:
            if column == "text":
                match_query: Any = import_module("lancedb.query").MatchQuery
                table.search(match_query("a", "text"), query_type="fts").select(["id", "_score"]).limit(1).to_list()
            elif column.startswith(VECTOR):
                width = table.schema.field(column).type.list_size
                table.search([1.0] * width, vector_column_name=column).select(["id", "_distance"]).limit(1).to_list()
            else:
                table.search().where(f"{column} = ''").select(["id"]).limit(1).to_list()
        except _FAILURES:
            return False
        return True

    def _close(self, place: Place, name: Name) -> None:
        with self._guard:
            self._open.pop((place, name), None)


def _lancedb() -> Any:
    """LanceDB without the HTTP client of its cloud, which it imports but does not use here: 14 MB and 0.4 s.

    Only the client's package itself is left unexecuted; the modules below it, of which LanceDB takes types, are imported as ever.
    """
    os.environ.setdefault("LANCE_LOG", "error")  # else it writes warnings for its own developers to stderr
    client = "lance_namespace_urllib3_client"
    if "lancedb" not in sys.modules and client not in sys.modules:
        spec = find_spec(client)
        if spec is not None:
            sys.modules[client] = module_from_spec(spec)
    return import_module("lancedb")


def _repeated(work: Callable[[], T]) -> T:
    """Runs a write, again when another got in between."""
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except _FAILURES as error:
            if attempt == ATTEMPTS - 1 or "conflict" not in str(error).lower():
                raise
            time.sleep(0.02 * (attempt + 1))
    raise AssertionError("unreachable")


def _told(place: Place, what: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except _FAILURES as error:
        there = "--scope global" if place.workspace == GLOBAL_PLACE else f"--workspace {place.workspace}"
        purge = f"caxton memory purge --yes {there}"
        raise MemoryUnavailable(
            f"the memory cannot be {what}",
            Hint(
                text=f"if this stays so, the files are damaged: {purge} removes them; bring an export back with",
                command=f"caxton memory import FILE {there}",
            ),
            reason=_reason(error),
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
