"""The Qdrant back end: its options, what it says when something is wrong, and what is its own."""

import gc
import logging
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from caxton.adapters.memory import qdrant_collections
from caxton.adapters.memory.qdrant import QdrantMemory, qdrant_memory
from caxton.adapters.memory.qdrant_points import point_id
from caxton.adapters.memory.words import asked, weights
from caxton.domain.errors import InvalidInput, InvalidSettings, MemoryUnavailable
from caxton.domain.memory import MemoryId, MemoryQuery, memory_id
from caxton.domain.memory_port import GLOBAL_PLACE, MemoryConfig, MemoryFilter, Place
from caxton.runtime.memory import build_backend
from caxton.runtime.settings_sections import MemorySection
from caxton.testing.memory import BEGIN, HERE, INVOICE, LOGIN, MODEL, PLANTS, entity, put, texts
from tests.support.ports import free_port
from tests.support.qdrant import StandIn, standing_in


def config(folder: Path, **options: Any) -> MemoryConfig:
    return MemoryConfig(folder / "memory", MODEL.id, MODEL.dimensions, options)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StandIn]:
    with standing_in(tmp_path / "server") as running:
        yield running


@pytest.fixture
def local(tmp_path: Path) -> Iterator[QdrantMemory]:
    memory = qdrant_memory(config(tmp_path))
    yield memory
    memory.close()


@pytest.mark.requirement("MEM-8")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ulr": "http://q"}, 'no option "ulr"'),
        ({"timeout": 3}, '"timeout" says nothing without url'),
        ({"url": "q:6333"}, "url is not an address"),
        ({"url": "https://user:secret@q"}, "url is not an address"),
        ({"url": 6333}, "url is not an address"),
        ({"url": "http://q", "timeout": 0}, "timeout is not a number"),
        ({"url": "http://q", "prefix": "a.b"}, "prefix must have"),
        ({"url": "http://q", "api_key_env": "NO_SUCH_VARIABLE"}, "variable NO_SUCH_VARIABLE is not set"),
        ({"url": "http://q", "api_key_env": "sk-secret"}, "not a name of an environment variable"),
    ],
)
def test_wrong_options_are_told_with_what_to_do(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message) as raised:
        qdrant_memory(config(tmp_path, **options))
    assert raised.value.hints
    assert "secret" not in str(raised.value.report())


@pytest.mark.requirement("MEM-8")
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client.models", None)
    with pytest.raises(InvalidSettings, match="cannot be loaded") as raised:
        build_backend(MemorySection(backend="qdrant"), tmp_path, MODEL)
    assert str(raised.value.hints[0].command).endswith("[qdrant]'")


@pytest.mark.requirement("MEM-8")
def test_a_server_that_is_away_is_told_and_used_when_it_is_back(tmp_path: Path) -> None:
    away = qdrant_memory(config(tmp_path, url=f"http://127.0.0.1:{free_port()}", timeout=2))
    for work in (
        lambda: put(away, entity(INVOICE)),
        lambda: away.get(HERE, [entity(INVOICE).id]),
        lambda: away.statistics(HERE),
        lambda: away.forget(HERE),
    ):
        with pytest.raises(MemoryUnavailable, match="Qdrant does not answer") as raised:
            work()
        assert raised.value.retryable
        assert raised.value.reason == "127.0.0.1: ConnectError"
        assert "url in [memory.options]" in raised.value.hints[0].text
    away.close()


@pytest.mark.requirement("MEM-8")
def test_a_wrong_key_is_told_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with standing_in(tmp_path / "server", key="right-key") as server:
        monkeypatch.setenv("QDRANT_KEY", "wrong-key")
        refused = qdrant_memory(config(tmp_path, url=server.url, api_key_env="QDRANT_KEY"))
        with pytest.raises(MemoryUnavailable, match="refuses the key") as raised:
            put(refused, entity(INVOICE))
        monkeypatch.setenv("QDRANT_KEY", "right-key")
        memory = qdrant_memory(config(tmp_path, url=server.url, api_key_env="QDRANT_KEY"))
        put(memory, entity(INVOICE))
        assert texts(memory, "invoice") == [INVOICE]
        for each in (refused, memory):
            each.close()
    assert "-key" not in f"{raised.value.report()}{caplog.text}{refused!r}"


