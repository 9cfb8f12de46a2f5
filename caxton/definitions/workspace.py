"""Reading and checking a whole workspace folder."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from caxton.definitions.agent_modules import MODULE_SUFFIX, ModuleFile, describe_module
from caxton.definitions.agents import SCRIPT_SUFFIX, AgentSource, read_agent
from caxton.definitions.capability_schemas import SCHEMA_SUFFIX
from caxton.definitions.crosscheck import Offers, crosscheck
from caxton.definitions.folder import Folder
from caxton.definitions.reading import errors_of, sorted_problems
from caxton.definitions.suggestions import name_hint
from caxton.definitions.toml_source import TomlSource, decode_toml, read_toml
from caxton.definitions.tools import (
    MANIFEST,
    MODULE_LIMIT,
    ToolFile,
    ToolSource,
    read_manifest,
    read_tool,
    wanted_files,
)
from caxton.domain.deployments import Bundle
from caxton.domain.errors import Hint, InvalidState, NotFound
from caxton.domain.ids import DEFAULT_WORKSPACE, Digest, digest_of, is_name
from caxton.domain.problems import Problem

WORKSPACE_FILE = "caxton.toml"
AGENTS = "agents"
TOOLS = "tools"


@dataclass(slots=True)
class Workspace:
    """The definitions in a folder, and what is wrong with them."""

    folder: Path
    name: str = DEFAULT_WORKSPACE
    id: str | None = None
    """What its copies have in common, from `id` under `[workspace]`."""
    agents: list[AgentSource] = field(default_factory=list[AgentSource])
    tools: list[ToolSource] = field(default_factory=list[ToolSource])
    problems: list[Problem] = field(default_factory=list[Problem])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    """Text of each TOML file, to show problems in."""
    paths: dict[Digest, Path] = field(default_factory=dict[Digest, Path])
    """The file that has the content of each digest."""

    @property
    def errors(self) -> list[Problem]:
        """The problems that are more than warnings."""
        return errors_of(self.problems)

    @property
    def bundles(self) -> list[Bundle]:
        """All agents and tools as bundles, agents first, by name."""
        found: list[AgentSource | ToolSource] = [*self.agents, *self.tools]
        return sorted((source.bundle for source in found), key=lambda bundle: (bundle.kind, bundle.name))

    def content(self, digest: Digest) -> bytes:
        """The content of a file of one of the bundles, read again.

        Raises:
            KeyError: no file of the workspace has it.
            InvalidState: the file has changed since the workspace was read.
        """
        path = self.paths[digest]
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        if digest_of(content) != digest:
            shown = path.relative_to(self.folder).as_posix()
            raise InvalidState(f"{shown} was changed while it was being read", "run the command again")
        return content


def find_workspace(start: Path) -> Path:
    """The nearest folder from `start` upwards that has a `caxton.toml`.

    Raises:
        NotFound: there is none.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    raise _not_a_workspace(start)


def load_workspace(
    folder: Path, known_tools: Mapping[str, Collection[str] | None] | None = None, deployed: Offers | None = None
) -> Workspace:
    """Everything that the workspace in `folder` defines, with all problems at once.

    Args:
        folder: the folder with `caxton.toml`.
        known_tools: tools that the server has, with the names of their functions (None: not known). Without the mapping
            itself nobody could be asked, and a tool that is not in the folder is a warning only.
        deployed: what agents offer that the server has, by capability: work can be handed over to them, too.

    Raises:
        NotFound: there is no such folder, or it has no `caxton.toml`.
    """
    if not (folder / WORKSPACE_FILE).is_file():
        raise _not_a_workspace(folder)
    loader = _Loader(folder)
    loader.settings()
    loader.agents()
    loader.tools()
    return loader.finish(known_tools, deployed)


def load_tool(folder: Path) -> Workspace:
    """The one tool in `folder`, as a workspace with nothing else in it; problems name its files from the folder above.

    Raises:
        NotFound: there is no such folder, or it has no `tool.toml`.
    """
    folder = folder.absolute()
    if not (folder / MANIFEST).is_file():
        hint = Hint(text="a tool is a folder with a tool.toml and a WebAssembly module")
        raise NotFound(f"{folder} is not a tool: it has no {MANIFEST}", hint)
    loader = _Loader(folder.parent)
    loader.tool(folder.name, folder.name)
    return loader.finish(None)


