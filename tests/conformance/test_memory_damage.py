"""The embedded memory when processes are killed and files are damaged."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy
import pytest

from caxton.adapters.memory import lance_tables
from caxton.adapters.memory.lance import LanceMemory
from caxton.domain.errors import MemoryUnavailable
from caxton.domain.memory import MemoryId
from caxton.domain.memory_port import MemoryConfig, MemoryFilter
from caxton.testing.memory import BEGIN, HERE, INVOICE, LOGIN, MODEL, PLANTS, entity, put, texts

WRITER = """
import sys
from pathlib import Path
from caxton.adapters.memory.lance import LanceMemory
from caxton.domain.memory_port import MemoryConfig
from caxton.testing.memory import BEGIN, HERE, entity
memory = LanceMemory(MemoryConfig(Path(sys.argv[1]), "test", 4))
number = int(sys.argv[2])
while True:
    made = entity(f"note {number}")
    memory.put(HERE, [made], [[1.0, 0.0, 0.0, 0.0]])
    print(made.id, flush=True)
    number += 1
"""


LIST_INDICES = """
import json, sys, lance
found = lance.dataset(sys.argv[1]).describe_indices()
print(json.dumps([(i.field_names[0], str(s.uuid)) for i in found for s in i.segments]))
"""


def index_folders(folder: Path, column: str) -> list[Path]:
    """Folders of the indices of a column of the entities. Listed in a process of its own: Lance's does not like forks."""
    [path] = folder.rglob("entities.lance")
    command = [sys.executable, "-c", LIST_INDICES, str(path)]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [path / "_indices" / uuid for name, uuid in listed if name.startswith(column)]


@pytest.mark.requirement("MEM-4")
def test_what_was_acknowledged_survives_writers_that_are_killed(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for attempt in range(4):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), str(attempt * 20_000 + each * 10_000)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for each in range(2)
        ]
        streams = [writer.stdout for writer in writers if writer.stdout is not None]
        listeners = [threading.Thread(target=acknowledged.extend, args=(stream,)) for stream in streams]
        for listener in listeners:
            listener.start()
        wanted = len(acknowledged) + 25
        deadline = time.monotonic() + 60
        while len(acknowledged) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        for listener, stream in zip(listeners, streams, strict=True):
            listener.join()
            stream.close()
    assert len(acknowledged) >= 100
    memory = LanceMemory(MemoryConfig(tmp_path, "test", 4))
    ids = [MemoryId(line.strip()) for line in acknowledged]
    assert len(memory.get(HERE, ids)) == len(ids) == len(set(ids))
    memory.maintain(HERE)
    assert len(memory.get(HERE, ids)) == len(ids)
    assert memory.statistics(HERE).entities - len(ids) <= 8  # written, and killed before it was told
    memory.close()


@pytest.mark.parametrize("how", ["gone", "cut", "other"])
@pytest.mark.parametrize("column", ["id", "text", "vector", "scope"])
def test_a_damaged_index_is_built_again(tmp_path: Path, column: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_tables, "INDEX_FROM", 300)  # of the vectors
    config = MemoryConfig(tmp_path, MODEL.id, MODEL.dimensions)
    memory = LanceMemory(config)
    put(memory, entity(INVOICE), entity(PLANTS), entity(LOGIN))
    padding = numpy.random.default_rng(1).normal(size=(400, MODEL.dimensions))
    padding /= numpy.linalg.norm(padding, axis=1, keepdims=True)
    memory.put(HERE, [entity(f"padding {number}") for number in range(400)], padding.tolist())
    memory.maintain(HERE)
    memory.close()
    damaged = index_folders(tmp_path, column)
    assert damaged
    for file in [file for folder in damaged for file in folder.iterdir()]:
        if how == "gone":
            file.unlink()
        elif how == "cut":
            os.truncate(file, file.stat().st_size // 2)
        else:
            file.write_bytes(os.urandom(file.stat().st_size))
    again = LanceMemory(config)
    assert texts(again, "billing problem", mode="vector", limit=1) == [INVOICE]
    assert texts(again, "sunlight", mode="text") == [PLANTS]
    assert again.get(HERE, [entity(LOGIN).id])[0].text == LOGIN
    put(again, entity("written afterwards"), entity(LOGIN, metadata={"n": 1}))
    assert again.statistics(HERE).entities == 404
    again.maintain(HERE)
    assert again.statistics(HERE).indexed >= 402
    assert texts(again, "billing problem", mode="hybrid", limit=1) == [INVOICE]
    again.close()


def test_damaged_data_is_told_with_what_to_do(tmp_path: Path) -> None:
    config = MemoryConfig(tmp_path, MODEL.id, MODEL.dimensions)
    memory = LanceMemory(config)
    put(memory, entity(INVOICE))
    memory.close()
    for file in tmp_path.rglob("data/*.lance"):
        os.truncate(file, file.stat().st_size // 2)
    again = LanceMemory(config)
    with pytest.raises(MemoryUnavailable) as told:
        again.get(HERE, [entity(INVOICE).id])
    [hint] = told.value.hints
    assert f"caxton memory purge --yes --workspace {HERE.workspace} removes" in hint.text
    assert hint.command == f"caxton memory import FILE --workspace {HERE.workspace}"


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    memory = LanceMemory(MemoryConfig(tmp_path / "memory", MODEL.id, MODEL.dimensions))
    memory.check()
    assert not (tmp_path / "memory").exists()
    (tmp_path / "memory").write_text("not a folder")
    with pytest.raises(MemoryUnavailable):
        memory.check()


@pytest.mark.filterwarnings("ignore:optimize")  # no reader is in progress
@pytest.mark.requirement("MEM-6")
def test_deleted_content_leaves_the_files_when_the_place_is_maintained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_tables, "OLD_VERSIONS", timedelta(0))
    monkeypatch.setattr(lance_tables, "SECONDS_BEFORE_MAINTENANCE", 0.0)
    memory = LanceMemory(MemoryConfig(tmp_path, MODEL.id, MODEL.dimensions))
    put(memory, entity("the secret word is xylophagous"), *(entity(f"other {n}") for n in range(10)))
    assert HERE in memory.unsettled()
    memory.delete(HERE, [entity("the secret word is xylophagous").id])
    for _ in range(2):
        for place in memory.unsettled():
            memory.maintain(place)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"xylophag" in file.read_bytes()]
    assert len(memory.ids(HERE, MemoryFilter())) == 10
    memory.close()


@pytest.mark.filterwarnings("ignore:optimize")
def test_a_place_is_maintained_after_enough_writes_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = LanceMemory(MemoryConfig(tmp_path, "test", 4))
    assert memory.unsettled() == []
    for number in range(lance_tables.WRITES_BEFORE_MAINTENANCE):
        memory.put(HERE, [entity(f"note {number}")], [[1.0, 0, 0, 0]])
    assert memory.unsettled() == [HERE]
    fragments = len(list(tmp_path.rglob("data/*.lance")))
    memory.maintain(HERE)
    assert memory.unsettled() == []
    for _ in range(lance_tables.WRITES_BEFORE_MAINTENANCE):  # what is only read can wait
        memory.touch(HERE, [entity("note 1").id], BEGIN)
    assert memory.unsettled() == []
    monkeypatch.setattr(lance_tables, "OLD_VERSIONS", timedelta(0))
    memory.maintain(HERE)
    assert len(list(tmp_path.rglob("data/*.lance"))) < fragments
    memory.close()
