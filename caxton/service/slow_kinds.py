"""Which kinds of requests always take long: they have inboxes of their own.

A request that goes on in a workflow of its own wakes its inbox three times more: when that starts, when it has started and
when it ends. Requests that are answered at once should not have to wait for that.
"""

from caxton.domain.executions import TurnRequest

SLOW_AFTER = 10
"""Requests of a kind, one after the other, that went on in workflows of their own; one that is answered at once ends the row."""

MOST_KINDS = 10_000
"""Kinds of requests that are remembered."""

Kind = tuple[str, str | None, str | None]
"""A workspace, and an agent or a capability."""


def kind_of(request: TurnRequest) -> Kind:
    """What a request has in common with others like it."""
    return request.scope.workspace, request.target.agent, request.target.capability


class SlowKinds:
    """Remembers what became of requests."""

    def __init__(self) -> None:
        """Know none."""
        self._in_a_row: dict[Kind, int] = {}

    def note(self, request: TurnRequest, *, takes_long: bool) -> None:
        """What became of a request."""
        kind = kind_of(request)
        if not takes_long:
            self._in_a_row.pop(kind, None)
        elif kind in self._in_a_row or len(self._in_a_row) < MOST_KINDS:
            self._in_a_row[kind] = self._in_a_row.get(kind, 0) + 1

    def has(self, request: TurnRequest) -> bool:
        """Whether requests of its kind always take long."""
        return self._in_a_row.get(kind_of(request), 0) >= SLOW_AFTER
