"""Telling channels, and recording that they were told."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from caxton.domain.channels import Channel
from caxton.domain.errors import ChannelFailed
from caxton.domain.events import Payload
from caxton.domain.events.governance import EscalationDelayed, EscalationDelivered, EscalationFailed
from caxton.domain.executions import Execution
from caxton.domain.records import EventFilter, Records, Transaction
from caxton.governance.service_levels import notice_event
from caxton.recording import journal
from caxton.workflows.failures import to_failure
from caxton.workflows.notice import DELIVER_NOTICE, RECORD_NOTICE, Notice, NoticeOutcome

Post = Callable[[Channel, str, Mapping[str, Any]], Awaitable[int]]

log = logging.getLogger(__name__)

TOLD_ATTEMPTS = (1, 5, 20, 100)
"""Failed attempts that the log tells; the server's own log has all of them."""

EVENT_OF = {
    "pressure": "pressure_invoked",
    "breach": "sla_breached",
    "suspension": "deployment_suspended",
    "quarantine": "tool_quarantined",
    "health": "agent_stopped",
}


@dataclass
class NoticeActivities:
    """Notices."""

    records: Records
    channels: Mapping[str, Channel]
    post: Post = field(repr=False)

    @activity.defn(name=DELIVER_NOTICE)
    async def deliver_notice(self, notice: Notice) -> NoticeOutcome:
        """Tells the channel once; the workflow tries again."""
        attempt = activity.info().attempt
        try:
            channel = self.channels.get(notice.channel)
            if channel is None:
                raise ChannelFailed(f'this server has no channel "{notice.channel}"')
            if notice.about is not None:
                payload = _alert(notice)
            else:
                payload = _payload(notice, *await self.records.read(lambda transaction: _facts(transaction, notice)))
            status = await self.post(channel, f"msg_{_message_id(notice)}", payload)
        except ChannelFailed as error:
            report = error.report()
            log.warning("channel %s: %s (attempt %d)", notice.channel, error.message, attempt)
            if report.retryable and attempt in TOLD_ATTEMPTS:
                await self._delayed(notice, attempt, error.message)
            details = {**report.details, "attempts": attempt}
            raise to_failure(report.model_copy(update={"details": details})) from error
        return NoticeOutcome(notice=notice, attempts=attempt, status=status)

    async def _delayed(self, notice: Notice, attempt: int, reason: str) -> None:
        told = EscalationDelayed(
            cause=notice.cause, level=notice.level, channel=notice.channel, attempts=attempt, reason=reason
        )

        await self._tell(notice, told, str(attempt))

    async def _tell(self, notice: Notice, told: Payload, *more: str) -> None:
        def record(transaction: Transaction) -> None:
            fact = (notice.cause, str(notice.level), *more)
            if notice.about is not None:
                event = journal.note(notice.scope, told, notice.execution_id, *fact)
                transaction.add_events_once(notice.scope, [event])
                return
            found = transaction.executions(notice.scope, [notice.execution_id]).get(notice.execution_id)
            if found is not None:
                transaction.add_events_once(notice.scope, [notice_event(notice.scope, found.execution, told, *fact)])

        await self.records.write(record)

    @activity.defn(name=RECORD_NOTICE)
    async def record_notice(self, outcome: NoticeOutcome) -> None:
        """Tells in the log whether the channel was told."""
        notice = outcome.notice
        facts: dict[str, Any] = {"cause": notice.cause, "level": notice.level, "channel": notice.channel}
        told = (
            EscalationDelivered(**facts, attempts=outcome.attempts, status=outcome.status)
            if outcome.reason is None
            else EscalationFailed(**facts, attempts=outcome.attempts, reason=outcome.reason)
        )
        await self._tell(notice, told)


def _facts(transaction: Transaction, notice: Notice) -> tuple[Execution, dict[str, Any]]:
    """The execution, and the payload of the event that the notice is about."""
    execution = transaction.executions(notice.scope, [notice.execution_id])[notice.execution_id].execution
    wanted = EventFilter(types=frozenset({EVENT_OF[notice.cause]}), correlation_id=execution.root_id)
    for event in transaction.events(notice.scope, wanted, limit=100):
        if event.execution_id == execution.id:
            return execution, event.payload
    return execution, {}


def _message_id(notice: Notice) -> str:
    return f"{notice.execution_id}_{notice.cause}_{notice.level}"


def _alert(notice: Notice) -> dict[str, Any]:
    """What the channel gets of what belongs to no execution."""
    return {
        "type": f"caxton.{EVENT_OF[notice.cause]}",
        "timestamp": journal.now().isoformat(timespec="milliseconds"),
        "data": {
            "customer": notice.scope.customer,
            "workspace": notice.scope.workspace,
            "name": notice.about,
            **notice.facts,
        },
    }


def _payload(notice: Notice, execution: Execution, facts: dict[str, Any]) -> dict[str, Any]:
    """What the channel gets: identifiers and times, never content."""
    return {
        "type": f"caxton.{EVENT_OF[notice.cause]}",
        "timestamp": journal.now().isoformat(timespec="milliseconds"),
        "data": {
            "customer": notice.scope.customer,
            "workspace": notice.scope.workspace,
            "execution_id": execution.id,
            "conversation_id": execution.conversation_id,
            "agent": execution.agent,
            "capability": execution.capability,
            "deployment_id": execution.deployment_id,
            "state": str(execution.state),
            "started_at": execution.started_at.isoformat(timespec="milliseconds"),
            "level": notice.level,
            **facts,
        },
    }
