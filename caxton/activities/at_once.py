"""Opening an execution together with its first model call: one step in place of two, for agents that answer at once."""

import logging

from caxton.activities.model_step import ModelStep
from caxton.activities.opening import Opening
from caxton.activities.step import Step
from caxton.domain.errors import CaxtonError, DiskFull, StoreUnavailable
from caxton.domain.executions import StepKind, StepResult, step_of
from caxton.domain.records import Transaction

log = logging.getLogger(__name__)


class AtOnce:
    """An opening that is loaded, and the model call that follows it. What the call needs is here, not in the store yet."""

    def __init__(self, opening: Opening, transaction: Transaction) -> None:
        """Read what the model is to see.

        Raises:
            CaxtonError: the model may not be called.
        """
        self.opening = opening
        self.input = opening.input
        self.model = ModelStep(step_of(StepKind.MODEL, opening.input, opening.plan, 1), opening.ports)
        self.model.read(transaction, opening.begun, opening.message, [])
        self.has_answered = False

    @property
    def waits(self) -> bool:
        """Whether acting waits for something: memory, or content that is not at hand."""
        return (
            self.opening.agent.spec.memory.enabled
            or self.opening.handed_over is not None
            or self.opening.message.content.digest is not None
        )

    def load(self, transaction: Transaction) -> StepResult | None:
        """It is loaded."""
        raise NotImplementedError

    async def act(self) -> None:
        """Prepares the request and calls the model. Where that fails, only the opening is recorded.

        The workflow then makes the call as a step of its own, as often as the policy for model calls allows.
        """
        await self.opening.act()
        try:
            await self.model.act()
            self.has_answered = True
        except (StoreUnavailable, DiskFull):
            raise
        except Exception as error:
            log.debug("a first model call failed: %s", type(error).__name__)

    def record(self, transaction: Transaction) -> StepResult:
        """Records both."""
        opened = self.opening.record(transaction)
        if not self.has_answered or opened.plan is None:
            return opened
        first = self.model.record(transaction)
        if first.outcome is not None:
            return StepResult(outcome=first.outcome)  # nobody needs a plan for what has ended
        opened.first = first
        return opened

    def after(self, result: StepResult) -> None:
        """Counts both."""
        self.opening.after(result)
        first = result if result.outcome is not None else result.first
        if first is not None:
            self.model.after(first)


def at_once(opening: Opening, transaction: Transaction) -> Step:
    """What is to be done for an opening that is loaded: with the first model call where the agent answers at once."""
    if not opening.plan.fast or (opening.ports.only_opens and opening.agent.spec.memory.enabled):
        return opening
    try:
        return AtOnce(opening, transaction)
    except CaxtonError:
        return opening  # the model call fails as a step of its own, after the opening is recorded
