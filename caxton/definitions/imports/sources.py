"""Where values stand in the files that are imported: what is wrong is told by their own keys and lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file."""

    file: str
    path: str
    """The dotted path of the value, such as "agents.root.toolsets.0"; empty for the whole file."""
    line: int | None
    """From 1; None if it is not known."""

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        return f"{self.file}{line}{f': {self.path}' if self.path else ''}"


@dataclass(slots=True)
class Sources:
    """The files that are imported."""

    files: dict[str, Any] = field(default_factory=dict[str, Any])
    """What is in each."""
    lines: dict[str, dict[Path, int]] = field(default_factory=dict[str, dict[Path, int]])
    """The line of each value, by file and path."""

    def add(self, file: str, data: Any, text: str) -> None:
        """Takes a file: what is in it, and its text."""
        self.files[file], self.lines[file] = data, _lines(text)

    def of_value(self, value: Any) -> Place | None:
        """Where a value stands; None if it was made here, or stands at several places as `true` and small numbers may."""
        if value is None:
            return None
        found = [(file, path) for file, data in self.files.items() for path, each in _values(data) if each is value]
        if not found or (len(found) > 1 and isinstance(value, (bool, int))):
            return None
        return self._place(*found[0])

    def of_path(self, dotted: str) -> Place | None:
        """Where the value of a dotted path stands, or what it is a part of."""
        wanted = tuple(dotted.split(".")) if dotted else ()
        if not wanted and len(self.files) == 1:
            return Place(next(iter(self.files)), "", 1)
        # Readers name what files of CrewAI hold by "agents" and "tasks", which are files of their own.
        for own in (wanted, wanted[1:]):
            for length in range(len(own), 0, -1):
                for file, known in self.lines.items():
                    if (line := known.get(own[:length])) is not None:
                        return Place(file, ".".join(own), line)
        return None

    def _place(self, file: str, path: Path) -> Place:
        return Place(file, ".".join(path), self.lines[file].get(path))


def _values(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, data
    if isinstance(data, dict):
        for key, value in cast("dict[Any, Any]", data).items():
            yield from _values(value, (*path, str(key)))
    elif isinstance(data, list):
        for number, value in enumerate(cast("list[Any]", data)):
            yield from _values(value, (*path, str(number)))


def _lines(text: str) -> dict[Path, int]:
    """The line of each value in YAML, or in JSON, which nearly always is YAML; nothing where that cannot be read here."""
    try:
        yaml: Any = import_module("yaml")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return dict(_marked(yaml, root)) if root is not None else {}
    except (ImportError, RecursionError):
        return {}
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            return {}
        raise


def _marked(yaml: Any, node: Any, path: Path = (), line: int = 1) -> Iterator[tuple[Path, int]]:
    yield path, line
    if len(path) > 50:
        return  # who wrote that has other worries
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _marked(yaml, value, (*path, str(key.value)), key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _marked(yaml, value, (*path, str(number)), value.start_mark.line + 1)
