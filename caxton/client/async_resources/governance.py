"""Approvals, remembered grants and budgets.

`sync_resources/governance.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping
from typing import Any

from caxton.client.async_resources.calls import AsyncCalls, segment
from caxton.client.transport_async import given
from caxton.domain.governance import Approval, Budget, RememberedGrant


class AsyncGovernanceCalls(AsyncCalls):
    """Approvals, remembered grants and budgets."""

    async def approvals(self, *, state: str | None = None, limit: int = 50) -> list[Approval]:
        """Approvals, pending or decided; the latest request first."""
        found = await self._get("/v1/approvals", state=state, limit=limit)
        return [Approval.model_validate(each) for each in found["approvals"]]

    async def approval(self, approval_id: str) -> Approval:
        """One approval, with what has to be judged."""
        return Approval.model_validate(await self._get(f"/v1/approvals/{segment(approval_id)}"))

    async def decide(
        self,
        approval_id: str,
        verdict: str,
        reason: str = "",
        *,
        arguments: Mapping[str, Any] | None = None,
        remember: Mapping[str, Any] | None = None,
    ) -> Approval:
        """Decides on an approval: "grant" or "reject".

        Args:
            approval_id: which.
            verdict: "grant" or "reject".
            reason: for the log, and for whom it concerns.
            arguments: grant: call with these, in place of those asked for.
            remember: grant: {"for": "1h", "like": {…}}, so that calls like this one need no decision for a while.
        """
        body = given({"reason": reason, "arguments": arguments, "remember": remember})
        return Approval.model_validate(
            await self._post(f"/v1/approvals/{segment(approval_id)}/{segment(verdict)}", body)
        )

    async def remembered_grants(self) -> list[RememberedGrant]:
        """Calls that need no decision for a while, because one like them was approved."""
        return [
            RememberedGrant.model_validate(each) for each in (await self._get("/v1/approvals/remembered"))["grants"]
        ]

    async def forget_grant(self, grant_id: str) -> None:
        """Ends a remembered grant: calls need a decision again."""
        await self._transport.request("DELETE", f"/v1/approvals/remembered/{segment(grant_id)}")

    async def budgets(self) -> list[Budget]:
        """All budgets of the customer, with what is used of them."""
        return [Budget.model_validate(each) for each in (await self._get("/v1/budgets"))["budgets"]]

    async def set_budget(
        self, resource: str, period: str, limit: float, *, workspace: str | None = None, agent: str | None = None
    ) -> Budget:
        """Sets a budget.

        Args:
            resource: "tokens", "cost_usd" or "requests".
            period: "hour", "day", "month" or "total".
            limit: how much.
            workspace: without it, all workspaces.
            agent: without it, all agents.
        """
        body = {"resource": resource, "period": period, "limit": limit, "workspace": workspace, "agent": agent}
        return Budget.model_validate((await self._transport.request("PUT", "/v1/budgets", json=given(body))).json())

    async def remove_budget(
        self, resource: str, period: str, *, workspace: str | None = None, agent: str | None = None
    ) -> None:
        """Removes a budget."""
        params = {"resource": resource, "period": period, "workspace": workspace, "agent": agent}
        await self._transport.request("DELETE", "/v1/budgets", params=params)
