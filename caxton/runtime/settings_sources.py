"""Reading the sources of the settings and joining them, with an account of which value came from where."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from caxton.definitions.suggestions import most_similar
from caxton.domain.errors import InvalidSettings
from caxton.domain.problems import Problem
from caxton.domain.secrets import literal_secrets
from caxton.runtime.settings import CONFIG_FILE, ConfigFile, Settings

Path = tuple[str, ...]
"""Way to a setting: the names of its tables and its own."""

MASK = "********"

_FLAGS = {
    "temporal.namespace": "--namespace",
    "temporal.tls": "--tls",
    "temporal.tls_ca": "--tls-ca",
    "temporal.tls_cert": "--tls-cert",
    "temporal.tls_key": "--tls-key",
}
_IN_FILE: dict[Path, Path] = {("workspace", "name"): ("workspace",), ("workspace", "server"): ("url",)}
"""Settings that the file calls otherwise."""

_NOT_FOR_SETTINGS: frozenset[Path] = frozenset({("workspace", "id")})
"""What only those who read the workspace need."""

_NO_SETTINGS = {"CAXTON_CONFIG", "CAXTON_DEBUG", "CAXTON_ENGINE_KEY"}
"""Variables that commands read themselves."""

_OF_KUBERNETES = re.compile(r"CAXTON_(SERVICE_|PORT_\d)")
"""Variables that Kubernetes sets in every pod for a Service named caxton."""

_SURELY_MEANT = 88.0
"""Similarity, from 0 to 100, above which the name of a variable is taken for a slip."""

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_WORDS = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": 'is neither "true" nor "false"',
    "list_type": 'is not a list; write JSON, such as ["a", "b"]',
    "dict_type": 'is not a table; write JSON, such as {"key": "value"}',
    "model_type": "is not a table; set its values one by one, joined by __",
}


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and for each of them by its dotted name where it comes from."""

    settings: Settings
    origins: dict[str, str]
    """`"default"`, `"caxton.toml:12"`, `"environment CAXTON_PORT"` or `"flag --port"`."""
    file: FilePath | None
    """The configuration file that was read."""

    def values(self) -> dict[str, Any]:
        """Every value by its dotted name, secrets masked, ready for JSON."""
        named = {".".join(path): value for path, value in flatten(self.settings.model_dump(mode="json")).items()}
        return {name: mask(name, value) for name, value in named.items()}


def find_config(start: FilePath) -> FilePath | None:
    """The `caxton.toml` of `start` or of the nearest folder above it."""
    return next((folder / CONFIG_FILE for folder in (start, *start.parents) if (folder / CONFIG_FILE).is_file()), None)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    start_folder: FilePath | None = None,
    *,
    config: FilePath | None = None,
) -> LoadedSettings:
    """Reads all sources and validates what they say together.

    Args:
        flags: values of command-line flags by dotted name ("temporal.address"); None stands for a flag not given.
        start_folder: where the search for `caxton.toml` begins; the current folder if None.
        config: the file to read instead; it must exist.

    Raises:
        InvalidSettings: something is wrong; `details["problems"]` lists all of it, in the file with line and column.
    """
    named = os.environ.get("CAXTON_CONFIG")
    file = (
        config
        or (FilePath(named).expanduser() if named else None)
        or find_config((start_folder or FilePath.cwd()).absolute())
    )
    return _load(flags or {}, file)


def _load(flags: Mapping[str, Any], file: FilePath | None) -> LoadedSettings:
    """Joins flags, environment and file.

    Raises:
        InvalidSettings: with every problem of every source.
    """
    problems: list[Problem] = []
    origins: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for values, found in (
        _read_file(file, problems) if file else ({}, {}),
        _read_environment(problems),
        _read_flags(flags),
    ):
        _merge(merged, values)
        origins |= found
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        problems += [_problem(detail, origins) for detail in error.errors(include_url=False)]
        raise _invalid(problems) from None
    problems += _inconsistencies(settings, origins)
    if problems:
        raise _invalid(problems)
    names = [".".join(path) for path in flatten(settings.model_dump(mode="json"))]
    return LoadedSettings(settings, {name: _origin(name, origins) for name in names}, file)


