"""Approvals: what waits for a person, and the decision."""

import asyncio
import time
from datetime import UTC, datetime

from caxton.domain.errors import Hint, InvalidState, NotFound, NotPermitted
from caxton.domain.executions import ApprovalStatus, Decision
from caxton.domain.governance import Approval, ApprovalMode, ApprovalState, Verdict
from caxton.domain.records import Records
from caxton.service.context import RANK, Caller, Role
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.workflows.conversation import ConversationWorkflow
from caxton.workflows.names import conversation_workflow_id

NEEDED = {ApprovalMode.OPERATOR: Role.OPERATOR, ApprovalMode.FOUNDER: Role.ADMIN, ApprovalMode.AUTO: Role.OPERATOR}
"""The role that a decision needs."""

PATIENCE = 10.0
"""Seconds that a decision waits for a workflow that is between recording an approval and waiting for it."""


class Approvals:
    """Use cases on approvals."""

    def __init__(self, records: Records, engine: Engine) -> None:
        """Join what approvals need."""
        self.records = records
        self.engine = engine

    async def list_approvals(
        self, caller: Caller, *, state: ApprovalState | None, before: datetime | None, limit: int
    ) -> list[Approval]:
        """Approvals of the workspace, the latest request first."""
        return await self.records.read(
            lambda transaction: transaction.approvals(caller.scope, state=state, before=before, limit=limit)
        )

    async def show(self, caller: Caller, approval_id: str) -> Approval:
        """One approval, with what has to be judged.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self.records.read(lambda transaction: transaction.approval(caller.scope, approval_id))
        if found is None:
            raise NotFound(
                f'there is no approval "{approval_id[:64]}"',
                Hint(text="see what waits", command="caxton approvals list"),
                details={"approval": approval_id[:64]},
            )
        return found

    async def decide(self, caller: Caller, approval_id: str, verdict: Verdict, reason: str) -> Approval:
        """Records a decision and lets the work go on. The same decision again changes nothing.

        Raises:
            NotFound: there is no approval of that id.
            NotPermitted: the caller's role is not the one that the approval asks for.
            InvalidState: it was decided otherwise, or is no longer needed.
        """
        caller.require(Role.OPERATOR)
        approval = await self.show(caller, approval_id)
        was_pending = approval.state is ApprovalState.PENDING
        needed = NEEDED[approval.approval_mode]
        if RANK[caller.role] < RANK[needed]:
            raise NotPermitted(
                f'this approval is for the {approval.approval_mode}: it needs the role "{needed}", '
                f'and the key "{caller.name}" has the role "{caller.role}"',
                "use another key",
                details={"needed": needed, "role": caller.role},
            )
        if approval.state is ApprovalState.PENDING:
            decision = Decision(approval_id=approval_id, verdict=verdict, actor=caller.actor, reason=reason)
            await self._tell(approval, caller, decision)
            approval = await self.show(caller, approval_id)
        wanted = ApprovalState.GRANTED if verdict is Verdict.GRANT else ApprovalState.REJECTED
        repeated = not was_pending and reason not in ("", approval.reason)
        if approval.state is not wanted or approval.decided_by != caller.actor or repeated:
            by = f" by {approval.decided_by}" if approval.decided_by not in (None, "system") else ""
            raise InvalidState(
                f"the approval is {approval.state}{by} already: the first decision stands",
                Hint(text="see it", command=f"caxton approvals show {approval_id}"),
                details={"approval": approval_id, "state": approval.state},
            )
        return approval

    async def _tell(self, approval: Approval, caller: Caller, decision: Decision) -> None:
        handle = self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(caller.scope, approval.conversation_id)
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                await self.engine.call(lambda: handle.execute_update("decide", decision, result_type=ApprovalStatus))
            except (NotFound, WorkflowMissingError):
                # The workflow does not wait: not yet, or no longer.
                current = await self.show(caller, approval.id)
                if current.state is not ApprovalState.PENDING:
                    return
                if time.monotonic() > deadline:
                    raise InvalidState(
                        "the work that asked for the approval is not running at the moment",
                        "try again in a moment; the approval still waits",
                        details={"approval": approval.id, "expired": datetime.now(UTC) > approval.expires_at},
                    ) from None
                await asyncio.sleep(0.2)
            else:
                return
