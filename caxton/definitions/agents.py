"""Reading and checking an agent: one TOML file, and perhaps a script beside it."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from caxton.definitions.agent_modules import ModuleFile, check_kind, check_module, check_network
from caxton.definitions.capability_schemas import read_schemas
from caxton.definitions.literal_secrets import secret_problems
from caxton.definitions.model_problems import misplaced_key, validate
from caxton.definitions.reading import Reading, errors_of, sorted_problems
from caxton.definitions.rollouts import check_rollout
from caxton.definitions.schedules import check_schedules
from caxton.definitions.scripts import read_script
from caxton.definitions.suggestions import did_you_mean, fixed_name, name_hint
from caxton.definitions.template_check import check_template
from caxton.definitions.template_language import AGENT_VARIABLES, TemplateScope
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource, decode_toml, read_toml
from caxton.definitions.triggers import check_triggers
from caxton.definitions.values import unfit_values
from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.capabilities import RESERVED
from caxton.domain.deployments import Bundle
from caxton.domain.ids import digest_of, is_name
from caxton.domain.problems import Problem
from caxton.domain.scripts import Script

SCRIPT_SUFFIX = ".script.toml"

_AGENT_KEYS = (
    "name",
    "version",
    "capabilities",
    "delegates",
    "system_prompt",
    "user_prompt_template",
    "documentation",
)
"""Keys that nobody means as a parameter, if the agent itself does not have them."""

_PROVIDERS = {
    "gpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
    "gemini": "google-gla",
}


@dataclass(frozen=True, slots=True)
class AgentSource:
    """An agent with the files that define it, so that problems found later can point into them."""

    version: AgentVersion
    bundle: Bundle
    file: str
    toml: TomlSource | None = None
    """None where only the compiled agent is known, as for one that is already deployed."""
    script_toml: TomlSource | None = None
    doubtful: frozenset[str] = frozenset()
    """Keys of the agent's file that are wrong and left out here, while its errors are being collected."""

    @property
    def name(self) -> str:
        return self.version.name

    def problem(self, path: Path, message: str, hint: str | None, *, warning: bool = False) -> Problem:
        """A problem with what stands at `path` of the agent's file."""
        return _problem(self.toml, self.file, path, message, hint, warning)

    def script_problem(self, path: Path, message: str, hint: str | None) -> Problem:
        """A problem with what stands at `path` of the agent's script."""
        return _problem(self.script_toml, self.version.spec.script or self.file, path, message, hint, False)


def _problem(
    source: TomlSource | None, file: str, path: Path, message: str, hint: str | None, warning: bool
) -> Problem:
    severity = "warning" if warning else "error"
    if source is None:
        return Problem(file=file, message=message, hint=hint, severity=severity)
    return source.problem(path, message, hint, severity=severity)


def read_agent(
    file: str,
    files: Mapping[str, bytes],
    *,
    folder: str = "agents",
    modules: Mapping[str, ModuleFile] | None = None,
) -> Reading[AgentSource]:
    """The agent that `file` defines, or everything that is wrong with it.

    Args:
        file: name of the agent's file.
        files: content by name of the files in its folder; besides `file` only the script and schemas that it names are read.
        folder: where problems say that the files are.
        modules: the WebAssembly files of the folder by name.

    Returns:
        The agent with its digest: the content address of its files under their names.
    """
    shown = f"{folder}/{file}" if folder else file
    source = _source(shown, files[file])
    if isinstance(source, Problem):
        return Reading(None, [source])
    spec, problems = validate(AgentSpec, source)
    problems += _check_data(source)
    problems += secret_problems(source)
    schemas = read_schemas(source, files)
    problems += schemas.problems
    problems += check_module(source, modules or {})
    doubtful = frozenset(re.split(r"[.[]", problem.path)[0] for problem in errors_of(problems))
    if spec is None:
        spec = _salvaged(source, doubtful, fixed_name(file.partition(".")[0]) or "unnamed")
    checked_against = None if doubtful & {"tools", "delegates", "parameters"} else spec
    script, script_source, script_problems = _read_script(source, checked_against, files, folder)
    problems = sorted_problems([*problems, *script_problems])
    if spec is None:
        return Reading(None, problems)
    if "capabilities" not in doubtful:
        spec = schemas.into(spec)
    script_file = [spec.script] if spec.script and spec.script in files else []
    paths = [file, *script_file, *sorted(schemas.files)]
    digests = {path: digest_of(files[path]) for path in paths}
    module = (modules or {}).get(spec.wasm.module) if spec.wasm else None
    if spec.wasm is not None and module is not None:
        digests[spec.wasm.module] = module.digest
    bundle = Bundle(kind="agent", name=spec.name, files=digests)
    data = script.model_dump(mode="json", exclude_defaults=True) if script else None
    version = AgentVersion(
        spec=spec,
        script=data,
        digest=bundle.digest,
        module_digest=module.digest if module else None,
        keeps_state=module is not None and module.keeps_state,
    )
    agent = AgentSource(version, bundle, shown, source, script_source, doubtful)
    return Reading(None if errors_of(problems) else agent, problems, partial=agent)


