"""What every error is: how it appears at the edges, and how its texts are bounded."""

import json
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import AfterValidator, BaseModel

DOCS = "docs"
"""Where the documentation lies in the source: Caxton has no address of its own, and names nobody else's."""
HELP_BASE = f"{DOCS}/reference/errors.md"


PACKAGE = __name__.rpartition(".")[0]
"""Where the classes of the table are."""

LONGEST_MESSAGE = 4 << 10
"""Bytes of an error's message, and of any other text in its report: it is kept in the store, told to models and to callers."""

LONGEST_DETAILS = 64 << 10
"""Bytes of an error's details as JSON."""

MOST_HINTS = 20

CAUSE = "cause"
"""In the details of a turn's failure: what it comes from (tool, capability, input), where that is no failure of the agent."""


def _bounded(text: str) -> str:
    """`text` without what no store takes, and no longer than it may be; what is left out is counted."""
    if len(text) > LONGEST_MESSAGE:
        text, left = text[:LONGEST_MESSAGE], len(text) - LONGEST_MESSAGE
    else:
        left = 0
    encoded = text.replace("\0", "\ufffd").encode(errors="replace")
    if left or len(encoded) > LONGEST_MESSAGE:
        kept = encoded[: LONGEST_MESSAGE - 40].decode(errors="ignore")
        left += len(text) - len(kept)
        return f"{kept}… ({left:,} characters more)"
    return encoded.decode()


def _bounded_details(details: dict[str, Any]) -> dict[str, Any]:
    """`details` with bounded texts. Where that is too long still, lists lose their ends, and other long values go."""
    found = cast("dict[str, Any]", _bounded_value(details))
    if not found or len(json.dumps(found, default=str)) <= LONGEST_DETAILS:
        return found
    share = LONGEST_DETAILS // len(found)
    for name, value in list(found.items()):
        if len(json.dumps(value, default=str)) > share:
            found[name] = _head(cast("list[Any]", value), share) if isinstance(value, list) else "…"
    return found


def _bounded_value(value: Any) -> Any:
    if isinstance(value, str):
        return _bounded(value)
    if isinstance(value, dict):
        given = cast("dict[Any, Any]", value)
        return {_bounded(name) if isinstance(name, str) else name: _bounded_value(each) for name, each in given.items()}
    if isinstance(value, list | tuple):
        return [_bounded_value(each) for each in cast("list[Any]", value)]
    return value


def _head(values: list[Any], size: int) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        size -= len(json.dumps(value, default=str)) + 2
        if size < 0:
            break
        kept.append(value)
    return kept


Text = Annotated[str, AfterValidator(_bounded)]
"""What an error says. It may quote what somebody sent, so it is bounded and can be kept by every store."""


class Hint(BaseModel):
    """One thing to do next: a sentence, and the command that does it if there is one."""

    text: Text
    command: Text | None = None


class ErrorReport(BaseModel):
    """An error as data: the same shape in HTTP problems, workflow failures, stored executions and `--json` output."""

    code: str
    message: Text
    reason: Text | None = None
    hints: Annotated[list[Hint], AfterValidator(lambda hints: hints[:MOST_HINTS])] = []
    details: Annotated[dict[str, Any], AfterValidator(_bounded_details)] = {}
    retryable: bool = False
    retry_after: float | None = None
    help: str | None = None


class CaxtonError(Exception):
    """Base of every error that Caxton raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong inside Caxton"

    def __init__(
        self,
        message: str,
        *hints: Hint | str,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Create the error.

        Args:
            message: what went wrong, for the reader, without a full stop.
            hints: what to do next, a sentence or a :class:`Hint`.
            reason: technical detail for operators.
            details: machine-readable facts (names, limits, positions).
            retry_after: seconds after which another try may succeed.
        """
        super().__init__(message)
        self.message = message
        self.hints = [hint if isinstance(hint, Hint) else Hint(text=hint) for hint in hints]
        self.reason = reason
        self.details = details or {}
        self.retry_after = retry_after

    def report(self) -> ErrorReport:
        """This error as data."""
        return ErrorReport(
            code=self.code,
            message=self.message,
            reason=self.reason,
            hints=self.hints,
            details=self.details,
            retryable=self.retryable,
            retry_after=self.retry_after,
            help=f"{HELP_BASE}#{self.code}",
        )

    @classmethod
    def from_report(cls, report: ErrorReport) -> "CaxtonError":
        """The error of the class that `report.code` names; of the base class for a code that this version lacks."""
        error_class = _class_of(report.code)
        error = error_class.__new__(error_class)
        CaxtonError.__init__(
            error,
            report.message,
            *report.hints,
            reason=report.reason,
            details=report.details,
            retry_after=report.retry_after,
        )
        return error

    def with_hint(self, text: str, command: str | None = None) -> Self:
        """Adds one thing to do next."""
        self.hints.append(Hint(text=text, command=command))
        return self


_known = dict[str, type[CaxtonError]]()
"""By code. The table is made again for a code that is not in it: modules bring classes as they are loaded."""


def _class_of(code: str) -> type[CaxtonError]:
    if code not in _known:
        _known.update(error_classes())
    return _known.get(code, CaxtonError)


def error_classes() -> dict[str, type[CaxtonError]]:
    """The table: every error class by its code."""
    found: dict[str, type[CaxtonError]] = {}
    pending = [CaxtonError]
    while pending:
        error_class = pending.pop()
        if error_class.__module__.startswith(PACKAGE):  # not what carries an error within one process
            found.setdefault(error_class.code, error_class)
        pending.extend(error_class.__subclasses__())
    return dict(sorted(found.items()))
