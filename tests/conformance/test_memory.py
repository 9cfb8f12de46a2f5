"""Every memory back end passes the same tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton.adapters.memory.lance import lance_memory
from caxton.adapters.memory.qdrant import qdrant_memory
from caxton.domain.memory_port import MemoryConfig, MemoryFactory
from caxton.testing.memory import MODEL, MemoryBackendTests
from tests.support.qdrant import standing_in


@pytest.mark.requirement("MEM-1")
@pytest.mark.requirement("MEM-2")
@pytest.mark.requirement("MEM-3")
@pytest.mark.requirement("MEM-4")
@pytest.mark.requirement("MEM-6")
@pytest.mark.requirement("MEM-8")
class TestLance(MemoryBackendTests):
    @pytest.fixture
    def factory(self) -> MemoryFactory:
        return lance_memory


@pytest.mark.requirement("MEM-1")
@pytest.mark.requirement("MEM-2")
@pytest.mark.requirement("MEM-3")
@pytest.mark.requirement("MEM-4")
@pytest.mark.requirement("MEM-6")
@pytest.mark.requirement("MEM-8")
class TestQdrant(MemoryBackendTests):
    """In its client's local mode."""

    one_process = True

    @pytest.fixture
    def factory(self) -> MemoryFactory:
        return qdrant_memory


@pytest.mark.requirement("MEM-8")
class TestQdrantOverHttp(MemoryBackendTests):
    """As with a server: the requests are real, the server is a stand-in."""

    @pytest.fixture
    def factory(self) -> MemoryFactory:
        return qdrant_memory

    @pytest.fixture
    def config(self, tmp_path: Path) -> Iterator[MemoryConfig]:
        with standing_in(tmp_path / "server") as server:
            yield MemoryConfig(tmp_path / "memory", MODEL.id, MODEL.dimensions, {"url": server.url})
