"""Compiling a bundle: what the server does with uploaded content, by the rules that the client has checked it with."""

from collections.abc import Mapping

from caxton.definitions.agent_modules import MODULE_SUFFIX, ModuleFile, describe_module
from caxton.definitions.agents import SCRIPT_SUFFIX, AgentSource, read_agent
from caxton.definitions.reading import Reading
from caxton.definitions.tools import MANIFEST, ToolFile, ToolSource, read_manifest, read_tool
from caxton.domain.deployments import Bundle
from caxton.domain.ids import digest_of
from caxton.domain.problems import Problem


def compile_bundle(
    bundle: Bundle, contents: Mapping[str, bytes], modules: Mapping[str, ModuleFile] | None = None
) -> Reading[AgentSource] | Reading[ToolSource]:
    """The agent or the tool (without its functions, which only the sandbox can tell) that a bundle is.

    Args:
        bundle: what a client says it is.
        contents: the content of each of its files by path.
        modules: what is known of those that are components of agents; it is read from their content if left out.

    Returns:
        The definition, whose digest is the bundle's; or everything that is wrong, also when the files do not make the
        bundle that they were sent as.
    """
    missing = sorted(path for path in bundle.files if path not in contents)
    if missing:
        return Reading(None, [_problem(bundle, missing[0], f'the file "{missing[0]}" did not arrive')])
    contents = {path: contents[path] for path in bundle.files}
    if modules is None:
        modules = modules_in(bundle, contents)
    reading = _compile_agent(bundle, contents, modules) if bundle.kind == "agent" else _compile_tool(bundle, contents)
    if reading.value is None or reading.value.bundle == bundle:
        return reading
    found = reading.value.bundle
    message = f'the bundle "{bundle.name}" has files that do not belong to it, or that have changed on the way'
    if found.name != bundle.name:
        message = f'the file defines "{found.name}", but was sent as "{bundle.name}"'
    return Reading(None, [_problem(bundle, reading.value.file.rpartition("/")[2], message)])


def modules_in(bundle: Bundle, contents: Mapping[str, bytes]) -> dict[str, ModuleFile]:
    """The components among the files of an agent."""
    if bundle.kind != "agent":
        return {}
    return {path: describe_module(content) for path, content in contents.items() if path.endswith(MODULE_SUFFIX)}


def _compile_agent(
    bundle: Bundle, contents: Mapping[str, bytes], modules: Mapping[str, ModuleFile]
) -> Reading[AgentSource]:
    files = [path for path in contents if path.endswith(".toml") and not path.endswith(SCRIPT_SUFFIX)]
    if len(files) != 1:
        return Reading(None, [_problem(bundle, f"{bundle.name}.toml", f"an agent is one TOML file, not {len(files)}")])
    return read_agent(files[0], contents, modules=modules)


def _compile_tool(bundle: Bundle, contents: Mapping[str, bytes]) -> Reading[ToolSource]:
    if MANIFEST not in contents:
        return Reading(None, [_problem(bundle, MANIFEST, f"the tool has no {MANIFEST}")])
    manifest = read_manifest(f"tools/{bundle.name}/{MANIFEST}", contents[MANIFEST])
    if isinstance(manifest, Problem):
        return Reading(None, [manifest])
    files = {path: ToolFile(digest_of(content), len(content), content[:8]) for path, content in contents.items()}
    return read_tool(manifest, files)


def _problem(bundle: Bundle, file: str, message: str) -> Problem:
    folder = "agents" if bundle.kind == "agent" else f"tools/{bundle.name}"
    return Problem(file=f"{folder}/{file}", width=0, message=message, hint="deploy the workspace again")
