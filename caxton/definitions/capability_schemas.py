"""Reading and checking the schemas of an agent's capabilities: tables of its file, or JSON files beside it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, Literal, cast

from caxton.definitions.suggestions import did_you_mean
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.definitions.values import unfit_values
from caxton.domain.agents import AgentSpec
from caxton.domain.errors import InvalidInput
from caxton.domain.json_schemas import InvalidSchema, as_json, compiled, cost_of
from caxton.domain.problems import Problem
from caxton.domain.strict_json import read_json

SCHEMA_SUFFIX = ".schema.json"

LARGEST_SCHEMA: Final = 64 << 10
"""Characters of one schema as JSON: models are shown it."""

LARGEST_TOGETHER: Final = 256 << 10
"""Characters of all schemas of an agent, which is kept in memory with them."""

Side = Literal["input", "output"]
SIDES: Final[tuple[Side, ...]] = ("input", "output")


@dataclass(slots=True)
class CapabilitySchemas:
    """The schemas of an agent, and what is wrong with them."""

    files: set[str] = field(default_factory=set[str])
    """Names of the files that they are in."""
    problems: list[Problem] = field(default_factory=list[Problem])
    read: dict[tuple[int, Side], dict[str, Any]] = field(default_factory=dict[tuple[int, Side], dict[str, Any]])
    """By the capability's place in the list."""

    def into(self, spec: AgentSpec) -> AgentSpec:
        """`spec` with its schemas in place of the names of their files."""
        if not self.read:
            return spec
        capabilities = list(spec.capabilities)
        for (index, side), schema in self.read.items():
            capabilities[index] = capabilities[index].model_copy(update={side: schema})
        return spec.model_copy(update={"capabilities": capabilities})


def read_schemas(source: TomlSource, files: Mapping[str, bytes]) -> CapabilitySchemas:
    """The schemas that the agent in `source` names or has in its tables.

    Args:
        source: the agent's file.
        files: content by name of the files in its folder.
    """
    found, size = CapabilitySchemas(), 0
    for index, side, value in _given(source):
        path: Path = ("capabilities", index, side)
        if isinstance(value, str):
            schema = _of_file(found, source, path, value, files)
        else:
            unfit = list(unfit_values(source, path, value))
            found.problems += unfit
            schema = None if unfit else cast("dict[str, Any]", value)
        if schema is None:
            continue
        problem = _wrong(schema)
        size += len(as_json(schema))
        if problem is None and size > LARGEST_TOGETHER:
            problem = f"the schemas of the agent have more than {LARGEST_TOGETHER:,} characters", "make them smaller"
        if problem is not None:
            found.problems.append(source.problem(path, *problem))
        found.read[index, side] = schema
    return found


def _given(source: TomlSource) -> Iterator[tuple[int, Side, Any]]:
    entries: Any = source.data.get("capabilities")
    for index, entry in enumerate(cast("list[Any]", entries) if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            for side in SIDES:
                value = cast("dict[str, Any]", entry).get(side)
                if isinstance(value, str | dict):
                    yield index, side, value


def _of_file(
    found: CapabilitySchemas, source: TomlSource, path: Path, name: str, files: Mapping[str, bytes]
) -> dict[str, Any] | None:
    """The schema in the file `name`; None where there is none, which becomes a problem."""
    if "/" in name or "\\" in name or not name.endswith(SCHEMA_SUFFIX) or name == SCHEMA_SUFFIX:
        hint = 'write its name, such as "order.schema.json", or the schema itself as a table'
        message = f'a schema is in a file beside this one, whose name ends in "{SCHEMA_SUFFIX}"'
        found.problems.append(source.problem(path, message, hint))
        return None
    if name not in files:
        there = [file for file in files if file.endswith(SCHEMA_SUFFIX)]
        hint = did_you_mean(name, there) or "create it beside this file"
        found.problems.append(source.problem(path, f'the schema "{name}" is missing', hint))
        return None
    found.files.add(name)
    if len(files[name]) > 4 * LARGEST_SCHEMA:
        found.problems.append(source.problem(path, f'"{name}" is too large for a schema', "make it smaller"))
        return None
    try:
        value = read_json(files[name], f'"{name}"')
    except InvalidInput as error:
        found.problems.append(source.problem(path, error.message, "correct the file"))
        return None
    if not isinstance(value, dict):
        found.problems.append(source.problem(path, f'"{name}" has no JSON object', "a schema is an object"))
        return None
    return cast("dict[str, Any]", value)


def _wrong(schema: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a schema, and what to do."""
    try:
        text = as_json(schema)
        if len(text) > LARGEST_SCHEMA:
            raise InvalidSchema(f"it has more than {LARGEST_SCHEMA:,} characters")
        if find_spec("jsonschema_rs") is None:  # the command line alone: the server sees the rest
            cost_of(json.loads(text))
        else:
            compiled(text)
    except (InvalidSchema, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return f"this is not a JSON Schema that Caxton can check: {reason}", "correct or simplify it"
    if schema.get("type") != "object":
        return 'the schema of a capability is that of an object, and its "type" is not "object"', 'add: type = "object"'
    return None
