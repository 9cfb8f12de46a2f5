"""Approvals, remembered grants and budgets.

Generated from `async_resources/governance.py` by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping
from typing import Any

from caxton.client.sync_resources.calls import Calls, segment
from caxton.client.transport_sync import given
from caxton.domain.governance import Approval, Budget, RememberedGrant


class GovernanceCalls(Calls):
    """Approvals, remembered grants and budgets."""

    def approvals(self, *, state: str | None = None, limit: int = 50) -> list[Approval]:
        """Approvals, pending or decided; the latest request first."""
        found = self._get("/v1/approvals", state=state, limit=limit)
        return [Approval.model_validate(each) for each in found["approvals"]]

    def approval(self, approval_id: str) -> Approval:
        """One approval, with what has to be judged."""
        return Approval.model_validate(self._get(f"/v1/approvals/{segment(approval_id)}"))

    def decide(
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
        return Approval.model_validate(self._post(f"/v1/approvals/{segment(approval_id)}/{segment(verdict)}", body))

    def remembered_grants(self) -> list[RememberedGrant]:
        """Calls that need no decision for a while, because one like them was approved."""
        return [RememberedGrant.model_validate(each) for each in self._get("/v1/approvals/remembered")["grants"]]

    def forget_grant(self, grant_id: str) -> None:
        """Ends a remembered grant: calls need a decision again."""
        self._transport.request("DELETE", f"/v1/approvals/remembered/{segment(grant_id)}")

    def budgets(self) -> list[Budget]:
        """All budgets of the customer, with what is used of them."""
        return [Budget.model_validate(each) for each in self._get("/v1/budgets")["budgets"]]

    def set_budget(
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
        return Budget.model_validate(self._transport.request("PUT", "/v1/budgets", json=given(body)).json())

    def remove_budget(
        self, resource: str, period: str, *, workspace: str | None = None, agent: str | None = None
    ) -> None:
        """Removes a budget."""
        params = {"resource": resource, "period": period, "workspace": workspace, "agent": agent}
        self._transport.request("DELETE", "/v1/budgets", params=params)
