"""What reading a definition brings: a value, or problems, or a value with warnings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from caxton.domain.problems import Problem

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Reading(Generic[T_co]):
    """A definition that was read."""

    value: T_co | None
    """None when a problem is an error."""
    problems: Sequence[Problem] = field(default=())
    partial: T_co | None = None
    """What could be made of it in spite of errors, so that further checks can find more of them at once."""

    @property
    def errors(self) -> list[Problem]:
        """The problems that are more than warnings."""
        return errors_of(self.problems)


def errors_of(problems: Sequence[Problem]) -> list[Problem]:
    """Those of `problems` that are more than warnings."""
    return [problem for problem in problems if problem.severity == "error"]


def sorted_problems(problems: Sequence[Problem]) -> list[Problem]:
    """`problems` by file and place, each once."""
    unique = {(p.file, p.line, p.column, p.message): p for p in reversed(problems)}
    return sorted(unique.values(), key=lambda p: (p.file, p.line, p.column, p.severity, p.message))
