"""What a model says while it says it, told to those who listen to the turn."""

import os
from typing import Any

from caxton.domain.executions import StepInput
from caxton.domain.ports import DeltaStream


class LiveText:
    """The text of one step, as listeners hear it.

    Each call of a model says a text of its own, with an id of its own: a call that is made again after a crash says another one
    under the same step and attempt, and nobody may take its end for that of the first.
    """

    def __init__(self, step: StepInput, agent: str, stream: DeltaStream, *, secret: bool) -> None:
        """Tell of `step`; nothing if it is `secret`, for a person has to let the text go out first."""
        self._step = step
        self._agent = agent
        self._stream = stream
        # Only what the user's own agent says is streamed.
        self._silent = secret or step.execution_id != step.root_id
        self._id = ""

    @property
    def is_wanted(self) -> bool:
        """Whether somebody wants the text as it is made."""
        return not self._silent and self._stream.has_listeners(self._step.root_id)

    @property
    def text_id(self) -> str:
        """The id of the text that has been told last; empty if there is none."""
        return self._id

    def begin(self, attempt: int) -> None:
        """A call begins: what was told before was said in vain."""
        self._id = ""
        if self.is_wanted:
            self._publish("begin", attempt)

    def withdraw(self) -> None:
        """What was told is not what counts in the end."""
        self._id = ""

    def say(self, attempt: int, text: str) -> None:
        """Tells a piece of the text."""
        self._id = self._id or os.urandom(5).hex()
        self._publish("delta", attempt, text=text, text_id=self._id)

    def _publish(self, kind: str, attempt: int, **more: Any) -> None:
        about = {"agent": self._agent, **more, "step": self._step.step, "attempt": attempt}
        self._stream.publish(self._step.root_id, kind, about)
