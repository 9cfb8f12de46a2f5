"""Reading and checking a tool: `tool.toml`, the WebAssembly module beside it, and the folders that travel with it."""

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from caxton.definitions.literal_secrets import secret_problems
from caxton.definitions.model_problems import validate
from caxton.definitions.reading import Reading, errors_of, sorted_problems
from caxton.definitions.suggestions import did_you_mean, listed
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource, decode_toml, read_toml
from caxton.domain.deployments import Bundle
from caxton.domain.given import colliding_paths, wrong_path
from caxton.domain.ids import Digest
from caxton.domain.memory_functions import INSTEAD
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.origins import checked_origin
from caxton.domain.problems import Problem
from caxton.domain.quantities import format_size
from caxton.domain.tools import ToolManifest, ToolVersion

MANIFEST = "tool.toml"

MANIFEST_LIMIT = 256 << 10
"""Bytes of a manifest that is looked at before it is deployed."""

MODULE_LIMIT = 64 << 20
"""Bytes of a module. Python components are about 18 MB, Go commands 3 MB."""

BUNDLE_LIMIT = 100 << 20
"""Bytes of all files of a tool."""

FILE_LIMIT = 500
"""Files of a tool, as :class:`caxton.domain.deployments.Bundle` has it."""

_NO_MODULE = '"module" is missing'

_MAGIC = b"\0asm"
_FORMS = {b"\x01\x00\x00\x00": "command", b"\x0d\x00\x01\x00": "component"}
"""Version and layer, after the magic number: a core module or a component
(https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md)."""


@dataclass(frozen=True, slots=True)
class ToolFile:
    """What the checks need to know of a file, which may be large."""

    digest: Digest
    size: int
    head: bytes
    """The first eight bytes."""


