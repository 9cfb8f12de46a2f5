"""Approvals: what waits for a person, and the decision."""

import asyncio
import json
import shlex
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from caxton.domain.errors import Hint, InvalidInput, InvalidState, NotFound, NotPermitted
from caxton.domain.events.governance import (
    ApprovalGranted,
    ApprovalRejected,
    RememberedGrantCreated,
    RememberedGrantRevoked,
    VoteCast,
    VoteDropped,
)
from caxton.domain.executions import ApprovalStatus, Decision
from caxton.domain.gates import ROLLOUT
from caxton.domain.governance import Approval, ApprovalMode, ApprovalState, RememberedGrant, Verdict, Vote
from caxton.domain.ids import Scope, new_id
from caxton.domain.matchers import Pattern
from caxton.domain.origin import current_origin
from caxton.domain.permissions import Permission
from caxton.domain.ports import ToolSandbox
from caxton.domain.questions import Question, example_of, filled
from caxton.domain.records import ApiKey, Records, Transaction
from caxton.domain.tools import ToolVersion
from caxton.governance.standing import holds, may_decide
from caxton.recording.contents import hash_of
from caxton.recording.journal import note
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.service.rollouts import follow_rollout
from caxton.workflows.conversation import ConversationWorkflow
from caxton.workflows.names import conversation_workflow_id

PATIENCE = 10.0
"""Seconds that a decision waits for a workflow that is between recording an approval and waiting for it."""


@dataclass(frozen=True, slots=True)
class Remember:
    """For how long calls like the one that is approved need no decision."""

    seconds: float
    like: Pattern = field(default_factory=dict[str, Any])
    """Arguments that may differ within a pattern; all others must be the same."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What goes along with a decision."""

    reason: str = ""
    arguments: dict[str, Any] | None = None
    """The arguments to call with, in place of those that were asked for."""
    remember: Remember | None = None


def _marked(transaction: Transaction, scope: Scope, approvals: list[Approval]) -> list[Approval]:
    """The approvals, with where the servers of tools are that run outside of the sandbox."""
    called = {approval.name.partition(".")[0] for approval in approvals if approval.call}
    if not called:
        return approvals
    digests = {each.name: each.digest for each in transaction.components(scope, "tool") if each.name in called}
    versions = transaction.tool_versions(scope, list(digests.values()))
    places = {
        version.name: version.manifest.mcp_server.place for version in versions.values() if version.manifest.mcp_server
    }
    return [
        approval.model_copy(
            update={"unsandboxed": places.get(approval.name.partition(".")[0]) if approval.call else None}
        )
        for approval in approvals
    ]


