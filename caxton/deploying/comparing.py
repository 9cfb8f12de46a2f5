"""What a rollout compares besides figures of turns: their events, and what a judge says of their replies."""

from collections.abc import Sequence

from caxton.domain.gates import Rehearsal
from caxton.domain.ids import ConversationId, Digest, ExecutionId, derived_id
from caxton.domain.records import EventFilter, Transaction
from caxton.domain.rollout_metrics import JUDGED, MOST_EXAMINED, MOST_JUDGED, EventMetric
from caxton.domain.rollouts import Marked, Outcome, Rollout, gets
from caxton.domain.verdicts import Counted

EVENTS_READ = 1_000
"""Of one turn."""

MOST_UNJUDGED = 200
"""Turns that wait for a judge, from which on it is given no others."""


def examine(transaction: Transaction, rollout: Rollout, outcomes: Sequence[Outcome]) -> Marked:
    """In which turns the events of the rollout's own metrics happened: of some of each version, for that takes reading."""
    metrics = rollout.plan.metrics
    if not metrics:
        return {}
    chosen = [
        outcome.execution_id
        for digest in (rollout.stable, rollout.candidate)
        for outcome in _of(outcomes, digest)[:MOST_EXAMINED]
    ]
    records = transaction.executions(rollout.scope, chosen)
    found: dict[str, dict[ExecutionId, bool]] = {metric.name: {} for metric in metrics}
    types = frozenset(metric.event for metric in metrics)
    for execution_id, record in records.items():
        wanted = EventFilter(types=types, correlation_id=record.execution.root_id)
        events = transaction.events(rollout.scope, wanted, limit=EVENTS_READ)
        own = [(e.event_type, e.payload.get("tool"), e.error_code) for e in events if e.execution_id == execution_id]
        for metric in metrics:
            found[metric.name][execution_id] = sum(_fits(metric, *each) for each in own) >= metric.at_least
    return found


def _fits(metric: EventMetric, event: str, tool: object, error_code: str | None) -> bool:
    if event != metric.event or metric.error_code not in (None, error_code):
        return False
    return metric.tool is None or metric.tool == tool


def choose_judged(transaction: Transaction, rollout: Rollout, outcomes: Sequence[Outcome]) -> None:
    """Notes turns of both versions that a judge is to be given."""
    judge, key = rollout.plan.judge, rollout.key_of(JUDGED)
    if judge is None:
        return
    waiting = len(transaction.rehearsals(rollout.scope, rollout.id, key, limit=MOST_UNJUDGED))
    for digest in (rollout.stable, rollout.candidate):
        own = [each.execution_id for each in _of(outcomes, digest) if not each.failed]
        taken = [each for each in own if gets(ConversationId(each), Digest(JUDGED), judge.percent)][:MOST_JUDGED]
        for source in taken if waiting < MOST_UNJUDGED else ():
            asked = ExecutionId(derived_id("x", rollout.id, key, source))
            each = Rehearsal(rollout_id=rollout.id, gate=key, source=source, execution_id=asked)
            transaction.put_rehearsal(rollout.scope, each)


def judged(transaction: Transaction, rollout: Rollout, each: Rehearsal, score: float | None) -> None:
    """Counts what a judge says of a turn; None where it says nothing that could be read."""
    if not transaction.put_rehearsal(rollout.scope, each.model_copy(update={"state": "done"})):
        return  # somebody else has counted it
    judge, source = rollout.plan.judge, transaction.executions(rollout.scope, [each.source]).get(each.source)
    if score is None or judge is None or source is None:
        return
    said = Counted(messages=1, bad=int(score < judge.at_least))
    stable, candidate = rollout.judged
    if source.execution.agent_digest == rollout.candidate:
        candidate += said
    else:
        stable += said
    transaction.put_rollout(rollout.model_copy(update={"judged": (stable, candidate)}))


def _of(outcomes: Sequence[Outcome], digest: Digest) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.digest == digest and outcome.execution_id]
