"""Approvals: asking a person, recording what was said, and sending the reply that waited."""

import json
from datetime import timedelta
from typing import Any

from caxton.domain.agents import AgentVersion
from caxton.domain.caller_context import CALLS
from caxton.domain.deceptive import revealed, revealed_json
from caxton.domain.errors import NotFound
from caxton.domain.events import SYSTEM, Payload
from caxton.domain.events.governance import (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimeout,
    ApprovalWithdrawn,
)
from caxton.domain.executions import ApprovalStatus, Decision, Execution, ExecutionState, Plan, StepInput, StepResult
from caxton.domain.governance import (
    STATE_AFTER,
    Approval,
    ApprovalPolicy,
    ApprovalState,
    RememberedGrant,
    Verdict,
    approval_id,
)
from caxton.domain.ids import Scope
from caxton.domain.messages import APPROVAL, INLINE_LIMIT, TYPED
from caxton.domain.records import ExecutionRecord, StepRecord, Transaction
from caxton.governance.service_levels import service_level
from caxton.governance.standing import holds
from caxton.observability.metrics import METRICS
from caxton.recording import journal
from caxton.recording.contents import hash_of, pack, unpack
from caxton.turns.outcomes import outcome_of
from caxton.turns.replies import ReplyDraft, send_reply
from caxton.turns.step import StepPorts, publish_step

REPLY = "reply"

REMEMBERED = "like a call that was approved before"


