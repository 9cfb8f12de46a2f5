"""Globs: texts with "*" for anything and "?" for one letter, and nothing else that is special."""

import re
from fnmatch import fnmatchcase
from urllib.parse import unquote

_DECODED_AT_MOST = 5
"""How often an address may be percent-encoded before it fits no pattern."""


def glob_fits(text: str, pattern: str) -> bool:
    """Whether `text` is like `pattern`. A bracket stands for itself."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def address_fits(text: str, pattern: str) -> bool:
    """Like :func:`glob_fits`, for texts that may be addresses or paths.

    An address with ".." in it also has to fit as what it leads to, however its dots and slashes are encoded: "/public/../secret"
    is not below "/public/".
    """
    if not glob_fits(text, pattern):
        return False
    there = _leads_to(text)
    return there is not None and (there == text or glob_fits(there, pattern))


def _leads_to(text: str) -> str | None:
    """The text without "." and ".." where it has any, else as it is; None where that cannot be told."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        scheme, rest = "", text
    path, mark, query = rest, "", ""
    if colon and (found := re.search(r"[?#]", rest)):  # in a plain path they are letters like any others
        path, mark, query = rest[: found.start()], found.group(), rest[found.end() :]
    for _ in range(_DECODED_AT_MOST):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return None
    parts = re.sub(r"[\t\r\n]", "", path).replace("\\", "/").split("/")
    if "." not in parts and ".." not in parts:
        return text
    kept: list[str] = []
    for part in parts:
        if part == "..":
            if len(kept) > 1:  # the first is the host, or the root
                kept.pop()
        elif part != ".":
            kept.append(part)
    return f"{scheme}{colon}{'/'.join(kept)}{mark}{query}"
