"""What pydantic finds, in the words of somebody who writes TOML.

Pydantic names a model's Python types; here each of its errors becomes a problem at the right characters of the file,
with the fix. Paths in its errors hold parts that the file does not have (the branch of a union, the key of a short
form): they are dropped, and the errors of all branches of one union become one problem.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from caxton.definitions.suggestions import closest, did_you_mean, listed, name_hint
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.domain.ids import NAME_PATTERN
from caxton.domain.problems import Problem, WrongAt
from caxton.domain.quantities import format_duration, format_size

M = TypeVar("M", bound=BaseModel)

_TYPE_NAMES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_KIND_OF_TEXT = re.compile(r"(a \w+) is (.+)")
"""How :mod:`caxton.domain.quantities` says what it reads."""

_SHORT_FORMS = ("Capability", "CapabilityRequest")
"""Models that a plain text can stand for."""

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def validate(model: type[M], source: TomlSource) -> tuple[M | None, list[Problem]]:
    """`source` as a `model`, or all that is wrong with it.

    Types are taken strictly, for TOML has types: a number in quotes is not a number.
    """
    try:
        return model.model_validate(source.data, strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    by_path: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        by_path.setdefault(_known_path(source, detail), []).append(detail)
    misplaced = dict(_misplaced(model, source, by_path))
    problems: list[Problem] = []
    for path, errors in by_path.items():
        if _is_explained(path, errors, by_path):
            continue
        if path in misplaced:
            problems.append(misplaced[path])
        else:
            problems += _problems(model, source, path, errors)
    return None, problems


def misplaced_key(source: TomlSource, path: Path, target: str) -> Problem:
    """The problem of a key that a table header has swallowed, and that belongs above it.

    Args:
        source: the file.
        path: where the key stands.
        target: the key that it was meant to be, at the top of the file.
    """
    table = path[:-1]
    while table and isinstance(table[-1], int) and table not in source.positions.values:
        table = table[:-1]
    span = source.span(table)
    header = source.text[span.start : span.end].partition("\n")[0]
    first = min(_header_starts(source), default=span.start)
    return source.problem(
        path,
        f'"{target}" stands inside {header}',
        f"move it above line {source.line_at(first)}: "
        "what follows a [table] header belongs to that table, up to the next header",
        at="key",
    )


def _header_starts(source: TomlSource) -> Iterator[int]:
    """Where the headers of the file begin."""
    for path, span in source.positions.values.items():
        key = source.positions.keys.get(path)
        if key and span.start < key.start < span.end:  # the key of a header stands inside its brackets
            yield span.start


def _known_path(source: TomlSource, detail: ErrorDetails) -> Path:
    """The error's location without what the file does not have; keys that are missing or unknown stay."""
    kept: list[str | int] = []
    value: Any = source.data
    location = detail["loc"]
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(value, Mapping) and part in value:
            value = cast("Mapping[str | int, Any]", value)[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[part]
        elif not (is_last and detail["type"] == "missing"):
            continue
        kept.append(part)
    return tuple(kept)


def _misplaced(
    model: type[BaseModel], source: TomlSource, by_path: Mapping[Path, Sequence[ErrorDetails]]
) -> Iterator[tuple[Path, Problem]]:
    """Unknown keys of a table that are keys of the file's top."""
    for path, errors in by_path.items():
        name = path[-1] if path else None
        if errors[0]["type"] == "extra_forbidden" and len(path) > 1 and isinstance(name, str):
            inside = _model_at(model, path[:-1])
            if name in model.model_fields and not (inside and closest(name, inside.model_fields)):
                yield path, misplaced_key(source, path, name)


def _is_explained(path: Path, errors: Sequence[ErrorDetails], by_path: Mapping[Path, Sequence[ErrorDetails]]) -> bool:
    """Whether another problem says it better."""
    kind = errors[0]["type"]
    if kind == "missing" and len(path) == 1:
        unknown = [other for other, found in by_path.items() if found[0]["type"] == "extra_forbidden"]
        return any(
            other[-1] == path[-1] or (len(other) == 1 and closest(str(other[-1]), [str(path[-1])])) for other in unknown
        )
    in_union = len(errors) < 2 and len(errors[0]["loc"]) > len(path)
    return (
        kind in _TYPE_NAMES
        and in_union
        and any(other[: len(path)] == path and len(other) > len(path) for other in by_path)
    )


def _problems(
    model: type[BaseModel], source: TomlSource, path: Path, errors: Sequence[ErrorDetails]
) -> Iterator[Problem]:
    expected = [_expected(error) for error in errors if error["type"] in _TYPE_NAMES]
    if len(expected) == len(errors):
        yield _wrong_type(source, path, expected)
        return
    for error in errors:
        if error["type"] not in _TYPE_NAMES:
            yield _problem(model, source, path, error)


def _problem(model: type[BaseModel], source: TomlSource, path: Path, error: ErrorDetails) -> Problem:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    name = _name(path)
    if kind == "missing":
        return _missing(source, path)
    if kind == "extra_forbidden":
        return _unknown_key(model, source, path)
    if kind == "literal_error":
        words = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return source.problem(path, f"{name} must be {listed(words, 'or')}", did_you_mean(str(value), words))
    if kind == "string_pattern_mismatch":
        if context.get("pattern") == NAME_PATTERN:
            return source.problem(path, f'"{_short(value)}" is not a valid name', name_hint(str(value)))
        return source.problem(path, f'{name} may not be "{_short(value)}"', _pattern_hint(context.get("pattern")))
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return source.problem(path, f"{name} must be {words} {_bound(source.get(path), value, context[key])}")
    if kind in ("too_short", "string_too_short"):
        return source.problem(path, f"{name} must not be empty")
    if kind in ("too_long", "string_too_long"):
        unit = "characters" if kind.startswith("string") else "entries"
        return source.problem(path, f"{name} has more than {context['max_length']:,} {unit}".replace(",", " "))
    wrong = context.get("error")
    if isinstance(wrong, WrongAt):
        return source.problem((*path, *wrong.place), str(wrong), wrong.fix)
    text = str(context["error"]) if kind == "value_error" and "error" in context else error["msg"]
    if found := _KIND_OF_TEXT.match(text):
        return source.problem(path, f'{name} must be {found[1]}, not "{_short(value)}"', f"write {found[2]}")
    message, separator, hint = text.partition("; write ")
    path = _entry_meant(source, path, message)
    return source.problem(path, message, f"write {hint}" if separator else None)


def _missing(source: TomlSource, path: Path) -> Problem:
    key, table = str(path[-1]), path[:-1]
    example = _EXAMPLES.get(key, '"…"')
    if not table:
        message, hint = f'"{key}" is missing', f"add: {key} = {example}"
        return Problem(file=source.file, width=0, message=message, hint=hint, path=key)
    span = source.span(table)
    header = source.text[span.start : span.end].partition("\n")[0]
    return source.problem(table, f'"{key}" is missing in {header}', f"add: {key} = {example}")


def _unknown_key(model: type[BaseModel], source: TomlSource, path: Path) -> Problem:
    key = str(path[-1])
    parent = _model_at(model, path[:-1]) or model
    taken = set(_keys(source.get(path[:-1])))
    guess = closest(key, [field for field in parent.model_fields if field not in taken])
    hint = f'did you mean "{guess}"?' if guess else None
    if hint is None:
        table = next((name for name, inner in _tables(parent) if key in inner.model_fields), None)
        if table:
            hint = f"it belongs into the table [{'.'.join([*map(str, path[:-1]), table])}]"
    if hint is None:
        known = sorted(field for field in parent.model_fields if field not in taken)
        hint = f"known keys are {listed(known)}" if known else None
        if len(path) == 1 and "parameters" in parent.model_fields:
            hint = "values of your own belong into the table [parameters]"
    return source.problem(path, f'unknown key "{key}"', hint, at="key")


def _wrong_type(source: TomlSource, path: Path, expected: Sequence[str]) -> Problem:
    value = source.get(path)
    wanted = [word for word in dict.fromkeys(expected) if word != "a whole number" or "a number" not in expected]
    joined = wanted[0] if len(wanted) == 1 else f"{', '.join(wanted[:-1])} or {wanted[-1]}"
    span = source.span(path)
    raw = source.text[span.start : span.end]
    return source.problem(path, f"{_name(path)} must be {joined}, not {_kind(value)}", _type_hint(value, raw, wanted))


def _type_hint(value: Any, raw: str, wanted: Sequence[str]) -> str | None:
    """How to write `value`, which stands in the file as `raw`, so that it has the type that is wanted."""
    if isinstance(value, (date, time)) or ("text" in wanted and isinstance(value, (bool, int, float))):
        return f'put it in quotes: "{raw}"'
    if not isinstance(value, str):
        return None
    if "a list" in wanted:
        return f"write a list: [{raw}]" if "\n" not in raw else "write a list: […]"
    is_bool = value in ("true", "false") and "true or false" in wanted
    if is_bool or (_is_number(value) and any("number" in word for word in wanted)):
        return f"write it without quotes: {value}"
    return None


def _expected(error: ErrorDetails) -> str:
    if error["type"] == "model_type" and error.get("ctx", {}).get("class_name") in _SHORT_FORMS:
        return "text or a table"
    return _TYPE_NAMES[error["type"]]


def _kind(value: Any) -> str:
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a decimal number"),
        (str, "text"),
        (datetime, "a date and time"),
        (date, "a date"),
        (time, "a time"),
        (list, "a list"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), "a table")