def flatten(values: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """`values` by their paths; an empty table is a value."""
    flat: dict[Path, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(cast("Mapping[str, Any]", value), (*above, key))
        else:
            flat[*above, key] = value
    return flat


def mask(name: str, value: Any) -> Any:
    """`value` without what nobody else may see: keys, and passwords in URLs. References to secrets stay."""
    if name == "api_key" and value is not None:
        return MASK
    if any(literal_secrets({name.rpartition(".")[2]: value})) and not (isinstance(value, str) and "://" in value):
        return MASK
    if isinstance(value, str) and "://" in value:
        scheme, _, rest = value.partition("://")
        credentials, at, host = rest.rpartition("@")
        user, colon, _ = credentials.partition(":")
        return f"{scheme}://{user}:{MASK}@{host}" if at and colon else value
    return value


def variable(name: str) -> str:
    """The environment variable of the setting `name`."""
    return f"CAXTON_{name.upper().replace('.', '__')}"


def flag(name: str) -> str:
    """The command-line flag of the setting `name`."""
    return _FLAGS.get(name) or f"--{name.replace('.', '-').replace('_', '-')}"


# --- sources ---------------------------------------------------------------------------------------------------------


def _read_file(file: FilePath, problems: list[Problem]) -> tuple[dict[str, Any], dict[str, str]]:
    from caxton.definitions.literal_secrets import SETTINGS_HINT, secret_problems
    from caxton.definitions.model_problems import validate
    from caxton.definitions.toml_source import decode_toml, read_toml

    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            f"the configuration file {file} cannot be read: {error.strerror or error}",
            "name another with --config FILE or CAXTON_CONFIG, or leave both out",
        ) from None
    shown = str(file.relative_to(FilePath.cwd())) if file.is_relative_to(FilePath.cwd()) else str(file)
    text = decode_toml(shown, content)
    source = read_toml(shown, text) if isinstance(text, str) else text
    if isinstance(source, Problem):
        problems.append(source)
        return {}, {}
    if "api_key" in source.data:
        hint = "remove it, and set the environment variable CAXTON_API_KEY"
        problems.append(source.problem(("api_key",), "an API key does not belong in a file", hint, at="key"))
        del source.data["api_key"]
    found = list(secret_problems(source, SETTINGS_HINT))
    problems += found
    concealed = {problem.path for problem in found}
    _, found = validate(ConfigFile, source)
    problems += [_moved(problem) for problem in found if problem.path not in concealed]
    problems.sort(key=lambda problem: (problem.line, problem.column))
    if any(problem.severity == "error" for problem in problems):
        return {}, {}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for path, value in flatten(source.data).items():
        if path in _NOT_FOR_SETTINGS:
            continue
        target = _IN_FILE.get(path, path)
        origins[".".join(target)] = f"{file.name}:{source.line_of(path)}"
        _put(values, target, _below(file.parent, value) if _is_path(target) else value)
    return values, origins


def _moved(problem: Problem) -> Problem:
    """`url` is a setting, but in the file it has another name."""
    if problem.path == "url":
        return problem.model_copy(update={"hint": 'write it as server = "…" in the table [workspace]'})
    return problem


def _read_environment(problems: list[Problem]) -> tuple[dict[str, Any], dict[str, str]]:
    problems += _misspelt_variables()
    try:
        values = EnvSettingsSource(Settings)()
    except SettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0]
        problems.append(
            Problem(
                file=f"environment {_variable_that_is_no_json(name)}",
                width=0,
                message="the value is not valid JSON",
                hint='lists and tables are written as JSON, such as ["a", "b"]',
                path=name,
            )
        )
        return {}, {}
    names = [".".join(path) for path in flatten(values)]
    return values, {name: f"environment {_variable_of(name)}" for name in names}


def _variable_that_is_no_json(name: str) -> str:
    """The variable of the setting `name`, or of one below it, that should hold a list or a table and does not."""
    for given, value in os.environ.items():
        path = tuple(given.upper().removeprefix("CAXTON_").lower().split("__"))
        if path[0] != name or get_origin(_annotation(path)) not in (list, dict):
            continue
        try:
            json.loads(value)
        except ValueError:
            return given
    return _variable_of(name)


def _misspelt_variables() -> Iterator[Problem]:
    """Variables that were surely meant as settings. Others may belong to somebody else."""
    known = {variable(".".join(path)) for path in flatten(Settings().model_dump(mode="json"))} | _NO_SETTINGS
    sections = tuple(f"{variable(name)}__" for name in Settings.model_fields)
    for given in os.environ:
        if (
            not given.startswith("CAXTON_")
            or given in known
            or given.startswith(sections)
            or _OF_KUBERNETES.match(given)
        ):
            continue
        found = most_similar(given, sorted(known), _SURELY_MEANT)
        if found is not None:
            yield Problem(
                file=f"environment {given}",
                width=0,
                message=f'unknown setting "{given}"',
                hint=f'did you mean "{found}"?',
            )


def _variable_of(name: str) -> str:
    """The environment variable that set `name`: its own, or one of a table above or a value below it."""
    own = variable(name)
    present = [given.upper() for given in os.environ if given.upper().startswith("CAXTON_")]
    related = [given for given in present if own.startswith(f"{given}__") or given.startswith(f"{own}__")]
    return own if own in present or not related else max(related, key=len)