class ApprovalStep:
    """Asks a person whether a call may be made, or a reply sent."""

    def __init__(self, step: StepInput, ports: StepPorts) -> None:
        """Prepare to ask."""
        assert step.plan is not None
        self.input = step
        self.ports = ports
        self.plan = step.plan
        self.id = approval_id(step.execution_id, step.step, step.call)
        self.policy: ApprovalPolicy
        self.draft: ReplyDraft | None = None
        self.call: dict[str, Any] = {}
        self.content = ""
        self.capability: str | None = None
        self.remembered: RememberedGrant | None = None
        self.unsandboxed: str | None = None
        """Where the server of the call's tool is, if that runs outside of the sandbox."""

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the approval asked for already, or reads what is to be judged."""
        scope, execution_id = self.input.scope, self.input.execution_id
        record = transaction.executions(scope, [execution_id])[execution_id]
        if record.execution.state is not ExecutionState.RUNNING:
            return StepResult(outcome=outcome_of(record))
        known = transaction.approval(scope, self.id)
        if known is not None:
            return StepResult(approval=status_of(known))
        self.capability = record.execution.capability
        agent = transaction.agent_versions(scope, [self.plan.agent_digest])[self.plan.agent_digest]
        asked = _model_step(transaction, self.input)
        if self.input.call:
            self.call = asked.payload["calls"][self.input.call - 1]
            self.policy = agent.spec.policy_for(*self.call["name"].partition(".")[::2])
            self.remembered = self._remembered(transaction)
            tool = self.ports.directory.registry(transaction, scope).running_tool(self.call["name"].partition(".")[0])
            self.unsandboxed = tool.manifest.unsandboxed if tool else None
        else:
            self.draft = ReplyDraft.model_validate(asked.payload["draft"])
            self.policy = agent.spec.offers(self.plan.capability or "") or ApprovalPolicy()
        return None

    def _remembered(self, transaction: Transaction) -> RememberedGrant | None:
        """The remembered grant that decides on the call. Where several must agree, each call is decided on by itself."""
        if self.policy.approvals_needed > 1:
            return None
        scope, now, mode = self.input.scope, journal.now(), self.policy.approval_mode
        for grant in transaction.remembered(scope, now, agent=self.plan.agent, name=str(self.call["name"])):
            own = self.policy.four_eyes and self.plan.requester in (None, grant.approver)
            if not own and grant.covers(self.call["arguments"]) and holds(transaction, scope, grant, mode, now):
                return grant
        return None

    async def act(self) -> None:
        """Fetches what the person has to judge."""
        # An approver may read it anywhere: what deceives the eye is shown.
        if self.draft is not None:
            self.content = revealed(await unpack(self.ports.blobs, self.input.scope, self.draft.content))
            if CALLS in self.draft.metadata:  # the caller gets them, as it gets a text
                calls = json.dumps(self.draft.metadata[CALLS], ensure_ascii=False, indent=2)
                self.content = "\n\n".join(filter(None, (self.content, revealed_json(calls))))
        else:
            self.content = revealed_json(json.dumps(self.call["arguments"], ensure_ascii=False, indent=2))

    def record(self, transaction: Transaction) -> StepResult:
        """Records that the action waits."""
        action = _action(self.input, self.call)
        approval = waiting(
            self.input,
            self.plan,
            self.policy,
            id=self.id,
            capability=self.capability,
            action_type=action["action_type"],
            name=action["name"],
            content=shortened(self.content),
        )
        grant = self.remembered
        if grant is not None:
            decided = {"state": ApprovalState.GRANTED, "decided_at": approval.requested_at, "remembered": grant.id}
            approval = approval.model_copy(
                update={**decided, "decided_by": grant.granted_by, "reason": grant.reason or REMEMBERED}
            )
        transaction.add_approval(self.input.scope, approval)
        transaction.wake_push(self.input.scope, self.input.root_id)
        requested = ApprovalRequested(
            **action,
            approval_id=self.id,
            expires_at=approval.expires_at.isoformat(timespec="seconds"),
            content_hash=hash_of(self.content),
            unsandboxed=self.unsandboxed,
        )
        notes = notes_on(approval, self.input, self.plan)
        notes.add(requested)
        if grant is not None:
            granted = ApprovalGranted(
                approval_id=self.id, **_action_of(approval), reason=approval.reason, remembered=grant.id
            )
            notes.add(granted, actor=grant.granted_by)
        transaction.append_events(self.input.scope, notes.events)
        return StepResult(approval=status_of(approval))

    def after(self, result: StepResult) -> None:
        """Tells listeners that the turn waits."""
        METRICS.approval("requested")
        if self.remembered is not None:
            METRICS.approval("granted")
        publish_step(self.ports, self.input, result)


class DecisionStep:
    """Records what was decided. The first decision stands."""

    def __init__(self, step: StepInput, ports: StepPorts) -> None:
        """Prepare to record."""
        assert step.plan is not None
        assert step.decision is not None
        self.input = step
        self.ports = ports
        self.plan = step.plan
        self.decision: Decision = step.decision
        self.known: Approval
        self.asked: dict[str, Any] = {}
        """The arguments as the agent asked for them."""
        self.arguments: dict[str, Any] | None = None
        """The arguments as the approver has changed them."""

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds what was decided already."""
        known = transaction.approval(self.input.scope, self.decision.approval_id)
        if known is None:
            raise NotFound("there is no such approval", details={"approval_id": self.decision.approval_id})
        self.known = known
        if known.call and self.decision.changed_by is not None:
            if known.question is None:
                asked = _model_step(transaction, self.input)
                self.asked = asked.payload["calls"][known.call - 1]["arguments"]
            vote = transaction.vote(self.input.scope, known.id, self.decision.changed_by)
            assert vote is not None, "changed arguments are kept before they are decided on"
            self.arguments = vote.arguments
        return None if known.state is ApprovalState.PENDING else StepResult(approval=status_of(known))

    async def act(self) -> None:
        """Nothing outside of the store."""

    def record(self, transaction: Transaction) -> StepResult:
        """Records the decision with its actor."""
        scope, decision = self.input.scope, self.decision
        state = STATE_AFTER[decision.verdict]
        if not transaction.decide_approval(
            scope, decision.approval_id, state, decision.actor, decision.reason, self.arguments
        ):
            found = transaction.approval(scope, decision.approval_id)
            assert found is not None
            return StepResult(approval=status_of(found))
        notes = notes_on(self.known, self.input, self.plan)
        waited = (journal.now() - self.known.requested_at).total_seconds() * 1000
        notes.add(
            _decided(self.known, decision, self.asked, self.arguments),
            part=self.known.action_id if self.known.question else "",
            actor=decision.actor,
            latency_ms=max(0.0, waited),
        )
        transaction.append_events(scope, notes.events)
        decided = self.known.model_copy(
            update={"state": state, "decided_by": decision.actor, "reason": decision.reason}
        )
        return StepResult(approval=status_of(decided))

    def after(self, result: StepResult) -> None:
        """Counts the decision."""
        if result.approval is not None:
            METRICS.approval(str(result.approval.state).lower())
        publish_step(self.ports, self.input, result)