def _name(path: Path) -> str:
    if path and isinstance(path[-1], int):
        return f"entry {path[-1] + 1} of {_name(path[:-1])}"
    return f'"{path[-1]}"' if path else "the file"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _bound(written: Any, value: Any, bound: Any) -> str:
    """A limit, and the value that it is compared with, in the unit in which the file has it."""
    if isinstance(written, str):
        limit = format_size(int(bound)) if isinstance(value, int) else format_duration(float(bound))
        return f'{limit}, not "{_short(written)}"'
    return f"{_number(bound)}, not {_number(value)}"


def _entry_meant(source: TomlSource, path: Path, message: str) -> Path:
    """The entry of the list at `path` that the message begins with, if there is one: validators see the whole list."""
    value = source.get(path)
    for index, entry in enumerate(cast("list[Any]", value) if isinstance(value, list) else []):
        if isinstance(entry, str) and message.startswith(f'"{entry}"'):
            return (*path, index)
    return path


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) and abs(value) < 1e6 else str(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _pattern_hint(pattern: Any) -> str | None:
    return "begin it with /" if pattern == r"^/" else None


def _keys(value: Any) -> list[str]:
    return [str(key) for key in cast("Mapping[str, Any]", value)] if isinstance(value, Mapping) else []


def _tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The fields of `model` that are tables, and not lists of tables."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield name, info.annotation


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model that describes the table at `path`."""
    current: type[BaseModel] | None = model
    in_mapping = False
    for part in path:
        if isinstance(part, int):
            continue
        if in_mapping:  # the user's own name for a table, such as that of a channel
            in_mapping = False
            continue
        info = current.model_fields.get(part) if current else None
        current = _inner_model(info.annotation) if info else None
        in_mapping = info is not None and get_origin(info.annotation) is dict
    return current


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, dict, Annotated, Union, UnionType):
        return next((found for found in map(_inner_model, get_args(annotation)) if found), None)
    return None


_EXAMPLES = {
    "name": '"my-name"',
    "version": '"1.0.0"',
    "capabilities": '["do-something"]',
    "module": '"module.wasm"',
    "rules": "[…]",
    "steps": '[{ reply = "…" }]',
    "at": '"/data"',
    "path": '"data"',
}
