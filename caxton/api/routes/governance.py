"""Approvals and budgets."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.json_object import JsonObject
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.given import GivenId, GivenTime
from caxton.domain.governance import (
    Approval,
    ApprovalState,
    Budget,
    BudgetPeriod,
    BudgetResource,
    RememberedGrant,
    Verdict,
)
from caxton.domain.ids import Name
from caxton.domain.matchers import Pattern
from caxton.domain.permissions import Permission
from caxton.domain.quantities import Seconds
from caxton.service.approvals import Remember, Wanted

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["governance"])

FOUNDER = {Permission.APPROVALS_DECIDE_FOUNDER: "when the approval is for the founder"}


class ApprovalPage(BaseModel):
    """Approvals, the latest request first."""

    approvals: list[Approval]
    next: datetime | None = None


class DecisionBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=2_000, pattern=r"^[^\x00]*$")


class RememberBody(BaseModel):
    """For how long calls like this one need no decision."""

    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[Seconds, Field(gt=0, le=30 * 86_400, allow_inf_nan=False)] = Field(
        alias="for", description='Seconds, or such as "1h"; 30 days at most.'
    )
    like: Pattern = Field(
        default={},
        max_length=20,
        description="Arguments that may differ: a value, or above, below, like, one_of. All others must be the same.",
    )


class GrantBody(DecisionBody):
    """Why, and how."""

    arguments: JsonObject | None = Field(
        default=None, description="Call with these, in place of those asked for; they must fit the tool's schema."
    )
    remember: RememberBody | None = None

    @property
    def wanted(self) -> Wanted:
        """What goes along with the decision."""
        remember = Remember(self.remember.seconds, self.remember.like) if self.remember else None
        return Wanted(self.reason, self.arguments, remember)


class RememberedPage(BaseModel):
    """Remembered grants that hold now, those first that end first."""

    grants: list[RememberedGrant]


class BudgetPage(BaseModel):
    """All budgets of the customer."""

    budgets: list[Budget]


class BudgetKey(BaseModel):
    """Whom and what a budget limits."""

    model_config = ConfigDict(extra="forbid")

    resource: BudgetResource
    period: BudgetPeriod
    workspace: Name | None = Field(default=None, description="Without it: all workspaces of the customer.")
    agent: Name | None = Field(default=None, description="Without it: all agents of the workspace.")


class BudgetBody(BudgetKey):
    """A budget."""

    limit: float = Field(ge=0, le=1e15, allow_inf_nan=False)


@router.get("/approvals")
@needs(Permission.APPROVALS_READ)
@in_turn
async def approvals(
    caller: CurrentCaller,
    services: UseCases,
    state: Annotated[ApprovalState | None, Query()] = None,
    before: Annotated[GivenTime | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ApprovalPage:
    """What waits, or waited, for a person."""
    found = await services.approvals.list_approvals(caller, state=state, before=before, limit=limit)
    return ApprovalPage(approvals=found, next=found[-1].requested_at if len(found) == limit else None)


@router.get("/approvals/remembered")
@needs(Permission.APPROVALS_READ)
@in_turn
async def remembered(caller: CurrentCaller, services: UseCases) -> RememberedPage:
    """Calls that need no decision for a while, because one like them was approved."""
    return RememberedPage(grants=await services.approvals.list_remembered(caller))


@router.delete("/approvals/remembered/{grant_id}", status_code=204)
@needs(Permission.APPROVALS_DECIDE)
async def forget(grant_id: GivenId, caller: CurrentCaller, services: UseCases) -> Response:
    """Ends a remembered grant: calls need a decision again."""
    await services.approvals.forget(caller, grant_id)
    return Response(status_code=204)


@router.get("/approvals/{approval_id}")
@needs(Permission.APPROVALS_READ)
async def approval(approval_id: GivenId, caller: CurrentCaller, services: UseCases) -> Approval:
    """One approval, with what has to be judged."""
    return await services.approvals.show(caller, approval_id)


@router.post("/approvals/{approval_id}/grant")
@needs(Permission.APPROVALS_DECIDE, also=FOUNDER)
async def grant(
    approval_id: GivenId, caller: CurrentCaller, services: UseCases, body: GrantBody | None = None
) -> Approval:
    """Lets the action go ahead."""
    return await services.approvals.decide(caller, approval_id, Verdict.GRANT, (body or GrantBody()).wanted)


@router.post("/approvals/{approval_id}/reject")
@needs(Permission.APPROVALS_DECIDE, also=FOUNDER)
async def reject(
    approval_id: GivenId, caller: CurrentCaller, services: UseCases, body: DecisionBody | None = None
) -> Approval:
    """Refuses the action; the agent and the user are told why."""
    return await services.approvals.decide(caller, approval_id, Verdict.REJECT, Wanted(body.reason if body else ""))


@router.get("/budgets")
@needs(Permission.BUDGETS_READ)
async def budgets(caller: CurrentCaller, services: UseCases) -> BudgetPage:
    """All budgets of the customer, with what is used of them."""
    return BudgetPage(budgets=await services.budgets.list_budgets(caller))


@router.put("/budgets")
@needs(Permission.BUDGETS_WRITE)
async def set_budget(body: BudgetBody, caller: CurrentCaller, services: UseCases) -> Budget:
    """Sets a budget. It counts what its period has used already."""
    return await services.budgets.set(
        caller,
        body.resource,
        body.period,
        body.limit,
        workspace=_workspace(body),
        agent=body.agent or "",
    )


@router.delete("/budgets", status_code=204)
@needs(Permission.BUDGETS_WRITE)
async def remove_budget(key: Annotated[BudgetKey, Query()], caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a budget."""
    await services.budgets.remove(caller, key.resource, key.period, workspace=_workspace(key), agent=key.agent or "")
    return Response(status_code=204)


def _workspace(key: BudgetKey) -> str:
    from caxton.domain.errors import InvalidInput

    if key.agent and not key.workspace:
        raise InvalidInput("an agent's budget needs the agent's workspace", "give `workspace` too")
    return key.workspace or ""
