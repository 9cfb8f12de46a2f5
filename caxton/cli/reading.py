"""Files that a command is given, and why they cannot be read."""

from typing import Final

from caxton.domain.errors import UsageError

_WHY: Final[tuple[tuple[type[Exception], str], ...]] = (
    (FileNotFoundError, "there is no such file"),
    (NotADirectoryError, "there is no such file"),
    (IsADirectoryError, "it is a folder"),
    (PermissionError, "you may not read it"),
    (UnicodeDecodeError, "it is not text"),
)


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Why a file cannot be read, in words."""
    for kind, text in _WHY:
        if isinstance(error, kind):
            return text
    return (getattr(error, "strerror", None) or "it cannot be read").lower()


def unreadable(what: str, error: OSError | UnicodeDecodeError, hint: str) -> UsageError:
    """The error of a file that cannot be read.

    Args:
        what: the file, with the option that names it.
        error: what came of reading it.
        hint: what to name instead.
    """
    return UsageError(f"{what}: {why_unreadable(error)}", hint)
