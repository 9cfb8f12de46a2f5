"""All queries of one transaction."""

from caxton.adapters.store.conversations import ConversationQueries
from caxton.adapters.store.deployments import DeploymentQueries
from caxton.adapters.store.documents import DocumentQueries
from caxton.adapters.store.events import EventQueries
from caxton.adapters.store.executions import ExecutionQueries
from caxton.adapters.store.governance import GovernanceQueries
from caxton.adapters.store.keys import KeyQueries
from caxton.adapters.store.memory import MemoryQueries
from caxton.adapters.store.registry import RegistryQueries
from caxton.adapters.store.statistics import StatisticsQueries


class SqlTransaction(
    RegistryQueries,
    ExecutionQueries,
    ConversationQueries,
    DeploymentQueries,
    StatisticsQueries,
    EventQueries,
    GovernanceQueries,
    DocumentQueries,
    KeyQueries,
    MemoryQueries,
):
    """The :class:`caxton.domain.records.Transaction` port over SQLAlchemy."""
