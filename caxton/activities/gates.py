"""Passing a rollout's gates, and its shadow: recorded turns are rehearsed, webhooks and people asked.

Each call does what can be done now, and is called again. All that it learns is in the store, under ids derived from the rollout,
so it can be killed anywhere and goes on: a turn is rehearsed once, and a webhook hears the same id again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from caxton.activities.heartbeats import with_heartbeats
from caxton.activities.judging import Judging
from caxton.activities.rollouts import look_of
from caxton.deploying.gating import SAYS_NOTHING, Gating
from caxton.domain.channels import Channel
from caxton.domain.errors import BudgetUsedUp, CaxtonError, ChannelFailed
from caxton.domain.executions import TurnRequest
from caxton.domain.gates import (
    Answered,
    Gate,
    GateKind,
    GateState,
    Moment,
    Rehearsal,
    Rule,
    differences,
    wants_embeddings,
)
from caxton.domain.ids import Scope
from caxton.domain.messages import Content
from caxton.domain.ports import BlobStore
from caxton.domain.records import Records, Transaction
from caxton.domain.rollouts import SHADOW, Rollout, RolloutState, Strategy
from caxton.recording import journal
from caxton.recording.contents import unpack
from caxton.turns.rehearsing import answered, rehearsal_request
from caxton.workflows.rollout import CHECK_GATES, RolloutInput, RolloutLook

log = logging.getLogger(__name__)

Post = Callable[[Channel, str, Mapping[str, Any]], Awaitable[int]]
Start = Callable[[TurnRequest], Awaitable[object]]
Embed = Callable[[Scope, Sequence[str]], Awaitable[list[list[float]]]]

NO_MODEL = (
    "this server has no memory, and so no model that compares what replies mean: "
    'name rules without "similar", or install the memory'
)

AT_ONCE = 4
"""Rehearsals of one rollout that are at work at the same time."""

EMBEDDED = 8_000
"""Characters of a reply whose meaning is compared: the model reads fewer."""


@dataclass
class GateActivities:
    """Passes gates."""

    records: Records
    blobs: BlobStore
    channels: Mapping[str, Channel]
    post: Post = field(repr=False)
    start: Start = field(repr=False)
    """Has a rehearsal accepted."""
    embed: Embed | None = field(default=None, repr=False)
    """Vectors of texts; None where this server has no model for that."""
    judging: Judging | None = field(default=None, repr=False)
    """Has replies judged."""

    @activity.defn(name=CHECK_GATES)
    async def check_gates(self, wanted: RolloutInput) -> RolloutLook:
        """Does what the rollout waits for, as far as it can be done now."""
        return await with_heartbeats(self._check(wanted))

    async def _check(self, wanted: RolloutInput) -> RolloutLook:
        scope = wanted.scope
        rollout = await self._read(scope, wanted.rollout_id)
        match rollout.state:
            case RolloutState.GATING:
                await self._pass_next(rollout)
            case RolloutState.PROGRESSING:
                await self._ask_meanwhile(rollout)
                if rollout.plan.judge is not None and self.judging is not None:
                    await self.judging.go_on(rollout)
                if rollout.plan.strategy is Strategy.SHADOW:
                    await self._shadow(rollout)
            case RolloutState.PROMOTED | RolloutState.ROLLED_BACK:
                await self._tell_end(rollout)
            case _:
                pass
        return look_of(await self._read(scope, wanted.rollout_id))

    async def _read(self, scope: Scope, rollout_id: str) -> Rollout:
        found = await self.records.read(lambda transaction: transaction.rollout(scope, rollout_id))
        assert found is not None, "rollouts are kept"
        return found

    async def _change(self, rollout: Rollout, change: Callable[[Gating, Rollout], object]) -> None:
        """Changes the rollout as it is by now, unless somebody has changed its state meanwhile."""

        def work(transaction: Transaction) -> None:
            found = transaction.rollout(rollout.scope, rollout.id, hold=True)
            if found is not None and (found.state, found.round) == (rollout.state, rollout.round):
                change(Gating(transaction, rollout.scope), found)

        await self.records.write(work)

    async def _pass_next(self, rollout: Rollout) -> None:
        """Goes on with the first gate that is not passed yet."""
        gate = rollout.next_gate
        if gate is None:
            await self._change(rollout, lambda gating, found: gating.all_passed(found))
            return
        match gate.kind:
            case GateKind.REPLAY:
                await self._replay(rollout, gate)
            case GateKind.WEBHOOK:
                await self._ask_before(rollout, gate)
            case GateKind.PERSON:
                await self._change(rollout, lambda gating, found: gating.ask_person(found, gate))
        late = rollout.result(gate.name)
        waited = 0.0 if late.began_at is None else (journal.now() - late.began_at).total_seconds()
        if waited > gate.patience:
            why = f"it was not passed within {gate.patience:g} s"
            await self._change(rollout, lambda gating, found: gating.decide(found, gate.name, GateState.FAILED, why))

    async def _replay(self, rollout: Rollout, gate: Gate) -> None:
        if self.embed is None and wants_embeddings(gate.rules):
            why = NO_MODEL
            await self._change(rollout, lambda gating, found: gating.decide(found, gate.name, GateState.FAILED, why))
            return
        await self._change(rollout, lambda gating, found: gating.choose_turns(found, gate))
        await self._go_on(rollout, gate.name, gate.rules)
        if not await self._rehearsals(rollout, gate.name):
            await self._change(rollout, lambda gating, found: gating.judge_replay(found, gate))

    async def _shadow(self, rollout: Rollout) -> None:
        plan = rollout.plan.shadow
        if self.embed is None and wants_embeddings(plan.rules):
            await self._change(rollout, lambda gating, found: gating.refused(found, NO_MODEL))
            return
        await self._change(rollout, lambda gating, found: gating.choose_shadowed(found))
        await self._go_on(rollout, SHADOW, plan.rules)
        await self._change(rollout, lambda gating, found: gating.judge_shadow(found))

    async def _rehearsals(self, rollout: Rollout, name: str) -> list[Rehearsal]:
        """Those of a gate that are not done."""
        return await self.records.read(
            lambda transaction: transaction.rehearsals(rollout.scope, rollout.id, rollout.key_of(name))
        )

    async def _go_on(self, rollout: Rollout, name: str, rules: Sequence[Rule]) -> None:
        """Compares the rehearsals that have ended, and starts further ones."""
        for each in await self._rehearsals(rollout, name):
            if each.state == "started":
                await self._compare(rollout, name, rules, each)
        room = AT_ONCE
        if name == SHADOW:
            seen = (await self._read(rollout.scope, rollout.id)).result(SHADOW)
            room = min(room, rollout.plan.shadow.budget.room(seen.candidate, seen.compared))
        known = await self._rehearsals(rollout, name)
        free = max(0, room - sum(each.state == "started" for each in known))
        waiting = [each for each in known if each.state == "waiting"]
        await asyncio.gather(*(self._begin(rollout, name, each) for each in waiting[:free]))

    async def _begin(self, rollout: Rollout, name: str, each: Rehearsal) -> None:
        scope = rollout.scope
        try:
            request = await self.records.read(lambda tx: rehearsal_request(tx, scope, rollout, each))
            await self.start(request)
        except CaxtonError as error:
            if isinstance(error, BudgetUsedUp):
                why = error.message  # it is gone on with when the budget starts over, or the gate's time ends
                await self._change(rollout, lambda gating, found: gating.still_waits(found, name, why))
                return
            if error.retryable:
                log.info("a rehearsal waits: %s", error.message)
                return
            code = error.code
            await self._change(rollout, lambda gating, found: gating.not_rehearsed(found, name, each, code))
            return
        await self._change(rollout, lambda gating, _: gating.started(each))

    async def _compare(self, rollout: Rollout, name: str, rules: Sequence[Rule], each: Rehearsal) -> None:
        """Compares a rehearsal with what is recorded, once it has ended."""
        scope = rollout.scope

        def read(transaction: Transaction) -> tuple[Found, Found]:
            return answered(transaction, scope, each.source), answered(transaction, scope, each.execution_id)

        recorded, candidate = await self.records.read(read)
        if candidate is None:
            return
        nothing = "record_deleted" if recorded is None else candidate[0].error_code
        if recorded is None or nothing in SAYS_NOTHING:
            code = nothing or ""
            await self._change(rollout, lambda gating, found: gating.not_rehearsed(found, name, each, code))
            return
        one, two = await self._with_text(scope, recorded), await self._with_text(scope, candidate)
        cosine = await self._cosine(scope, one, two) if wants_embeddings(rules) else None
        differ = differences(rules, one, two, cosine)
        await self._change(
            rollout,
            lambda gating, found: gating.compared(found, name, each, differ, one.totals, two.totals),
        )

    async def _with_text(self, scope: Scope, found: "tuple[Answered, Content]") -> Answered:
        return found[0].model_copy(update={"text": await unpack(self.blobs, scope, found[1])})

    async def _cosine(self, scope: Scope, one: Answered, two: Answered) -> float | None:
        """How similar two replies are; None where one of them failed, or nothing here can tell."""
        if self.embed is None or one.error_code is not None or two.error_code is not None:
            return None
        if one.text == two.text:
            return 1.0
        first, second = await self.embed(scope, [one.text[:EMBEDDED], two.text[:EMBEDDED]])
        return sum(a * b for a, b in zip(first, second, strict=True))

    async def _ask_before(self, rollout: Rollout, gate: Gate) -> None:
        agreed, why, is_final = await self._ask(rollout, gate)
        if agreed:
            await self._change(rollout, lambda gating, found: gating.decide(found, gate.name, GateState.PASSED, why))
        elif gate.at is Moment.PRE_ROLLOUT and is_final:
            await self._change(rollout, lambda gating, found: gating.decide(found, gate.name, GateState.FAILED, why))
        else:
            await self._change(rollout, lambda gating, found: gating.still_waits(found, gate.name, why))

    async def _ask_meanwhile(self, rollout: Rollout) -> None:
        """Asks the webhooks of a rollout whose candidate is at work."""
        for gate in rollout.plan.gates:
            if gate.at is Moment.ROLLOUT:
                agreed, why, is_final = await self._ask(rollout, gate)
                if not agreed and is_final:
                    await self._change(rollout, lambda gating, found, why=why: gating.refused(found, why))
                    return
            elif gate.at is Moment.ROLLBACK:
                agreed, why, _ = await self._ask(rollout, gate)
                if agreed:
                    told = f'webhook "{gate.name}" asked for it'
                    await self._change(rollout, lambda gating, found, told=told: gating.rolled_back(found, told))
                    return
            elif gate.at is not None and gate.at == rollout.asks:
                agreed, why, _ = await self._ask(rollout, gate)
                await self._change(
                    rollout, lambda gating, found, a=agreed, w=why, g=gate: gating.confirm(found, g, agreed=a, why=w)
                )

    async def _tell_end(self, rollout: Rollout) -> None:
        for gate in rollout.plan.gates:
            result = rollout.result(gate.name)
            if gate.at is Moment.POST_ROLLOUT and result.state is GateState.WAITING:
                agreed, why, is_final = await self._ask(rollout, gate)
                state = GateState.PASSED if agreed else GateState.FAILED
                if agreed or is_final or result.attempts >= END_ATTEMPTS:
                    await self._change(
                        rollout, lambda gating, found, g=gate, s=state, w=why: gating.decide(found, g.name, s, w)
                    )
                else:
                    await self._change(
                        rollout, lambda gating, found, g=gate, w=why: gating.still_waits(found, g.name, w)
                    )

    async def _ask(self, rollout: Rollout, gate: Gate) -> tuple[bool, str, bool]:
        """Asks a webhook once: whether it agreed, why not, and whether another attempt would be of no use."""
        channel = self.channels.get(gate.channel or "")
        if channel is None:
            return False, f'this server has no channel "{gate.channel}"', True
        try:
            status = await self.post(
                channel, f"msg_{rollout.id}_{rollout.key_of(gate.name)}_{rollout.stage}", told(rollout, gate)
            )
        except ChannelFailed as error:
            return False, f'webhook "{gate.name}": {error.message}', not error.retryable
        return True, f"it answered {status}", True


Found = tuple[Answered, Content] | None

END_ATTEMPTS = 5
"""How often it is tried to tell the end of a rollout, where nobody answers."""


def told(rollout: Rollout, gate: Gate) -> dict[str, Any]:
    """What a webhook gets: names, versions and figures, never content."""
    return {
        "type": f"caxton.{gate.at}",
        "timestamp": journal.now().isoformat(timespec="milliseconds"),
        "data": {
            "customer": rollout.scope.customer,
            "workspace": rollout.scope.workspace,
            "rollout_id": rollout.id,
            "agent": rollout.agent,
            "strategy": rollout.plan.strategy,
            "stable": rollout.stable_version,
            "candidate": rollout.candidate_version,
            "state": rollout.state,
            "stage": rollout.stage + 1,
            "percent": rollout.share,
            "verdict": rollout.verdict,
            "reason": rollout.reason,
            "gates": [
                {"name": each.name, "state": each.state, "compared": each.compared, "differ": each.differ}
                for each in rollout.results
            ],
        },
    }
