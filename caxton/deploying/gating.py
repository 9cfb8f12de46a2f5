"""What gates and shadows do to a rollout, within one transaction and with the events that tell it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from caxton.deploying.rollouts import Rollouts, fact
from caxton.domain.errors import BudgetUsedUp, RecordDeleted
from caxton.domain.events.governance import ApprovalRequested, ApprovalTimeout
from caxton.domain.events.rollouts import RolloutGateDecided
from caxton.domain.gates import (
    MOST_TOLD,
    ROLLOUT,
    Difference,
    Gate,
    GateResult,
    GateState,
    Rehearsal,
    RuleName,
    Totals,
    exceeded,
)
from caxton.domain.governance import Approval, ApprovalState
from caxton.domain.ids import ConversationId, ExecutionId, derived_id
from caxton.domain.rollouts import SHADOW, OnBad, OnInconclusive, Rollout, gets
from caxton.recording.contents import hash_of

CHOSEN_AT_ONCE = 50
"""Turns of the live version that a shadow looks through at a time."""

SAYS_NOTHING = (RecordDeleted.code, BudgetUsedUp.code)
"""Errors of rehearsals that are no fault of the candidate."""

MOST_WAITING = 20
"""Turns that wait for a shadow, from which on it takes up no others: it need not see all."""


class Gating(Rollouts):
    """Changes that gates and shadows make."""

    def all_passed(self, rollout: Rollout) -> None:
        """Lets the candidate take traffic: nothing stands before it any more."""
        self._begin_traffic(rollout, "all gates are passed")

    def choose_turns(self, rollout: Rollout, gate: Gate) -> None:
        """Decides, once, which recorded turns a gate replays."""
        result = rollout.result(gate.name)
        if result.began_at is not None:
            return
        found = self.transaction.recorded_turns(
            self.scope,
            rollout.agent,
            without=rollout.candidate,
            conversations=[ConversationId(each) for each in gate.conversations],
            limit=gate.last,
        )
        self._rehearse(rollout, gate.name, found)
        news = result.model_copy(update={"began_at": self.now, "turns": len(found)})
        self.transaction.put_rollout(rollout.with_result(news))
        if not found:
            state = GateState.PASSED if gate.on_empty == "pass" else GateState.FAILED
            why = 'there is no recorded turn to replay; `on_empty = "pass"` lets it pass'
            self.decide(rollout.with_result(news), gate.name, state, why)

    def judge_replay(self, rollout: Rollout, gate: Gate) -> None:
        """Decides on a gate whose turns have all been replayed."""
        result = rollout.result(gate.name)
        if result.state is not GateState.WAITING:
            return
        why = exceeded(gate.rules, result.recorded, result.candidate)
        if result.compared == 0:
            state, why = GateState.FAILED, "none of the recorded turns could be replayed"
        elif result.share > gate.tolerance:
            state, why = GateState.FAILED, f"{result.differ} of {result.compared} turns differ"
        elif why is not None:
            state = GateState.FAILED
        else:
            state, why = GateState.PASSED, f"{result.differ} of {result.compared} turns differ"
        self.decide(rollout, gate.name, state, why)

    def choose_shadowed(self, rollout: Rollout) -> None:
        """Takes up turns that have ended since the last look, while the budget of the shadow lasts."""
        plan, result = rollout.plan.shadow, rollout.result(SHADOW)
        waiting = len(self.transaction.rehearsals(self.scope, rollout.id, rollout.key_of(SHADOW)))
        if waiting >= MOST_WAITING or not plan.budget.room(result.candidate, result.compared):
            return
        since = rollout.shadowed_until or rollout.stage_began_at
        found = self.transaction.turns_ended(self.scope, rollout.agent, rollout.stable, since, limit=CHOSEN_AT_ONCE)
        taken = [turn for turn, _ in found if gets(ConversationId(turn), rollout.candidate, plan.percent)]
        self._rehearse(rollout, SHADOW, taken)
        news = result.model_copy(update={"turns": result.turns + len(taken)})
        until = max((ended for _, ended in found), default=rollout.shadowed_until)
        self.transaction.put_rollout(rollout.with_result(news).model_copy(update={"shadowed_until": until}))

    def judge_shadow(self, rollout: Rollout) -> None:
        """Ends the shadow once it has seen enough, or can see no more."""
        plan, result = rollout.plan, rollout.result(SHADOW)
        elapsed = (self.now - rollout.stage_began_at).total_seconds()
        why = exceeded(plan.shadow.rules, result.recorded, result.candidate)
        told = f"{result.differ} of {result.compared} turns differ"
        if result.compared >= plan.shadow.sample and elapsed >= plan.shadow.duration:
            if result.share > plan.shadow.tolerance or why is not None:
                self.refused(rollout, f"{told}; {why}" if why else told)
            elif plan.shadow.on_good == "promote":
                self._promote(rollout, f"the shadow is done: {told}")
            else:
                self._pause(rollout, f"the shadow is done: {told}; promote or abort")
        elif not plan.shadow.budget.room(result.candidate, result.compared):
            self._pause(rollout, f"the budget of the shadow is used up: {told}")
        elif elapsed >= plan.longest * (rollout.extended + 1):
            if plan.on_inconclusive is OnInconclusive.EXTEND:
                self.transaction.put_rollout(rollout.model_copy(update={"extended": rollout.extended + 1}))
            elif plan.on_inconclusive is OnInconclusive.PROMOTE:
                self._promote(rollout, f"there were too few turns to tell: {told}")
            else:
                self._pause(rollout, f"there were too few turns to tell: {told}")

    def started(self, rehearsal: Rehearsal) -> None:
        """Notes that a rehearsal is accepted."""
        self.transaction.put_rehearsal(self.scope, rehearsal.model_copy(update={"state": "started"}))

    def not_rehearsed(self, rollout: Rollout, name: str, rehearsal: Rehearsal, code: str) -> None:
        """Notes that a turn could not be replayed. One that was deleted meanwhile, or that no budget was left for, says
        nothing of the candidate."""
        differ = [] if code in SAYS_NOTHING else [(RuleName.NO_NEW_ERRORS, f"it could not be replayed: {code}")]
        self._note(rollout, name, rehearsal, differ, Totals(), Totals(), counts=bool(differ))

    def compared(
        self,
        rollout: Rollout,
        name: str,
        rehearsal: Rehearsal,
        differ: Sequence[tuple[RuleName, str]],
        recorded: Totals,
        candidate: Totals,
    ) -> None:
        """Notes what a comparison found."""
        self._note(rollout, name, rehearsal, differ, recorded, candidate, counts=True)

    def _note(
        self,
        rollout: Rollout,
        name: str,
        rehearsal: Rehearsal,
        differ: Sequence[tuple[RuleName, str]],
        recorded: Totals,
        candidate: Totals,
        *,
        counts: bool,
    ) -> None:
        if not self.transaction.put_rehearsal(self.scope, rehearsal.model_copy(update={"state": "done"})):
            return  # another look has counted it
        result = rollout.result(name)
        told = [
            Difference(source=rehearsal.source, execution=rehearsal.execution_id, rule=rule, text=text)
            for rule, text in differ
        ]
        news: dict[str, Any] = {
            "compared": result.compared + counts,
            "differ": result.differ + bool(differ),
            "differences": [*result.differences, *told][:MOST_TOLD],
            "recorded": result.recorded.plus(recorded),
            "candidate": result.candidate.plus(candidate),
        }
        self.transaction.put_rollout(rollout.with_result(result.model_copy(update=news)))

    def decide(self, rollout: Rollout, name: str, state: GateState, why: str) -> None:
        """Decides on a gate. A failure of one before traffic rolls the candidate back."""
        result = rollout.result(name)
        if result.state is not GateState.WAITING:
            return
        decided = rollout.with_result(result.model_copy(update={"state": state, "reason": why}))
        self.transaction.put_rollout(decided)
        told = fact(
            RolloutGateDecided,
            rollout,
            gate=name,
            kind=result.kind,
            state=state,
            reason=why,
            compared=result.compared,
            differ=result.differ,
        )
        self._tell(decided, told)
        if state is GateState.FAILED and decided.is_gating:
            self._roll_back(decided, f'gate "{name}": {why}')

    def still_waits(self, rollout: Rollout, name: str, why: str) -> None:
        """Notes why a gate is not passed yet."""
        result = rollout.result(name)
        news = {"reason": why, "attempts": result.attempts + 1, "began_at": result.began_at or self.now}
        self.transaction.put_rollout(rollout.with_result(result.model_copy(update=news)))

    def refused(self, rollout: Rollout, why: str) -> None:
        """Does what the plan says of a bad candidate."""
        if rollout.plan.on_bad is OnBad.ROLLBACK:
            self._roll_back(rollout, why)
        else:
            self._pause(rollout, why)

    def rolled_back(self, rollout: Rollout, why: str) -> None:
        """Takes the candidate back."""
        self._roll_back(rollout, why)

    def confirm(self, rollout: Rollout, gate: Gate, *, agreed: bool, why: str) -> None:
        """Notes that a webhook agrees with the next stage, or does not yet; one that never does pauses the rollout."""
        if rollout.asks is None:
            return
        if agreed:
            self.transaction.put_rollout(rollout.model_copy(update={"asks": None, "confirmed": rollout.stage}))
            return
        since = rollout.asked_at or self.now
        if (self.now - since).total_seconds() > gate.patience:
            self._pause(rollout.model_copy(update={"asks": None, "asked_at": None}), f"not confirmed: {why}")

    def ask_person(self, rollout: Rollout, gate: Gate) -> None:
        """Asks a person, or takes the decision."""
        result = rollout.result(gate.name)
        identity = result.approval_id or derived_id("ap", rollout.id, rollout.key_of(gate.name))
        known = self.transaction.approval(self.scope, identity)
        if known is None:
            self._ask(rollout, gate, result, identity)
            return
        if known.state is ApprovalState.PENDING and self.now >= known.expires_at:
            told = ApprovalTimeout(approval_id=identity, action_type=ROLLOUT, name=known.name, action_id="")
            if self.transaction.decide_approval(self.scope, identity, ApprovalState.TIMED_OUT, "system", ""):
                self._tell(rollout, told)
            self.decide(rollout, gate.name, GateState.FAILED, "nobody decided in time")
        elif known.state is ApprovalState.GRANTED:
            self.decide(rollout, gate.name, GateState.PASSED, f"{known.decided_by} approved it")
        elif known.state is not ApprovalState.PENDING:
            why = f": {known.reason}" if known.reason else ""
            self.decide(rollout, gate.name, GateState.FAILED, f"{known.decided_by} refused it{why}")

    def _ask(self, rollout: Rollout, gate: Gate, result: GateResult, identity: str) -> None:
        content = _summary(rollout)
        expires = self.now + timedelta(seconds=gate.patience)
        approval = Approval(
            id=identity,
            execution_id=ExecutionId(rollout.id),
            root_id=ExecutionId(rollout.id),
            conversation_id=ConversationId(""),
            step=0,
            call=0,
            agent=rollout.agent,
            action_type=ROLLOUT,
            name=f"{rollout.agent} {rollout.candidate_version}",
            content=content,
            approval_mode=gate.mode,
            requested_at=self.now,
            expires_at=expires,
        )
        self.transaction.add_approval(self.scope, approval)
        news = result.model_copy(update={"approval_id": identity, "began_at": self.now, "reason": "a person is asked"})
        self.transaction.put_rollout(rollout.with_result(news))
        requested = ApprovalRequested(
            approval_id=identity,
            action_id="",
            action_type=ROLLOUT,
            name=approval.name,
            expires_at=expires.isoformat(timespec="seconds"),
            content_hash=hash_of(content),
        )
        self._tell(rollout, requested)

    def _rehearse(self, rollout: Rollout, name: str, sources: Sequence[ExecutionId]) -> None:
        key = rollout.key_of(name)
        for source in sources:
            execution_id = ExecutionId(derived_id("x", rollout.id, key, source))
            self.transaction.put_rehearsal(
                self.scope, Rehearsal(rollout_id=rollout.id, gate=key, source=source, execution_id=execution_id)
            )


def _summary(rollout: Rollout) -> str:
    """What the person has to judge."""
    lines = [
        f"Roll out {rollout.agent} {rollout.stable_version} → {rollout.candidate_version} ({rollout.plan.strategy})"
    ]
    lines += [f"{each.name}: {each.state}, {each.reason}" for each in rollout.results if each.reason]
    for each in rollout.results:
        lines += [f"  {told.source}: {told.rule}: {told.text}" for told in each.differences[:10]]
    return "\n".join(lines)