def _read_flags(flags: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value in flags.items():
        if value is not None:
            _put(values, tuple(name.split(".")), value)
            origins[name] = f"flag {flag(name)}"
    return values, origins


# --- problems --------------------------------------------------------------------------------------------------------


def _problem(detail: Any, origins: Mapping[str, str]) -> Problem:
    """What is wrong with a value that does not come from the file."""
    path = [str(part) for part in detail["loc"]]
    name = ".".join(path)
    while path and ".".join(path) not in origins:
        path.pop()
    origin = origins.get(".".join(path), f"environment {variable(name)}")
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown(name, origin)
    shown = "" if _is_secret(name) or isinstance(value, Mapping) else f'"{mask(name, str(value))}" '
    if kind in _WORDS:
        message, _, hint = f"{shown}{_WORDS[kind]}".partition("; ")
    elif kind == "value_error":
        message, _, hint = str(detail["ctx"]["error"]).partition("; ")
    elif kind == "literal_error":
        message, hint = f"{shown}is not one of {detail['ctx']['expected']}", ""
    elif kind == "string_pattern_mismatch":
        message, hint = f"{shown}is not a valid name", 'names have lower-case letters, digits, "-" and "_"'
    elif kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        message, hint = f"{shown}must be {words} {detail['ctx'][key]}", ""
    else:
        message, hint = f"{shown}is not valid: {detail['msg']}", ""
    if isinstance(value, str) and value.startswith("tcp://"):
        hint = "Kubernetes sets this for a Service named caxton: set enableServiceLinks: false in the pod's spec"
    return Problem(file=origin, width=0, message=message, hint=hint or None, path=name)


def _unknown(name: str, origin: str) -> Problem:
    from caxton.definitions.suggestions import closest

    *tables, key = name.split(".")
    model: type[BaseModel] | None = Settings
    for table in tables:
        model = _section(model, table) if model else None
    meant = closest(key, model.model_fields) if model else None
    hint = f'did you mean "{variable(".".join([*tables, meant]))}"?' if meant else None
    return Problem(file=origin, width=0, message=f'unknown setting "{name}"', hint=hint, path=name)


def _inconsistencies(settings: Settings, origins: Mapping[str, str]) -> Iterator[Problem]:
    """Values that are right by themselves, but not together."""
    temporal = settings.temporal
    references = {"temporal": temporal, "memory.embedder": settings.memory.embedder}
    references |= {f"channels.{name}": channel for name, channel in settings.channels.items()}
    for name, section in references.items():
        for key in ("api_key", "secret"):
            if getattr(section, key, None) and getattr(section, f"{key}_env", None):
                yield _together(f"{name}.{key}", f"and {key}_env say the same; give one of them", origins)
    if settings.store.password and not settings.store.url:
        yield _together("store.password", "needs store.url as well", origins)
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(temporal, name) and not getattr(temporal, other):
            yield _together(f"temporal.{name}", f"needs temporal.{other} as well", origins)
    if not temporal.tls:
        for name in ("tls_ca", "tls_cert"):
            if getattr(temporal, name):
                yield _together(f"temporal.{name}", "needs temporal.tls = true", origins)


def _together(name: str, message: str, origins: Mapping[str, str]) -> Problem:
    return Problem(file=_origin(name, origins), width=0, message=f"{name} {message}", path=name)


def _invalid(problems: list[Problem]) -> InvalidSettings:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidSettings(
        f"{first.file}: {first.message}{more}",
        details={"problems": [problem.model_dump(exclude_none=True) for problem in problems]},
    )


# --- names and tables ------------------------------------------------------------------------------------------------


def _section(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _annotation(path: Path) -> Any:
    model: type[BaseModel] | None = Settings
    *tables, key = path
    for table in tables:
        model = _section(model, table) if model else None
    field = model.model_fields.get(key) if model else None
    return field.annotation if field else None


def _is_secret(name: str) -> bool:
    if name.rpartition(".")[2] in ("api_key", "api_key_env", "secret", "secret_env", "password", "keys"):
        return True
    annotation = _annotation(tuple(name.split(".")))
    return SecretStr in (annotation, *get_args(annotation))


def _is_path(path: Path) -> bool:
    def mentions(annotation: Any) -> bool:
        return annotation is FilePath or any(mentions(part) for part in get_args(annotation))

    return mentions(_annotation(path))


def _below(folder: FilePath, value: Any) -> Any:
    """Paths in a file count from the file's folder."""
    if isinstance(value, list):
        return [_below(folder, entry) for entry in cast("list[Any]", value)]
    return str(folder / FilePath(value).expanduser()) if isinstance(value, str) else value


def _origin(name: str, origins: Mapping[str, str]) -> str:
    return origins.get(name, "default")


def _put(values: dict[str, Any], path: Path, value: Any) -> None:
    *tables, key = path
    for table in tables:
        values = values.setdefault(table, {})
    values[key] = value


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        present = below.get(key)
        if isinstance(present, dict) and isinstance(value, Mapping):
            _merge(cast("dict[str, Any]", present), cast("Mapping[str, Any]", value))
        else:
            below[key] = value


def own_settings(settings: Settings) -> dict[str, Any]:
    """Settings that are not the default, secrets masked: what an audit wants to know of a server's start."""
    default = flatten(Settings().model_dump(mode="json"))
    found = flatten(settings.model_dump(mode="json"))
    named = {".".join(path): value for path, value in found.items() if default.get(path) != value}
    return {name: mask(name, value) for name, value in named.items()}
