"""Budgets: set, show, remove. What was used before a budget was set counts: it is taken from the log."""

from datetime import UTC, datetime

from caxton.domain.errors import NotFound
from caxton.domain.events import Event
from caxton.domain.events.executions import ExecutionProcessing, ModelCalled
from caxton.domain.events.governance import BudgetSet
from caxton.domain.governance import WARN_AT, Budget, BudgetPeriod, BudgetResource, period_of
from caxton.domain.ids import Scope, new_id
from caxton.domain.permissions import Permission
from caxton.domain.records import EventFilter, Records, Transaction
from caxton.governance.budgets import current_budgets
from caxton.recording import journal
from caxton.routing.similar import similar_names
from caxton.service.context import Caller

BATCH = 5_000
"""Events read at once when the use so far is counted."""

FEW = 1_000
"""Events that may be counted while nobody else can write: what comes while the others are counted."""


class Budgets:
    """Use cases on budgets."""

    def __init__(self, records: Records) -> None:
        """Keep budgets in `records`."""
        self.records = records

    async def list_budgets(self, caller: Caller) -> list[Budget]:
        """Budgets of the customer with what their running period has used: of all workspaces that the caller may see."""
        found = await self.records.read(lambda transaction: current_budgets(transaction, caller.scope.customer))
        if Permission.BUDGETS_READ in caller.everywhere:
            return found
        return [budget for budget in found if budget.workspace in ("", caller.scope.workspace)]

    async def set(
        self,
        caller: Caller,
        resource: BudgetResource,
        period: BudgetPeriod,
        limit: float,
        *,
        workspace: str = "",
        agent: str = "",
    ) -> Budget:
        """Sets a budget, from now on. Raising one lets refused work pass at once."""
        customer = caller.scope.customer
        budget = _budget(resource, period, limit, workspace, agent, caller.actor)
        counted = await self._count(customer, budget)

        def put(transaction: Transaction) -> Budget:
            _check_subject(transaction, customer, workspace, agent)
            transaction.lock_budgets(customer)
            wanted = budget
            known = _same(current_budgets(transaction, customer), wanted)
            used = known.used if known else counted.go_on(transaction)
            wanted = wanted.model_copy(update={"used": used, "warned": used >= WARN_AT * limit})
            transaction.put_budget(customer, wanted)
            transaction.bump_generations(customer)
            transaction.add_events(caller.scope, [_told(caller, wanted, limit, known.limit if known else None)])
            return wanted

        return await self.records.write(put)

    async def _count(self, customer: str, budget: Budget) -> "_UseSoFar":
        """Counts the use so far, but for the last few events: a batch at a time, while others write."""
        counted = _UseSoFar(customer, budget)

        def read(transaction: Transaction) -> bool:
            if _same(current_budgets(transaction, customer), budget) is not None:
                return True  # the budget knows what it has used
            if transaction.event_head(customer).sequence - counted.position <= FEW:
                return True
            counted.batch(transaction)
            return False

        while not await self.records.read(read):
            pass
        return counted

    async def remove(
        self, caller: Caller, resource: BudgetResource, period: BudgetPeriod, *, workspace: str = "", agent: str = ""
    ) -> None:
        """Removes a budget.

        Raises:
            NotFound: there is no such budget.
        """
        customer = caller.scope.customer

        def remove(transaction: Transaction) -> bool:
            wanted = _budget(resource, period, 0.0, workspace, agent, caller.actor)
            known = _same(current_budgets(transaction, customer), wanted)
            if known is None or not transaction.remove_budget(customer, wanted):
                return False
            transaction.bump_generations(customer)
            transaction.add_events(caller.scope, [_told(caller, wanted, None, known.limit)])
            return True

        if not await self.records.write(remove):
            raise NotFound("there is no such budget", "see all: caxton budgets list")


