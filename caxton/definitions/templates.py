"""The gallery of templates, and making an agent from one.

A template is a folder with `template.toml`, `agent.toml` and perhaps `agent.script.toml`, or the component of the agent. Its
files are valid definitions as they stand. Instead of placeholders, the values that a user chooses (name, customisations) are
put in the place of those in the file, so comments and layout stay.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.definitions.agents import SCRIPT_SUFFIX
from caxton.definitions.customisations import Customisation, convert
from caxton.definitions.new_workspace import add_workspace_files
from caxton.definitions.suggestions import check_name, closest, listed
from caxton.definitions.toml_edit import Values, replace_values
from caxton.definitions.toml_positions import Path as TomlPath
from caxton.definitions.toml_source import TomlSource, read_toml
from caxton.definitions.written_files import WrittenFiles
from caxton.domain.errors import Hint, InvalidInput, InvalidState, NotFound
from caxton.domain.problems import Problem

DEFAULT_TEMPLATE = "task-automator"

_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_AGENT, _SCRIPT, _MODULE = "agent.toml", "agent.script.toml", "{}.wasm"


class Template(BaseModel):
    """A template as the gallery shows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    description: str
    category: str
    use_cases: list[str]
    complexity: Literal["beginner", "intermediate", "advanced"]
    setup_minutes: int = Field(ge=1, description="From `caxton init` to the first answer.")
    tools: list[str] = []
    """Bundled tools that the agent needs; they are copied into the workspace."""
    works_with: list[str] = []
    """Templates whose agents do what this one hands over."""
    example_prompts: list[str]
    customisations: list[Customisation] = []


@dataclass(frozen=True, slots=True)
class Preview:
    """What a template makes, before it is made."""

    template: Template
    files: dict[str, str] = field(default_factory=dict[str, str])
    """Text of each TOML file by its path in the workspace, with the template's own name and defaults."""
    folders: list[str] = field(default_factory=list[str])
    """Folders of the tools that are copied."""


def list_templates() -> list[Template]:
    """All templates: the default one first, then by complexity and name."""
    order = ("beginner", "intermediate", "advanced")
    return sorted(
        _gallery().values(), key=lambda found: (found.id != DEFAULT_TEMPLATE, order.index(found.complexity), found.name)
    )


def get_template(template_id: str) -> Template:
    """The template of that id.

    Raises:
        NotFound: there is none; a hint says which was probably meant.
    """
    found = _gallery().get(template_id)
    if found is None:
        guess = closest(template_id, _gallery())
        hint = (
            f'did you mean "{guess}"?' if guess else f"there are {listed(template.id for template in list_templates())}"
        )
        raise NotFound(f'there is no template "{template_id}"', hint)
    return found


def search(text: str) -> list[Template]:
    """Templates in which all words of `text` occur, the best first: in the id or name, then anywhere else."""
    words = text.casefold().split()
    ranked: list[tuple[int, Template]] = []
    for template in list_templates():
        head = f"{template.id} {template.name}".casefold()
        rest = " ".join(
            [template.description, template.category, template.complexity, *template.use_cases, *template.tools]
        ).casefold()
        if all(word in head or word in rest for word in words):
            ranked.append((sum(word not in head for word in words), template))
    return [template for _, template in sorted(ranked, key=lambda entry: entry[0])]


def preview(template_id: str, name: str | None = None) -> Preview:
    """What :func:`instantiate` would write into an empty folder.

    Raises:
        NotFound: there is no such template.
    """
    template = get_template(template_id)
    files = _agent_files(template, name or template.id, {})
    return Preview(template, files, [f"tools/{tool}" for tool in template.tools])


