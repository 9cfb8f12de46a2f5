"""Service levels: pressure, breach, escalation, suspension. Recorded where they are noticed, each once.

A breach is noticed by the deadline worker, when its time comes and the work is still in progress, or by the step that ends the
work too late. Both tell it under the same id, so the log has it once.
"""

from datetime import datetime, timedelta

from caxton.domain.agents import AgentVersion
from caxton.domain.events import Event, Payload
from caxton.domain.events.deployments import DeploymentResumed, DeploymentSuspended
from caxton.domain.events.governance import EscalationTriggered, PressureInvoked, SlaBreached
from caxton.domain.executions import Execution
from caxton.domain.governance import ServiceLevel
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.quantities import format_duration
from caxton.domain.records import Deadline, EventFilter, Transaction
from caxton.recording import journal


def service_level(agent: AgentVersion, capability: str | None) -> ServiceLevel | None:
    """What the agent promises for the capability."""
    offered = agent.spec.offers(capability) if capability else None
    return offered.sla if offered else None


def first_deadlines(scope: Scope, execution_id: ExecutionId, level: ServiceLevel, started: datetime) -> list[Deadline]:
    """When pressure begins and when the promise is broken, for work that starts now."""
    return [
        Deadline(scope, execution_id, "pressure", 0, started + timedelta(seconds=level.pressure_at), {}),
        Deadline(scope, execution_id, "breach", 0, started + timedelta(seconds=level.respond_within), {}),
    ]


def record_pressure(transaction: Transaction, scope: Scope, execution: Execution, level: ServiceLevel) -> None:
    """Tells that an answer is due soon."""
    remaining = level.respond_within - (journal.now() - execution.started_at).total_seconds()
    if remaining <= 0:
        return  # noticed too late, after a stop of the server: the breach says more
    pressure = PressureInvoked(respond_within_s=level.respond_within, remaining_s=round(max(0.0, remaining), 3))
    told = transaction.add_events_once(scope, [notice_event(scope, execution, pressure, "pressure")])
    if told and level.pressure_notify:
        transaction.add_deadlines(
            scope, [_to_tell(scope, execution, "pressure", 0, level.pressure_notify, journal.now())]
        )


def record_breach(
    transaction: Transaction, scope: Scope, execution: Execution, level: ServiceLevel, *, answered: bool
) -> None:
    """Tells a breach, once; begins its escalation, and suspends the agent's deployment after too many."""
    moment = journal.now()
    elapsed = (moment - execution.started_at).total_seconds()
    breached = SlaBreached(
        respond_within_s=level.respond_within, elapsed_s=round(max(0.0, elapsed), 3), answered=answered
    )
    if not transaction.add_events_once(scope, [notice_event(scope, execution, breached, "breach")]):
        return
    # Who is to be told at once is told also of an answer that came too late; later steps are for answers that do not come.
    steps = [(number, step) for number, step in enumerate(level.escalation, 1) if step.after == 0 or not answered]
    transaction.add_deadlines(
        scope,
        [
            _to_tell(scope, execution, "breach", number, step.notify, moment + timedelta(seconds=step.after))
            for number, step in steps
        ],
    )
    _suspend_after_too_many(transaction, scope, execution, level, moment)


def record_end(transaction: Transaction, scope: Scope, execution: Execution, level: ServiceLevel | None) -> None:
    """What the end of an execution with a promise means: a breach if it came too late, and no more pressure."""
    if level is None:
        return
    transaction.clear_deadlines(scope, execution.id)
    if (journal.now() - execution.started_at).total_seconds() > level.respond_within:
        record_breach(transaction, scope, execution, level, answered=True)


def escalation(scope: Scope, execution: Execution, cause: str, level: int, channel: str) -> Event:
    """The event that somebody is to be told."""
    told = EscalationTriggered(cause=cause, level=level, channel=channel)
    return notice_event(scope, execution, told, cause, str(level))


def _suspend_after_too_many(
    transaction: Transaction, scope: Scope, execution: Execution, level: ServiceLevel, moment: datetime
) -> None:
    if level.suspend_after is None or execution.agent is None:
        return
    since = moment - timedelta(seconds=level.suspend_window)
    component = transaction.component(scope, "agent", execution.agent)
    if component is None or component.deployment_id != execution.deployment_id:
        return  # what broke its promises is no longer deployed
    resumes = EventFilter(types=frozenset({DeploymentResumed.event_type}), agent=execution.agent)
    resumed = max(
        (event.sequence or 0 for event in transaction.events(scope, resumes, newest=True, limit=1)), default=0
    )
    wanted = EventFilter(types=frozenset({SlaBreached.event_type}), agent=execution.agent, since=since)
    earlier = [
        event
        for event in transaction.events(scope, wanted, newest=True, limit=level.suspend_after)
        if event.deployment_id == execution.deployment_id and (event.sequence or 0) > resumed
    ]
    breaches = len(earlier) + 1  # this one is not written yet
    if breaches < level.suspend_after:
        return
    answers = "1 answer" if breaches == 1 else f"{breaches} answers"
    reason = f"{answers} came too late within {format_duration(level.suspend_window)}"
    if not transaction.suspend_component(scope, "agent", execution.agent, reason):
        return
    suspended = DeploymentSuspended(name=execution.agent, reason=reason, breaches=breaches)
    transaction.add_events_once(scope, [notice_event(scope, execution, suspended, "suspension")])
    transaction.add_deadlines(
        scope,
        [
            _to_tell(scope, execution, "suspension", number, step.notify, moment)
            for number, step in enumerate(level.escalation, 1)
        ],
    )


def _to_tell(scope: Scope, execution: Execution, cause: str, level: int, channel: str, due: datetime) -> Deadline:
    number = level + {"pressure": 0, "breach": 0, "suspension": 100}[cause]
    return Deadline(
        scope, execution.id, "escalation", number, due, {"cause": cause, "level": level, "channel": channel}
    )


def notice_event(scope: Scope, execution: Execution, payload: Payload, *fact: str) -> Event:
    """An event about an execution that happens because of time, not of a step; `fact` makes it happen once."""
    return journal.note(
        scope,
        payload,
        execution.id,
        *fact,
        agent=execution.agent,
        deployment_id=execution.deployment_id,
        skill_id=execution.capability,
        skill_version=execution.capability_version,
        execution_id=execution.id,
        correlation_id=execution.root_id,
        conversation_id=execution.conversation_id,
    )
