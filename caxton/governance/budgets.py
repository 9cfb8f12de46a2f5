"""Budgets: checked before work that costs, and charged in the transaction that records it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from caxton.domain.errors import BudgetUsedUp, ErrorReport, Hint
from caxton.domain.events.governance import BudgetExceeded, BudgetRefused, BudgetWarning
from caxton.domain.governance import WARN_AT, Budget, BudgetResource, period_of
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.domain.usage import Usage


class Spending:
    """The budgets that limit one agent's work."""

    def __init__(
        self, transaction: Transaction, scope: Scope, agent: str, *, hand_over: bool = False, rehearsal: bool = False
    ) -> None:
        """Read the budgets; those whose period has ended start over.

        A request that is handed over was counted when it came in: only the budget of the agent that gets it counts it again.
        A rehearsal is no request to the agent: what its models use counts for the workspace and the customer, who pay for it.
        """
        self.rehearsal = rehearsal
        self.scope = scope
        self.agent = agent
        self.hand_over = hand_over
        self.budgets = self._current(transaction)

    def check(self, *resources: BudgetResource) -> None:
        """Refuses work for which nothing is left, of any resource or of those named.

        Work that is in progress at the same time is not known yet, so a budget may be passed by what runs at once.

        Raises:
            BudgetUsedUp: with the budget and when it starts over.
        """
        for budget in self.budgets:
            if self._counts(budget) and (not resources or budget.resource in resources) and budget.used >= budget.limit:
                raise _used_up(budget)

    def add(self, transaction: Transaction, use: Mapping[BudgetResource, float]) -> list[BudgetWarning]:
        """Charges `use`. Returns what the log is to tell: budgets that are nearly, or now, used up."""
        transaction.lock_budgets(self.scope.customer)
        told: list[BudgetWarning] = []
        for budget in self._current(transaction):
            amount = use.get(budget.resource, 0.0)
            if not amount or not self._counts(budget):
                continue
            before = budget.used
            charged = budget.model_copy(update={"used": before + amount})
            facts: dict[str, Any] = {
                "subject": budget.subject,
                "resource": budget.resource,
                "period": budget.period,
                "limit": budget.limit,
                "used": round(charged.used, 6),
            }
            if before < budget.limit <= charged.used:
                told.append(BudgetExceeded(**facts))
            elif not budget.warned and charged.used >= WARN_AT * budget.limit:
                told.append(BudgetWarning(**facts))
            charged.warned = budget.warned or charged.used >= WARN_AT * budget.limit
            transaction.use_budget(self.scope.customer, charged)
        return told

    def _counts(self, budget: Budget) -> bool:
        if self.rehearsal:
            return not budget.agent and budget.resource != "requests"
        return bool(budget.agent) or not self.hand_over or budget.resource != "requests"

    def _current(self, transaction: Transaction) -> list[Budget]:
        moment = datetime.now(UTC)
        found = transaction.budgets(self.scope.customer, self.scope.workspace, self.agent)
        return [_in_period(budget, moment) for budget in found]


def refused(error: ErrorReport) -> BudgetRefused:
    """What the log tells of work that was refused for want of a budget."""
    details = error.details
    return BudgetRefused(
        subject=str(details["subject"]),
        resource=str(details["resource"]),
        period=str(details["period"]),
        limit=float(details["limit"]),
        used=float(details["used"]),
    )


def current_budgets(transaction: Transaction, customer: str) -> list[Budget]:
    """All budgets of a customer; those whose period has ended start over."""
    moment = datetime.now(UTC)
    return [_in_period(budget, moment) for budget in transaction.budgets(customer)]


def model_use(usage: Usage) -> dict[BudgetResource, float]:
    """What a model call uses of budgets."""
    return {"tokens": float(usage.tokens), "cost_usd": usage.cost_usd or 0.0}


def _in_period(budget: Budget, moment: datetime) -> Budget:
    starts, ends = period_of(budget.period, moment)
    if starts <= budget.starts_at:  # the same period, or a clock that went back: what was used stays used
        return budget
    return budget.model_copy(update={"starts_at": starts, "ends_at": ends, "used": 0.0, "warned": False})


def _of_period(budget: Budget) -> str:
    return "" if budget.period == "total" else f" of this {budget.period}"


def _used_up(budget: Budget) -> BudgetUsedUp:
    until = f", until {budget.ends_at:%Y-%m-%d %H:%M} UTC" if budget.ends_at else ""
    retry = None if budget.ends_at is None else max(1.0, (budget.ends_at - datetime.now(UTC)).total_seconds())
    where = f" --of-workspace {budget.workspace}" if budget.workspace else ""
    whom = f" --of-agent {budget.agent}" if budget.agent else ""
    return BudgetUsedUp(
        f"{budget.subject} has used its {budget.resource}{_of_period(budget)}: "
        f"{budget.used:g} of {budget.limit:g}{until}",
        Hint(
            text="an administrator can raise it",
            command=f"caxton budgets set {budget.resource} LIMIT --per {budget.period}{where}{whom}",
        ),
        details={
            "subject": budget.subject,
            "resource": budget.resource,
            "period": budget.period,
            "limit": budget.limit,
            "used": budget.used,
            "workspace": budget.workspace or None,
            "agent": budget.agent or None,
            "ends_at": budget.ends_at.isoformat() if budget.ends_at else None,
        },
        retry_after=retry,
    )
