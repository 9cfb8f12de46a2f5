"""Texts from outside of the program: standard input and arguments, which may be in another encoding than UTF-8."""

import sys
from collections.abc import Sequence


def read_stdin() -> str:
    """All of standard input, without a byte order mark; UTF-16 with one is read too.

    Raises:
        UsageError: it is in another encoding.
    """
    from caxton.domain.encodings import decoded

    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:
        return sys.stdin.read()
    try:
        return decoded(buffer.read())
    except UnicodeDecodeError as error:
        raise _not_utf8("standard input", error.start) from None


def read_line() -> str | None:
    """The next line of standard input; None at its end.

    Raises:
        UsageError: it is in another encoding than UTF-8.
    """
    try:
        line = sys.stdin.readline()
        line.encode()
    except UnicodeError:
        raise _not_utf8("standard input") from None
    return line.removeprefix("\ufeff") or None


def check_arguments(arguments: Sequence[str]) -> None:
    """Makes sure that the arguments are text; Python carries other bytes through as halves of surrogate pairs.

    Raises:
        UsageError: one is in another encoding.
    """
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise _not_utf8(f"argument {number}", error.start) from None


def _not_utf8(what: str, place: int | None = None) -> Exception:
    from caxton.domain.errors import UsageError

    where = "" if place is None else f" (at character {place + 1})" if "argument" in what else f" (at byte {place + 1})"
    return UsageError(
        f"{what} is not UTF-8 text{where}", "convert it first, for example with: iconv -f ISO-8859-1 -t UTF-8"
    )
