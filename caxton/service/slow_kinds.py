"""Which kinds of requests an inbox cannot answer: to take them in would only hold up the others.

Each that goes on in a workflow of its own keeps the inbox's workflow busy three times more: when that starts, when it has
started and when it ends.
"""

import time

from caxton.domain.executions import TurnOutcome, TurnRequest, TurnView

SLOW_AFTER = 10
"""Requests of a kind, one after the other, that went on in workflows of their own: then others of the kind get one at once."""

ASK_AGAIN = 10.0
"""Seconds after which one of them goes through the inbox all the same, to see whether the kind is still slow."""

MOST_KINDS = 10_000
"""Kinds of requests that are remembered."""

Kind = tuple[str, str | None]
"""A workspace, and an agent or a capability."""


def kind_of(request: TurnRequest) -> Kind:
    """What a request has in common with others like it."""
    return request.scope.workspace, request.target.agent or request.target.capability


class SlowKinds:
    """Remembers what became of requests that went through the inbox."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[Kind, tuple[int, float]] = {}
        """How many took long in a row, and when one is to go through the inbox again."""

    def note(self, request: TurnRequest, outcome: TurnOutcome | TurnView) -> None:
        """What became of a request that went through the inbox."""
        kind = kind_of(request)
        if outcome.state != "running":
            self._known.pop(kind, None)
            return
        if len(self._known) >= MOST_KINDS:
            self._known.clear()
        in_a_row, _ = self._known.get(kind, (0, 0.0))
        self._known[kind] = in_a_row + 1, time.monotonic() + ASK_AGAIN

    def has(self, request: TurnRequest) -> bool:
        """Whether a request had better get a workflow of its own."""
        kind = kind_of(request)
        in_a_row, ask_at = self._known.get(kind, (0, 0.0))
        now = time.monotonic()
        if in_a_row < SLOW_AFTER or now < ask_at:
            return in_a_row >= SLOW_AFTER
        self._known[kind] = in_a_row, now + ASK_AGAIN
        return False