def _salvaged(source: TomlSource, doubtful: Collection[str], name: str) -> AgentSpec | None:
    """The agent without the keys that are wrong, so that the others can be checked further."""
    data: dict[str, Any] = {"name": name, "version": "0.0.0", "capabilities": ["unknown"]}
    data |= {key: value for key, value in source.data.items() if key not in doubtful}
    try:
        return AgentSpec.model_validate(data, strict=True)
    except ValidationError:
        return None


def _source(shown: str, content: bytes) -> TomlSource | Problem:
    text = decode_toml(shown, content)
    return text if isinstance(text, Problem) else read_toml(shown, text)


def _read_script(
    source: TomlSource, spec: AgentSpec | None, files: Mapping[str, bytes], folder: str
) -> tuple[Script | None, TomlSource | None, list[Problem]]:
    name = source.data.get("script")
    if not isinstance(name, str):
        return None, None, []
    problem = _script_name_problem(source, name, files)
    if problem:
        return None, None, [problem]
    script_source = _source(f"{folder}/{name}" if folder else name, files[name])
    if isinstance(script_source, Problem):
        return None, None, [script_source]
    reading = read_script(script_source, spec)
    return reading.value, script_source, [*reading.problems, *secret_problems(script_source)]


def _script_name_problem(source: TomlSource, name: str, files: Mapping[str, bytes]) -> Problem | None:
    if "/" in name or "\\" in name:
        last = name.replace("\\", "/").rpartition("/")[2]
        hint = f'write "{_script_name(last)}"'
        return source.problem(("script",), "a script lies beside its agent: give its file name only", hint)
    if not name.endswith(SCRIPT_SUFFIX):
        hint = f'write "{_script_name(name)}", and name the file so'
        return source.problem(("script",), f'the name of a script ends in "{SCRIPT_SUFFIX}"', hint)
    if name not in files:
        scripts = [file for file in files if file.endswith(SCRIPT_SUFFIX)]
        hint = did_you_mean(name, scripts) or "create it beside this file, or remove the key"
        return source.problem(("script",), f'the script "{name}" is missing', hint)
    return None


def _script_name(name: str) -> str:
    return f"{name.removesuffix('.toml').removesuffix('.script')}{SCRIPT_SUFFIX}"


# --- what the file says that no model can check ---


def _check_data(source: TomlSource) -> Iterator[Problem]:
    """Checks that need no valid agent, so that their findings come with the others."""
    parameters = source.data.get("parameters")
    if isinstance(parameters, dict):
        yield from _swallowed(source, ("parameters",), cast("dict[str, Any]", parameters))
        for key, value in cast("dict[str, Any]", parameters).items():
            if isinstance(value, (dict, list, float)):  # a date at the top is a type error already
                yield from unfit_values(source, ("parameters", key), value)
    yield from _check_capabilities(source)
    yield from _check_tools(source)
    yield from check_kind(source)
    yield from check_network(source)
    yield from _check_models(source)
    yield from check_schedules(source)
    yield from check_triggers(source)
    yield from check_rollout(source)
    yield from _check_prompts(source, cast("dict[str, Any]", parameters) if isinstance(parameters, dict) else {})