class Approvals:
    """Use cases on approvals."""

    def __init__(self, records: Records, engine: Engine, sandbox: ToolSandbox) -> None:
        """Join what approvals need."""
        self.records = records
        self.engine = engine
        self.sandbox = sandbox

    async def list_approvals(
        self, caller: Caller, *, state: ApprovalState | None, before: datetime | None, limit: int
    ) -> list[Approval]:
        """Approvals of the workspace, the latest request first."""

        def read(transaction: Transaction) -> list[Approval]:
            found = transaction.approvals(caller.scope, state=state, before=before, limit=limit)
            return _marked(transaction, caller.scope, found)

        return await self.records.read(read)

    async def show(self, caller: Caller, approval_id: str) -> Approval:
        """One approval, with what has to be judged.

        Raises:
            NotFound: there is none of that id.
        """

        def read(transaction: Transaction) -> Approval | None:
            known = transaction.approval(caller.scope, approval_id)
            return _marked(transaction, caller.scope, [known])[0] if known is not None else None

        found = await self.records.read(read)
        if found is None:
            raise NotFound(
                f'there is no approval "{approval_id[:64]}"',
                Hint(text="see what waits", command="caxton approvals list"),
                details={"approval": approval_id[:64]},
            )
        return found

    async def decide(self, caller: Caller, approval_id: str, verdict: Verdict, wanted: Wanted) -> Approval:
        """Records a decision and lets the work go on. The same decision again changes nothing.

        Where several must agree, a grant is a vote until there are enough; one refusal is enough.

        Raises:
            NotFound: there is no approval of that id.
            NotPermitted: the approval is for the founder, and the caller may not decide for that one; or the caller asked
                for the work.
            InvalidState: it was decided otherwise, or is no longer needed.
            ToolInputInvalid: the changed arguments do not fit the tool's schema.
        """
        approval = await self.show(caller, approval_id)
        if approval.question is not None and verdict is Verdict.GRANT:
            wanted = _answered(approval, approval.question, wanted)
        if approval.approval_mode is ApprovalMode.FOUNDER:
            caller.require(Permission.APPROVALS_DECIDE_FOUNDER)
        if approval.state is not ApprovalState.PENDING:
            _repeated(caller, approval, verdict, wanted)
            if wanted.remember is not None and verdict is Verdict.GRANT:
                await self._check_wanted(caller, approval, Wanted(remember=wanted.remember))
                await self._remember(caller, approval, wanted.remember)
            return approval
        _check_eyes(caller, approval, verdict)
        await self._check_wanted(caller, approval, wanted)
        if approval.action_type == ROLLOUT and not approval.conversation_id:
            return await self._decide_gate(caller, approval, verdict, wanted.reason)
        if verdict is Verdict.GRANT and approval.approvals_needed > 1:
            approval = await self._vote(caller, approval, wanted.reason)
            if approval.state is ApprovalState.PENDING and len(approval.votes) < approval.approvals_needed:
                return approval
        changes = wanted.arguments is not None and verdict is Verdict.GRANT
        decision = Decision(
            approval_id=approval_id,
            verdict=verdict,
            actor=caller.actor,
            origin=current_origin(),
            reason=wanted.reason,
            changed_by=caller.principal if changes else None,
        )
        await request_change(
            self.records, caller, f"approval.{verdict}", approval_id, before=approval.state, after=str(verdict)
        )
        if changes:
            await self._keep_changes(caller, approval, wanted)
        await self._tell(approval, caller, decision)
        approval = _decided(caller, await self.show(caller, approval_id), verdict)
        if verdict is Verdict.GRANT and approval.arguments != wanted.arguments:
            raise _stands(approval)  # the same person has just granted it with others
        if wanted.remember is not None and verdict is Verdict.GRANT:
            await self._remember(caller, approval, wanted.remember)
        return approval

    async def _decide_gate(self, caller: Caller, approval: Approval, verdict: Verdict, reason: str) -> Approval:
        """Decides on a gate of a rollout, whose workflow goes by the record."""
        scope, granted = caller.scope, verdict is Verdict.GRANT
        state = ApprovalState.GRANTED if granted else ApprovalState.REJECTED

        def decide(transaction: Transaction) -> None:
            if not transaction.decide_approval(scope, approval.id, state, caller.actor, reason):
                return
            model = ApprovalGranted if granted else ApprovalRejected
            told = model(approval_id=approval.id, action_type=approval.action_type, name=approval.name, reason=reason)
            transaction.add_events(scope, [note(scope, told, approval.id, actor=caller.actor, agent=approval.agent)])

        await self.records.write(decide)
        await self.engine.call(lambda: follow_rollout(self.engine, scope, approval.root_id))
        return _decided(caller, await self.show(caller, approval.id), verdict)

    async def _check_wanted(self, caller: Caller, approval: Approval, wanted: Wanted) -> None:
        if wanted.arguments is None and wanted.remember is None:
            return
        if not approval.call:
            raise InvalidInput(
                "this approval is of a reply", "only arguments of a tool call can be changed or remembered"
            )
        if approval.approvals_needed > 1:
            raise InvalidInput(
                "several people must agree with this call as it is",
                "reject it with a reason, so that the agent asks again",
            )
        if wanted.arguments is None or approval.question is not None:
            return
        server, _, function = approval.name.partition(".")

        def find(transaction: Transaction) -> ToolVersion | None:
            component = transaction.component(caller.scope, "tool", server)
            if component is None:
                return None
            return transaction.tool_versions(caller.scope, [component.digest]).get(component.digest)

        tool = await self.records.read(find)
        if tool is None:
            raise InvalidState(f'the tool "{server}" is not deployed', "its arguments cannot be checked now")
        await self.sandbox.check(caller.scope.customer, tool, function, wanted.arguments)

    async def _vote(self, caller: Caller, approval: Approval, reason: str) -> Approval:
        vote = Vote(approver=caller.principal, actor=caller.actor, reason=reason, made_at=datetime.now(UTC))

        def cast(transaction: Transaction) -> Approval:
            found = transaction.approval(caller.scope, approval.id)
            assert found is not None
            if found.state is ApprovalState.PENDING:
                found = _without_ended(transaction, caller, found, vote.made_at)
            if found.state is not ApprovalState.PENDING or _voted(caller, found):
                return found
            transaction.put_vote(caller.scope, approval.id, vote)
            votes = [*found.votes, vote]
            told = VoteCast(
                approval_id=approval.id,
                action_id=approval.action_id,
                action_type=approval.action_type,
                name=approval.name,
                count=len(votes),
                needed=approval.approvals_needed,
                reason=reason,
            )
            event = note(caller.scope, told, approval.id, vote.approver, actor=caller.actor, agent=approval.agent)
            transaction.add_events(caller.scope, [event])
            return found.model_copy(update={"votes": votes})

        return await self.records.write(cast)

    async def _keep_changes(self, caller: Caller, approval: Approval, wanted: Wanted) -> None:
        """Keeps changed arguments: workflows carry no contents."""
        vote = Vote(
            approver=caller.principal,
            actor=caller.actor,
            reason=wanted.reason,
            made_at=datetime.now(UTC),
            arguments=wanted.arguments,
        )

        def keep(transaction: Transaction) -> None:
            found = transaction.approval(caller.scope, approval.id)
            if found is not None and found.state is ApprovalState.PENDING:
                transaction.put_vote(caller.scope, approval.id, vote)

        await self.records.write(keep)

    async def _remember(self, caller: Caller, approval: Approval, wanted: Remember) -> None:
        """Remembers a decision for calls like it; asked for again, it is remembered once."""
        now = datetime.now(UTC)
        lasting = timedelta(seconds=wanted.seconds)

        def keep(transaction: Transaction) -> None:
            key = _key_of(transaction, caller)
            end = datetime.max.replace(tzinfo=UTC) if key is None or key.expires_at is None else key.expires_at
            for known in transaction.remembered(caller.scope, now):
                same = known.approval_id == approval.id and known.like == wanted.like
                if same and known.expires_at == min(known.created_at + lasting, end):
                    return
            step = transaction.step(caller.scope, approval.execution_id, approval.step, 0)
            if step is None:
                raise InvalidState("what was approved has been deleted", "remember the next decision like it")
            asked: dict[str, Any] = step.payload["calls"][approval.call - 1]["arguments"]
            grant = RememberedGrant(
                id=new_id("ag"),
                agent=approval.agent,
                name=approval.name,
                arguments=approval.arguments if approval.arguments is not None else asked,
                like=wanted.like,
                approval_id=approval.id,
                granted_by=caller.actor,
                approver=caller.principal,
                key_id=key.id if key else None,
                approval_mode=approval.approval_mode,
                reason=approval.reason,
                created_at=now,
                expires_at=min(now + lasting, end),
            )
            transaction.add_remembered(caller.scope, grant)
            told = RememberedGrantCreated(
                approval_id=approval.id,
                action_type=approval.action_type,
                name=approval.name,
                grant_id=grant.id,
                until=grant.expires_at,
                like=sorted(wanted.like),
                arguments_hash=hash_of(json.dumps(grant.arguments, ensure_ascii=False, sort_keys=True)),
            )
            event = note(caller.scope, told, grant.id, actor=caller.actor, agent=approval.agent)
            transaction.add_events(caller.scope, [event])

        await self.records.write(keep)

    async def list_remembered(self, caller: Caller) -> list[RememberedGrant]:
        """Remembered grants of the workspace that hold now, those first that end first."""
        now, scope = datetime.now(UTC), caller.scope

        def find(transaction: Transaction) -> list[RememberedGrant]:
            found = transaction.remembered(scope, now)
            return [each for each in found if holds(transaction, scope, each, each.approval_mode, now)]

        return await self.records.read(find)

    async def forget(self, caller: Caller, grant_id: str) -> None:
        """Ends a remembered grant.

        Raises:
            NotFound: the workspace has none of that id that holds.
        """
        now = datetime.now(UTC)

        def revoke(transaction: Transaction) -> bool:
            known = {grant.id: grant for grant in transaction.remembered(caller.scope, now)}
            if grant_id not in known or not transaction.revoke_remembered(caller.scope, grant_id):
                return False
            grant = known[grant_id]
            told = RememberedGrantRevoked(
                approval_id=grant.approval_id, action_type="tool", name=grant.name, grant_id=grant_id
            )
            event = note(caller.scope, told, grant_id, "revoked", actor=caller.actor, agent=grant.agent)
            transaction.add_events(caller.scope, [event])
            return True

        if not await self.records.write(revoke):
            raise NotFound(
                f'there is no remembered grant "{grant_id[:64]}"',
                Hint(text="see them", command="caxton approvals remembered"),
                details={"grant": grant_id[:64]},
            )

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


