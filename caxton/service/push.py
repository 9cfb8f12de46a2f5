"""Push notifications: configurations of tasks, and who is to be told."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from caxton.domain.errors import InvalidInput, InvalidState
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.push import MOST_OF_A_TASK, PushConfig, PushPolicy, origin_of
from caxton.domain.records import Deadline, Records, Transaction
from caxton.recording.journal import now
from caxton.recording.push import PushState, note_push_due, push_state
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.engine import Engine
from caxton.workflows.names import push_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT
from caxton.workflows.push import Push, PushWorkflow

LOOK_AGAIN: Final = timedelta(seconds=30)
"""After which it is looked whether a task that goes on has changed: its end, and that it waits for a person, are told at once."""

UNDER_WAY: Final = timedelta(seconds=10)
"""After which it is looked whether receivers have been told."""


class PushConfigs:
    """Use cases on configurations of push notifications."""

    def __init__(self, records: Records, policy: PushPolicy) -> None:
        """Keep them in `records`, for addresses that `policy` allows."""
        self.records = records
        self.policy = policy

    async def put(self, caller: Caller, execution_id: ExecutionId, config: PushConfig) -> PushConfig:
        """Has the receiver told of the task's changes from now on, and of its end in any case.

        Raises:
            InvalidInput: nothing may be sent to the address.
            InvalidState: the task has as many as it may have.
        """
        problem = self.policy.problem(config.url)
        if problem is not None:
            raise InvalidInput(
                f"nothing can be pushed to this address: {problem}",
                "an operator names its origin: push_origins in [a2a] of the server's caxton.toml",
                details={"problems": [{"path": "url", "message": problem}]},
            )
        scope = caller.scope
        await request_change(self.records, caller, "push.put", execution_id, after=origin_of(config.url))

        def keep(transaction: Transaction) -> PushConfig:
            known = transaction.push_configs(scope, execution_id)
            if config.id not in {each.id for each in known} and len(known) >= MOST_OF_A_TASK:
                raise InvalidState(f"a task has {MOST_OF_A_TASK} push configurations at most", "delete one first")
            state = push_state(transaction, scope, execution_id)
            told = None if state is None or state.has_ended else str(state.state)
            kept = config.model_copy(update={"told": told})
            transaction.put_push_config(scope, execution_id, kept)
            note_push_due(transaction, scope, execution_id, now())
            return kept

        return await self.records.write(keep)

    async def list_configs(self, scope: Scope, execution_id: ExecutionId) -> list[PushConfig]:
        """The configurations of a task."""
        return await self.records.read(lambda transaction: transaction.push_configs(scope, execution_id))

    async def remove(self, caller: Caller, execution_id: ExecutionId, config_id: str) -> bool:
        """Tells a receiver nothing more. False where there is no such configuration."""
        known = await self.list_configs(caller.scope, execution_id)
        if config_id not in {each.id for each in known}:
            return False
        await request_change(self.records, caller, "push.remove", execution_id)
        return await self.records.write(
            lambda transaction: transaction.remove_push_config(caller.scope, execution_id, config_id)
        )


Start = Callable[[Push], Awaitable[None]]


class PushNotifier:
    """Sees to it that receivers are told of what has changed."""

    def __init__(self, records: Records, start: Start) -> None:
        """Read from `records`; `start` begins to tell one receiver."""
        self.records = records
        self.start = start

    async def look(self, deadline: Deadline) -> datetime | None:
        """Begins to tell those who do not know how the task stands. Returns when to look again; None where nothing is left."""
        scope, execution_id = deadline.scope, deadline.execution_id

        def read(transaction: Transaction) -> tuple[PushState | None, list[PushConfig]]:
            state = push_state(transaction, scope, execution_id)
            return state, transaction.push_configs(scope, execution_id)

        state, configs = await self.records.read(read)
        if state is None or not configs:
            await self.records.write(lambda transaction: transaction.remove_push_configs(scope, execution_id))
            return None
        waiting = [each for each in configs if each.told != state.state and not each.given_up]
        for config in waiting:
            await self.start(Push(scope=scope, execution_id=execution_id, config_id=config.id))
        if waiting:
            return now() + UNDER_WAY
        if state.has_ended:
            await self.records.write(lambda transaction: transaction.remove_push_configs(scope, execution_id))
            return None
        return now() + LOOK_AGAIN


async def start_push(engine: Engine, push: Push) -> None:
    """Starts to tell one receiver, unless that is under way: it tells what holds when it gets through."""
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await engine.call(
            lambda: engine.client.start_workflow(
                PushWorkflow.run,
                push,
                id=push_workflow_id(push.scope, push.execution_id, push.config_id),
                task_queue=engine.task_queue,
                task_timeout=TASK_TIMEOUT,
                execution_timeout=timedelta(days=2),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=search_attributes(push.scope),
                static_summary=f"push {push.execution_id}",
            )
        )
