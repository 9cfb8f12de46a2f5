"""Every memory back end passes the same tests."""

import pytest

from caxton.adapters.memory.lance import lance_memory
from caxton.adapters.memory.qdrant import qdrant_memory
from caxton.domain.memory_port import MemoryFactory
from caxton.testing.memory import MemoryBackendTests


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
