"""Which program a file is of, and what is in it."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from caxton.definitions.imports import crewai, docker_agent, openai_assistant
from caxton.definitions.imports.fields import table
from caxton.definitions.imports.found import Found
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
    texts = {file: _load(file) for file in files}
    try:
        return _read(texts)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"{', '.join(map(str, files))}: not as its program writes it ({type(error).__name__}: {str(error)[:200]})",
            Hint(text=f"what is imported: {_TAKEN}"),
        ) from None


def _read(texts: dict[Path, Any]) -> tuple[str, Found]:
    first, data = next(iter(texts.items()))
    if len(texts) == 1:
        assistants = _assistants(data)
        if assistants is not None:
            return "OpenAI", openai_assistant.read(assistants)
        if _is_docker_agent(data):
            return "Docker Agent", docker_agent.read(data)
        beside = _beside(first)
        if beside is not None:
            texts = {**texts, beside: _load(beside)}
    agents, tasks = dict[str, Any](), dict[str, Any]()
    for data in texts.values():
        for key, about in table(data).items():
            fields: Mapping[str, Any] = table(about)
            if "role" in fields:
                agents[key] = fields
            elif "description" in fields or "expected_output" in fields:
                tasks[key] = fields
            else:
                raise ValueError(f'"{key}" is neither an agent nor a task')
    if not agents:
        raise ValueError("it has no agents")
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


def _load(file: Path) -> Any:
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
    if file.suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{file} is not JSON: {error}") from None
    return _yaml(file, text)


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