class ReplyStep:
    """Sends the reply that waited; or, where it was refused, one that says by whom and why."""

    def __init__(self, step: StepInput, ports: StepPorts) -> None:
        """Prepare to send."""
        assert step.plan is not None
        self.input = step
        self.ports = ports
        self.plan = step.plan
        self.approval: Approval
        self.found: ExecutionRecord
        self.draft: ReplyDraft
        self.agent: AgentVersion
        self.is_live = False
        """Whether that is the version that is live."""
        self.receiver = "user"

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the execution ended already, or reads the draft."""
        scope, execution_id = self.input.scope, self.input.execution_id
        self.found = transaction.executions(scope, [execution_id])[execution_id]
        if self.found.execution.state is not ExecutionState.RUNNING:
            return StepResult(outcome=outcome_of(self.found))
        approval = transaction.approval(scope, approval_id(execution_id, self.input.step, 0))
        assert approval is not None
        self.approval = approval
        self.draft = ReplyDraft.model_validate(_model_step(transaction, self.input).payload["draft"])
        self.agent = transaction.agent_versions(scope, [self.plan.agent_digest])[self.plan.agent_digest]
        registry = self.ports.directory.registry(transaction, scope)
        self.is_live = registry.is_live(self.agent.name, self.agent.digest)
        request = transaction.message(scope, self.found.execution.message_id)
        self.receiver = request.sender if request else "user"
        return None

    async def act(self) -> None:
        """Writes what the requester is told in place of a refused reply."""
        if self.approval.state is not ApprovalState.GRANTED:
            content = await pack(self.ports.blobs, self.input.scope, refusal(status_of(self.approval), "The reply"))
            metadata = {name: value for name, value in self.draft.metadata.items() if name not in (TYPED, CALLS)}
            self.draft = ReplyDraft(content=content, metadata={**metadata, APPROVAL: self._refused})

    def record(self, transaction: Transaction) -> StepResult:
        """Ends the execution with the reply."""
        notes = journal.Journal(self.input, self.plan.conversation_id, self.plan)
        granted = self.approval.state is ApprovalState.GRANTED
        outcome, _ = send_reply(
            transaction,
            self.input,
            self.found.execution,
            self.receiver,
            self.draft,
            notes,
            level=service_level(self.agent, self.plan.capability),
            auto_store=self.agent.spec.memory.auto_store and CALLS not in self.draft.metadata,
            refused=None if granted else self._refused,
        )
        transaction.append_events(self.input.scope, notes.events)
        return StepResult(outcome=outcome)

    def after(self, result: StepResult) -> None:
        """Counts the execution."""
        started = self.found.execution.started_at
        METRICS.execution(self.plan.agent, "completed", (journal.now() - started).total_seconds())
        spec, by = self.agent.spec, self.input.execution_id
        self.ports.breakers.agent_answered(self.input.scope, spec, by, is_live=self.is_live)
        publish_step(self.ports, self.input, result)

    @property
    def _refused(self) -> str:
        return "rejected" if self.approval.state is ApprovalState.REJECTED else "timeout"


def waiting(step: StepInput, plan: Plan, policy: ApprovalPolicy, **facts: Any) -> Approval:
    """An approval of a step's call or reply that waits from now on, as `policy` has it; `facts` say what for."""
    now = journal.now()
    return Approval(
        execution_id=step.execution_id,
        root_id=step.root_id,
        conversation_id=plan.conversation_id,
        step=step.step,
        call=step.call,
        agent=plan.agent,
        requested_by=plan.requester,
        risk_level=policy.risk_level,
        approval_mode=policy.approval_mode,
        four_eyes=policy.four_eyes,
        approvals_needed=policy.approvals_needed,
        requested_at=now,
        expires_at=now + timedelta(seconds=policy.approval_timeout),
        **facts,
    )


