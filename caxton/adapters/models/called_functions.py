"""Calls of functions in an answer, put together from its pieces.

Services number the calls of an answer in ways of their own: not at all, all of them alike, with ids or without, with an id for
each call or for each piece of one.
"""

import json
from typing import Any, cast

from caxton.adapters.models.characters import whole


class CalledFunctions:
    """The calls of an answer as far as it has come."""

    def __init__(self) -> None:
        """Begin without any."""
        self._calls: list[dict[str, Any]] = []
        self._at: dict[Any, dict[str, Any]] = {}
        """The call that each number stands for at present."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._calls)

    def take(self, pieces: Any) -> None:
        """Takes the next pieces: a list of them, or one.

        Raises:
            TypeError: they are none.
        """
        for piece in cast("list[Any]", pieces if isinstance(pieces, list) else [pieces]):
            if piece is None:
                continue
            if not isinstance(piece, dict):
                raise TypeError("a call is an object")
            self._take(cast("dict[str, Any]", piece))

    def _take(self, piece: dict[str, Any]) -> None:
        function = piece.get("function")
        if not isinstance(function, dict):  # some leave out the object around it
            function = {name: piece.get(name) for name in ("name", "arguments", "parameters")}
        given = cast("dict[str, Any]", function)
        name, arguments = _text(given.get("name")), given.get("arguments", given.get("parameters"))
        call = self._call_of(piece, name, arguments)
        known = call["function"]
        if name and name != known["name"]:  # some repeat the name with each piece
            known["name"] += name
        if isinstance(arguments, (dict, list)):
            known["arguments"] = json.dumps(arguments)
        elif arguments is not None:
            known["arguments"] += _text(arguments)
        for field, value in piece.items():
            if field not in ("index", "function", "name", "arguments", "parameters", "type") and value not in (
                None,
                "",
            ):
                call[field] = value
        for field, value in given.items():
            if field not in ("name", "arguments", "parameters", "description") and value not in (None, ""):
                known[field] = value

    def _call_of(self, piece: dict[str, Any], name: str, arguments: Any) -> dict[str, Any]:
        """The call that `piece` goes on with, or a new one."""
        number, identity = piece.get("index"), _text(piece.get("id"))
        if isinstance(number, (dict, list)):
            number = None
        if number is None:
            same = [call for call in self._calls if identity and call.get("id") == identity]
            known = (same or self._calls or [None])[-1]
        else:
            known = self._at.get(number)
        if known is not None and self._begins_another(known, identity, name, arguments):
            known = None
        if known is None:
            known = {"type": "function", "function": {"name": "", "arguments": ""}}
            self._calls.append(known)
        if number is not None:
            self._at[number] = known
        return known

    @staticmethod
    def _begins_another(known: dict[str, Any], identity: str, name: str, arguments: Any) -> bool:
        """Whether a piece for `known` belongs to another call that has been given the same number."""
        if not name:
            return False  # some make up an id for each piece
        if identity and known.get("id"):
            return identity != known["id"]
        return bool(arguments) and _is_complete(known["function"]["arguments"])

    def as_list(self) -> list[dict[str, Any]]:
        """All calls, each with an id of its own."""
        seen: set[str] = set()
        for position, call in enumerate(self._calls):
            identity = whole(_text(call.get("id"))) or f"call_{position}"
            call["id"] = identity if identity not in seen else f"{identity}-{position}"
            seen.add(call["id"])
            function = call["function"]
            function |= {name: whole(function[name]) for name in ("name", "arguments")}
        return self._calls


def _is_complete(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise TypeError("a name is a text")
    return value if isinstance(value, str) else json.dumps(value)