def instantiate(
    template_id: str,
    name: str,
    folder: Path,
    customisations: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
) -> list[Path]:
    """Makes an agent from a template in a workspace folder, all of it or nothing.

    Args:
        template_id: the template.
        name: name of the agent and its files.
        folder: the workspace; made, with its `caxton.toml`, if it is not there.
        customisations: chosen values by key; others keep the template's. Text is turned into the type that a value has.
        force: write over files of the agent that exist. Tools that exist are never touched.

    Returns:
        The files that were written, as paths below `folder`.

    Raises:
        NotFound: there is no such template.
        InvalidInput: the name or a customisation is not valid.
        InvalidState: the agent exists, or a file cannot be written.
    """
    template = get_template(template_id)
    check_name(name, "an agent")
    values = dict(_chosen(template, customisations or {}))
    files = _agent_files(template, name, values)
    existing = [path for path in files if (folder / path).exists()]
    if existing and not force:
        raise InvalidState(
            f"{existing[0]} exists already",
            Hint(
                text="choose another name, or write over it",
                command=f"caxton init {name} --template {template_id} --force",
            ),
            details={"existing": existing},
        )
    writing = WrittenFiles(folder)
    for path, text in files.items():
        writing.add(path, text.encode())
    if (module := _module(template)).exists():
        writing.add(f"agents/{_MODULE.format(name)}", module.read_bytes())
    for tool in template.tools:
        _add_tool(writing, template, tool, values)
    add_workspace_files(writing, folder)
    return writing.write()


# --- reading the gallery ---


@cache
def _gallery() -> dict[str, Template]:
    folders = sorted(path.parent for path in (_BUNDLED / "templates").glob("*/template.toml"))
    return {folder.name: _read_template(folder) for folder in folders}


def _read_template(folder: Path) -> Template:
    template = Template.model_validate(_toml(folder / "template.toml").data)
    filled: list[Customisation] = []
    for customisation in template.customisations:
        default = _toml(_template_file(template, customisation.file)).get(customisation.place)
        filled.append(customisation.model_copy(update={"default": default}))
    return template.model_copy(update={"customisations": filled})


def _template_file(template: Template, file: str) -> Path:
    return _BUNDLED / file if file.startswith("tools/") else _BUNDLED / "templates" / template.id / file


def _toml(path: Path) -> TomlSource:
    source = read_toml(path.name, path.read_text(encoding="utf-8"))
    if isinstance(source, Problem):
        raise ValueError(f"{path}: {source.message}")  # our own file: a test reads all of them
    return source


# --- making files ---


def _agent_files(template: Template, name: str, values: Mapping[tuple[str, TomlPath], Any]) -> dict[str, str]:
    folder = _BUNDLED / "templates" / template.id
    source = _toml(folder / _AGENT)
    chosen: Values = {("name",): name}
    files: dict[str, str] = {}
    if (folder / _SCRIPT).exists():
        chosen["script",] = f"{name}{SCRIPT_SUFFIX}"
        files[f"agents/{name}{SCRIPT_SUFFIX}"] = (folder / _SCRIPT).read_text(encoding="utf-8")
    if _module(template).exists():
        chosen["wasm", "module"] = _MODULE.format(name)
    chosen |= {path: value for (file, path), value in values.items() if file == _AGENT}
    return {f"agents/{name}.toml": replace_values(source, chosen), **files}


def _module(template: Template) -> Path:
    """The component of the template's agent, if it is one that has a component."""
    return _BUNDLED / "templates" / template.id / _MODULE.format(template.id)


def _add_tool(writing: WrittenFiles, template: Template, tool: str, values: Mapping[tuple[str, TomlPath], Any]) -> None:
    """The tool's folder, unless the workspace has it: it may have been changed there."""
    bundled = _BUNDLED / "tools" / tool
    if not (bundled / "tool.toml").is_file():
        raise NotFound(f'the tool "{tool}" is not part of this installation', "install Caxton again")
    own = {path: value for (file, path), value in values.items() if file == f"tools/{tool}/tool.toml"}
    if writing.exists(f"tools/{tool}"):
        if own:
            keys = listed(found.key for found in template.customisations if found.place in own)
            raise InvalidState(
                f"tools/{tool} exists already, so {keys} cannot be chosen", f"edit tools/{tool}/tool.toml"
            )
        return
    for path in sorted(path for path in bundled.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if own and path.name == "tool.toml" and path.parent == bundled:
            content = replace_values(_toml(path), own).encode()
        writing.add(f"tools/{tool}/{path.relative_to(bundled).as_posix()}", content)


def _chosen(template: Template, given: Mapping[str, Any]) -> Iterator[tuple[tuple[str, TomlPath], Any]]:
    known = {customisation.key: customisation for customisation in template.customisations}
    for key, value in given.items():
        if key not in known:
            guess = closest(key, known)
            there = f"there are {listed(known)}" if known else "It has none"
            hint = f'did you mean "{guess}"?' if guess else there
            raise InvalidInput(f'the template "{template.id}" has no customisation "{key}"', hint)
        yield (known[key].file, known[key].place), convert(known[key], value)