def notes_on(approval: Approval, step: StepInput, plan: Plan) -> journal.Journal:
    """For events of an approval: they carry its action's own policy, which for a tool is not that of the capability."""
    own = {"risk_level": approval.risk_level, "approval_mode": approval.approval_mode}
    return journal.Journal(step, plan.conversation_id, plan.model_copy(update=own))


def withdraw(transaction: Transaction, scope: Scope, execution: Execution, notes: journal.Journal) -> None:
    """Ends what still waits for a person when the execution ends otherwise."""
    for approval in transaction.approvals(scope, state=ApprovalState.PENDING, execution_id=execution.id, limit=1000):
        if transaction.decide_approval(scope, approval.id, ApprovalState.WITHDRAWN, SYSTEM, ""):
            withdrawn = ApprovalWithdrawn(approval_id=approval.id, **_action_of(approval))
            notes.add(withdrawn, part=approval.id, actor=SYSTEM)


def status_of(approval: Approval) -> ApprovalStatus:
    """How `approval` stands."""
    return ApprovalStatus(
        id=approval.id,
        state=approval.state,
        remaining=max(0.0, (approval.expires_at - journal.now()).total_seconds()),
        decided_by=approval.decided_by,
        reason=approval.reason,
    )


def refusal(status: ApprovalStatus, what: str) -> str:
    """What is said in place of an action that was not approved."""
    if status.state is ApprovalState.REJECTED:
        why = f": {status.reason}" if status.reason else "."
        return f"{what} was refused by {status.decided_by}{why}"
    if status.state is ApprovalState.TIMED_OUT:
        return f"{what} needed approval, and nobody decided in time."
    return f"{what} was not approved."


def shortened(text: str) -> str:
    """`text` as the approver sees it: at most :data:`INLINE_LIMIT` bytes, without what PostgreSQL does not keep."""
    text = text.replace("\0", "\ufffd")
    encoded = text.encode()
    if len(encoded) <= INLINE_LIMIT:
        return text
    return encoded[:INLINE_LIMIT].decode(errors="ignore") + f"\n… ({len(encoded)} bytes in all)"


def _model_step(transaction: Transaction, step: StepInput) -> StepRecord:
    found = transaction.step(step.scope, step.execution_id, step.step, 0)
    assert found is not None, "an approval belongs to a recorded step"
    return found


def _action(step: StepInput, call: dict[str, Any]) -> dict[str, Any]:
    return {
        "action_id": journal.action_id(step),
        "action_type": call.get("action_type", "tool") if step.call else REPLY,
        "name": call.get("name", "") if step.call else "",
    }


def _action_of(approval: Approval) -> dict[str, Any]:
    return {"action_id": approval.action_id, "action_type": approval.action_type, "name": approval.name}


def _decided(approval: Approval, decision: Decision, asked: dict[str, Any], changed: dict[str, Any] | None) -> Payload:
    facts: dict[str, Any] = {"approval_id": approval.id, **_action_of(approval)}
    if decision.verdict is Verdict.GRANT:
        if approval.approvals_needed > 1:
            facts["approvers"] = [vote.actor for vote in approval.votes]
        if changed is not None:
            names = sorted({*asked, *changed})
            facts["changed"] = [name for name in names if asked.get(name) != changed.get(name)]
            facts["hash_before"], facts["hash_after"] = _hash(asked), _hash(changed)
        return ApprovalGranted(**facts, reason=decision.reason, origin=decision.origin)
    if decision.verdict is Verdict.REJECT:
        return ApprovalRejected(**facts, reason=decision.reason, origin=decision.origin)
    return ApprovalTimeout(**facts)


def _hash(arguments: dict[str, Any]) -> str:
    return hash_of(json.dumps(arguments, ensure_ascii=False, sort_keys=True))
