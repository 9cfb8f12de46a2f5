"""Queries on approvals, deadlines and budgets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, RowMapping, and_, bindparam, or_, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import approvals, budgets, deadlines
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.governance import Approval, ApprovalState, Budget, period_of
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Deadline

_ADD_USE = (
    budgets.update()
    .where(
        *(
            budgets.c[name] == bindparam(f"in_{name}")
            for name in ("customer", "workspace", "agent", "resource", "period")
        )
    )
    .values(used=bindparam("new_used"), starts_at=bindparam("new_starts_at"), warned=bindparam("new_warned"))
)


class GovernanceQueries(Session):
    """Approvals, deadlines, budgets."""

    def approval(self, scope: Scope, approval_id: str) -> Approval | None:
        """The approval of that id."""
        query = select(approvals).where(in_scope(approvals, scope), approvals.c.id == approval_id)
        row = self.connection.execute(query).mappings().first()
        return _approval(row) if row else None

    def approvals(
        self,
        scope: Scope,
        *,
        state: ApprovalState | None = None,
        execution_id: ExecutionId | None = None,
        before: datetime | None = None,
        limit: int,
    ) -> list[Approval]:
        """Approvals, the latest request first."""
        query = select(approvals).where(in_scope(approvals, scope))
        if state is not None:
            query = query.where(approvals.c.state == state)
        if execution_id is not None:
            query = query.where(approvals.c.execution_id == execution_id)
        if before is not None:
            query = query.where(approvals.c.requested_at < clock.from_datetime(before))
        query = query.order_by(approvals.c.requested_at.desc(), approvals.c.id).limit(limit)
        return [_approval(row) for row in self.connection.execute(query).mappings()]

    def approvals_of(self, scope: Scope, ids: Sequence[ExecutionId]) -> list[Approval]:
        """All approvals that executions asked for, in that order."""
        query = (
            select(approvals)
            .where(in_scope(approvals, scope), approvals.c.execution_id.in_(ids))
            .order_by(approvals.c.requested_at, approvals.c.id)
        )
        return [_approval(row) for row in self.connection.execute(query).mappings()]

    def add_approval(self, scope: Scope, approval: Approval) -> None:
        """Records that an action waits."""
        row = scoped(scope, **approval.model_dump(exclude={"requested_at", "expires_at", "decided_at"}))
        row["requested_at"] = clock.from_datetime(approval.requested_at)
        row["expires_at"] = clock.from_datetime(approval.expires_at)
        row["decided_at"] = clock.optional_from(approval.decided_at)
        self.insert(approvals, row)

    def decide_approval(self, scope: Scope, approval_id: str, state: ApprovalState, by: str, reason: str) -> bool:
        """Records the end of an approval; False when it had ended before (the first decision stands)."""
        self.flush()
        changed = self.connection.execute(
            approvals.update()
            .where(
                in_scope(approvals, scope), approvals.c.id == approval_id, approvals.c.state == ApprovalState.PENDING
            )
            .values(state=state, decided_by=by, decided_at=clock.now(), reason=reason)
        )
        return bool(changed.rowcount)

    def add_deadlines(self, scope: Scope, found: Sequence[Deadline]) -> None:
        """Notes what is to happen at a time."""
        for deadline in found:
            row = scoped(
                scope,
                execution_id=deadline.execution_id,
                kind=deadline.kind,
                level=deadline.level,
                due_at=clock.from_datetime(deadline.due_at),
                details=to_json(deadline.details),
            )
            self.insert(deadlines, row)

    def due_deadlines(self, moment: datetime, limit: int) -> list[Deadline]:
        """What is due at `moment`, over all customers (each names its own), the earliest first."""
        query = (
            select(deadlines)
            .where(deadlines.c.due_at <= clock.from_datetime(moment))
            .order_by(deadlines.c.due_at)
            .limit(limit)
        )
        return [_deadline(row) for row in self.connection.execute(query)]

    def remove_deadline(self, deadline: Deadline) -> bool:
        """Strikes one that was dealt with; False when another process was quicker."""
        changed = self.connection.execute(
            deadlines.delete().where(
                in_scope(deadlines, deadline.scope),
                deadlines.c.execution_id == deadline.execution_id,
                deadlines.c.kind == deadline.kind,
                deadlines.c.level == deadline.level,
            )
        )
        return bool(changed.rowcount)

    def clear_deadlines(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Strikes those of an execution that has ended, but for notices that are due already."""
        self.flush()
        self.connection.execute(
            deadlines.delete().where(
                in_scope(deadlines, scope),
                deadlines.c.execution_id == execution_id,
                deadlines.c.kind != "memory",
                or_(deadlines.c.kind != "escalation", deadlines.c.due_at > clock.now()),
            )
        )

    def budgets(self, customer: str, workspace: str | None = None, agent: str | None = None) -> list[Budget]:
        """The customer's budgets; with `workspace` and `agent`, those that limit the agent's work."""
        query = select(budgets).where(budgets.c.customer == customer)
        if workspace is not None:
            whole = budgets.c.workspace == ""
            own = and_(budgets.c.workspace == workspace, budgets.c.agent.in_(["", agent or ""]))
            query = query.where(or_(whole, own) if agent is not None else or_(whole, budgets.c.workspace == workspace))
        query = query.order_by(budgets.c.workspace, budgets.c.agent, budgets.c.resource, budgets.c.period)
        return [_budget(row) for row in self.connection.execute(query)]

    def put_budget(self, customer: str, budget: Budget) -> None:
        """Sets a budget, and what its running period has used."""
        key = _budget_key(customer, budget)
        row = {
            "limit": budget.limit,
            "starts_at": clock.from_datetime(budget.starts_at),
            "used": budget.used,
            "warned": budget.warned,
            "set_by": budget.set_by,
            "updated_at": clock.now(),
        }
        changed = self.connection.execute(
            budgets.update().where(*(budgets.c[name] == value for name, value in key.items())).values(row)
        )
        if not changed.rowcount:
            self.connection.execute(budgets.insert(), {**key, **row})

    def use_budget(self, customer: str, budget: Budget) -> None:
        """Records what the running period has used."""
        values = {"new_used": budget.used, "new_starts_at": clock.from_datetime(budget.starts_at)}
        key = {f"in_{name}": value for name, value in _budget_key(customer, budget).items()}
        self.connection.execute(_ADD_USE, {**key, **values, "new_warned": budget.warned})

    def remove_budget(self, customer: str, budget: Budget) -> bool:
        """Removes a budget; False when there is none."""
        key = _budget_key(customer, budget)
        changed = self.connection.execute(budgets.delete().where(*(budgets.c[n] == value for n, value in key.items())))
        return bool(changed.rowcount)

    def lock_budgets(self, customer: str) -> None:
        """Keeps other transactions from changing the customer's budgets until this one commits."""
        self.connection.execute(select(budgets.c.agent).where(budgets.c.customer == customer).with_for_update())


def _budget_key(customer: str, budget: Budget) -> dict[str, str]:
    return {
        "customer": customer,
        "workspace": budget.workspace,
        "agent": budget.agent,
        "resource": budget.resource,
        "period": budget.period,
    }


def _approval(row: RowMapping) -> Approval:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in ("requested_at", "expires_at", "decided_at"):
        values[name] = clock.optional_datetime(values[name])
    values["reason"] = values["reason"] or ""
    return Approval.model_validate(values)


def _deadline(row: Row[tuple[Any, ...]]) -> Deadline:
    return Deadline(
        scope=Scope(customer=row.customer, workspace=row.workspace),
        execution_id=row.execution_id,
        kind=row.kind,
        level=row.level,
        due_at=clock.to_datetime(row.due_at),
        details=from_json(row.details, {}),
    )


def _budget(row: Row[tuple[Any, ...]]) -> Budget:
    starts_at = clock.to_datetime(row.starts_at)
    return Budget(
        workspace=row.workspace,
        agent=row.agent,
        resource=row.resource,
        period=row.period,
        limit=row.limit,
        used=row.used,
        starts_at=starts_at,
        ends_at=period_of(row.period, starts_at)[1],
        warned=row.warned,
        set_by=row.set_by,
    )
