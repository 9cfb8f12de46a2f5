"""Arguments that clients of 2026-07-28 repeat in headers, for proxies to route by: `x-mcp-header` in a capability's schema."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from caxton.api.mcp_face.errors import HEADER_MISMATCH, RpcError
from caxton.api.mcp_face.wire import Call, decoded

KEY: Final = "x-mcp-header"
PREFIX: Final = "Mcp-Param-"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_TYPES: Final = ("string", "integer", "boolean")  # no set: what is compared with them may be a list


def mirrors_of(schema: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    """The arguments that headers repeat; none where the schema says of one what clients do not take."""
    found: dict[tuple[str, ...], str] = {}
    for path, each in _properties(schema, ()):
        name = each.get(KEY)
        if name is None:
            continue
        if not isinstance(name, str) or not _TOKEN.fullmatch(name) or each.get("type") not in _TYPES:
            return {}
        found[path] = name
    names = {name.lower() for name in found.values()}
    return found if len(names) == len(found) == _count(schema) else {}


def check_mirrors(schema: Mapping[str, Any], arguments: Mapping[str, Any], call: Call) -> None:
    """Makes sure that headers say what the arguments say.

    Raises:
        RpcError: one does not, is missing, or is there without its argument.
    """
    for path, name in mirrors_of(schema).items():
        header, value = call.headers.get(f"{PREFIX}{name}".lower()), _at(arguments, path)
        where = f"the header {PREFIX}{name}"
        if header is None and (value is None or call.is_bridged):
            continue
        if header is None:
            raise RpcError(HEADER_MISMATCH, f'{where} is missing, and the argument "{".".join(path)}" is there')
        if decoded(header) != _text(value):
            raise RpcError(HEADER_MISMATCH, f'{where} is not the argument "{".".join(path)}"')


def _properties(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Properties that are reached by nothing but `properties`."""
    named = schema.get("properties")
    for name, each in cast("dict[str, Any]", named).items() if isinstance(named, dict) else ():
        if isinstance(each, dict):
            found = cast("dict[str, Any]", each)
            yield (*path, name), found
            yield from _properties(found, (*path, name))


def _count(value: object, named: bool = False) -> int:
    """How often the key stands anywhere in a schema; of names of properties only their schemas count."""
    if isinstance(value, list):
        return sum(_count(each) for each in cast("list[Any]", value))
    if not isinstance(value, dict):
        return 0
    found = cast("dict[str, Any]", value)
    own = 0 if named else int(KEY in found)
    return own + sum(_count(each, name == "properties" and not named) for name, each in found.items() if name != KEY)


def _at(arguments: Mapping[str, Any], path: tuple[str, ...]) -> object:
    found: Any = arguments
    for name in path:
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return found


def _text(value: object) -> str | None:
    """A value as a header has it; None where it can have none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int) else None
