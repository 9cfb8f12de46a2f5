"""Memory at a hundred thousand entities: search, hops, stores, imports, and how much of the process it takes.

Vectors are random unit vectors around a thousand centres, for embedding as many texts takes half an hour; what embeds is
measured by itself. `--entities 1000 10000 100000` shows how it grows.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, percentile, print_figures, print_machine
from caxton.adapters.memory.lance import LanceMemory
from caxton.adapters.memory.minilm import MiniLM
from caxton.domain.memory import Entity, MemoryId, MemoryQuery, MemoryScope, Relation, ScopeKind, relation_id
from caxton.domain.memory_port import MemoryConfig, Place

PLACE = Place("bench", "bench")
BATCH = 5_000
AGENTS = 20
EXACT = 100
"""Queries whose best matches are found by exact search, too."""
EVERY = tuple(MemoryScope(kind=ScopeKind.AGENT, owner=f"agent-{number}") for number in range(AGENTS))


def entity(number: int) -> Entity:
    """An entity of one of twenty agents."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    scope = MemoryScope(kind=ScopeKind.AGENT, owner=f"agent-{number % AGENTS}")
    return Entity(
        id=MemoryId(f"mem_{number:08}"),
        scope=scope,
        observations=[f"word{number % 997} says something about thing {number} in place{number % 31}"],
        metadata={"kind": number % 7},
        created_at=moment,
        updated_at=moment,
    )


def vectors(count: int, seed: int) -> Any:
    """Unit vectors around a thousand centres."""
    import numpy

    centres = numpy.random.default_rng(1).normal(size=(1000, 384)).astype("float32")
    own = numpy.random.default_rng(seed)
    found = centres[own.integers(0, 1000, count)] + 0.6 * own.normal(size=(count, 384)).astype("float32")
    return found / numpy.linalg.norm(found, axis=1, keepdims=True)


def times(work: Any, count: int, between: Callable[[], None] | None = None) -> list[float]:
    """Milliseconds of each of `count` calls, without those of what happens `between` them."""
    found: list[float] = []
    for number in range(count):
        if between is not None:
            between()
        started = time.perf_counter()
        work(number)
        found.append((time.perf_counter() - started) * 1000)
    return found


class Work:
    """A memory of so many entities, and what is measured on it."""

    def __init__(self, folder: Path, entities: int, model: MiniLM) -> None:
        """Fill a memory and build its indices, in batches that do not keep what was written."""
        import numpy

        self.entities = entities
        self.model = model
        self.queries = vectors(200, 3)
        self.fresh = itertools.count(10_000_000)
        self.memory = LanceMemory(MemoryConfig(folder, model.id, model.dimensions))
        self.best: list[list[tuple[float, int]]] = [[] for _ in range(EXACT)]
        began = time.perf_counter()
        for start in range(0, entities, BATCH):
            batch = vectors(min(BATCH, entities - start), start + 7)
            scores = batch @ self.queries[:EXACT].T
            for query in range(EXACT):  # the ten best of all, by exact search
                top = numpy.argsort(-scores[:, query])[:10]
                found = [(float(scores[row, query]), start + int(row)) for row in top]
                self.best[query] = sorted([*self.best[query], *found], reverse=True)[:10]
            self.memory.put(PLACE, [entity(start + each) for each in range(len(batch))], batch.tolist())
        self.filled = time.perf_counter() - began
        began = time.perf_counter()
        self.settle()
        self.indexed = time.perf_counter() - began

    def settle(self) -> None:
        """What the server does in the background after so many writes."""
        for place in self.memory.unsettled():
            self.memory.maintain(place)

    def search(self, number: int, **more: Any) -> list[Any]:
        """One search by a vector."""
        query = MemoryQuery(**{"text": "x", "mode": "vector", "scopes": EVERY, "limit": 10, **more})
        return self.memory.search(PLACE, query, self.queries[number % 200].tolist())

    def embedded(self, number: int) -> None:
        """A search by a text that is embedded first."""
        vector = self.model.embed([f"what do we know about thing {number}?"])[0]
        self.memory.search(PLACE, MemoryQuery(text="x", mode="vector", scopes=EVERY, limit=10), vector)

    def store(self, _: int) -> None:
        """One entity, embedded."""
        fresh = entity(next(self.fresh))
        self.memory.put(PLACE, [fresh], self.model.embed([fresh.text]))

    def store_and_find(self, _: int) -> None:
        """One entity, until a search finds it."""
        fresh = entity(next(self.fresh))
        vector = vectors(1, 90_000 + int(fresh.id[4:]))[0].tolist()
        self.memory.put(PLACE, [fresh], [vector])
        query = MemoryQuery(text="x", mode="vector", scopes=EVERY, limit=1)
        assert self.memory.search(PLACE, query, vector)[0].entity.id == fresh.id

    def hop(self, number: int) -> None:
        """From one entity to those that are related."""
        start = MemoryId(f"mem_{number:08}")
        self.memory.traverse(PLACE, start, hops=1, direction="out", types=(), limit=10)

    def relate(self) -> None:
        """Twenty thousand relations."""
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        count = min(self.entities, 20_000)
        ends = [(MemoryId(f"mem_{n:08}"), MemoryId(f"mem_{(n * 7 + 1) % self.entities:08}")) for n in range(count)]
        made = [
            Relation(id=relation_id(a, "next", b), source=a, target=b, type="next", created_at=moment) for a, b in ends
        ]
        self.memory.relate(PLACE, made)
        self.memory.maintain(PLACE)

    def recall(self) -> float:
        """Share of the ten best that searches find."""
        hits = sum(
            len({row for _, row in self.best[query]} & {int(match.entity.id[4:]) for match in self.search(query)})
            for query in range(EXACT)
        )
        return hits / sum(len(best) for best in self.best)


