"""What was found in a file of another program: agents, tools, and what cannot be carried over."""

from dataclasses import dataclass, field
from typing import Any, cast

from caxton.definitions.imports.sources import Place, Sources
from caxton.definitions.imports.toml_text import document
from caxton.definitions.suggestions import fixed_name
from caxton.domain.problems import Problem

VERSION = "1.0.0"
"""The first version of what is imported."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was not carried over, or that somebody has to complete."""

    where: str
    """Where it stands in the file, such as "agents.root.toolsets"."""
    what: str
    hint: str = ""
    line: int | None = None
    """Its line there, from 1; None if that is not known."""


@dataclass(slots=True)
class Found:
    """What becomes files."""

    agents: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Agents by name, as their TOML files have them."""
    tools: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Tools by name, as their manifests have them."""
    notes: list[Note] = field(default_factory=list[Note])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    """Where each agent stands in its source, by "agents/NAME"."""
    sources: Sources = field(default_factory=Sources)
    """The files that it was found in."""

    def place_of(self, problem: Problem) -> Place | None:
        """The place in a source that something wrong in a file of the workspace comes from, as far as that is known."""
        kind, name = problem.file.split("/")[:2]
        value: Any = self.agents.get(name.removesuffix(".toml")) if kind == "agents" else self.tools.get(name)
        found: Place | None = None
        for part in problem.path.split(".") if problem.path else ():
            if isinstance(value, list) and part.isdigit() and int(part) < len(cast("list[Any]", value)):
                value = cast("list[Any]", value)[int(part)]
            elif isinstance(value, dict):
                value = cast("dict[str, Any]", value).get(part)
            else:
                break
            found = self.sources.of_value(value) or found
        return found or self.sources.of_path(self.origins.get(f"{kind}/{name.removesuffix('.toml')}", ""))

    def note(self, where: str, what: str, hint: str = "") -> None:
        """Notes that something was not carried over."""
        self.notes.append(Note(where, what, hint))

    def unknown(self, where: str, given: dict[str, Any], known: frozenset[str]) -> None:
        """Notes each field that is not known."""
        for name in given:
            if name not in known:
                self.note(f"{where}.{name}" if where else name, "not carried over")

    def files(self) -> dict[str, str]:
        """The files of the workspace, by path."""
        made = {
            f"agents/{name}.toml": document(data, "#:schema ../.caxton/schemas/agent.schema.json")
            for name, data in self.agents.items()
        }
        for name, data in self.tools.items():
            made[f"tools/{name}/tool.toml"] = document(data, "#:schema ../../.caxton/schemas/tool.schema.json")
        return made


def name_of(text: str, fallback: str) -> str:
    """A name that resembles `text`."""
    return fixed_name(text) or fallback


def free_name(text: str, fallback: str, taken: dict[str, Any]) -> str:
    """The same, with a number if it is taken."""
    name, number = name_of(text, fallback), 1
    base = name[:58]
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def verbatim(text: str) -> str:
    """A text as a template that says just that."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return text
    return "{% raw %}" + text.replace("{% endraw", "{ % endraw") + "{% endraw %}"


def one_line(text: str, most: int = 2_000) -> str:
    """A description: one paragraph, not too long."""
    return " ".join(text.split())[:most]
