"""The lines of an export of memories: a header, memories and relations with a mark after each page, an end.

Vectors are not part of it: an import makes them again. Format 1.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from caxton.domain.errors import InvalidInput
from caxton.domain.given import in_utc, is_id
from caxton.domain.json_text import json_line
from caxton.domain.memory import Entity, Relation, check_entity, check_json
from caxton.domain.strict_json import read_json

FORMAT = 1
"""Version of the lines."""

LONGEST_PROVENANCE = 200
"""Characters of each part of where a memory comes from."""

PIECE_LINES = 1_000
PIECE_BYTES = 1 << 20
"""Lines, and bytes, of an import that are sent at once."""


@dataclass
class Parsed:
    """What lines of an export hold."""

    entities: list[Entity] = field(default_factory=list[Entity])
    relations: list[Relation] = field(default_factory=list[Relation])
    relation_lines: list[int] = field(default_factory=list[int])
    """The number of each relation's line."""
    ended: bool = False


@dataclass(frozen=True)
class Piece:
    """A part of an export that is one by itself."""

    content: bytes
    numbers: Sequence[int]
    """Of its lines, without the first and the last, within the whole."""

    def line_of_whole(self, number: int) -> int:
        """Which line of the whole the one of that number is."""
        return self.numbers[number - 2]


def header(embedder: str) -> bytes:
    """The first line."""
    return line({"caxton": "memory", "format": FORMAT, "embedder": embedder})


def page(entities: Sequence[Entity], relations: Sequence[Relation]) -> bytes:
    """The lines of some memories with the relations that begin at them, and a mark from which an export can be resumed."""
    lines = [line({"entity": entity.model_dump(mode="json")}) for entity in entities]
    lines += [line({"relation": relation.model_dump(mode="json")}) for relation in relations]
    return b"".join([*lines, line({"page": entities[-1].id})])


def end() -> bytes:
    """The last line."""
    return line({"end": True})


def line(data: Mapping[str, Any]) -> bytes:
    """One line."""
    return json_line(data).encode() + b"\n"


def resume_point(lines: Iterable[str]) -> tuple[int, str | None]:
    """Where a part of an export can be gone on with: characters to keep, and the memory that it is complete up to."""
    kept, count, after = 0, 0, None
    for each in lines:
        count += len(each)
        if each.startswith('{"page":') and each.endswith("}\n"):
            kept, after = count, str(json.loads(each)["page"])
    return kept, after


def parse(lines: Iterable[str]) -> Parsed:
    """What the lines hold.

    Raises:
        InvalidInput: a line is not what an export writes, or the export is of a newer version.
    """
    found = Parsed()
    for number, each in _read(lines):
        if isinstance(each, Entity):
            found.entities.append(each)
        elif isinstance(each, Relation):
            found.relations.append(each)
            found.relation_lines.append(number)
        else:
            found.ended = True
    return found


def check_whole(lines: Iterable[str]) -> int:
    """Reads an export to its end and returns how many memories it has.

    Raises:
        InvalidInput: it is not an export, or it was cut off, or a line is not what an export writes.
    """
    count, ended = 0, False
    for _, each in _read(lines):
        count += isinstance(each, Entity)
        ended = each is None
    if not ended:
        raise InvalidInput("the file was cut off: its last line is missing", "nothing was taken; export it again")
    return count


def pieces(read: Callable[[], Iterable[str]]) -> Iterator[Piece]:
    """An export in parts that can be imported one by one: memories first, for relations need those at both their ends.

    Args:
        read: gives the lines from the first on; they are read twice. :func:`check_whole` has found nothing wrong with them.
    """
    for wanted in ("entity", "relation"):
        first, size = "", 0
        numbers: list[int] = []
        part: list[str] = []
        for number, text in enumerate(read(), 1):
            if not text.strip():
                continue
            if not first:
                first = text
                continue
            data = json.loads(text)
            if "end" in data:
                break
            if wanted not in data:
                continue
            numbers.append(number)
            part.append(text)
            size += len(text)
            if len(part) >= PIECE_LINES or size >= PIECE_BYTES:
                yield _piece(first, part, numbers)
                numbers, part, size = [], [], 0
        if part:
            yield _piece(first, part, numbers)


def _piece(first: str, part: Sequence[str], numbers: Sequence[int]) -> Piece:
    lines = [each if each.endswith("\n") else each + "\n" for each in (first, *part)]
    return Piece("".join(lines).encode() + end(), numbers)


def _read(lines: Iterable[str]) -> Iterator[tuple[int, Entity | Relation | None]]:
    """The number of each line and what it holds; None for the last."""
    numbered = ((number, text) for number, text in enumerate(lines, 1) if text.strip())
    first = next(numbered, None)
    if first is None:
        return
    _check_header(first[1])
    for number, text in numbered:
        try:
            data = read_json(text, "it")
            if "entity" in data:
                yield number, _checked(Entity.model_validate(data["entity"]))
            elif "relation" in data:
                yield number, _checked_relation(Relation.model_validate(data["relation"]))
            elif data.get("end"):
                yield number, None
                _check_nothing_follows(numbered)
                return
            elif "page" not in data:
                raise ValueError("unknown")
        except InvalidInput as error:
            raise InvalidInput(
                f"line {number}: {error.message}",
                "nothing of it was taken; if the file was cut off or changed, export it again",
            ) from None
        except (ValueError, ValidationError, AttributeError, TypeError, RecursionError):
            raise InvalidInput(
                f"line {number} is nothing that an export writes",
                "nothing of it was taken; if the file was cut off or changed, export it again",
            ) from None


def _check_nothing_follows(numbered: Iterator[tuple[int, str]]) -> None:
    behind = next(numbered, None)
    if behind is not None:
        raise InvalidInput(
            f"line {behind[0]} comes after the end of the export",
            "nothing of it was taken; import several exports one after another",
        )


def _check_header(text: str) -> None:
    try:
        data = json.loads(text)
        version = data["format"] if data["caxton"] == "memory" else None
    except (ValueError, TypeError, KeyError, RecursionError):
        version = None
    if not isinstance(version, int) or version < 1:
        raise InvalidInput("this is not an export of memories", "nothing was taken")
    if version > FORMAT:
        raise InvalidInput(
            f"the file is of a newer version of Caxton (format {version})", "upgrade first; nothing was taken"
        )


def _checked(entity: Entity) -> Entity:
    if not entity.id.startswith("mem_") or len(entity.id) > 64 or not is_id(entity.id):
        raise ValueError("no id of a memory")
    if any(len(text) > LONGEST_PROVENANCE for text in entity.provenance.model_dump(exclude_none=True).values()):
        raise ValueError("no provenance")
    check_entity(entity)
    times = {
        "created_at": _time(entity.created_at),
        "updated_at": _time(entity.updated_at),
        "last_accessed": _time(entity.last_accessed) if entity.last_accessed else None,
    }
    return entity.model_copy(update=times)


def _checked_relation(relation: Relation) -> Relation:
    if not all(len(each) <= 64 and is_id(each) for each in (relation.id, relation.source, relation.target)):
        raise ValueError("no id")
    check_json(relation.properties, "properties")
    return relation.model_copy(update={"created_at": _time(relation.created_at)})


def _time(time: datetime) -> datetime:
    """In UTC; an export has no time without a zone."""
    return in_utc(time if time.tzinfo else time.replace(tzinfo=UTC))
