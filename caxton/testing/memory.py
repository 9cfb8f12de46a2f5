"""The conformance suite of memory back ends. A back end's own tests inherit it:

    from caxton.testing.memory import MemoryBackendTests

    class TestMine(MemoryBackendTests):
        @pytest.fixture
        def factory(self) -> MemoryFactory:
            return my_factory

pytest is needed, and the requirement marker of Caxton's tests is not part of it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from caxton.adapters.memory.minilm import MiniLM
from caxton.domain.memory import (
    Entity,
    MemoryId,
    MemoryQuery,
    MemoryScope,
    Provenance,
    Relation,
    ScopeKind,
    memory_id,
    relation_id,
)
from caxton.domain.memory_port import MemoryBackend, MemoryConfig, MemoryFactory, MemoryFilter, Place

HERE = Place("acme", "shop")
THERE = Place("acme", "office")
OTHER = Place("other", "shop")
WORKSPACE = MemoryScope()
MODEL = MiniLM()
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
INVOICE = "The invoice total does not match the purchase order"
PLANTS = "Plants turn sunlight into sugar"
LOGIN = "I forgot my password and cannot sign in"


def entity(text: str, scope: MemoryScope = WORKSPACE, *, age: float = 0.0, **more: Any) -> Entity:
    """An entity that says `text`, so many seconds old."""
    moment = BEGIN - timedelta(seconds=age)
    made = Entity(id=MemoryId(""), scope=scope, observations=[text], created_at=moment, updated_at=moment, **more)
    return made.model_copy(update={"id": memory_id(made.content_hash)})


def put(backend: MemoryBackend, *entities: Entity, place: Place = HERE) -> None:
    """Keeps entities with their vectors."""
    backend.put(place, entities, MODEL.embed([each.text for each in entities]))


def texts(backend: MemoryBackend, query: str, place: Place = HERE, **more: Any) -> list[str]:
    """The matches of a search."""
    wanted = MemoryQuery.model_validate({"text": query, "limit": 5, **more})
    return [match.entity.text for match in backend.search(place, wanted, MODEL.embed([query])[0])]


class MemoryBackendTests:
    """Inherited by the tests of a back end, with a fixture `factory` of their own."""

    one_process = False
    """True if only one process at a time can open the folder."""

    @pytest.fixture
    def factory(self) -> MemoryFactory:
        """Makes the back end."""
        raise NotImplementedError("the tests of a back end say what makes it")

    @pytest.fixture
    def config(self, tmp_path: Path) -> MemoryConfig:
        """An empty folder, and the embedder that comes with Caxton."""
        return MemoryConfig(tmp_path / "memory", MODEL.id, MODEL.dimensions)

    @pytest.fixture
    def backend(self, factory: MemoryFactory, config: MemoryConfig) -> Iterator[MemoryBackend]:
        """The back end, empty."""
        found = factory(config)
        yield found
        found.close()

    def second(self, factory: MemoryFactory, config: MemoryConfig) -> MemoryBackend:
        """Another process's, on the same memories."""
        if self.one_process:
            pytest.skip("only one process at a time can have this back end's folder open")
        return factory(config)

    def test_it_says_that_it_answers(self, backend: MemoryBackend) -> None:
        backend.check()
        put(backend, entity(INVOICE))
        backend.check()

    def test_search_by_meaning_by_words_and_by_both(self, backend: MemoryBackend) -> None:
        put(backend, entity(INVOICE), entity(PLANTS), entity(LOGIN))
        assert texts(backend, "billing problem", mode="vector", limit=1) == [INVOICE]
        assert texts(backend, "photosynthesis", mode="vector", limit=1) == [PLANTS]
        assert texts(backend, "billing problem", mode="text") == []
        assert texts(backend, "purchase", mode="text") == [INVOICE]
        assert texts(backend, "password sunlight", mode="hybrid")[:2] in ([LOGIN, PLANTS], [PLANTS, LOGIN])
        assert texts(backend, "photosynthesis", mode="vector", min_similarity=0.5) == [PLANTS]
        assert texts(backend, "the weather", mode="hybrid", min_similarity=0.9) == []
        assert len(texts(backend, "anything", mode="vector", limit=2)) == 2

    def test_a_match_by_words_is_not_dissimilar_because_others_are_nearer(self, backend: MemoryBackend) -> None:
        nearer = [f"There is a problem with the bill of customer {number}." for number in range(60)]
        wanted = "Somebody on the harbour spoke of zx4417, and then it rained for the whole weekend."
        put(backend, entity(wanted), *(entity(text) for text in nearer))
        query = "Is there a problem with the bill of a customer? zx4417"
        assert wanted not in texts(backend, query, mode="vector", limit=50)
        # Its word is distinctive, so it is found however far its meaning is; and how far that is, is known.
        [match] = backend.search(HERE, MemoryQuery(text=query, min_similarity=0.99), MODEL.embed([query])[0])
        assert match.entity.text == wanted
        assert match.similarity is not None
        assert match.similarity < 0.9
        common = "What is the problem?"
        assert wanted not in texts(backend, common, mode="hybrid", limit=60, min_similarity=0.9)

    @pytest.mark.parametrize(
        ("query", "found"),
        [("绿茶", 0), ("厨房", 1), ("寿司", 2), ("東京", 2), ("ชาเขียว", 3), ("김치를", 4), ("चाय", 5), ("CAFE", 6)],
    )
    def test_words_of_languages_without_spaces_are_found(self, backend: MemoryBackend, query: str, found: int) -> None:
        told = [
            "安娜喜欢喝绿茶",
            "我们的厨房星期五关闭",
            "東京都に住んでいる友人は寿司が好きです",
            "แอนนาชอบดื่มชาเขียว",
            "한국어 사용자는 김치를 좋아합니다",
            "अन्ना को चाय पसंद है",
            "le café d'Anna",
        ]
        put(backend, *(entity(text) for text in told))
        assert texts(backend, query, mode="text") == [told[found]]

    @pytest.mark.parametrize(
        "value", ["a", "it's", 'quo"te', "100%", "_", "\\", "🦉", 7, 7.5, True, None, "'; DROP TABLE x; --"]
    )
    def test_metadata_must_be_equal_and_nothing_in_it_has_a_meaning(self, backend: MemoryBackend, value: Any) -> None:
        put(
            backend,
            entity(INVOICE, metadata={"kind": value, "n": 1}),
            entity(PLANTS, metadata={"kind": f"{value}x", "other": value}),
            entity(LOGIN),
        )
        assert texts(backend, "text", mode="vector", where={"kind": value}) == [INVOICE]
        assert texts(backend, "text", mode="vector", where={"kind": value, "n": 1}) == [INVOICE]
        assert texts(backend, "text", mode="vector", where={"kind": value, "n": 2}) == []
        assert texts(backend, "text", mode="vector", where={"missing": value}) == []

    def test_nothing_is_found_from_another_place_or_scope(self, backend: MemoryBackend) -> None:
        anna = MemoryScope(kind=ScopeKind.AGENT, owner="anna")
        bert = MemoryScope(kind=ScopeKind.AGENT, owner="bert")
        put(backend, entity(INVOICE), entity(PLANTS, anna))
        put(backend, entity(LOGIN), place=THERE)
        put(backend, entity(LOGIN), place=OTHER)
        assert set(texts(backend, "text", mode="vector")) == {INVOICE}
        assert set(texts(backend, "text", mode="vector", scopes=(anna,))) == {PLANTS}
        assert texts(backend, "text", mode="vector", scopes=(bert,)) == []
        assert set(texts(backend, "text", mode="vector", scopes=(anna, WORKSPACE))) == {INVOICE, PLANTS}
        assert set(texts(backend, "text", THERE, mode="vector")) == {LOGIN}
        ids = [entity(INVOICE).id]
        assert backend.get(THERE, ids) == backend.get(OTHER, ids) == []
        assert backend.delete(OTHER, ids) == 0
        assert len(backend.get(HERE, ids)) == 1

    def test_a_place_exists_when_something_was_kept_there(self, backend: MemoryBackend) -> None:
        assert not backend.exists(HERE)
        put(backend, entity(INVOICE))
        assert backend.exists(HERE)
        assert not backend.exists(THERE)
        backend.forget(HERE)
        assert not backend.exists(HERE)

    def test_what_is_put_comes_back_whole_and_once(self, backend: MemoryBackend) -> None:
        full = entity(
            "naïve 数据 🦉",
            name="Zoë",
            type="customer",
            metadata={"deep": {"er": [1, None, "x"]}, "n": 1},
            provenance=Provenance(agent="analyst", conversation_id="c_1"),
        )
        put(backend, full)
        put(backend, full)
        assert backend.get(HERE, [full.id]) == [full]
        assert backend.statistics(HERE).entities == 1
        changed = full.model_copy(update={"metadata": {"n": 2}})
        put(backend, changed)
        assert backend.get(HERE, [full.id, MemoryId("mem_nope")]) == [changed]
        backend.touch(HERE, [full.id], BEGIN)
        backend.touch(HERE, [full.id], BEGIN + timedelta(hours=1))
        [found] = backend.get(HERE, [full.id])
        assert (found.accessed, found.last_accessed) == (2, BEGIN + timedelta(hours=1))

    def test_the_recent_counts_more_when_it_is_asked_for(self, backend: MemoryBackend) -> None:
        old, new = entity("the price of tea is 4", age=10 * 86_400), entity("the price of tea is 5")
        put(backend, old, new)
        found = texts(backend, "what is the price of tea", mode="vector", half_life=86_400.0)
        assert found[0] == new.text

    def test_relations_are_followed_by_hops_direction_and_type(self, backend: MemoryBackend) -> None:
        chain = [entity(f"thing number {number}") for number in range(5)]
        put(backend, *chain)

        def relate(source: int, target: int, kind: str) -> Relation:
            ends = chain[source].id, chain[target].id
            return Relation(
                id=relation_id(ends[0], kind, ends[1]),
                source=ends[0],
                target=ends[1],
                type=kind,
                properties={"since": 2026},
                created_at=BEGIN,
            )

        backend.relate(
            HERE, [relate(0, 1, "causes"), relate(1, 2, "causes"), relate(2, 0, "blocks"), relate(3, 2, "knows")]
        )
        backend.relate(HERE, [relate(0, 1, "causes")])
        assert backend.statistics(HERE).relations == 4

        def reached(start: int, hops: int, direction: str = "out", types: tuple[str, ...] = ()) -> dict[int, int]:
            paths = backend.traverse(HERE, chain[start].id, hops=hops, direction=direction, types=types, limit=100)
            assert all(len(path.relations) == path.hops for path in paths)
            return {int(path.entity.text[-1]): path.hops for path in paths}

        assert reached(0, 1) == {1: 1}
        assert reached(0, 2) == {1: 1, 2: 2}
        assert reached(0, 6) == {1: 1, 2: 2}
        assert reached(0, 1, "in") == {2: 1}
        assert reached(0, 1, "both") == {1: 1, 2: 1}
        assert reached(0, 2, "both") == {1: 1, 2: 1, 3: 2}
        assert reached(0, 3, "both", ("causes",)) == {1: 1, 2: 2}
        assert reached(4, 3, "both") == {}
        assert len(backend.traverse(HERE, chain[0].id, hops=3, direction="both", types=(), limit=2)) == 2
        assert backend.delete(HERE, [chain[1].id]) == 1
        assert reached(0, 3) == {}
        assert backend.unrelate(HERE, [relate(3, 2, "knows").id]) == 1
        assert backend.statistics(HERE).relations == 1

    def test_lists_are_paged_by_id_and_filtered(self, backend: MemoryBackend) -> None:
        agent = MemoryScope(kind=ScopeKind.AGENT, owner="a")
        every = [entity(f"text {number}", agent if number % 3 == 0 else WORKSPACE, age=number) for number in range(20)]
        put(backend, *every)
        seen: list[str] = []
        after = None
        while page := backend.ids(HERE, MemoryFilter(), after=after, limit=7):
            seen += page
            after = page[-1]
        assert seen == backend.ids(HERE, MemoryFilter()) == sorted(each.id for each in every)
        assert len(backend.ids(HERE, MemoryFilter(scope=agent))) == 7
        before = BEGIN - timedelta(seconds=9.5)
        assert len(backend.ids(HERE, MemoryFilter(before=before))) == 10
        oldest = sorted(each.id for each in every[17:])
        assert backend.ids(HERE, MemoryFilter(beyond=17)) == oldest
        assert backend.ids(HERE, MemoryFilter(beyond=17), after=oldest[0], limit=1) == oldest[1:2]
        assert backend.ids(HERE, MemoryFilter(beyond=20)) == backend.ids(THERE, MemoryFilter()) == []
        assert backend.ids(HERE, MemoryFilter(scope=agent, beyond=6)) == [every[18].id]
        marked = entity("marked", metadata={"kind": "it's"})
        put(backend, marked)
        assert backend.ids(HERE, MemoryFilter(where={"kind": "it's"})) == [marked.id]
        assert backend.ids(HERE, MemoryFilter(where={"kind": "it"})) == []
        backend.delete(HERE, [marked.id])
        assert backend.statistics(HERE).by_scope == {"agent:a": 7, "workspace": 13}
        of_one = MemoryScope(kind=ScopeKind.CONVERSATION, owner="c_1")
        within = entity("in the conversation", of_one)
        made = entity("made from it").model_copy(update={"provenance": Provenance(conversation_id="c_1")})
        other = entity("of another").model_copy(update={"provenance": Provenance(conversation_id="c_12")})
        put(backend, within, made, other)
        assert backend.ids(HERE, MemoryFilter(conversations=["c_1"])) == sorted([within.id, made.id])
        assert backend.ids(HERE, MemoryFilter(conversations=["c_1", "c_12"])) == sorted([within.id, made.id, other.id])
        assert backend.ids(HERE, MemoryFilter(conversations=["c_"])) == []

    def test_what_is_forgotten_is_in_no_file(self, backend: MemoryBackend, tmp_path: Path) -> None:
        put(backend, entity("the secret word is xylophagous"), place=HERE)
        put(backend, entity("nothing to see"), place=THERE)
        backend.maintain(HERE)
        backend.forget(HERE)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if b"xylophagous" in path.read_bytes()]
        assert texts(backend, "word", mode="vector") == []
        assert texts(backend, "nothing", THERE, mode="vector") == ["nothing to see"]
        put(backend, entity("a new beginning"))
        assert texts(backend, "beginning", mode="text") == ["a new beginning"]

    def test_memories_survive_and_other_processes_see_them(
        self, backend: MemoryBackend, factory: MemoryFactory, config: MemoryConfig
    ) -> None:
        put(backend, entity(INVOICE))
        second = self.second(factory, config)
        assert texts(second, "invoice", mode="text") == [INVOICE]
        put(second, entity(PLANTS))
        assert set(texts(backend, "text", mode="vector")) == {INVOICE, PLANTS}
        backend.maintain(HERE)
        assert texts(backend, "sunlight", mode="text") == [PLANTS]
        second.close()

    def test_memories_survive_a_restart(
        self, backend: MemoryBackend, factory: MemoryFactory, config: MemoryConfig
    ) -> None:
        put(backend, entity(INVOICE))
        backend.touch(HERE, [entity(INVOICE).id], BEGIN)
        backend.close()
        again = factory(config)
        assert texts(again, "invoice", mode="text") == texts(again, "billing problem", mode="vector") == [INVOICE]
        assert again.get(HERE, [entity(INVOICE).id])[0].accessed == 1
        again.close()

    def test_writers_at_the_same_time_lose_nothing(
        self, backend: MemoryBackend, factory: MemoryFactory, config: MemoryConfig
    ) -> None:
        backends = [backend] if self.one_process else [backend, self.second(factory, config)]
        put(backend, entity("first of all"))

        def write(number: int) -> None:
            put(backends[number % len(backends)], entity(f"note number {number}"), entity(f"note number {number - 1}"))

        with ThreadPoolExecutor(6) as workers:
            list(workers.map(write, range(1, 30)))
        assert backend.statistics(HERE).entities == 31
        assert len(backend.ids(HERE, MemoryFilter())) == 31
        for each in backends[1:]:
            each.close()

    def test_a_change_of_the_embedder_is_noticed_and_made_good(
        self, backend: MemoryBackend, factory: MemoryFactory, config: MemoryConfig
    ) -> None:
        put(backend, entity(INVOICE), entity(PLANTS), entity(LOGIN))
        backend.close()
        other = factory(MemoryConfig(config.folder, "other-embedder", 4, config.options))
        other.put(HERE, [entity("news")], [[0.0, 0.0, 0.0, 1.0]])
        assert other.statistics(HERE).stale == 3
        assert [m.entity.text for m in other.search(HERE, MemoryQuery(text="x", mode="vector"), [0, 0, 0, 1.0])] == [
            "news"
        ]
        assert texts_of(other, MemoryQuery(text="invoice", mode="text")) == [INVOICE]
        stale = other.stale(HERE, 10)
        assert {each.text for each in stale} == {INVOICE, PLANTS, LOGIN}
        assert len(other.stale(HERE, 2)) == 2
        [plants] = [each for each in stale if each.text == PLANTS]
        changed = plants.model_copy(update={"name": "changed", "updated_at": BEGIN + timedelta(seconds=1)})
        other.put(HERE, [changed], [[0.0, 1.0, 0.0, 0.0]])
        other.delete(HERE, [entity(LOGIN).id])
        other.reembed(HERE, stale, [[1.0, 0.0, 0.0, 0.0]] * 3)
        assert other.stale(HERE, 10) == []
        assert other.get(HERE, [each.id for each in stale if each.text == LOGIN]) == []
        assert other.get(HERE, [plants.id]) == [changed]
        [found] = other.search(HERE, MemoryQuery(text="x", mode="vector", limit=1), [1.0, 0, 0, 0])
        assert (found.entity.text, found.similarity) == (INVOICE, 1.0)
        other.maintain(HERE)
        assert other.statistics(HERE).stale == 0
        other.close()

    def test_a_place_can_be_removed_and_begun_anew_under_another_process(
        self, backend: MemoryBackend, factory: MemoryFactory, config: MemoryConfig
    ) -> None:
        second = self.second(factory, config)
        put(backend, entity(INVOICE))
        assert len(second.ids(HERE, MemoryFilter())) == 1
        backend.forget(HERE)
        assert second.ids(HERE, MemoryFilter()) == second.get(HERE, [entity(INVOICE).id]) == []
        put(second, entity(PLANTS))
        assert texts(backend, "text", mode="vector") == [PLANTS]
        backend.forget(HERE)
        put(backend, entity(LOGIN))
        assert texts(second, "text", mode="vector") == [LOGIN]
        second.close()

    @pytest.mark.parametrize(
        "text", ["a" * 60_000, "\u202e odd \u0000 \ud7ff", "…", "🦉" * 500, "' OR 1=1 --", '"', "\\", "%_*?()[]{}:+-!"]
    )
    def test_any_text_can_be_kept_and_looked_for(self, backend: MemoryBackend, text: str) -> None:
        put(backend, entity(text), entity(PLANTS))
        assert backend.get(HERE, [entity(text).id])[0].text == text
        for mode in ("vector", "text", "hybrid"):
            found = texts(backend, text[:10_000], mode=mode)
            assert mode == "text" or text in found


def texts_of(backend: MemoryBackend, query: MemoryQuery) -> list[str]:
    """The matches of a search by words."""
    return [match.entity.text for match in backend.search(HERE, query, None)]
