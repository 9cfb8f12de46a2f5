"""The records port: all reads and writes of one transaction, and who runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from caxton.domain.log_changes import LogChanges
from caxton.domain.records.agent_health import AgentHealthRecords
from caxton.domain.records.agent_states import AgentStateRecords
from caxton.domain.records.breakers import BreakerRecords
from caxton.domain.records.clients import ClientRecords
from caxton.domain.records.contents import ContentRecords
from caxton.domain.records.conversations import ConversationRecords
from caxton.domain.records.deadlines import DeadlineRecords
from caxton.domain.records.deletion import DeletionRecords
from caxton.domain.records.deployments import DeploymentRecords
from caxton.domain.records.documents import DocumentRecords
from caxton.domain.records.drains import DrainRecords
from caxton.domain.records.events import EventRecords
from caxton.domain.records.executions import ExecutionRecords
from caxton.domain.records.flow import FlowRecords
from caxton.domain.records.governance import GovernanceRecords
from caxton.domain.records.keys import KeyRecords
from caxton.domain.records.memory import MemoryRecords
from caxton.domain.records.push import PushRecords
from caxton.domain.records.registry import ComponentRecords
from caxton.domain.records.retention import RetentionRecords
from caxton.domain.records.rollouts import RolloutRecords
from caxton.domain.records.schedules import ScheduleRecords
from caxton.domain.records.segments import SegmentRecords
from caxton.domain.records.sizes import SizeRecords
from caxton.domain.records.tasks import TaskRecords
from caxton.domain.records.tool_grants import ToolGrantRecords
from caxton.domain.records.triggers import TriggerRecords
from caxton.domain.records.turns import TurnRecords


class Transaction(
    ComponentRecords,
    BreakerRecords,
    AgentHealthRecords,
    AgentStateRecords,
    ExecutionRecords,
    TurnRecords,
    TaskRecords,
    PushRecords,
    FlowRecords,
    ConversationRecords,
    DeploymentRecords,
    DrainRecords,
    EventRecords,
    GovernanceRecords,
    DeadlineRecords,
    ToolGrantRecords,
    ScheduleRecords,
    TriggerRecords,
    RolloutRecords,
    DocumentRecords,
    MemoryRecords,
    KeyRecords,
    ContentRecords,
    DeletionRecords,
    RetentionRecords,
    SegmentRecords,
    SizeRecords,
    ClientRecords,
    Protocol,
):
    """Reads and writes that happen together. Writes may be deferred until the transaction commits."""

    retried: bool
    """Whether an earlier attempt of this transaction met another one's writes."""

    def flush(self) -> None:
        """Makes the writes so far visible to the reads that follow in this transaction."""
        ...


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared(Generic[T]):
    """Writes that are ready to be committed."""

    result: T
    """What the function that prepared them returned."""
    transaction: Transaction
    """Holds the writes."""


class Records(Protocol):
    """Runs functions in transactions, off the event loop."""

    log_changes: LogChanges
    """Tells of each commit with which a customer's event log has grown."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a read-only transaction.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a transaction and commits; `work` may run more than once.

        Raises:
            StoreUnavailable: the database does not answer.
            DiskFull: there is no room to write.
        """
        ...

    def prepare(self, work: Callable[[Transaction], T], behind: Prepared[Any] | None = None) -> Prepared[T] | None:
        """Runs `work`, which only adds, in the calling thread and without the store; None when it wants to read.

        What it adds follows what was prepared in `behind`, and is committed with it.
        """
        ...

    async def commit(self, prepared: Prepared[Any]) -> bool:
        """Writes what was prepared. False, and nothing is written, when something of it is there already.

        Raises:
            StoreUnavailable: the database does not answer.
            DiskFull: there is no room to write.
        """
        ...