def _budget(
    resource: BudgetResource, period: BudgetPeriod, limit: float, workspace: str, agent: str, actor: str
) -> Budget:
    starts_at, ends_at = period_of(period, datetime.now(UTC))
    return Budget(
        workspace=workspace,
        agent=agent,
        resource=resource,
        period=period,
        limit=limit,
        starts_at=starts_at,
        ends_at=ends_at,
        set_by=actor,
    )


def _check_subject(transaction: Transaction, customer: str, workspace: str, agent: str) -> None:
    """A budget for what does not exist would limit nothing, and nobody would notice.

    Raises:
        NotFound: with what was probably meant.
    """
    known = transaction.workspaces(customer) if workspace else []
    if workspace and workspace not in known:
        raise _missing("workspace", workspace, known)
    if agent:
        scope = Scope(customer=customer, workspace=workspace)
        names = [component.name for component in transaction.components(scope, "agent")]
        if agent not in names:
            raise _missing("agent", agent, names)


def _missing(kind: str, name: str, known: list[str]) -> NotFound:
    similar = similar_names(name, known)
    hints = [f'did you mean "{similar[0]}"?'] if similar else ["deploy it first"]
    return NotFound(
        f'there is no {kind} "{name}" to set a budget for', *hints, details={kind: name, "similar": similar}
    )


def _same(budgets: list[Budget], wanted: Budget) -> Budget | None:
    def key(budget: Budget) -> tuple[str, str, str, str]:
        return budget.workspace, budget.agent, budget.resource, budget.period

    return next((budget for budget in budgets if key(budget) == key(wanted)), None)


class _UseSoFar:
    """What the running period has used before the budget was set, from the log."""

    def __init__(self, customer: str, budget: Budget) -> None:
        kind = ExecutionProcessing.event_type if budget.resource == "requests" else ModelCalled.event_type
        self.customer = customer
        self.budget = budget
        self.wanted = EventFilter(types=frozenset({kind}), agent=budget.agent or None, since=budget.starts_at)
        self.position = 0
        """The last event of the customer's log that is counted."""
        self.total = 0.0

    def go_on(self, transaction: Transaction) -> float:
        """Counts to the end of the log. Returns what was used."""
        while self.batch(transaction):
            pass
        return round(self.total, 9)

    def batch(self, transaction: Transaction) -> bool:
        """Counts some events, or all that are left. Returns whether there are more."""
        head = transaction.event_head(self.customer).sequence
        found = {name: self._events(transaction, name, head) for name in self._workspaces(transaction)}
        cut = [events[-1].sequence or 0 for events in found.values() if len(events) == BATCH]
        until = min(cut, default=head)
        self.total += sum(
            _amount(event, self.budget.resource, of_agent=bool(self.budget.agent))
            for events in found.values()
            for event in events
            if (event.sequence or 0) <= until
        )
        self.position = until
        return until < head

    def _workspaces(self, transaction: Transaction) -> list[str]:
        return [self.budget.workspace] if self.budget.workspace else transaction.workspaces(self.customer)

    def _events(self, transaction: Transaction, workspace: str, head: int) -> list[Event]:
        inside = Scope(customer=self.customer, workspace=workspace)
        return transaction.events(inside, self.wanted, after=self.position, before=head + 1, limit=BATCH)


def _amount(event: Event, resource: BudgetResource, *, of_agent: bool) -> float:
    payload = event.payload
    if resource == "requests":
        # Hand-overs are part of a request; an agent's own budget counts them too.
        return 1.0 if of_agent or event.execution_id == event.correlation_id else 0.0
    if resource == "tokens":
        return float(payload.get("input_tokens", 0) + payload.get("output_tokens", 0))
    return float(payload.get("cost_usd") or 0.0)


def _told(caller: Caller, budget: Budget, limit: float | None, before: float | None) -> Event:
    told = BudgetSet(subject=budget.subject, resource=budget.resource, period=budget.period, limit=limit, before=before)
    return journal.note(caller.scope, told, new_id("budget"), actor=caller.actor, agent=budget.agent or None)