def figures(entities: int = 100_000, rounds: int = 3) -> list[Figure]:
    """All of them; each the median of `rounds` rounds."""

    def p95(work: Callable[[int], Any], count: int) -> float:
        times(work, 10)
        return statistics.median(percentile(times(work, count), 0.95) for _ in range(rounds))

    model = MiniLM()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), entities, model)
        name = f"{entities:,} entities"
        found.append(Figure(f"search by vector, {name}: p95", p95(work.search, 150), "ms", 10))
        one = (EVERY[3],)
        filtered = p95(lambda number: work.search(number, scopes=one, where={"kind": 3}), 150)
        found.append(Figure("… in one scope, with metadata: p95", filtered, "ms", 25))
        words = p95(lambda number: work.search(number, text=f"word{number}", mode="hybrid"), 80)
        found.append(Figure("… by meaning and words: p95", words, "ms"))
        found.append(Figure("embed a query and search: p95", p95(work.embedded, 80), "ms", 20))
        found.append(Figure("recall@10 against exact search", work.recall(), "", 0.97, higher_is_better=True))
        times(work.store, 5)
        stored = statistics.median(statistics.median(times(work.store, 40, work.settle)) for _ in range(rounds))
        found.append(Figure("embed and store one: p50", stored, "ms", 10))
        found.append(Figure("a new entity is found after: p95", p95(work.store_and_find, 20), "ms", 100))
        work.settle()
        work.relate()
        found.append(Figure("one hop: p95", p95(work.hop, 100), "ms", 10))
        texts = [entity(30_000_000 + number).text for number in range(320)]
        started = time.perf_counter()
        work.memory.put(PLACE, [entity(30_000_000 + number) for number in range(320)], model.embed(texts))
        rate = 320 / (time.perf_counter() - started)
        found.append(Figure("import with embedding", rate, "1/s", 300, higher_is_better=True))
        found.append(Figure("building the indices, in the background", work.indexed, "s"))
        found.append(Figure("on the disk", work.memory.statistics(PLACE).bytes / 1e6, "MB"))
        work.memory.close()
        found.append(Figure("the process with model and index in use", used_memory(Path(folder)), "MB", 350))
    return found


def used_memory(folder: Path) -> float:
    """Megabytes of a fresh process after searches on the memory in `folder`."""
    code = f"import benchmarks.memory as m; print(m.searching_process({str(folder)!r}))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def searching_process(folder: str) -> float:
    """Searches, stores and hops, and returns how large this process is."""
    import psutil

    model = MiniLM()
    memory = LanceMemory(MemoryConfig(Path(folder), model.id, model.dimensions))
    for number in range(300):
        text = f"what do we know about thing {number}?"
        memory.search(PLACE, MemoryQuery(text=text, scopes=EVERY, limit=10), model.embed([text])[0])
    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--entities", type=int, nargs="+", default=[100_000], help="Sizes to measure, one after another."
    )
    given = parser.parse_args()
    print_machine()
    for size in given.entities:
        print_figures(f"memory of {size:,}", figures(size))
