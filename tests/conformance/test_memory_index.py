"""The vector index of the embedded memory: for any width of vectors, as exact as looking at all, and lean."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from caxton.adapters.memory import lance_tables
from caxton.adapters.memory.lance import LanceMemory
from caxton.adapters.memory.lance_rows import vector_column
from caxton.domain.memory import MemoryQuery
from caxton.domain.memory_port import MemoryConfig
from caxton.testing.memory import HERE, WORKSPACE, entity

GRAPH = """
import sys, lance
[path, column] = sys.argv[1:]
lance.dataset(path).create_index(column, "IVF_HNSW_SQ", name=f"{column}_idx", metric="cosine", num_partitions=1, replace=True)
"""

KIND = """
import sys, lance
print([each.index_type for each in lance.dataset(sys.argv[1]).describe_indices() if each.field_names[0] == sys.argv[2]][0])
"""

IMPORTED = """
import sys
from pathlib import Path
from caxton.adapters.memory.lance import LanceMemory
from caxton.domain.memory_port import MemoryConfig
from caxton.testing.memory import HERE, entity
memory = LanceMemory(MemoryConfig(Path(sys.argv[1]), "test", 4))
memory.put(HERE, [entity("a note")], [[1.0, 0.0, 0.0, 0.0]])
print(*(name for name in sys.modules if name.startswith("lance_namespace_urllib3_client.api")))
"""


def unit_vectors(count: int, width: int, seed: int) -> numpy.ndarray:
    found = numpy.random.default_rng(seed).normal(size=(count, width))
    return found / numpy.linalg.norm(found, axis=1, keepdims=True)


def filled(folder: Path, width: int, vectors: numpy.ndarray) -> LanceMemory:
    memory = LanceMemory(MemoryConfig(folder, "test", width))
    memory.put(HERE, [entity(f"note {number}") for number in range(len(vectors))], vectors.tolist())
    return memory


def run(code: str, *arguments: str) -> str:
    """In a process of its own: Lance's does not like forks, and its module is not to be loaded here."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("width", [64, 50])
def test_searches_by_the_index_find_what_is_nearest(
    tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_tables, "INDEX_FROM", 1000)
    vectors = unit_vectors(2000, width, 1)
    memory = filled(tmp_path, width, vectors)
    memory.maintain(HERE)
    assert memory.statistics(HERE).indexed == 2000
    hits = 0
    for vector in unit_vectors(50, width, 2):
        nearest = {f"note {row}" for row in numpy.argsort(-(vectors @ vector))[:10]}
        found = memory.search(
            HERE, MemoryQuery(text="x", mode="vector", scopes=(WORKSPACE,), limit=10), vector.tolist()
        )
        hits += len(nearest & {match.entity.text for match in found})
    assert hits >= 0.97 * 500
    memory.close()


def test_an_index_of_another_kind_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_tables, "INDEX_FROM", 300)
    memory = filled(tmp_path, 64, unit_vectors(400, 64, 1))
    [path] = tmp_path.rglob("entities.lance")
    column = vector_column("test")
    run(GRAPH, str(path), column)
    assert run(KIND, str(path), column) == "IVF_HNSW_SQ"
    memory.maintain(HERE)
    assert run(KIND, str(path), column) == "IVF_RQ"
    assert memory.statistics(HERE).indexed == 400
    memory.close()


def test_the_client_of_the_databases_cloud_is_not_loaded(tmp_path: Path) -> None:
    assert run(IMPORTED, str(tmp_path)) == ""


OLD_INDEX = """
import sys, lancedb
from lancedb.index import FTS
table = lancedb.connect(sys.argv[1]).open_table("entities")
for index in table.list_indices():
    if index.columns == ["text"]:
        table.drop_index(index.name)
table.create_index("text", config=FTS())
print([index.name for index in table.list_indices() if index.columns == ["text"]])
"""


def test_an_index_of_words_of_an_earlier_version_is_built_anew(tmp_path: Path) -> None:
    memory = LanceMemory(MemoryConfig(tmp_path, "test", 4))
    memory.put(HERE, [entity("安娜喜欢喝绿茶")], [[1.0, 0.0, 0.0, 0.0]])
    folder = next(path.parent for path in tmp_path.rglob("entities.lance"))
    memory.close()
    assert run(OLD_INDEX, str(folder)) == "['text_idx']"
    memory = LanceMemory(MemoryConfig(tmp_path, "test", 4))
    assert [match.entity.text for match in memory.search(HERE, MemoryQuery(text="绿茶", mode="text"), None)] == [
        "安娜喜欢喝绿茶"
    ]
    memory.close()
