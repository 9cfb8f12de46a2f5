"""What LanceDB keeps in memory is bounded: it does not grow with each memory that comes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from caxton.adapters.memory import lance_tables
from caxton.adapters.memory.lance import LanceMemory
from caxton.domain.memory import Entity, MemoryId, MemoryQuery, MemoryScope, ScopeKind
from caxton.domain.memory_port import MemoryConfig, Place

DIMENSIONS = 8
SCOPE = MemoryScope(kind=ScopeKind.WORKSPACE)


@pytest.mark.requirement("MEM-9")
def test_what_is_known_of_files_is_bounded_over_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_tables, "KEPT_OF_FILES", 256 << 10)
    memory = LanceMemory(MemoryConfig(tmp_path, "test", DIMENSIONS))
    places = [Place("acme", "one"), Place("acme", "two")]
    now = datetime.now(UTC)
    for number in range(40):
        entity = Entity(
            id=MemoryId(f"mem_{number:08}"),
            scope=SCOPE,
            observations=[f"place{number} is a quiet one"],
            metadata={},
            created_at=now,
            updated_at=now,
        )
        for place in places:
            memory.put(place, [entity], [[1.0, *(0.0 for _ in range(DIMENSIONS - 1))]])
    query = MemoryQuery(text="place7", mode="text", scopes=(SCOPE,), limit=5)
    for place in places:
        assert memory.search(place, query, None)[0].entity.id == "mem_00000007"
    assert 0 < memory._tables.kept < 1 << 20, "80 writes leave four megabytes where nothing bounds it"
    memory.close()
