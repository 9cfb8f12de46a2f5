"""A rollout: somebody looks at it every few seconds until it has ended, whatever is killed meanwhile.

Its state is in the store, where routers and commands read and change it in one transaction. The workflow is what keeps looking.
"""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow

from caxton.domain.ids import Scope
from caxton.workflows.names import STATE
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, HEARTBEAT_TIMEOUT, RECORD_TIMEOUT, RECORDS_RETRY

LOOK_AT_ROLLOUT = "look_at_rollout"
CHECK_GATES = "check_gates"

CHECK_TIMEOUT = timedelta(minutes=2)
"""For one call of what passes gates: it does what can be done now, and is called again."""


class RolloutInput(BaseModel):
    """Which rollout."""

    scope: Scope
    rollout_id: str


class RolloutLook(BaseModel):
    """What a look found."""

    state: str
    is_live: bool
    wait: float
    """Seconds until the next look."""
    checks: bool = False
    """Whether gates have to be passed, or a shadow goes on. Looks of older histories say nothing of it, and so replay."""


@workflow.defn(name="Rollout")
class RolloutWorkflow:
    """Looks at one rollout."""

    @workflow.init
    def __init__(self, rollout: RolloutInput) -> None:
        self.changed = False
        self.state = ""

    @workflow.run
    async def run(self, rollout: RolloutInput) -> str:
        """Returns the state in which it ended."""
        while True:
            self.changed = False
            look = await workflow.execute_local_activity(
                LOOK_AT_ROLLOUT,
                rollout,
                result_type=RolloutLook,
                start_to_close_timeout=RECORD_TIMEOUT,
                retry_policy=RECORDS_RETRY,
                summary="look",
            )
            if look.state != self.state:
                self.state = look.state
                workflow.upsert_search_attributes([STATE.value_set(look.state)])
            if look.checks:
                look, before = await self._check(rollout), look
                if look.state != before.state:
                    continue
            if not look.is_live and not look.checks and not self.changed:
                return look.state
            info = workflow.info()
            if info.get_current_history_length() > CONTINUE_AS_NEW_EVENTS or info.is_continue_as_new_suggested():
                workflow.continue_as_new(rollout)
            try:
                await workflow.wait_condition(lambda: self.changed, timeout=timedelta(seconds=look.wait))
            except TimeoutError:
                continue

    async def _check(self, rollout: RolloutInput) -> RolloutLook:
        return await workflow.execute_activity(
            CHECK_GATES,
            rollout,
            result_type=RolloutLook,
            start_to_close_timeout=CHECK_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary="gates",
        )

    @workflow.signal(name="changed")
    def note_change(self) -> None:
        """Somebody has changed the rollout: agents' workflows may have to be told."""
        self.changed = True