def _answered(approval: Approval, question: Question, wanted: Wanted) -> Wanted:
    """What is wanted, with an answer to the question of a tool's server that fits its form.

    Raises:
        InvalidInput: it does not fit, or is to be remembered.
    """
    if wanted.remember is not None:
        raise InvalidInput("this is the answer to a question, which is not remembered", "grant it without remembering")
    try:
        return replace(wanted, arguments=filled(question, wanted.arguments))
    except ValueError as error:
        raise InvalidInput(
            str(error),
            Hint(
                text="give the answer as arguments",
                command=f"caxton approvals grant {approval.id} --arguments {shlex.quote(example_of(question))}",
            ),
            details={"approval": approval.id},
        ) from None


def _key_of(transaction: Transaction, caller: Caller) -> ApiKey | None:
    """The caller's key; None for whoever came with a token."""
    return next((key for key in transaction.keys(caller.scope.customer) if key.id == caller.key_id), None)


def _without_ended(transaction: Transaction, caller: Caller, approval: Approval, now: datetime) -> Approval:
    """The approval with the votes of those who may still decide; the others are taken back, and that is told."""
    standing: list[Vote] = []
    for vote in approval.votes:
        if may_decide(transaction, caller.scope, vote.approver, approval.approval_mode, now):
            standing.append(vote)
            continue
        transaction.remove_vote(caller.scope, approval.id, vote.approver)
        told = VoteDropped(
            approval_id=approval.id,
            action_id=approval.action_id,
            action_type=approval.action_type,
            name=approval.name,
            approver=vote.approver,
        )
        event = note(caller.scope, told, approval.id, vote.approver, vote.made_at.isoformat(), agent=approval.agent)
        transaction.add_events(caller.scope, [event])
    return approval.model_copy(update={"votes": standing})