def _not_a_workspace(folder: Path) -> NotFound:
    if not folder.is_dir():
        return NotFound(f"there is no folder {folder}")
    return NotFound(
        f"{folder} is not a workspace: it has no {WORKSPACE_FILE}",
        Hint(text="make it one", command="caxton init --empty"),
        Hint(text="or begin with an agent from a template", command="caxton init my-agent"),
    )


class _Loader:
    def __init__(self, folder: Path) -> None:
        self.folder = Folder(folder)
        self.workspace = Workspace(folder)
        self.checked: list[AgentSource] = []  # also those with errors, so that all errors come at once
        self.incomplete_agents = False
        self.broken_tools: set[str] = set()

    def settings(self) -> None:
        """`[workspace]` of caxton.toml; the other tables are the settings' business."""
        source = self._toml(WORKSPACE_FILE)
        table: Any = source.data.get("workspace") if source else None
        if source is None or table is None:
            return
        if not isinstance(table, dict):
            self._add(source.problem(("workspace",), '"workspace" must be a table', "write: [workspace]"))
            return
        values = cast("dict[str, Any]", table)
        if isinstance(values.get("id"), str) and is_name(values["id"]):  # the settings tell what is wrong with another
            self.workspace.id = values["id"]
        name: Any = values.get("name", DEFAULT_WORKSPACE)
        if isinstance(name, str) and is_name(name):
            self.workspace.name = name
        else:
            self._add(source.problem(("workspace", "name"), f'"{name}" is not a valid name', name_hint(str(name))))

    def agents(self) -> None:
        """agents/*.toml, and the scripts, schemas and modules beside them."""
        files: dict[str, bytes] = {}
        modules: dict[str, ModuleFile] = {}
        for name in self._entries(AGENTS):
            if name.endswith(MODULE_SUFFIX):
                content = self.folder.read(f"{AGENTS}/{name}", MODULE_LIMIT)
                if isinstance(content, Problem):
                    self._add(content)
                    self.incomplete_agents = True
                else:
                    modules[name] = describe_module(content)
            if name.endswith((".toml", SCHEMA_SUFFIX)):
                content = self.folder.read(f"{AGENTS}/{name}")
                if isinstance(content, Problem):
                    self._add(content)
                    self.incomplete_agents = True
                else:
                    files[name] = content
                    self._remember(f"{AGENTS}/{name}", content)
        used: set[str] = set()
        for name in files:
            if name.endswith((SCRIPT_SUFFIX, SCHEMA_SUFFIX)):
                continue
            reading = read_agent(name, files, modules=modules)
            self._add(*reading.problems)
            if reading.partial is None:
                self.incomplete_agents = True
                continue
            self.checked.append(reading.partial)
            used.update(reading.partial.bundle.files)
            if reading.value is None:
                continue
            self.workspace.agents.append(reading.value)
            for path, digest in reading.value.bundle.files.items():
                self.workspace.paths[digest] = self.folder.root / AGENTS / path
        if not self.incomplete_agents:
            self._unused(name for name in (*files, *modules) if name not in used)

    def _unused(self, names: Iterable[str]) -> None:
        for name in names:
            if name.endswith(SCRIPT_SUFFIX):
                hint = f'add: script = "{name}" to the agent that it is for, or remove the file'
                message = "no agent names this script"
            elif name.endswith(SCHEMA_SUFFIX):
                hint = f'add: input = "{name}", or output, to the capability that it is for, or remove the file'
                message = "no agent names this schema"
            elif name.endswith(MODULE_SUFFIX):
                hint = f'add to the agent that it is for: kind = "wasm", and module = "{name}" in [wasm]'
                message = "no agent names this module"
            else:
                continue
            self._add(Problem(file=f"{AGENTS}/{name}", width=0, message=message, hint=hint, severity="warning"))

    def tools(self) -> None:
        """tools/*/tool.toml with module and bundled folders."""
        for name in self._entries(TOOLS):
            if self.folder.is_folder(f"{TOOLS}/{name}"):
                self.tool(name, f"{TOOLS}/{name}")

    def tool(self, name: str, below: str) -> None:
        """The tool in the folder `below`, which `name` says how to call while it is not read."""
        self.broken_tools.add(name)
        if not self.folder.is_file(f"{below}/{MANIFEST}"):
            self._add(Problem(file=f"{below}/{MANIFEST}", width=0, message=f"the tool has no {MANIFEST}"))
            return
        content = self.folder.read(f"{below}/{MANIFEST}")
        if isinstance(content, Problem):
            self._add(content)
            return
        self._remember(f"{below}/{MANIFEST}", content)
        manifest = read_manifest(f"{below}/{MANIFEST}", content)
        if isinstance(manifest, Problem):
            self._add(manifest)
            return
        self.broken_tools.add(str(manifest.data.get("name")))
        files, problems = self._tool_files(below, manifest)
        reading = read_tool(manifest, files, beside=self._entries(below))
        self._add(*reading.problems, *problems)
        if reading.value is None or errors_of(problems):
            return
        self.broken_tools -= {name, reading.value.name}
        self._check_tool_name(reading.value)
        self.workspace.tools.append(reading.value)
        for path, digest in reading.value.bundle.files.items():
            self.workspace.paths[digest] = self.folder.root / below / path

    def _tool_files(self, below: str, manifest: TomlSource) -> tuple[dict[str, ToolFile], list[Problem]]:
        """The files that the manifest names, and what is wrong with them."""
        wanted = wanted_files(manifest)
        paths = {name for name in (MANIFEST, wanted.module) if name and self.folder.is_file(f"{below}/{name}")}
        problems: list[Problem] = []
        for bundled in wanted.folders.values():
            if self.folder.is_file(f"{below}/{bundled}"):
                paths.add(bundled)
            elif bundled != ".":
                found, unread = self.folder.walk(f"{below}/{bundled}")
                paths.update(path.removeprefix(f"{below}/") for path in found)
                problems += unread
        files: dict[str, ToolFile] = {}
        for path in sorted(paths):
            file = self.folder.describe(f"{below}/{path}")
            if isinstance(file, Problem):
                problems.append(file)
            else:
                files[path] = file
        return files, problems

    def _check_tool_name(self, tool: ToolSource) -> None:
        earlier = next((other for other in self.workspace.tools if other.name == tool.name), None)
        if earlier:
            place = f"{earlier.file}:{earlier.toml.line_of(('name',))}"
            message = f'the tool "{tool.name}" is defined twice, first in {place}'
            self._add(tool.toml.problem(("name",), message, "give one of them another name"))

    def finish(
        self, known_tools: Mapping[str, Collection[str] | None] | None, deployed: Offers | None = None
    ) -> Workspace:
        """The workspace, after the checks between its parts."""
        tools: dict[str, Collection[str] | None] = {**(known_tools or {})}
        tools |= dict.fromkeys((*self.broken_tools, *(tool.name for tool in self.workspace.tools)))
        found = crosscheck(self.checked, tools, all_tools_known=known_tools is not None, deployed=deployed)
        if self.incomplete_agents:  # who offers what is not known
            found = [
                problem for problem in found if not problem.path.startswith("delegates") or problem.severity == "error"
            ]
        self._add(*found)
        self.workspace.problems = sorted_problems(self.workspace.problems)
        return self.workspace

    def _entries(self, below: str) -> list[str]:
        try:
            return self.folder.entries(below)
        except OSError as error:
            self._add(
                Problem(file=below, width=0, message=f"the folder cannot be read: {(error.strerror or '').lower()}")
            )
            return []

    def _toml(self, path: str) -> TomlSource | None:
        content = self.folder.read(path)
        if not isinstance(content, Problem):
            self._remember(path, content)
            content = decode_toml(path, content)
        source = content if isinstance(content, Problem) else read_toml(path, content)
        if isinstance(source, Problem):
            self._add(source)
            return None
        return source

    def _remember(self, path: str, content: bytes) -> None:
        self.workspace.sources[path] = content.decode(errors="replace")

    def _add(self, *problems: Problem) -> None:
        self.workspace.problems.extend(problems)
