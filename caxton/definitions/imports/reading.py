"""Which program a file is of, and what is in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from caxton.definitions.imports import crewai, docker_agent, openai_assistant
from caxton.definitions.imports.fields import WrongFieldError, table
from caxton.definitions.imports.found import Found
from caxton.definitions.imports.sources import Sources
from caxton.domain.encodings import decoded
from caxton.domain.errors import Hint, InvalidInput, UsageError

LARGEST: Final = 4 << 20
"""Bytes of a file that is imported."""

MOST_ALIASES: Final = 20
"""Aliases of a YAML file."""

_TASKS: Final = ("tasks.yaml", "tasks.yml")
_AGENTS: Final = ("agents.yaml", "agents.yml")
_TAKEN: Final = (
    "a file of Docker Agent (with `agents`), of CrewAI (agents.yaml, tasks.yaml), or an OpenAI assistant as JSON"
)


def read_files(files: Sequence[Path]) -> tuple[str, Found]:
    """What is in files, and whose they are: "Docker Agent", "CrewAI" or "OpenAI".

    Raises:
        UsageError: one cannot be read.
        InvalidInput: they are of no program that is known, or not as that writes them.
    """
    sources = Sources()
    try:
        program, found = _read({file: _load(file, sources) for file in files}, sources)
    except WrongFieldError as error:
        place = sources.of_value(error.value) or ", ".join(map(str, files))
        raise InvalidInput(f"{place}: {error}", Hint(text=f"what is imported: {_TAKEN}")) from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InvalidInput(
            f"{', '.join(map(str, files))}: not as its program writes it", Hint(text=f"what is imported: {_TAKEN}")
        ) from None
    found.sources = sources
    found.notes = [
        replace(each, line=place.line) if (place := sources.of_path(each.where)) is not None else each
        for each in found.notes
    ]
    return program, found


def _read(texts: dict[Path, Any], sources: Sources) -> tuple[str, Found]:
    first, data = next(iter(texts.items()))
    if len(texts) == 1:
        assistants = _assistants(data)
        if assistants is not None:
            return "OpenAI", openai_assistant.read(assistants)
        if _is_docker_agent(data):
            return "Docker Agent", docker_agent.read(data)
        beside = _beside(first)
        if beside is not None:
            texts = {**texts, beside: _load(beside, sources)}
    agents, tasks = dict[str, Any](), dict[str, Any]()
    for data in texts.values():
        for key, about in table(data).items():
            fields: Mapping[str, Any] = table(about)
            if "role" in fields:
                agents[key] = fields
            elif "description" in fields or "expected_output" in fields:
                tasks[key] = fields
            else:
                place = sources.of_value(about) or first
                raise InvalidInput(
                    f"{place}: neither an agent, which has a `role`, nor a task, which has a `description`",
                    Hint(text=f"what is imported: {_TAKEN}"),
                )
    if not agents:
        raise InvalidInput(f"{first}: it has no agents", Hint(text=f"what is imported: {_TAKEN}"))
    return "CrewAI", crewai.read(agents, tasks)


def _beside(file: Path) -> Path | None:
    """The other one of CrewAI\'s two files."""
    others = _TASKS if file.name in _AGENTS else _AGENTS if file.name in _TASKS else ()
    return next((found for name in others if (found := file.with_name(name)).is_file()), None)


def _is_docker_agent(data: Any) -> bool:
    agents: Any = cast("dict[str, Any]", data).get("agents") if isinstance(data, dict) else None
    if not isinstance(agents, dict) or not agents:
        return False
    return all(isinstance(each, dict) and "role" not in each for each in cast("dict[str, Any]", agents).values())


def _assistants(data: Any) -> list[Mapping[str, Any]] | None:
    """The assistants that a file has; None if it has none."""
    if not isinstance(data, dict):
        return None
    given = cast("dict[str, Any]", data)
    if given.get("object") == "assistant" or ("instructions" in given and "model" in given):
        return [given]
    entries: Any = given.get("data")
    if given.get("object") == "list" and isinstance(entries, list):
        return [table(each) for each in cast("list[Any]", entries)]
    return None


def _load(file: Path, sources: Sources) -> Any:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {(error.strerror or '').lower()}") from None
    if len(content) > LARGEST:
        raise InvalidInput(f"{file} is too large to be a file of agents", Hint(text=f"what is imported: {_TAKEN}"))
    try:
        text = decoded(content)
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text") from None
    data = _json(file, text) if file.suffix == ".json" else _yaml(file, text)
    sources.add(str(file), data, text)
    return data


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{file}, line {error.lineno}, is not JSON: {error.msg.lower()}") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{file} is not JSON that can be read") from None


def _yaml(file: Path, text: str) -> Any:
    from caxton.domain.extras import require

    require("import")
    yaml: Any = import_module("yaml")
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader))
        if aliases > MOST_ALIASES:  # a few, one in another, stand for a text of any length
            raise InvalidInput(f"{file} has more than {MOST_ALIASES} aliases (*name)", "write out what they stand for")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InvalidInput(
            f"{file} is not YAML{place}: {getattr(error, 'problem', None) or 'it cannot be read'}"
        ) from None