def _swallowed(source: TomlSource, path: Path, table: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys of the agent that follow the header of a free table, as `system_prompt` after `[parameters]`."""
    for key, value in table.items():
        if key in source.data:
            continue
        if key in _AGENT_KEYS:
            yield misplaced_key(source, (*path, key), key)
        elif isinstance(value, dict):
            yield from _swallowed(source, (*path, key), cast("dict[str, Any]", value))


def _check_capabilities(source: TomlSource) -> Iterator[Problem]:
    entries: Any = source.data.get("capabilities")
    seen: dict[str, int] = {}
    for index, entry in enumerate(cast("list[Any]", entries) if isinstance(entries, list) else []):
        name: Any = cast("dict[str, Any]", entry).get("name") if isinstance(entry, dict) else entry
        if not isinstance(name, str):
            continue
        place: Path = ("capabilities", index, "name") if isinstance(entry, dict) else ("capabilities", index)
        if name in RESERVED:
            hint = "give it another name: MCP clients find and ask capabilities with a tool of that name"
            yield source.problem(place, f'"{name}" is a name of Caxton\'s own', hint)
        if name in seen:
            line = source.line_of(("capabilities", seen[name]))
            hint = f"it is on line {line} already: remove one of them"
            yield source.problem(place, f'the capability "{name}" is given twice', hint)
        seen.setdefault(name, index)


def _check_prompts(source: TomlSource, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    scope = TemplateScope(AGENT_VARIABLES, tuple(parameters))
    for key in ("system_prompt", "user_prompt_template"):
        places: list[Path] = [(key,), ("parameters", key)]  # the latter where a header has swallowed it
        for path in places:
            text = source.get(path)
            if isinstance(text, str):
                yield from check_template(source, path, text, scope)


def _check_tools(source: TomlSource) -> Iterator[Problem]:
    for path, tool in _texts(source, "tools"):
        server, dot, function = tool.partition(".")
        if not is_name(server):
            fixed = fixed_name(server)
            hint = f'write "{fixed}.{function}"' if dot and function and fixed else name_hint(server)
            yield source.problem(path, f'"{server}" is not the name of a tool', hint)
        elif dot and not function:
            yield source.problem(path, f'"{tool}" names no function', f'write "{server}" to allow all of them')


def _check_models(source: TomlSource) -> Iterator[Problem]:
    if source.data.get("model") in ("", []):
        yield source.problem(("model",), '"model" must not be empty', 'write "auto"')
        return
    for path, model in _texts(source, "model"):
        if model == "scripted" and "script" not in source.data:
            hint = f'add: script = "{source.data.get("name", "my-agent")}{SCRIPT_SUFFIX}"'
            yield source.problem(path, 'the model "scripted" needs a script', hint)
        elif model not in ("auto", "scripted") and not all(model.partition(":")):
            yield source.problem(path, f'"{model}" is not a model', _model_hint(model))


def _model_hint(model: str) -> str:
    known = next((provider for start, provider in _PROVIDERS.items() if model.startswith(start)), None)
    if known:
        return f'write "{known}:{model}"'
    general = 'write "auto", or "provider:model" such as "openai:gpt-5"'
    return did_you_mean(model, ("auto", "scripted")) or general


def _texts(source: TomlSource, key: str) -> Iterator[tuple[Path, str]]:
    """The text, or the texts of the list, under `key`."""
    value: Any = source.data.get(key)
    if isinstance(value, str):
        yield (key,), value
    elif isinstance(value, list):
        for index, entry in enumerate(cast("list[Any]", value)):
            if isinstance(entry, str):
                yield (key, index), entry
