"""Memory at a hundred thousand entities: search, hops, stores, imports, and how much of the process it takes.

Vectors are random unit vectors around a thousand centres, for embedding as many texts takes half an hour; what embeds is
measured by itself. `--entities N` takes fewer or more.
"""

import argparse
import random
import resource
import statistics
import tempfile
import time
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


def times(work: Any, count: int) -> list[float]:
    """Milliseconds of each of `count` calls."""
    found: list[float] = []
    for number in range(count):
        started = time.perf_counter()
        work(number)
        found.append((time.perf_counter() - started) * 1000)
    return found


def figures(entities: int = 100_000) -> list[Figure]:
    """All of them."""
    import numpy

    model = MiniLM()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        memory = LanceMemory(MemoryConfig(Path(folder), model.id, model.dimensions))
        everything: list[Any] = []
        for start in range(0, entities, BATCH):
            batch = vectors(min(BATCH, entities - start), start + 7)
            everything.append(batch)
            memory.put(PLACE, [entity(start + each) for each in range(len(batch))], batch.tolist())
        memory.maintain(PLACE)
        matrix = numpy.concatenate(everything)
        queries = vectors(200, 3)
        every = tuple(MemoryScope(kind=ScopeKind.AGENT, owner=f"agent-{number}") for number in range(AGENTS))

        def search(number: int, **more: Any) -> list[Any]:
            query = MemoryQuery(**{"text": "x", "mode": "vector", "scopes": every, "limit": 10, **more})
            return memory.search(PLACE, query, queries[number % 200].tolist())

        times(search, 20)
        found.append(
            Figure(f"search by vector, {entities:,} entities: p95", percentile(times(search, 200), 0.95), "ms", 10)
        )
        one = (every[3],)
        filtered = times(lambda number: search(number, scopes=one, where={"kind": 3}), 200)
        found.append(Figure("… in one scope, with metadata: p95", percentile(filtered, 0.95), "ms", 25))
        words = times(lambda number: search(number, text=f"word{number}", mode="hybrid"), 100)
        found.append(Figure("… by meaning and words: p95", percentile(words, 0.95), "ms"))
        hits = 0
        for number in range(100):
            exact = set(numpy.argsort(-(matrix @ queries[number]))[:10].tolist())
            hits += len(exact & {int(match.entity.id[4:]) for match in search(number)})
        found.append(Figure("recall@10 against exact search", hits / 1000, "", 0.97, higher_is_better=True))

        def embedded(number: int) -> None:
            vector = model.embed([f"what do we know about thing {number}?"])[0]
            memory.search(PLACE, MemoryQuery(text="x", mode="vector", scopes=every, limit=10), vector)

        times(embedded, 5)
        found.append(Figure("embed a query and search: p95", percentile(times(embedded, 100), 0.95), "ms", 20))

        def store(number: int) -> None:
            fresh = entity(10_000_000 + number)
            memory.put(PLACE, [fresh], model.embed([fresh.text]))

        times(store, 5)
        found.append(Figure("embed and store one: p50", statistics.median(times(store, 60)), "ms", 10))
        seen: list[float] = []
        for number in range(20):
            fresh = entity(20_000_000 + number)
            vector = vectors(1, 90_000 + number)[0].tolist()
            started = time.perf_counter()
            memory.put(PLACE, [fresh], [vector])
            query = MemoryQuery(text="x", mode="vector", scopes=every, limit=1)
            assert memory.search(PLACE, query, vector)[0].entity.id == fresh.id
            seen.append((time.perf_counter() - started) * 1000)
        found.append(Figure("a new entity is found after: p95", percentile(seen, 0.95), "ms", 100))
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        ends = [
            (MemoryId(f"mem_{n:08}"), MemoryId(f"mem_{(n * 7 + 1) % entities:08}"))
            for n in range(min(entities, 20_000))
        ]
        memory.relate(
            PLACE,
            [
                Relation(id=relation_id(a, "next", b), source=a, target=b, type="next", created_at=moment)
                for a, b in ends
            ],
        )
        memory.maintain(PLACE)
        starts = [random.Random(5).choice(ends)[0] for _ in range(1)] + [a for a, _ in ends[:100]]
        hops = times(lambda n: memory.traverse(PLACE, starts[n], hops=1, direction="out", types=(), limit=10), 100)
        found.append(Figure("one hop: p95", percentile(hops, 0.95), "ms", 10))
        texts = [entity(30_000_000 + number).text for number in range(320)]
        started = time.perf_counter()
        memory.put(PLACE, [entity(30_000_000 + number) for number in range(320)], model.embed(texts))
        found.append(
            Figure("import with embedding", 320 / (time.perf_counter() - started), "1/s", 300, higher_is_better=True)
        )
        found.append(Figure("on the disk", memory.statistics(PLACE).bytes / 1e6, "MB"))
        memory.close()
    found.append(Figure("largest the process was", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB"))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entities", type=int, default=100_000)
    given = parser.parse_args()
    print_machine()
    print_figures("memory", figures(given.entities))
