"""Reads what a module says: MCP's `tools/list` and `tools/call` results. All of it is a stranger's text.

The shapes are those of the Model Context Protocol, revision 2025-06-18, sections "Tools" and "Content".
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from caxton.domain.base64_text import decode_base64
from caxton.domain.json_schemas import MAX_DEPTH, Malformed, measure
from caxton.domain.strict_json import MOST_VALUES, has_more_values

MAX_FUNCTIONS: Final = 256
"""Functions of one server."""

_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""MCP, "Tool names" (revision 2025-11-25)."""


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text of at most MAX_DEPTH levels and MOST_VALUES values, without NaN, infinities, lone surrogates.

    What is made of many values takes the interpreter a hundred times as long as a text of that size.

    Raises:
        Malformed: it is something else.
    """
    try:
        content = text if isinstance(text, bytes) else text.encode(errors="replace")
        if has_more_values(content, MOST_VALUES):
            raise Malformed(f"it has more than {MOST_VALUES:,} values; a large table can be one text")
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise Malformed(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except Malformed:
        raise
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"it is not JSON (line {error.lineno}, column {error.colno})") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise Malformed("it has a number of too many digits") from None
    measure(value)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Malformed("it has half a surrogate pair") from None
    return value


def _refuse_constant(name: str) -> Any:
    raise Malformed(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise Malformed("it has a number that is too large")
    return number


def parse_tool_list(value: Any) -> tuple[list[dict[str, Any]], str | None]:
    """The functions in a `tools/list` result, as MCP has them, and the cursor of the next page.

    Raises:
        Malformed: it is not such a result.
    """
    listing = _object(value, "the result")
    tools = listing.get("tools")
    if not isinstance(tools, list):
        raise Malformed('"tools" is not a list')
    functions = [_function(tool, f"tools[{index}]") for index, tool in enumerate(cast("list[Any]", tools))]
    # An empty cursor is none: some servers leave it there on their last page.
    return functions, _optional(listing, "nextCursor", str, "the result") or None


def check_functions(functions: list[dict[str, Any]]) -> None:
    """Checks what must hold for all pages together.

    Raises:
        Malformed: there is none, there are too many, or two have one name.
    """
    if not functions:
        raise Malformed("it offers no function")
    if len(functions) > MAX_FUNCTIONS:
        raise Malformed(f"it offers more than {MAX_FUNCTIONS} functions")
    names = [function["name"] for function in functions]
    if len(set(names)) < len(names):
        raise Malformed("two functions have one name")


def _function(value: Any, where: str) -> dict[str, Any]:
    tool = _object(value, where)
    name = tool.get("name")
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise Malformed(f"{where}.name is not a name of 1 to 128 letters, digits, dots, underscores and hyphens")
    function: dict[str, Any] = {
        "name": name,
        "description": _optional(tool, "description", str, where) or "",
        "inputSchema": _optional(tool, "inputSchema", dict, where) or {"type": "object"},
        "annotations": _optional(tool, "annotations", dict, where) or {},
    }
    if (output := _optional(tool, "outputSchema", dict, where)) is not None:
        function["outputSchema"] = output
    return function


def parse_call_result(value: Any) -> tuple[list[dict[str, Any]], Any, bool]:
    """Content, structured content and `isError` of a `tools/call` result. The parts of the content stay as they are.

    Raises:
        Malformed: it is not such a result.
    """
    result = _object(value, "the result")
    if not result.keys() & {"content", "structuredContent", "isError"}:
        raise Malformed('it has neither "content" nor "structuredContent"')
    content: Any = (
        [] if result.get("content") is None else result["content"]
    )  # some languages write null for an empty list
    if not isinstance(content, list):
        raise Malformed('"content" is not a list')
    parts = [_part(part, f"content[{index}]") for index, part in enumerate(cast("list[Any]", content))]
    structured = _optional(result, "structuredContent", dict, "the result")
    return parts, structured, _optional(result, "isError", bool, "the result") or False


def _part(value: Any, where: str) -> dict[str, Any]:
    part = _object(value, where)
    check = _PARTS.get(cast("str", part.get("type"))) if isinstance(part.get("type"), str) else None
    if check is None:
        raise Malformed(f"{where}.type is none of {', '.join(_PARTS)}")
    check(part, where)
    return part


def _check_text(part: Mapping[str, Any], where: str) -> None:
    _required(part, "text", where)


def _check_data(part: Mapping[str, Any], where: str) -> None:
    _required(part, "mimeType", where)
    _check_base64(_required(part, "data", where), f"{where}.data")


def _check_resource(part: Mapping[str, Any], where: str) -> None:
    where = f"{where}.resource"
    resource = _object(part.get("resource"), where)
    _required(resource, "uri", where)
    if "text" in resource:
        _required(resource, "text", where)
    else:
        _check_base64(_required(resource, "blob", where), f"{where}.blob")


def _check_link(part: Mapping[str, Any], where: str) -> None:
    _required(part, "uri", where)
    _required(part, "name", where)


_PARTS: Final[dict[str, Callable[[Mapping[str, Any], str], None]]] = {
    "text": _check_text,
    "image": _check_data,
    "audio": _check_data,
    "resource": _check_resource,
    "resource_link": _check_link,
}


def _check_base64(text: str, where: str) -> None:
    try:
        decode_base64(text)
    except ValueError:
        raise Malformed(f"{where} is not base64") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{where} is not an object")
    return cast("dict[str, Any]", value)


def _required(mapping: Mapping[str, Any], key: str, where: str) -> str:
    value = mapping.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{where}.{key} is not text")
    return value


def _optional(mapping: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    value = mapping.get(key)
    if value is not None and not isinstance(value, kind):
        raise Malformed(f"{where}.{key} is not {_KINDS[kind]}")
    return value


_KINDS: Final[dict[type[Any], str]] = {str: "text", dict: "an object", bool: "true or false"}


def find_reply(output: bytes, request_id: int) -> tuple[bytes, dict[str, Any] | None]:
    """The JSON-RPC reply to a request among the lines that a command printed; lines that are not JSON are passed over.

    Args:
        output: what the command wrote to standard output.
        request_id: the id of the request.

    Returns:
        The line, and the reply that it is; no line and None if there is none.
    """
    marker = str(request_id).encode()
    for line in output.split(b"\n"):
        if marker not in line or b'"id"' not in line:
            continue
        try:
            message = parse_json(line)
        except Malformed:
            continue
        if isinstance(message, dict):
            reply = cast("dict[str, Any]", message)
            answers = "result" in reply or "error" in reply
            if answers and reply.get("id") == request_id and not isinstance(reply.get("id"), bool):
                return line, reply
    return b"", None
