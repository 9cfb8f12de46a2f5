"""State machines: which changes of state are legal."""

from collections.abc import Mapping, Set
from enum import StrEnum
from typing import Generic, TypeVar

from caxton.domain.errors import InvalidState

S = TypeVar("S", bound=StrEnum)


class StateMachine(Generic[S]):
    """The legal transitions of one kind of thing."""

    def __init__(self, subject: str, states: type[S], transitions: Mapping[S, Set[S]]) -> None:
        """Create a machine for `subject` ("agent"), whose `transitions` map each state to those that may follow."""
        self.subject = subject
        self.states = states
        self.transitions = {state: frozenset(transitions.get(state, frozenset())) for state in states}

    def allows(self, before: S, after: S) -> bool:
        """Whether the change is legal."""
        return after in self.transitions[before]

    def is_final(self, state: S) -> bool:
        """Whether nothing may follow `state`."""
        return not self.transitions[state]

    def change(self, before: S, after: S, *, name: str) -> S:
        """`after`, if the change is legal.

        Raises:
            InvalidState: it is not; the message names the states that may follow.
        """
        if not self.allows(before, after):
            legal = ", ".join(sorted(self.transitions[before])) or "nothing"
            raise InvalidState(
                f'{self.subject} "{name}" is {before}, and cannot become {after}',
                f"from {before} it can become: {legal}",
                details={"subject": self.subject, "name": name, "state": before, "wanted": after},
            )
        return after
