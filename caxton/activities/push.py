"""Telling receivers of push notifications how a task stands."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from caxton.domain.errors import ChannelFailed
from caxton.domain.push import PushConfig
from caxton.domain.records import Records, Transaction
from caxton.recording.journal import now
from caxton.recording.push import PushState, note_push_due, push_state
from caxton.views.a2a import status_update, timestamp
from caxton.workflows.failures import to_failure
from caxton.workflows.push import DELIVER_PUSH, GIVE_PUSH_UP, Push

PostPush = Callable[[PushConfig, str, Mapping[str, Any]], Awaitable[int]]

log = logging.getLogger(__name__)


@dataclass
class PushActivities:
    """Push notifications."""

    records: Records
    post: PostPush = field(repr=False)

    @activity.defn(name=DELIVER_PUSH)
    async def deliver_push(self, push: Push) -> None:
        """Tells the receiver once how the task stands now; the workflow tries again."""
        found = await self.records.read(lambda transaction: _find(transaction, push))
        if found is None:
            return
        state, config = found
        if config.told == state.state or config.given_up:
            return
        status = {"state": str(state.state), "timestamp": timestamp(state.since)}
        payload = status_update(push.execution_id, state.conversation_id, status)
        # The same for every attempt, so that the receiver can drop repetitions.
        message_id = f"msg_{push.execution_id}_{push.config_id}_{state.state}"
        try:
            await self.post(config, message_id, payload)
        except ChannelFailed as error:
            attempt = activity.info().attempt
            log.warning("push for %s: %s (attempt %d)", push.execution_id, error.message, attempt)
            raise to_failure(error.report()) from error
        await self._change(push, {"told": str(state.state)})

    @activity.defn(name=GIVE_PUSH_UP)
    async def give_push_up(self, push: Push) -> None:
        """Notes that the receiver is told nothing more."""
        log.warning("push for %s is given up", push.execution_id)
        await self._change(push, {"given_up": True})

    async def _change(self, push: Push, change: Mapping[str, Any]) -> None:
        def record(transaction: Transaction) -> None:
            for config in transaction.push_configs(push.scope, push.execution_id):
                if config.id == push.config_id:
                    changed = config.model_copy(update=dict(change))
                    transaction.put_push_config(push.scope, push.execution_id, changed)
                    # What follows from it is looked at soon: another change, or that there is nothing left to tell.
                    note_push_due(transaction, push.scope, push.execution_id, now())

        await self.records.write(record)


def _find(transaction: Transaction, push: Push) -> tuple[PushState, PushConfig] | None:
    configs = transaction.push_configs(push.scope, push.execution_id)
    config = next((each for each in configs if each.id == push.config_id), None)
    state = push_state(transaction, push.scope, push.execution_id)
    return None if config is None or state is None else (state, config)
