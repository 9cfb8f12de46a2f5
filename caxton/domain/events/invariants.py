"""The invariants of the log, checked over events alone (Aximo event model, sections 5 and 9).

1. No execution ends without execution_completed or execution_failed, and none ends twice.
2. Approval decisions emit approval events: each request is decided once, and nothing is dispatched that was not granted.
3. Every prepared action ends as action_dispatched or action_failed, once, before its execution ends.
4. Events cannot be updated or deleted: positions have no gaps, times never go back (the hash chain proves the rest).
5. No event belongs to another customer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from caxton.domain.events.envelope import Event
from caxton.domain.events.executions import (
    ActionDispatched,
    ActionFailed,
    ActionPrepared,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionProcessing,
    ExecutionTriggered,
)
from caxton.domain.events.governance import (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimeout,
    ApprovalWithdrawn,
)

DECISIONS = {
    ApprovalGranted.event_type,
    ApprovalRejected.event_type,
    ApprovalTimeout.event_type,
    ApprovalWithdrawn.event_type,
}
ENDS = {ExecutionCompleted.event_type, ExecutionFailed.event_type}
ACTION_ENDS = {ActionDispatched.event_type, ActionFailed.event_type}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant: its number, the event that shows it, and what is wrong."""

    invariant: int
    sequence: int | None
    execution_id: str | None
    problem: str


@dataclass
class _Execution:
    begun: bool = False
    actions: dict[str, bool] = field(default_factory=dict[str, bool])
    """Whether each prepared action has ended."""
    approvals: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """The decision on each action that needed one."""


class InvariantChecker:
    """Reads one customer's log from its beginning, in order. What is in progress is all that it remembers."""

    def __init__(self, customer: str, unseen: Iterable[str] | None = ()) -> None:
        """Check the log of `customer`.

        Args:
            customer: whose log.
            unseen: executions that began in segments that are not read; None if nobody knows which.
        """
        self._unseen = None if unseen is None else set(unseen)
        self.customer = customer
        self.violations: list[Violation] = []
        self.checked = 0
        self.ended = 0
        self._open: dict[str, _Execution] = {}
        self._finished: set[str] = set()
        self._last: Event | None = None

    @property
    def open(self) -> list[str]:
        """Executions that have not ended yet: those at work now, if all is well."""
        return [*self._open, *(self._unseen or ())]

    def read(self, events: Iterable[Event]) -> None:
        """Checks further events."""
        for event in events:
            self.checked += 1
            self._check_place(event)
            if event.execution_id is not None:
                self._check_execution(event, event.execution_id)
            self._last = event

    def _check_place(self, event: Event) -> None:
        if event.customer_id != self.customer:
            self._violated(5, event, f"it belongs to customer {event.customer_id}")
        last = self._last
        if last is None or event.sequence is None or last.sequence is None:
            return
        if event.sequence != last.sequence + 1:
            self._violated(4, event, f"position {event.sequence} follows {last.sequence}")
        if event.timestamp < last.timestamp:
            self._violated(4, event, "its time lies before that of the event before")

    def _check_execution(self, event: Event, execution_id: str) -> None:
        kind = event.event_type
        if kind == ExecutionTriggered.event_type:
            if execution_id in self._open or execution_id in self._finished:
                self._violated(1, event, "the execution was triggered twice")
            self._open[execution_id] = _Execution()
            return
        execution = self._open.get(execution_id)
        if execution is None and self._began_before(execution_id):
            if kind in ENDS:
                self._finished.add(execution_id)
                (self._unseen or set()).discard(execution_id)
            return
        if execution is None:
            self._check_stray(event, execution_id)
            return
        if kind == ExecutionProcessing.event_type:
            execution.begun = True
        elif kind in ENDS:
            self._check_end(event, execution, execution_id)
        else:
            self._check_action(event, execution, str(event.payload.get("action_id", "")))

    def _began_before(self, execution_id: str) -> bool:
        """Whether an execution began in what is not read: what became of it there is not known here."""
        return execution_id not in self._finished if self._unseen is None else execution_id in self._unseen

    def _check_stray(self, event: Event, execution_id: str) -> None:
        """An event of an execution that has ended, or never began; notices may come late."""
        kind = event.event_type
        if kind in ENDS and execution_id in self._finished:
            self._violated(1, event, "the execution ended twice")
        elif kind in ACTION_ENDS or kind == ActionPrepared.event_type:
            self._violated(3, event, "an action of an execution that is not at work")
        elif kind in ENDS or kind == ExecutionProcessing.event_type:
            self._violated(1, event, "an execution that was never triggered")

    def _check_action(self, event: Event, execution: _Execution, action: str) -> None:
        kind = event.event_type
        if kind == ActionPrepared.event_type:
            if action in execution.actions:
                self._violated(3, event, f"action {action} was prepared twice")
            execution.actions[action] = False
        elif kind == ApprovalRequested.event_type:
            if action in execution.approvals:
                self._violated(2, event, f"action {action} was put up for approval twice")
            execution.approvals[action] = None
        elif kind in DECISIONS:
            self._check_decision(event, execution, action)
        elif kind in ACTION_ENDS:
            self._check_action_end(event, execution, action)

    def _check_decision(self, event: Event, execution: _Execution, action: str) -> None:
        if action not in execution.approvals:
            self._violated(2, event, f"a decision on action {action}, which nobody asked for")
        elif execution.approvals[action] is not None:
            self._violated(2, event, f"action {action} was decided on twice")
        execution.approvals[action] = event.event_type

    def _check_action_end(self, event: Event, execution: _Execution, action: str) -> None:
        if action not in execution.actions:
            self._violated(3, event, f"action {action} ended without being prepared")
        elif execution.actions[action]:
            self._violated(3, event, f"action {action} ended twice")
        execution.actions[action] = True
        if (
            event.event_type == ActionDispatched.event_type
            and execution.approvals.get(action, ApprovalGranted.event_type) != ApprovalGranted.event_type
        ):
            self._violated(2, event, f"action {action} was dispatched without the approval that it needed")

    def _check_end(self, event: Event, execution: _Execution, execution_id: str) -> None:
        if event.event_type == ExecutionCompleted.event_type:
            if not execution.begun:
                self._violated(1, event, "it completed without having been taken up")
            if not execution.actions:
                self._violated(3, event, "it completed without an action")
        for action, ended in execution.actions.items():
            if not ended:
                self._violated(3, event, f"action {action} was prepared and neither dispatched nor failed")
        for action, decision in execution.approvals.items():
            if decision is None:
                self._violated(2, event, f"nobody decided on action {action}, and no event says so")
        del self._open[execution_id]
        self._finished.add(execution_id)
        self.ended += 1

    def _violated(self, invariant: int, event: Event, problem: str) -> None:
        self.violations.append(Violation(invariant, event.sequence, event.execution_id, problem))