def _check_eyes(caller: Caller, approval: Approval, verdict: Verdict) -> None:
    """Whoever asked for the work may refuse it, and not approve it."""
    if not approval.four_eyes or verdict is not Verdict.GRANT:
        return
    if approval.requested_by is None:
        caller.require(Permission.APPROVALS_DECIDE_FOUNDER)  # who asked is not known: it was before that was kept
    elif approval.requested_by == caller.principal:
        raise NotPermitted(
            "four eyes: whoever asked for the work may not approve it",
            "let somebody else decide, with a key of their own",
            details={"needed": str(Permission.APPROVALS_DECIDE), "role": caller.role},
        )


def _repeated(caller: Caller, approval: Approval, verdict: Verdict, wanted: Wanted) -> None:
    """Checks that the caller has made the same decision before.

    Raises:
        InvalidState: somebody else has decided, or the caller has decided otherwise.
    """
    another = verdict is Verdict.GRANT and wanted.arguments != approval.arguments
    if another or (wanted.reason not in ("", approval.reason) and not _voted(caller, approval)):
        raise _stands(approval)
    _decided(caller, approval, verdict)


def _decided(caller: Caller, approval: Approval, verdict: Verdict) -> Approval:
    granted = verdict is Verdict.GRANT
    state = ApprovalState.GRANTED if granted else ApprovalState.REJECTED
    own = approval.decided_by == caller.actor or (granted and _voted(caller, approval))
    if approval.state is not state or not own:
        raise _stands(approval)
    return approval


def _voted(caller: Caller, approval: Approval) -> bool:
    return any(vote.approver == caller.principal for vote in approval.votes)


def _stands(approval: Approval) -> InvalidState:
    by = f" by {approval.decided_by}" if approval.decided_by not in (None, "system") else ""
    return InvalidState(
        f"the approval is {approval.state}{by} already: the first decision stands",
        Hint(text="see it", command=f"caxton approvals show {approval.id}"),
        details={"approval": approval.id, "state": approval.state},
    )
