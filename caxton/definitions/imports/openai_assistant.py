"""Assistants of OpenAI's API, as it gives them: one object of JSON, or a list of them."""

from collections.abc import Mapping
from typing import Any, cast

from caxton.definitions.imports.fields import table, tables
from caxton.definitions.imports.found import VERSION, Found, free_name, one_line, verbatim
from caxton.definitions.imports.models import model_of

_FIELDS = frozenset(
    {
        "id",
        "object",
        "created_at",
        "name",
        "description",
        "model",
        "instructions",
        "tools",
        "tool_resources",
        "metadata",
    }
    | {"temperature", "top_p", "response_format", "reasoning_effort"}
)
_HINTS = {
    "code_interpreter": "write a tool that computes (docs/how-to/write-a-tool.md)",
    "file_search": "give the agent a memory, and import the documents (docs/how-to/memory.md)",
    "function": "your program answered it; write it as a tool, or as an MCP server",
}


def read(assistants: list[Mapping[str, Any]]) -> Found:
    """The agents that assistants become."""
    found = Found()
    for number, given in enumerate(assistants):
        where = f"data.{number}." if len(assistants) > 1 else ""
        name = free_name(str(given.get("name") or given.get("id") or ""), "assistant", found.agents)
        found.origins[f"agents/{name}"] = where.rstrip(".")
        found.agents[name] = _agent(found, where, name, given)
    return found


def _agent(found: Found, where: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    found.unknown(where.rstrip("."), dict(given), _FIELDS)
    for number, tool in enumerate(tables(given.get("tools"))):
        kind = str(tool.get("type"))
        called = f' "{table(tool.get("function")).get("name")}"' if kind == "function" else ""
        found.note(f"{where}tools.{number}", f"{kind}{called} is not carried over", _HINTS.get(kind, ""))
    if any(table(given.get("tool_resources")).values()):
        found.note(f"{where}tool_resources", "files stay with OpenAI", "download them, and import them as memories")
    if given.get("reasoning_effort"):
        found.note(f"{where}reasoning_effort", "not carried over")
    settings = {key: given[key] for key in ("temperature", "top_p") if given.get(key) is not None}
    description = one_line(str(given.get("description") or ""))
    return {
        "name": name,
        "version": VERSION,
        "description": description or None,
        "capabilities": [_capability(found, where, name, given)],
        "model": model_of(str(given["model"]), f"{where}model", found) if given.get("model") else "auto",
        "system_prompt": verbatim(str(given.get("instructions") or "")),
        "parameters": _parameters(table(given.get("metadata"))),
        "model_settings": settings or None,
    }


def _parameters(metadata: Mapping[str, Any]) -> dict[str, str] | None:
    return {str(key): str(value) for key, value in metadata.items()} or None


def _capability(found: Found, where: str, name: str, given: Mapping[str, Any]) -> Any:
    wanted = given.get("response_format")
    if not isinstance(wanted, dict):
        return name
    form = table(cast("object", wanted))
    if form.get("type") == "json_object":
        return {"name": name, "output": {"type": "object"}}
    schema = table(table(form.get("json_schema")).get("schema"))
    if schema.get("type") == "object":
        return {"name": name, "output": schema}
    if form.get("type") == "json_schema":
        found.note(f"{where}response_format", "the type of its schema is not object")
    return name
