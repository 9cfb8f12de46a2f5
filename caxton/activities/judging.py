"""A rollout's judge: a capability that gives replies of both versions a score.

Each turn is judged once, by a request under an id derived from the rollout and the turn: what is killed in between goes on.
"""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from caxton.deploying.comparing import judged
from caxton.domain.errors import CaxtonError
from caxton.domain.gates import Rehearsal
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.messages import Content
from caxton.domain.ports import BlobStore
from caxton.domain.records import Records, Transaction
from caxton.domain.rollout_metrics import JUDGED
from caxton.domain.rollouts import Rollout, RolloutState
from caxton.recording.contents import unpack
from caxton.turns.rehearsing import answered

log = logging.getLogger(__name__)

Ask = Callable[[Scope, str, str, ExecutionId], Awaitable[object]]
"""Has a capability asked, with a content, as the execution of an id."""

AT_ONCE = 4
"""Turns of one rollout that are judged at the same time."""

LONGEST = 20_000
"""Characters of a request and of a reply that a judge is given."""


@dataclass
class Judging:
    """Has replies judged."""

    records: Records
    blobs: BlobStore
    ask: Ask = field(repr=False)

    async def go_on(self, rollout: Rollout) -> None:
        """Counts what the judge has said, and gives it further turns."""
        for each in await self._waiting(rollout):
            if each.state == "started":
                await self._read(rollout, each)
        known = await self._waiting(rollout)
        free = max(0, AT_ONCE - sum(each.state == "started" for each in known))
        waiting = [each for each in known if each.state == "waiting"]
        await asyncio.gather(*(self._begin(rollout, each) for each in waiting[:free]))

    async def _waiting(self, rollout: Rollout) -> list[Rehearsal]:
        return await self.records.read(lambda tx: tx.rehearsals(rollout.scope, rollout.id, rollout.key_of(JUDGED)))

    async def _begin(self, rollout: Rollout, each: Rehearsal) -> None:
        judge, scope = rollout.plan.judge, rollout.scope
        assert judge is not None
        found = await self.records.read(lambda tx: _exchange(tx, scope, each.source))
        if found is None:
            await self._note(rollout, each, None)
            return
        request, reply = [(await unpack(self.blobs, scope, content))[:LONGEST] for content in found]
        content = json.dumps({"request": request, "reply": reply}, ensure_ascii=False)
        try:
            await self.ask(scope, judge.capability, content, each.execution_id)
        except CaxtonError as error:
            log.info("a judge could not be asked: %s", error.message)
            if not error.retryable:
                await self._note(rollout, each, None)
            return
        started = each.model_copy(update={"state": "started"})
        await self.records.write(lambda transaction: transaction.put_rehearsal(scope, started))

    async def _read(self, rollout: Rollout, each: Rehearsal) -> None:
        found = await self.records.read(lambda tx: answered(tx, rollout.scope, each.execution_id))
        if found is None:
            return
        result, content = found
        text = "" if result.error_code is not None else await unpack(self.blobs, rollout.scope, content)
        await self._note(rollout, each, score_of(text))

    async def _note(self, rollout: Rollout, each: Rehearsal, score: float | None) -> None:
        def note(transaction: Transaction) -> None:
            found = transaction.rollout(rollout.scope, rollout.id, hold=True)
            if found is not None and (found.state, found.round) == (RolloutState.PROGRESSING, rollout.round):
                judged(transaction, found, each, score)

        await self.records.write(note)


def _exchange(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> tuple[Content, Content] | None:
    """What an execution was asked and what it replied; None where that was deleted."""
    record = transaction.executions(scope, [execution_id]).get(execution_id)
    if record is None or record.reply_id is None:
        return None
    request = transaction.message(scope, record.execution.message_id)
    reply = transaction.message(scope, record.reply_id)
    return None if request is None or reply is None else (request.content, reply.content)


def score_of(text: str) -> float | None:
    """The score in a judge's reply: a number from 0 to 1, or an object with one as `score`."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        return None
    if isinstance(said, dict):
        said = cast("dict[str, Any]", said).get("score")
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not math.isfinite(said) or not 0 <= said <= 1:
        return None
    return float(said)