@dataclass(frozen=True, slots=True)
class ToolSource:
    """A tool with the manifest that defines it, so that problems found later can point into it."""

    version: ToolVersion
    bundle: Bundle
    file: str
    toml: TomlSource

    @property
    def name(self) -> str:
        return self.version.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a manifest says belongs to the tool; as much as can be told from a manifest that may be wrong."""

    module: str | None
    folders: dict[Path, str]
    """Bundled folders, normalised, by the path of their entry in the manifest."""


def wanted_files(manifest: TomlSource) -> Wanted:
    """What the manifest names: so that a caller with a folder need not read what does not belong to the tool."""
    module = manifest.data.get("module")
    is_file = isinstance(module, str) and bool(module) and "/" not in module and not module.startswith(".")
    return Wanted(module if is_file else None, {path: folder for path, folder, _ in _folders(manifest)})


def read_manifest(file: str, content: bytes) -> TomlSource | Problem:
    """The manifest as data with positions, or what is wrong with its syntax."""
    text = decode_toml(file, content)
    return text if isinstance(text, Problem) else read_toml(file, text)


def manifest_of(content: bytes) -> ToolManifest | None:
    """The manifest in `content`; None if it is not valid, or larger than any is."""
    if len(content) > MANIFEST_LIMIT:
        return None
    source = read_manifest(MANIFEST, content)
    return None if isinstance(source, Problem) else validate(ToolManifest, source)[0]


def read_tool(
    manifest: TomlSource, files: Mapping[str, ToolFile], *, beside: Collection[str] = ()
) -> Reading[ToolSource]:
    """The tool that `manifest` defines, or everything that is wrong with it.

    Args:
        manifest: its `tool.toml`.
        files: the files that belong to the tool, by their paths below its folder; others do no harm.
        beside: names of all that is in the tool's folder, to tell what was meant by a name that is wrong.
    """
    wanted = wanted_files(manifest)
    model, problems = validate(ToolManifest, manifest)
    if manifest.data.get("name") == MEMORY:
        hint = f'give yours another name, such as "{INSTEAD}", here and in the `tools` of agents'
        problems.append(manifest.problem(("name",), f'"{MEMORY}" is a built-in tool', hint))
    problems = _check_rollout(manifest, _check_kind(manifest, problems))
    problems += secret_problems(manifest)
    problems += _check_network(manifest, problems)
    problems += _check_module(manifest, wanted, files, beside)
    problems += _check_folders(manifest, wanted, files, beside)
    chosen = {path: file for path, file in files.items() if _belongs(path, wanted)}
    problems += _check_sizes(manifest, wanted, chosen)
    problems += _check_paths(manifest, wanted, chosen)
    problems = sorted_problems(problems)
    if model is None or errors_of(problems):
        return Reading(None, problems)
    bundle = Bundle(kind="tool", name=model.name, files={path: file.digest for path, file in sorted(chosen.items())})
    version = ToolVersion(manifest=model, files=bundle.files, digest=bundle.digest)
    return Reading(ToolSource(version, bundle, manifest.file, manifest), problems)


def _check_kind(manifest: TomlSource, problems: list[Problem]) -> list[Problem]:
    """`problems`, with that of a manifest that names neither a module nor a server: told together with all others."""
    known = [problem for problem in problems if problem.message != _NO_MODULE]
    meant = any(problem.hint == 'did you mean "module"?' for problem in known)
    if "module" in manifest.data or "mcp_server" in manifest.data or meant:
        return known
    hint = 'add: module = "module.wasm"'
    return [*known, Problem(file=manifest.file, width=0, message=_NO_MODULE, hint=hint, path="module")]


def _check_rollout(manifest: TomlSource, problems: list[Problem]) -> list[Problem]:
    """`problems`, with the reason why a tool has no `[rollout]` in place of "unknown key"."""
    if "rollout" not in manifest.data:
        return problems
    known = [problem for problem in problems if problem.path != "rollout" and not problem.path.startswith("rollout.")]
    message = "a tool has no rollout of its own: what its answers are worth shows in the replies of agents"
    hint = "deploy the new version under a name of its own, and name that in the `tools` of an agent with a [rollout]"
    return [*known, manifest.problem(("rollout",), message, hint, at="key")]


def is_inside(path: str, folder: str) -> bool:
    """Whether the file `path` lies in `folder` or below it."""
    return path.startswith(f"{folder}/")


def _belongs(path: str, wanted: Wanted) -> bool:
    return path in (MANIFEST, wanted.module) or any(is_inside(path, folder) for folder in wanted.folders.values())


def _folders(manifest: TomlSource) -> Iterator[tuple[Path, str, str]]:
    """Path in the manifest, normalised folder and what was written, of each grant of a relative folder."""
    grants = manifest.get(("permissions", "files"))
    for index, grant in enumerate(cast("list[Any]", grants) if isinstance(grants, list) else []):
        written: Any = cast("dict[str, Any]", grant).get("path") if isinstance(grant, dict) else None
        if isinstance(written, str) and written and not written.startswith("/") and ".." not in written.split("/"):
            yield ("permissions", "files", index, "path"), posixpath.normpath(written), written


def _check_network(manifest: TomlSource, known: Sequence[Problem]) -> Iterator[Problem]:
    """Origins that no call would ever match."""
    origins = manifest.get(("permissions", "network"))
    if any(problem.path.startswith("permissions.network") for problem in known):
        return
    for index, origin in enumerate(cast("list[Any]", origins) if isinstance(origins, list) else []):
        try:
            checked_origin(str(origin))
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            yield manifest.problem(("permissions", "network", index), message, hint or None)


def _check_module(
    manifest: TomlSource, wanted: Wanted, files: Mapping[str, ToolFile], beside: Collection[str]
) -> Iterator[Problem]:
    if wanted.module is None:
        return  # the model says what is wrong with it
    module = files.get(wanted.module)
    if module is None:
        others = [name for name in beside if name.endswith(".wasm")]
        hint = did_you_mean(wanted.module, others) or "build it, and put it beside tool.toml"
        if others and not did_you_mean(wanted.module, others):
            hint = f"beside tool.toml there is {listed(others)}"
        yield manifest.problem(("module",), f'the module "{wanted.module}" is missing', hint)
        return
    if not module.head.startswith(_MAGIC):
        hint = "a module begins with the bytes 00 61 73 6d; name the .wasm file that the compiler made"
        yield manifest.problem(("module",), f'"{wanted.module}" is not WebAssembly', hint)
        return
    yield from _check_form(manifest, wanted.module, module)
    if module.size > MODULE_LIMIT:
        hint = "build it for release and strip it"
        sizes = f"{format_size(module.size)}, more than {format_size(MODULE_LIMIT)}"
        yield manifest.problem(("module",), f'"{wanted.module}" has {sizes}', hint)


def _check_form(manifest: TomlSource, name: str, module: ToolFile) -> Iterator[Problem]:
    written: Any = manifest.data.get("form", "component")
    form = _FORMS.get(module.head[4:8])
    place: Path = ("form",) if "form" in manifest.data else ("module",)
    if form is None:
        yield manifest.problem(("module",), f'"{name}" is of a version of WebAssembly that Caxton does not know')
    elif written in _FORMS.values() and written != form:
        kinds = {"component": "a component", "command": "a core module"}
        hint = f'write: form = "{form}"'
        if form == "command":
            hint += ", if it speaks MCP on stdin and stdout; else make a component of it"
        yield manifest.problem(place, f'the form is "{written}", but "{name}" is {kinds[form]}', hint)


def _check_folders(
    manifest: TomlSource, wanted: Wanted, files: Mapping[str, ToolFile], beside: Collection[str]
) -> Iterator[Problem]:
    for path, folder in wanted.folders.items():
        if folder == ".":
            hint = "put what it may read into a folder of its own, and grant that"
            yield manifest.problem(path, "a tool cannot be granted its own folder as a whole", hint)
        elif folder in files:
            message = f'"{folder}" is a file, and grants are for folders'
            yield manifest.problem(path, message, "put it into a folder, and grant that")
        elif not any(is_inside(file, folder) for file in files):
            others = [name for name in beside if name not in (MANIFEST, wanted.module)]
            general = "create it with at least one file; an absolute path is one on the server"
            hint = did_you_mean(folder, others) or general
            yield manifest.problem(path, f'the folder "{folder}" is missing or empty', hint)


def _check_paths(manifest: TomlSource, wanted: Wanted, chosen: Mapping[str, ToolFile]) -> Iterator[Problem]:
    place = next(iter(wanted.folders), ("module",))
    for path in chosen:
        wrong = wrong_path(path)
        if wrong is not None:
            yield manifest.problem(place, wrong, "give the file, or its folder, another name")
            return
    both = colliding_paths(chosen)
    if both is not None:
        message = f'"{both[0]}" and "{both[1]}" cannot be in one folder on every file system'
        yield manifest.problem(place, message, "give one of them another name")


def _check_sizes(manifest: TomlSource, wanted: Wanted, chosen: Mapping[str, ToolFile]) -> Iterator[Problem]:
    size = sum(file.size for file in chosen.values())
    place = next(iter(wanted.folders), ("module",))
    if size > BUNDLE_LIMIT:
        limit = format_size(BUNDLE_LIMIT)
        hint = "grant a folder on the server instead: an absolute path"
        yield manifest.problem(place, f"the tool's files have {format_size(size)}, more than {limit}", hint)
    if len(chosen) > FILE_LIMIT:
        hint = "grant a folder on the server instead: an absolute path"
        yield manifest.problem(place, f"the tool has {len(chosen)} files, more than {FILE_LIMIT}", hint)