def test_a_server_that_is_too_old_is_told(tmp_path: Path) -> None:
    with standing_in(tmp_path / "server", version="1.9.2") as server:
        memory = qdrant_memory(config(tmp_path, url=server.url))
        with pytest.raises(MemoryUnavailable, match=r"Qdrant 1\.9\.2 is too old") as raised:
            put(memory, entity(INVOICE))
        assert "1.18" in raised.value.hints[0].text
        memory.close()


def test_what_a_refusal_quotes_is_not_passed_on(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ValueError("cannot parse 'the secret text'")

    memory = qdrant_memory(config(tmp_path, url=server.url))
    monkeypatch.setattr(server, "points", refuse)
    with pytest.raises(MemoryUnavailable, match="refuses the request") as raised:
        put(memory, entity("the secret text"))
    assert raised.value.reason == "127.0.0.1: HTTP 400"
    assert "secret" not in str(raised.value.report())
    assert raised.value.code == "memory_unavailable"
    memory.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves its lock file open
def test_without_a_server_there_is_one_process(local: QdrantMemory, tmp_path: Path) -> None:
    with pytest.raises(MemoryUnavailable, match="another process has the memory open") as raised:
        qdrant_memory(config(tmp_path))
    assert "url" in raised.value.hints[0].text
    put(local, entity(INVOICE))
    del raised
    gc.collect()  # the warning belongs to this test


@pytest.mark.requirement("MEM-3")
def test_each_place_has_collections_of_its_own(server: StandIn, tmp_path: Path) -> None:
    memory = qdrant_memory(config(tmp_path, url=server.url))
    other = qdrant_memory(config(tmp_path, url=server.url, prefix="staging"))
    put(memory, entity(INVOICE), place=Place("acme", "shop"))
    put(memory, entity(PLANTS), place=Place("acme", GLOBAL_PLACE))
    put(other, entity(LOGIN), place=Place("acme", "shop"))
    names = {each.name for each in server.client.get_collections().collections}
    assert names == {"caxton.acme.shop.entities", "caxton.acme..global.entities", "staging.acme.shop.entities"}
    assert texts(memory, "text", Place("acme", "shop"), mode="vector") == [INVOICE]
    memory.forget(Place("acme", "shop"))
    assert texts(other, "password", Place("acme", "shop"), mode="vector") == [LOGIN]
    for place in (Place("acme.shop", "x"), Place("acme", "a.b")):
        with pytest.raises(InvalidInput):
            memory.get(place, [MemoryId("x")])
    for each in (memory, other):
        each.close()


def test_what_an_interrupted_making_left_out_is_made(server: StandIn, tmp_path: Path) -> None:
    first = qdrant_memory(config(tmp_path, url=server.url))
    put(first, entity(INVOICE))
    [indices] = server.indices.values()
    assert set(indices) == {"scope", "type", "facts", "updated_at", "odd"}
    del indices["facts"]
    second = qdrant_memory(config(tmp_path, url=server.url))
    put(second, entity(PLANTS))
    assert indices["facts"] == "keyword"
    for each in (first, second):
        each.close()


def test_what_is_deleted_or_replaced_leaves_the_files_of_the_local_mode(local: QdrantMemory, tmp_path: Path) -> None:
    gone = [entity(f"xylophagous beetle number {number}") for number in range(50)]
    replaced = entity(LOGIN, metadata={"old": "quixotic"})
    put(local, *gone, replaced, entity(PLANTS))
    assert local.delete(HERE, [each.id for each in gone]) == 50
    put(local, replaced.model_copy(update={"metadata": {}}))
    local.maintain(HERE)
    file = tmp_path / "memory" / "collection" / "caxton.acme.shop.entities" / "storage.sqlite"
    with closing(sqlite3.connect(file)) as connection:  # some builds of SQLite blank what is deleted, some keep it
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Plants" in content
    assert b"xylophagous" not in content
    assert b"quixotic" not in content
    assert texts(local, "sunlight", mode="text") == [PLANTS]
    assert local.statistics(HERE).bytes > 0


def test_accesses_are_written_with_the_maintenance(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (qdrant_memory(config(tmp_path, url=server.url)) for _ in range(2))
    put(one, entity(INVOICE), entity(PLANTS), entity(LOGIN))
    for memory in (one, two, two):
        memory.touch(HERE, [entity(INVOICE).id, entity(LOGIN).id], BEGIN)
    one.delete(HERE, [entity(LOGIN).id])
    assert one.unsettled() == []
    monkeypatch.setattr("caxton.adapters.memory.qdrant.SECONDS_BEFORE_MAINTENANCE", 0)
    for memory in (one, two):
        assert memory.unsettled() == [HERE]
        memory.maintain(HERE)
        assert memory.unsettled() == []
    [found] = one.get(HERE, [entity(INVOICE).id])
    assert (found.accessed, found.last_accessed) == (3, BEGIN)
    assert one.get(HERE, [entity(LOGIN).id]) == []
    for each in (one, two):
        each.close()


def test_vectors_of_an_embedder_that_is_used_no_more_are_dropped(server: StandIn, tmp_path: Path) -> None:
    memory = qdrant_memory(config(tmp_path, url=server.url))
    put(memory, entity(INVOICE), entity(PLANTS))
    other = qdrant_memory(MemoryConfig(tmp_path / "memory", "other", 4, {"url": server.url}))
    other.maintain(HERE)
    collection = "caxton.acme.shop.entities"
    assert len(server.client.get_collection(collection).config.params.vectors) == 2
    other.reembed(HERE, other.stale(HERE, 10), [[1.0, 0.0, 0.0, 0.0]] * 2)
    other.maintain(HERE)
    assert len(server.client.get_collection(collection).config.params.vectors) == 1
    # The first process finds what happened, and goes on.
    assert texts(memory, "invoice", mode="text") == [INVOICE]
    put(memory, entity(LOGIN))
    assert texts(memory, "password", mode="vector") == [LOGIN]
    assert memory.statistics(HERE).stale == 2
    for each in (memory, other):
        each.close()


def test_ids_that_we_did_not_make_are_listed_in_order_too(local: QdrantMemory) -> None:
    odd = [
        entity(f"odd {name}").model_copy(update={"id": MemoryId(name)})
        for name in ("", "a", "mem_", "mem_zz", "zoë", "mem_é")
    ]
    usual = [entity(f"usual {number}") for number in range(20)]
    put(local, *odd, *usual)
    seen: list[str] = []
    after = None
    while page := local.ids(HERE, MemoryFilter(), after=after, limit=3):
        seen += page
        after = page[-1]
    assert seen == sorted(each.id for each in [*odd, *usual])
    assert {each.id for each in local.get(HERE, [each.id for each in odd])} == {each.id for each in odd}


def test_points_are_in_the_order_of_the_ids_of_memories() -> None:
    ids = [memory_id(str(number)) for number in range(1000)]
    assert sorted(ids) == sorted(ids, key=lambda each: uuid.UUID(point_id(each)).int)
    assert len({point_id(each) for each in [*ids, "a", "b"]}) == 1002


def test_large_writes_go_in_parts(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_collections, "BATCH", 40_000)
    monkeypatch.setattr(qdrant_collections, "PAGE", 7)
    memory = qdrant_memory(config(tmp_path, url=server.url))
    every = [entity(f"number {number} " + "x" * 3000) for number in range(20)]
    put(memory, *every)
    writes = [each for each in server.requests if each.startswith("PUT") and each.endswith("/points")]
    assert 5 <= len(writes) <= 20
    assert memory.statistics(HERE).entities == 20
    assert len(memory.get(HERE, [each.id for each in every])) == 20
    assert len(memory.ids(HERE, MemoryFilter(before=BEGIN + timedelta(1)))) == 20
    memory.close()


def test_words_are_found_in_their_other_forms(local: QdrantMemory) -> None:
    put(local, entity("Two cafés and their libraries"), entity(PLANTS), entity(LOGIN))
    for query in ("CAFE", "library", "the café in town"):
        assert texts(local, query, mode="text")[:1] == ["Two cafés and their libraries"]
    assert texts(local, "and their", mode="text") == []
    rare, common = (local.search(HERE, MemoryQuery(text=each, mode="text"), None) for each in ("café", "sugar"))
    assert rare[0].score > 0 < common[0].score


def test_a_word_that_is_said_often_weighs_more_but_not_much_more() -> None:
    once, often = weights("tea"), weights("tea " * 50)
    assert once[0] == often[0] == asked("Tea")[0]
    assert once[1][0] < often[1][0] < 2.2
    assert weights("… !") == ([], [])
