"""All queries of one transaction."""

from caxton.adapters.store.agent_health import AgentHealthQueries
from caxton.adapters.store.agent_states import AgentStateQueries
from caxton.adapters.store.breakers import BreakerQueries
from caxton.adapters.store.clients import ClientQueries
from caxton.adapters.store.conversations import ConversationQueries
from caxton.adapters.store.deadlines import DeadlineQueries
from caxton.adapters.store.deployments import DeploymentQueries
from caxton.adapters.store.documents import DocumentQueries
from caxton.adapters.store.drains import DrainQueries
from caxton.adapters.store.executions import ExecutionQueries
from caxton.adapters.store.flow import FlowQueries
from caxton.adapters.store.governance import GovernanceQueries
from caxton.adapters.store.keys import KeyQueries
from caxton.adapters.store.memory import MemoryQueries
from caxton.adapters.store.push import PushQueries
from caxton.adapters.store.references import ReferenceQueries
from caxton.adapters.store.registry import RegistryQueries
from caxton.adapters.store.retention import RetentionQueries
from caxton.adapters.store.rollouts import RolloutQueries
from caxton.adapters.store.schedules import ScheduleQueries
from caxton.adapters.store.segments import SegmentQueries
from caxton.adapters.store.sizes import SizeQueries
from caxton.adapters.store.tasks import TaskQueries
from caxton.adapters.store.tool_grants import ToolGrantQueries
from caxton.adapters.store.triggers import TriggerQueries
from caxton.adapters.store.turns import TurnQueries


class SqlTransaction(
    RegistryQueries,
    BreakerQueries,
    AgentHealthQueries,
    AgentStateQueries,
    ExecutionQueries,
    ConversationQueries,
    TurnQueries,
    TaskQueries,
    PushQueries,
    FlowQueries,
    DeploymentQueries,
    DrainQueries,
    SegmentQueries,
    GovernanceQueries,
    DeadlineQueries,
    ToolGrantQueries,
    ScheduleQueries,
    TriggerQueries,
    RolloutQueries,
    DocumentQueries,
    KeyQueries,
    MemoryQueries,
    ReferenceQueries,
    RetentionQueries,
    SizeQueries,
    ClientQueries,
):
    """The :class:`caxton.domain.records.Transaction` port over SQLAlchemy."""
