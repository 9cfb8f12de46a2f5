"""Globs: texts with "*" for anything and "?" for one letter, and nothing else that is special."""

import re
import socket
from contextlib import suppress
from fnmatch import fnmatchcase
from urllib.parse import unquote

_DECODED_AT_MOST = 5
"""How often an address may be percent-encoded before it fits no pattern."""

_USUAL_PORTS = frozenset({"http://80", "https://443", "ws://80", "wss://443"})
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
"""The last part of a host that is read as an address."""


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
    return bool(there) and all(each == text or glob_fits(each, pattern) for each in there)


def _leads_to(text: str) -> set[str]:
    """The text without "." and ".." where it has any, else as it is; none where that cannot be told."""
    taken = _taken_apart(text)
    if taken is None:
        return set()
    before, parts, behind = taken
    if "." not in parts and ".." not in parts:
        return {text}
    return {before + path + behind for path in _resolved(parts)}


def canonical_addresses(text: str) -> set[str]:
    """What an address or a path may mean, however it is written; none where that cannot be told.

    Of an address: the host in lower case, without a user, a dot at its end or the usual port, numbers as an address; path and
    query decoded, the path without "." and ".." and empty parts. Of whatever else: as if it were a path.
    """
    taken = _taken_apart(text)
    behind = None if taken is None else _decoded(taken[2])
    if taken is None or behind is None:
        return set()
    before, parts, _ = taken
    if before:
        parts = [_host(before, parts[0]), *parts[1:]]
    found = {_without_gaps(path.split("/")) for path in _resolved(parts)}
    return {before.lower() + path + behind for path in found}


def _taken_apart(text: str) -> tuple[str, list[str], str] | None:
    """Scheme, parts of the path (the host is the first) decoded, and query; None for one that is encoded again and again."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        scheme, rest = "", text
    path, behind = rest, ""
    if colon and (found := re.search(r"[?#]", rest)):  # in a plain path they are letters like any others
        path, behind = rest[: found.start()], rest[found.start() :]
    decoded = _decoded(path)
    if decoded is None:
        return None
    parts = re.sub(r"[\t\r\n]", "", decoded).replace("\\", "/").split("/")
    return f"{scheme}{colon}", parts, behind


def _decoded(text: str) -> str | None:
    """The text without percent-encoding; None where it is encoded again and again."""
    for _ in range(_DECODED_AT_MOST):
        decoded = unquote(text)
        if decoded == text:
            return text
        text = decoded
    return None


def _without_gaps(parts: list[str]) -> str:
    """A path without empty parts, but for the root and the one behind a slash at the end."""
    first, *others = parts
    return "/".join([first, *filter(None, others), *([""] if others[-1:] == [""] else [])])


def _resolved(parts: list[str]) -> set[str]:
    """The path without "." and "..". For some, an empty part is one that ".." takes away; others do not see it at all."""
    return {"/".join(_without_dots(each)) for each in (parts, _without_gaps(parts).split("/"))}


def _without_dots(parts: list[str]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            if len(kept) > 1:  # the first is the host, or the root
                kept.pop()
        elif part != ".":
            kept.append(part)
    return kept or [""]


def _host(scheme: str, given: str) -> str:
    given = given.rpartition("@")[2].lower()
    host, colon, port = given.partition(":") if "[" not in given else (given, "", "")
    host = host.rstrip(".")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        with suppress(OSError, ValueError):
            host = socket.inet_ntoa(socket.inet_aton(host))
    usual = not port or f"{scheme.lower()}{port}" in _USUAL_PORTS
    return host if usual else f"{host}{colon}{port}"
