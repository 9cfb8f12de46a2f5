"""JSON Schemas that a tool or an agent declares: whether they can be used, and what does not fit.

A schema is a stranger's: it could point at a file or an address (references are followed inside the schema only),
hide a value in an error message (values are masked), or take exponential time (its cost is counted first).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol, cast

MAX_DEPTH: Final = 64
"""Levels of nesting in any JSON that is checked. (jsonschema-rs refuses 200.)"""

SCHEMA_LIMIT: Final = 256 << 10
"""Characters of one schema as JSON."""

WORK_LIMIT: Final = 20_000_000
"""Subschemas times values that one check may take: about 0.4 s at the 18 ns that jsonschema-rs needs for one."""

PATTERN_LIMIT: Final = 200
"""Regular expressions in one schema."""

VIOLATION_LIMIT: Final = 50
"""Violations that one error lists."""

_BACKTRACKS: Final = 10_000
"""Steps that a regular expression with look-around may take; others run in linear time."""

_PATTERN_SIZE: Final = 1 << 20
"""Bytes of one compiled regular expression."""

_BELOW: Final = frozenset(
    {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames"}
    | {"items", "additionalItems", "prefixItems", "contains", "unevaluatedItems"}
)
"""Keywords that apply to what is inside the value, so that a reference back to the start ends with the value."""

_DATA: Final = frozenset({"const", "enum", "default", "examples", "required", "$defs", "definitions", "$comment"})
"""Keywords that hold data, or schemas that apply only where a reference names them."""


class InvalidSchema(ValueError):
    """A schema that cannot be used; the message says why."""


class CheckTooExpensive(InvalidSchema):
    """A check took more time or memory than it may."""


class Malformed(ValueError):
    """A text or value is not what it should be; the message says where, never what it was (it may be a user's data)."""


class Violation(Protocol):
    """What is read of jsonschema-rs's ValidationError."""

    message: str
    instance_path: list[str | int]


class Validator(Protocol):
    """What is used of jsonschema-rs's validators."""

    def is_valid(self, instance: Any) -> bool:
        """Whether `instance` fits."""
        ...

    def iter_errors(self, instance: Any) -> Iterator[Violation]:
        """Everything in which it does not fit."""
        ...


def measure(value: Any) -> int:
    """The number of values in `value`, itself included.

    Raises:
        Malformed: it is nested deeper than MAX_DEPTH levels.
    """
    count, level = 0, [value]
    for _ in range(MAX_DEPTH):
        count += len(level)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(cast("dict[str, Any]", item).values())
            elif isinstance(item, list):
                below.extend(cast("list[Any]", item))
        if not below:
            return count
        level = below
    raise Malformed(f"it is nested deeper than {MAX_DEPTH} levels")


class _Cost:
    """Counts how many subschemas may be applied to one value and to what is inside it along one path.

    Without it, 30 definitions of which each refers twice to the next would take 2^30 steps. Properties count once,
    because each value inside has one name; everything else adds up. A reference back to an enclosing schema is
    followed as deep as a value can be.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}
        self._open: set[tuple[int, int]] = set()
        self._patterns = 0

    def of_root(self) -> int:
        """The cost of the whole schema.

        Raises:
            InvalidSchema: it is too high, or a reference leads nowhere, outside or in circles.
        """
        return self._of(self._root, MAX_DEPTH)

    def _of(self, schema: Any, levels: int) -> int:
        """The cost of `schema` for a value with `levels` levels below it."""
        if not isinstance(schema, dict) or levels <= 0:
            return 1
        key = (id(cast("object", schema)), levels)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            raise InvalidSchema('a "$ref" leads back to itself without going into the value')
        self._open.add(key)
        total = 1
        for keyword, value in cast("dict[str, Any]", schema).items():
            total += self._of_keyword(keyword, value, levels) if keyword not in _DATA else _size(keyword, value)
        if total > WORK_LIMIT:
            raise InvalidSchema("checking it would take too long: its references multiply")
        self._open.discard(key)
        self._known[key] = total
        return total

    def _of_keyword(self, keyword: str, value: Any, levels: int) -> int:
        if keyword in ("pattern", "patternProperties"):
            self._patterns += len(cast("dict[str, Any]", value)) if isinstance(value, dict) else 1
            if self._patterns > PATTERN_LIMIT:
                raise InvalidSchema(f"it has more than {PATTERN_LIMIT} regular expressions")
        if keyword == "$ref":
            return self._of(self._target(value), levels)
        if keyword in ("$dynamicRef", "$recursiveRef"):
            raise InvalidSchema(f'"{keyword}" is not supported; use "$ref"')
        if keyword == "$id" and value != self._root.get("$id"):
            raise InvalidSchema('"$id" is supported at the top only')
        levels -= keyword in _BELOW
        if isinstance(value, dict):
            mapping = cast("dict[str, Any]", value)
            if keyword == "properties":
                return max((self._of(item, levels) for item in mapping.values()), default=0)
            if keyword in ("patternProperties", "dependentSchemas"):
                return sum(self._of(item, levels) for item in mapping.values())
            return self._of(mapping, levels)
        if isinstance(value, list):
            return sum(self._of(item, levels) for item in cast("list[Any]", value))
        return 0

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise InvalidSchema('a "$ref" must name a place in the same schema, such as "#/$defs/point"')
        place: Any = self._root
        for step in reference[2:].split("/") if len(reference) > 1 else []:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, list) and name.isascii() and name.isdigit():
                items = cast("list[Any]", place)
                place = items[int(name)] if int(name) < len(items) else None
            else:
                place = cast("dict[str, Any]", place).get(name) if isinstance(place, dict) else None
            if place is None:
                raise InvalidSchema(f'"$ref": "{reference[:100]}" leads nowhere')
        return place


def _size(keyword: str, value: Any) -> int:
    """What a keyword costs that a value is compared with."""
    return measure(value) if keyword in ("const", "enum", "required") else 0


def compiled(schema: str) -> tuple[Validator, int]:
    """The validator of a schema (as JSON), and what it costs a value.

    Raises:
        InvalidSchema: it is not valid, refers outside itself, or costs too much.
    """
    import jsonschema_rs

    check_size(schema)
    value = json.loads(schema)
    cost = cost_of(value)
    try:
        validator = jsonschema_rs.validator_for(
            value,
            offline=True,
            mask="the value",
            pattern_options=jsonschema_rs.FancyRegexOptions(
                backtrack_limit=_BACKTRACKS, size_limit=_PATTERN_SIZE, dfa_size_limit=_PATTERN_SIZE
            ),
        )
    except RecursionError:
        raise InvalidSchema("it is nested too deeply") from None
    except ValueError as error:  # jsonschema-rs's ValidationError is one
        place = "".join(f"/{step}" for step in getattr(error, "instance_path", ()))[:200]
        told = str(error).partition("\n")[0][:500]
        raise InvalidSchema(f"{place}: {told}" if place else told) from None
    return cast("Validator", validator), cost


def cost_of(schema: dict[str, Any]) -> int:
    """What a check against `schema` costs a value: subschemas that are applied to it.

    Raises:
        InvalidSchema: too much, or a reference leads nowhere, outside or in circles.
    """
    try:
        return _Cost(schema).of_root()
    except (RecursionError, Malformed):
        raise InvalidSchema("it is nested too deeply") from None


def check_size(schema: str) -> None:
    """Checks how long a schema is.

    Raises:
        InvalidSchema: too long.
    """
    if len(schema) > SCHEMA_LIMIT:
        raise InvalidSchema(f"it has more than {SCHEMA_LIMIT:,} characters")


def violations(validator: Validator, cost: int, value: Any, limit: int = WORK_LIMIT) -> list[dict[str, str]] | None:
    """In what `value` does not fit; None if checking it takes more steps than `limit`.

    Raises:
        Malformed: the value is nested too deeply.
    """
    if measure(value) * cost > limit:
        return None
    if validator.is_valid(value):
        return []
    found: list[dict[str, str]] = []
    for violation in validator.iter_errors(value):
        if len(found) == VIOLATION_LIMIT:
            break
        path = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in violation.instance_path)
        found.append({"path": path, "message": violation.message[:500]})
    return found


def as_json(schema: Mapping[str, Any]) -> str:
    """A schema as the text by which it is known."""
    return json.dumps(schema, separators=(",", ":"))
