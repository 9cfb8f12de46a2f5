"""Approvals and budgets."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.governance import Approval, ApprovalState, Budget, BudgetPeriod, BudgetResource, Verdict
from caxton.domain.ids import Name

router = APIRouter(prefix="/v1", tags=["governance"])


class ApprovalPage(BaseModel):
    """Approvals, the latest request first."""

    approvals: list[Approval]
    next: datetime | None = None


class DecisionBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=2_000, pattern=r"^[^\x00]*$")


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
async def approvals(
    caller: CurrentCaller,
    services: UseCases,
    state: Annotated[ApprovalState | None, Query()] = None,
    before: Annotated[datetime | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ApprovalPage:
    """What waits, or waited, for a person."""
    found = await services.approvals.list_approvals(caller, state=state, before=before, limit=limit)
    return ApprovalPage(approvals=found, next=found[-1].requested_at if len(found) == limit else None)


@router.get("/approvals/{approval_id}")
async def approval(approval_id: str, caller: CurrentCaller, services: UseCases) -> Approval:
    """One approval, with what has to be judged."""
    return await services.approvals.show(caller, approval_id)


@router.post("/approvals/{approval_id}/grant")
async def grant(
    approval_id: str, caller: CurrentCaller, services: UseCases, body: DecisionBody | None = None
) -> Approval:
    """Lets the action go ahead."""
    return await services.approvals.decide(caller, approval_id, Verdict.GRANT, body.reason if body else "")


@router.post("/approvals/{approval_id}/reject")
async def reject(
    approval_id: str, caller: CurrentCaller, services: UseCases, body: DecisionBody | None = None
) -> Approval:
    """Refuses the action; the agent and the user are told why."""
    return await services.approvals.decide(caller, approval_id, Verdict.REJECT, body.reason if body else "")


@router.get("/budgets")
async def budgets(caller: CurrentCaller, services: UseCases) -> BudgetPage:
    """All budgets of the customer, with what is used of them."""
    return BudgetPage(budgets=await services.budgets.list_budgets(caller))


@router.put("/budgets")
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
async def remove_budget(key: Annotated[BudgetKey, Query()], caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a budget."""
    await services.budgets.remove(caller, key.resource, key.period, workspace=_workspace(key), agent=key.agent or "")
    return Response(status_code=204)


def _workspace(key: BudgetKey) -> str:
    from caxton.domain.errors import InvalidInput

    if key.agent and not key.workspace:
        raise InvalidInput("an agent's budget needs the agent's workspace", "give `workspace` too")
    return key.workspace or ""
