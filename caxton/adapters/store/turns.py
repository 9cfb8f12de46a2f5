"""Queries on turns that are accepted and have not ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.deadlines import WAITS
from caxton.adapters.store.schema import deadlines, turns
from caxton.adapters.store.session import Session, given, scope_given, scoped
from caxton.domain.conversations import WhenBusy
from caxton.domain.executions import TurnRequest
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import DueTurn, TurnInHand

_OF_CONVERSATION = (scope_given(turns), turns.c.conversation_id == bindparam("conversation_id"))
_BY_EXECUTION = select(turns).where(scope_given(turns), turns.c.execution_id.in_(bindparam("ids", expanding=True)))
_WAITING = (
    select(turns.c.conversation_id, func.count())
    .where(scope_given(turns), turns.c.conversation_id.in_(bindparam("ids", expanding=True)))
    .group_by(turns.c.conversation_id)
)
_NEXT = select(turns).where(*_OF_CONVERSATION).order_by(turns.c.sequence).limit(1)
_ANY = select(turns.c.sequence).where(*_OF_CONVERSATION).limit(1)
_ALL = select(turns).where(*_OF_CONVERSATION).order_by(turns.c.sequence)
_DUE = select(turns).where(turns.c.due_at <= bindparam("moment")).order_by(turns.c.due_at).limit(bindparam("most"))
_KEY = (
    turns.c.customer == bindparam("in_customer"),
    turns.c.workspace == bindparam("in_workspace"),
    turns.c.execution_id == bindparam("in_execution"),
)
_BEGIN = turns.update().where(*_KEY).values(begun=True)
_GIVE_WAY = (
    turns.update()
    .where(*_KEY)
    .values(cancelled=True, given_way=bindparam("new_given_way"), due_at=bindparam("new_due_at"))
)
_CANCEL = turns.update().where(*_KEY).values(cancelled=True)
_AT_WORK = (
    select(turns.c.execution_id).where(*_OF_CONVERSATION, turns.c.cancelled.is_(False)).order_by(turns.c.sequence)
)
_REMOVE = turns.delete().where(*_KEY)
_WAKE = (
    deadlines.update()
    .where(
        deadlines.c.customer == bindparam("in_customer"),
        deadlines.c.workspace == bindparam("in_workspace"),
        deadlines.c.execution_id == bindparam("in_execution"),
        deadlines.c.kind.in_(WAITS),
    )
    .values(due_at=bindparam("new_due_at"))
)
_POSTPONE = turns.update().where(*_KEY, turns.c.due_at == bindparam("in_due_at")).values(due_at=bindparam("new_due_at"))


def _key(scope: Scope, execution_id: ExecutionId) -> dict[str, str]:
    return {"in_customer": scope.customer, "in_workspace": scope.workspace, "in_execution": execution_id}


class TurnQueries(Session):
    """Turns in progress."""

    def turns_in_hand(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, TurnInHand]:
        """Those of the turns that are accepted and have not ended, by execution."""
        rows = self.connection.execute(_BY_EXECUTION, given(scope, ids=list(ids))) if ids else ()
        return {row.execution_id: turn_in_hand(row) for row in rows}

    def turns_waiting(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, int]:
        """How many turns each conversation has in progress; those with none are left out."""
        rows = self.connection.execute(_WAITING, given(scope, ids=list(ids))) if ids else ()
        return {ConversationId(conversation): count for conversation, count in rows}

    def next_turn(self, scope: Scope, conversation_id: ConversationId) -> TurnInHand | None:
        """The turn of the conversation that was accepted first and has not ended."""
        row = self.connection.execute(_NEXT, given(scope, conversation_id=conversation_id)).first()
        return turn_in_hand(row) if row else None

    def turns_of(self, scope: Scope, conversation_id: ConversationId) -> list[TurnInHand]:
        """All turns that the conversation has in progress, in their order."""
        return [
            turn_in_hand(row) for row in self.connection.execute(_ALL, given(scope, conversation_id=conversation_id))
        ]

    def add_turn(self, scope: Scope, request: TurnRequest, *, begun: bool, due_at: datetime) -> None:
        """Records that a turn is accepted, behind all that its conversation has in progress."""
        row = scoped(
            scope,
            execution_id=request.execution_id,
            conversation_id=request.conversation_id,
            one_shot=request.one_shot,
            request=request.model_dump_json(exclude_defaults=True),
            begun=begun,
            due_at=clock.from_datetime(due_at),
            accepted_at=clock.now(),
        )
        self.insert(turns, row)

    def begin_turn(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Notes that the turn's execution is recorded."""
        self.connection.execute(_BEGIN, _key(scope, execution_id))

    def cancel_turn(self, scope: Scope, execution_id: ExecutionId) -> bool:
        """Notes that somebody wants the turn to end; False when it has ended."""
        return bool(self.connection.execute(_CANCEL, _key(scope, execution_id)).rowcount)

    def give_way(
        self, scope: Scope, conversation_id: ConversationId, how: WhenBusy, due_at: datetime
    ) -> list[ExecutionId]:
        """Notes that all turns in progress of the conversation end, because another message comes first. Returns which.

        Their workflow is told of them again at `due_at`.
        """
        self.flush()
        found = [
            ExecutionId(name)
            for name in self.connection.execute(_AT_WORK, given(scope, conversation_id=conversation_id)).scalars()
        ]
        for execution_id in found:
            changed = {"new_given_way": how.value, "new_due_at": clock.from_datetime(due_at)}
            self.connection.execute(_GIVE_WAY, {**_key(scope, execution_id), **changed})
        return found

    def remove_turn(self, scope: Scope, execution_id: ExecutionId, conversation_id: ConversationId) -> bool | None:
        """The turn has ended. Returns whether its conversation has others in progress; None if nobody has looked."""
        if self.prepared:
            return None  # it began and ends in one transaction: it never was in progress
        self.connection.execute(_REMOVE, _key(scope, execution_id))
        self.connection.execute(_WAKE, {**_key(scope, execution_id), "new_due_at": clock.now()})
        return self.connection.execute(_ANY, given(scope, conversation_id=conversation_id)).scalar() is not None

    def due_turns(self, moment: datetime, limit: int) -> list[DueTurn]:
        """Turns whose workflows are to be told of them again, over all customers, the longest due first."""
        values: dict[str, Any] = {"moment": clock.from_datetime(moment), "most": limit}
        return [_due(row) for row in self.connection.execute(_DUE, values)]

    def postpone_turn(self, due: DueTurn, wait: timedelta) -> bool:
        """Puts off when the turn's workflow is told again; False when somebody else has, or it has ended."""
        known = clock.from_datetime(due.due_at)
        values = {"in_due_at": known, "new_due_at": clock.now() + round(wait.total_seconds() * 1_000_000)}
        changed = self.connection.execute(_POSTPONE, {**_key(due.scope, due.execution_id), **values})
        return bool(changed.rowcount)

    def all_due(self) -> None:
        """Makes every turn in progress due: whoever had them in progress is gone."""
        self.connection.execute(turns.update().values(due_at=0))

    def count_turns(self) -> int:
        """How many turns are in progress, over all customers."""
        return self.connection.execute(select(func.count()).select_from(turns)).scalar_one()


def turn_in_hand(row: Row[tuple[object, ...]]) -> TurnInHand:
    """The turn that a row of the table is."""
    return TurnInHand(
        request=TurnRequest.model_validate_json(row.request),
        begun=bool(row.begun),
        cancelled=bool(row.cancelled),
        accepted_at=clock.to_datetime(row.accepted_at),
        due_at=clock.to_datetime(row.due_at),
        given_way=WhenBusy(row.given_way) if row.given_way else None,
        waited=row.waited,
    )


def _due(row: Row[tuple[object, ...]]) -> DueTurn:
    return DueTurn(
        scope=Scope(customer=row.customer, workspace=row.workspace),
        conversation_id=row.conversation_id,
        execution_id=row.execution_id,
        one_shot=bool(row.one_shot),
        cancelled=bool(row.cancelled),
        accepted_at=clock.to_datetime(row.accepted_at),
        due_at=clock.to_datetime(row.due_at),
    )
