"""Steps of running executions that this worker knows: a long turn is not read from its beginning at every step."""

from collections import OrderedDict
from dataclasses import dataclass, field

from caxton.domain.executions import Execution
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.messages import Message
from caxton.domain.ports import PromptPart
from caxton.domain.records import StepRecord

MOST_CHARACTERS = 64 << 20
"""Of all steps that are known. The executions that were at work last are kept."""

A_STEP = 1_000
"""Characters that stand for a step without its texts."""

Children = dict[ExecutionId, tuple[Execution, Message | None]]


@dataclass
class Known:
    """What is known of one execution. Before a model call begins, all steps before it are recorded and stay as they are."""

    next: int = 0
    """The first step that has to be read."""
    steps: list[StepRecord] = field(default_factory=list[StepRecord])
    children: Children = field(default_factory=Children)
    """Executions that were handed over in these steps, with their replies."""
    parts: list[PromptPart] = field(default_factory=list[PromptPart])
    """What a model sees of these steps, as far as it was asked for."""
    parts_until: int = 0
    """The first step that `parts` lacks."""
    size: int = 0

    def add(self, steps: list[StepRecord], children: Children, following: int) -> None:
        """Takes what was read of the steps before `following`."""
        self.steps += steps
        self.children |= children
        self.next = following
        self.size += sum(A_STEP + _length(step) for step in steps)


class KnownSteps:
    """What is known of the executions at work."""

    def __init__(self, most: int = MOST_CHARACTERS) -> None:
        """Keep so many characters at most."""
        self._most = most
        self._size = 0
        self._known: OrderedDict[tuple[Scope, ExecutionId], Known] = OrderedDict()

    def of(self, scope: Scope, execution_id: ExecutionId, step: int) -> Known:
        """What is known of an execution that is at `step`; nothing, if it is not known or seems to have gone back."""
        known = self._known.get((scope, execution_id))
        return known if known is not None and known.next <= step else Known()

    def keep(self, scope: Scope, execution_id: ExecutionId, known: Known) -> None:
        """Keeps it, and forgets what was not used for longest where there is no room."""
        self.forget(scope, execution_id)
        if known.size > self._most:
            return
        self._known[scope, execution_id] = known
        self._size += known.size
        while self._size > self._most:
            _, oldest = self._known.popitem(last=False)
            self._size -= oldest.size

    def forget(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Forgets an execution, such as one that has ended."""
        known = self._known.pop((scope, execution_id), None)
        if known is not None:
            self._size -= known.size


def _length(step: StepRecord) -> int:
    texts = [
        step.payload.get("text"),
        step.payload.get("given"),
        *(call.get("arguments") for call in step.payload.get("calls", [])),
    ]
    return sum(len(text) if isinstance(text, str) else len(str(text)) for text in texts if text)
