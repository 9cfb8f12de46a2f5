"""The records port: what is kept, as reads and writes within one transaction.

A :class:`Records` runs a function with a :class:`Transaction`, which is made of one protocol an aggregate. Every method takes a
:class:`Scope`, so a query without a customer cannot be written.
"""

from caxton.domain.records.agent_health import AgentHealthRecords
from caxton.domain.records.agent_states import AgentStateRecords
from caxton.domain.records.breakers import BreakerRecords
from caxton.domain.records.clients import ClientRecords, ClientTask
from caxton.domain.records.contents import ContentRecords
from caxton.domain.records.conversations import ConversationRecords, HistoryWanted
from caxton.domain.records.deadlines import Backlog, Deadline, DeadlineRecords
from caxton.domain.records.deletion import DeletionRecords, Removed
from caxton.domain.records.deployments import BegunDeployment, DeploymentRecords
from caxton.domain.records.documents import DocumentRecords
from caxton.domain.records.drains import DrainRecords
from caxton.domain.records.events import EventFilter, EventRecords
from caxton.domain.records.executions import ExecutionRecord, ExecutionRecords, StepRecord
from caxton.domain.records.flow import FlowRecords, GateState, Place, PlaceKey, PlaceState, QueueStatus, Waiting
from caxton.domain.records.governance import GovernanceRecords
from caxton.domain.records.keys import ApiKey, KeyRecords
from caxton.domain.records.memory import MemoryRecords, UndoPage
from caxton.domain.records.push import PushRecords
from caxton.domain.records.registry import Component, ComponentKind, ComponentRecords
from caxton.domain.records.retention import RetentionRecords
from caxton.domain.records.rollouts import RolloutRecords
from caxton.domain.records.schedules import ScheduleRecords
from caxton.domain.records.segments import Segment, SegmentRecords
from caxton.domain.records.sizes import DatabaseSize, SizeRecords
from caxton.domain.records.tasks import EndedTurns, TaskRecords
from caxton.domain.records.tool_grants import ToolGrantRecords
from caxton.domain.records.transaction import Prepared, Records, Transaction
from caxton.domain.records.triggers import TriggerRecords
from caxton.domain.records.turns import DueTurn, RaceLost, TurnInHand, TurnRecords, TurnsSoFar

__all__ = [
    "AgentHealthRecords",
    "AgentStateRecords",
    "ApiKey",
    "Backlog",
    "BegunDeployment",
    "BreakerRecords",
    "ClientRecords",
    "ClientTask",
    "Component",
    "ComponentKind",
    "ComponentRecords",
    "ContentRecords",
    "ConversationRecords",
    "DatabaseSize",
    "Deadline",
    "DeadlineRecords",
    "DeletionRecords",
    "DeploymentRecords",
    "DocumentRecords",
    "DrainRecords",
    "DueTurn",
    "EndedTurns",
    "EventFilter",
    "EventRecords",
    "ExecutionRecord",
    "ExecutionRecords",
    "FlowRecords",
    "GateState",
    "GovernanceRecords",
    "HistoryWanted",
    "KeyRecords",
    "MemoryRecords",
    "Place",
    "PlaceKey",
    "PlaceState",
    "Prepared",
    "PushRecords",
    "QueueStatus",
    "RaceLost",
    "Records",
    "Removed",
    "RetentionRecords",
    "RolloutRecords",
    "ScheduleRecords",
    "Segment",
    "SegmentRecords",
    "SizeRecords",
    "StepRecord",
    "TaskRecords",
    "ToolGrantRecords",
    "Transaction",
    "TriggerRecords",
    "TurnInHand",
    "TurnRecords",
    "TurnsSoFar",
    "UndoPage",
    "Waiting",
]
