"""Files of Docker Agent (cagent): a YAML with `agents`, `models` and toolsets."""

from collections.abc import Mapping
from typing import Any

from caxton.definitions.imports.fields import table, tables, texts, whole
from caxton.definitions.imports.found import VERSION, Found, name_of, one_line, verbatim
from caxton.definitions.imports.mcp_tools import add_server
from caxton.definitions.imports.models import model_of

_TOP = frozenset({"version", "agents", "models", "metadata", "mcps"})
_OF_AGENT = frozenset(
    {"model", "description", "instruction", "sub_agents", "handoffs", "toolsets", "max_iterations", "num_history_items"}
    | {"structured_output", "fallback", "name"}
)
_OF_MODEL = frozenset({"provider", "model", "max_tokens", "temperature", "top_p"})

_HINTS = {
    "filesystem": "write a tool with granted folders (docs/how-to/write-a-tool.md), or use an MCP server for files",
    "shell": "agents run no commands of the server; use an MCP server that an operator grants",
    "fetch": "let the agent read web pages with a tool that is granted the addresses (docs/how-to/read-web-pages.md)",
    "think": "models think by themselves",
    "todo": "the steps of a turn are recorded; no list is needed to survive a crash",
    "rag": "give the agent a memory, and import the documents (docs/how-to/memory.md)",
    "api": "write a tool (docs/how-to/write-a-tool.md)",
    "script": "write a tool (docs/how-to/write-a-tool.md)",
    "a2a": "an agent of another server is no toolset here",
}


def read(data: Mapping[str, Any]) -> Found:
    """The agents of a file."""
    found = Found()
    found.unknown("", dict(data), _TOP)
    models, servers, agents = table(data.get("models")), table(data.get("mcps")), table(data["agents"])
    names = {key: name_of(key, f"agent-{number}") for number, key in enumerate(agents, start=1)}
    for key, given in agents.items():
        found.origins[f"agents/{names[key]}"] = f"agents.{key}"
        found.agents[names[key]] = _agent(found, f"agents.{key}", names[key], table(given), names, models, servers)
    return found


def _agent(
    found: Found,
    where: str,
    name: str,
    given: Mapping[str, Any],
    names: Mapping[str, str],
    models: Mapping[str, Any],
    servers: Mapping[str, Any],
) -> dict[str, Any]:
    found.unknown(where, dict(given), _OF_AGENT)
    model, settings = _model(found, f"{where}.model", str(given.get("model") or ""), models)
    others = texts(table(given.get("fallback")).get("models"))
    listed = [model, *(_model(found, f"{where}.fallback", each, models)[0] for each in others)]
    tools, memory = _toolsets(found, f"{where}.toolsets", tables(given.get("toolsets")), servers)
    data: dict[str, Any] = {
        "name": name,
        "version": VERSION,
        "description": one_line(str(given.get("description") or "")) or None,
        "capabilities": [_capability(found, where, name, given)],
        "model": listed[0] if len(listed) == 1 else listed,
        "tools": [*tools, *(["memory"] if memory else [])] or None,
        "delegates": _delegates(found, where, given, names) or None,
        "system_prompt": verbatim(str(given.get("instruction") or "")),
        "model_settings": settings or None,
        "memory": {"enabled": True} if memory else None,
    }
    limits = {
        "steps": whole(given["max_iterations"]) if given.get("max_iterations") else None,
        "history": whole(given["num_history_items"]) if given.get("num_history_items") else None,
    }
    if any(limits.values()):
        data["limits"] = limits
    return data


def _capability(found: Found, where: str, name: str, given: Mapping[str, Any]) -> Any:
    schema = table(table(given.get("structured_output")).get("schema"))
    if not schema:
        return name
    if schema.get("type") != "object":
        found.note(f"{where}.structured_output", "the type of its schema is not object")
        return name
    return {"name": name, "output": schema}


def _delegates(found: Found, where: str, given: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    delegates: list[str] = []
    for field in ("sub_agents", "handoffs"):
        for each in texts(given.get(field)):
            if each in names:
                delegates.append(names[each])
            else:
                found.note(f"{where}.{field}", f'"{each}" is not in this file', "import its file as well")
    return list(dict.fromkeys(delegates))


def _model(found: Found, where: str, given: str, models: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model that an agent names, and the settings that come with it."""
    if not given or given == "auto":
        return "auto", {}
    first, comma, _ = given.partition(",")
    if comma:
        found.note(where, "several models that take turns: only the first one is taken")
    first = first.strip()
    if first not in models:
        return model_of(first, where, found), {}
    about = table(models[first])
    found.unknown(f"models.{first}", dict(about), _OF_MODEL)
    settings = {name: about[name] for name in ("temperature", "top_p", "max_tokens") if about.get(name) is not None}
    return model_of(f"{about.get('provider')}/{about.get('model')}", f"models.{first}", found), settings


def _toolsets(
    found: Found, where: str, given: list[dict[str, Any]], servers: Mapping[str, Any]
) -> tuple[list[str], bool]:
    """The tools of an agent, and whether it remembers."""
    tools: list[str] = []
    memory = False
    for number, each in enumerate(given):
        kind, place = str(each.get("type")), f"{where}.{number}"
        if kind == "memory":
            memory = True
        elif kind == "mcp":
            reference = str(each.get("ref") or "")
            server = {**table(servers.get(reference)), **each}
            named = each.get("name") or (reference if reference in servers else None)
            name = add_server(found, place, server, str(named) if named else None)
            tools += [name] if name else []
        else:
            found.note(place, f'the toolset "{kind}" is not carried over', _HINTS.get(kind, ""))
    return tools, memory
