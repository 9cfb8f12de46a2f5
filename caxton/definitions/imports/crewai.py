"""Files of CrewAI: `agents.yaml` with roles, and `tasks.yaml` with what they do."""

import re
from collections.abc import Mapping
from typing import Any

from caxton.definitions.imports.fields import number, table, texts, whole
from caxton.definitions.imports.found import VERSION, Found, free_name, name_of, one_line, verbatim
from caxton.definitions.imports.models import model_of

_OF_AGENT = frozenset(
    {"role", "goal", "backstory", "llm", "tools", "max_iter", "max_execution_time", "allow_delegation", "verbose"}
    | {"max_rpm", "memory", "cache"}
)
_OF_TASK = frozenset({"description", "expected_output", "agent", "context", "human_input", "tools", "markdown", "name"})
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CREW = (
    "You have a piece of work done by others. Hand it over step by step, in this order, and give each of them all that it needs, "
    "for it sees nothing else:"
)
_SILENT = frozenset({"verbose", "cache", "max_rpm"})
"""Of no meaning here; said where they are set, but for the usual ones."""


def read(agents: Mapping[str, Any], tasks: Mapping[str, Any]) -> Found:
    """The crew of two files; `tasks` may be empty."""
    found = Found()
    names = {key: name_of(key, f"agent-{number}") for number, key in enumerate(agents, start=1)}
    offered = {key: name_of(key, f"task-{number}") for number, key in enumerate(tasks, start=1)}
    for key, given in agents.items():
        own = {task: about for task, about in tasks.items() if table(about).get("agent") == key}
        found.origins[f"agents/{names[key]}"] = f"agents.{key}"
        found.agents[names[key]] = _agent(found, f"agents.{key}", names[key], table(given), own, offered)
    for key, about in tasks.items():
        if table(about).get("agent") not in agents:
            found.note(f"tasks.{key}", "no agent of the file does it", "name one in `agent`, and import again")
    if len(tasks) > 1:
        _add_crew(found, tasks, offered)
    return found


def _agent(
    found: Found,
    where: str,
    name: str,
    given: Mapping[str, Any],
    tasks: Mapping[str, Any],
    offered: Mapping[str, str],
) -> dict[str, Any]:
    found.unknown(where, {key: value for key, value in given.items() if key not in _SILENT}, _OF_AGENT)
    if given.get("tools"):
        found.note(f"{where}.tools", "tools of CrewAI are Python code", "write them as tools, or use MCP servers")
    if given.get("allow_delegation"):
        found.note(f"{where}.allow_delegation", "to whom is not said", "list capabilities in the agent's delegates")
    texts = [f"You are {_text(given, 'role')}.", f"Your goal: {_text(given, 'goal')}", _text(given, "backstory")]
    capabilities: list[Any] = []
    for key, about in tasks.items():
        capabilities.append(_capability(found, f"tasks.{key}", offered[key], about))
        texts.append(_task_text(offered[key], about, several=len(tasks) > 1))
    prompt = "\n\n".join(text for text in texts if text.strip(" ."))
    placeholders = sorted({*_PLACEHOLDER.findall(prompt)})
    if placeholders:
        found.note(
            where,
            f"{', '.join(placeholders)}: filled in by each request",
            f"send --variable {placeholders[0]}=…; without it the request's text stands there",
        )
    limits: dict[str, Any] = {
        "steps": whole(given["max_iter"]) if given.get("max_iter") else None,
        "time": number(given["max_execution_time"]) if given.get("max_execution_time") else None,
    }
    return {
        "name": name,
        "version": VERSION,
        "description": one_line(_PLACEHOLDER.sub(r"\1", f"{given.get('role') or ''}: {given.get('goal') or ''}")),
        "capabilities": capabilities or [name],
        "model": model_of(str(given["llm"]), f"{where}.llm", found) if isinstance(given.get("llm"), str) else "auto",
        "tools": ["memory"] if given.get("memory") else None,
        "system_prompt": _template(prompt),
        "memory": {"enabled": True} if given.get("memory") else None,
        "limits": limits if any(limits.values()) else None,
    }


def _text(given: Mapping[str, Any], field: str) -> str:
    return str(given.get(field) or "").strip()


def _capability(found: Found, where: str, name: str, about: Mapping[str, Any]) -> Any:
    found.unknown(where, dict(about), _OF_TASK)
    if about.get("tools"):
        found.note(f"{where}.tools", "tools of CrewAI are Python code", "write them as tools, or use MCP servers")
    description = one_line(_PLACEHOLDER.sub(r"\1", _text(about, "description")))
    capability: dict[str, Any] = {"name": name, "description": description}
    if about.get("human_input"):
        capability["approval_mode"] = "operator"
    return capability


def _task_text(name: str, about: Mapping[str, Any], *, several: bool) -> str:
    head = f'When you are asked for "{name}":\n' if several else "Your task:\n"
    wanted = f"\n\nWhat is expected: {_text(about, 'expected_output')}" if about.get("expected_output") else ""
    form = "\n\nAnswer in Markdown." if about.get("markdown") else ""
    return f"{head}{_text(about, 'description')}{wanted}{form}"


def _template(text: str) -> str:
    """A text with placeholders as a template: their values come with the request, or are the request."""
    parts = _PLACEHOLDER.split(text)
    return "".join(
        f"{{{{ variables.{part} | default(request) }}}}" if number % 2 else verbatim(part)
        for number, part in enumerate(parts)
    )


def _add_crew(found: Found, tasks: Mapping[str, Any], offered: Mapping[str, str]) -> None:
    """The agent that has the tasks done one after another, as a crew does."""
    steps: list[str] = []
    for position, (key, about) in enumerate(tasks.items(), start=1):
        before = [offered.get(each, each) for each in texts(table(about).get("context"))]
        gets = (
            f", with what {' and '.join(before)} brought"
            if before
            else ", with what came before"
            if position > 1
            else ""
        )
        steps.append(f"{position}. {offered[key]}{gets}")
    name = free_name("crew", "crew", found.agents)
    found.agents[name] = {
        "name": name,
        "version": VERSION,
        "description": "Has the tasks of the crew done, one after another.",
        "capabilities": ["run-crew"],
        "model": "auto",
        "delegates": list(offered.values()),
        "system_prompt": "\n".join([_CREW, "", *steps, "", "Your answer is what the last one says."]),
        "limits": {"steps": max(12, 2 * len(tasks) + 2)},
    }
    found.note("tasks", f'the agent "{name}" has them done in this order; a model decides on each step')
