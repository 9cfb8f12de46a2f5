"""Questions that the MCP server of a tool asks a person during a call (*elicitation*), and their answers.

A question is an approval: a row, an event, a decision by whoever may decide. The call that asked ends unanswered, so that nothing
has to be kept open while people think, and is made again with the answer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from caxton.domain.deceptive import revealed, revealed_json
from caxton.domain.ids import ExecutionId, derived_id, digest_of

QUESTION: Final = "question"
"""What events and lists call the action."""

MOST_QUESTIONS: Final = 10
"""Questions of one call; a server that asks on and on is told that nobody can be asked."""

LONGEST_QUESTION: Final = 6_000
"""Bytes of a question with its form."""

MOST_FIELDS: Final = 50
LONGEST_ANSWER: Final = 10_000
"""Characters of one text of an answer."""

_WORDS: Final = frozenset({"title", "description"})
_TYPES: Final = ("string", "number", "integer", "boolean", "array")  # no set: what is compared with them may be a list
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")


class Elicitation(BaseModel):
    """A question as the server asked it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["form", "url"] = "form"
    message: str
    form: dict[str, Any] | None = None
    """The JSON Schema of what is to be filled in: an object of texts, numbers, yes or no, and choices."""
    url: str | None = None
    """The page that the person has to visit, in the mode "url"."""

    @property
    def digest(self) -> str:
        """Tells it from other questions. The same question has the same answer when the call is made again."""
        return digest_of(json.dumps(self.model_dump(include=set(Elicitation.model_fields)), sort_keys=True).encode())


class Question(Elicitation):
    """A question that waits for a person: the content of its approval."""

    number: int
    """Counted from 1 among those of one call."""

    def text(self) -> str:
        """What an approver reads; what deceives the eye is escaped, and means the same."""
        return revealed_json(json.dumps(self.model_dump(exclude_none=True), ensure_ascii=False, indent=2))

    def shown(self) -> "Question":
        """The question with what deceives the eye shown, in its words and in the address of its page."""
        return self.model_copy(
            update={
                "message": revealed(self.message),
                "form": None if self.form is None else _revealed(self.form),
                "url": None if self.url is None else _page(self.url),
            }
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said to a question."""

    digest: str
    """Of the question."""
    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, Any] | None = None


def question_id(execution_id: ExecutionId, step: int, call: int, number: int) -> str:
    """The approval that a question of a call is: the same after any crash."""
    return derived_id("ap", execution_id, str(step), str(call), QUESTION, str(number))


def question_in(content: str) -> Question | None:
    """The question that is the content of an approval; None where it is something else."""
    if not content.startswith("{"):
        return None
    try:
        return Question.model_validate_json(content)
    except ValidationError:
        return None


def elicitation_of(params: Mapping[str, Any]) -> Elicitation | None:
    """The question that parameters of `elicitation/create` are; None where no person could be shown it."""
    mode, message = params.get("mode") or "form", params.get("message")
    if not isinstance(message, str):
        return None
    if mode == "url":
        url = params.get("url")
        if not isinstance(url, str) or _scheme(url) not in ("http", "https"):
            return None
        found = Elicitation(mode="url", message=message, url=url)
    else:
        form = params.get("requestedSchema")
        if mode != "form" or not isinstance(form, dict) or not _is_form(cast("dict[str, Any]", form)):
            return None
        found = Elicitation(message=message, form=cast("dict[str, Any]", form))
    return found if len(found.model_dump_json().encode()) <= LONGEST_QUESTION else None


def filled(question: Elicitation, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """An answer to a question: what was `given`, with the defaults of the form.

    Raises:
        ValueError: it does not fit the form, and how.
    """
    if question.form is None:
        if given:
            raise ValueError("this question has no form: visit its page, and grant it without arguments")
        return {}
    properties = cast("dict[str, dict[str, Any]]", question.form.get("properties") or {})
    strange = sorted(set(given or {}) - set(properties))
    if strange:
        raise ValueError(f'the form has no field "{strange[0][:100]}"; it has {_named(list(properties))}')
    answer = {name: field["default"] for name, field in properties.items() if "default" in field} | dict(given or {})
    needed = cast("list[str]", question.form.get("required") or [])
    missing = [name for name in needed if name not in answer]
    if missing:
        raise ValueError(f"the answer lacks {_named(missing)}")
    for name, value in answer.items():
        wrong = _wrong(properties[name], value)
        if wrong is not None:
            raise ValueError(f'"{name}" has to be {wrong}')
    return answer


def example_of(question: Elicitation) -> str:
    """An answer as JSON, to show how one is written."""
    properties = cast("dict[str, dict[str, Any]]", (question.form or {}).get("properties") or {})
    needed = question.form.get("required") if question.form else None
    return json.dumps({name: _example(properties[name]) for name in needed or list(properties)[:3]}, ensure_ascii=False)


def _scheme(url: str) -> str | None:
    """The scheme of a URL with a host; None where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme if parts.hostname else None


def _is_form(form: Mapping[str, Any]) -> bool:
    properties, required = form.get("properties", {}), form.get("required", [])
    if form.get("type", "object") != "object" or not isinstance(properties, dict) or not isinstance(required, list):
        return False
    fields = cast("dict[str, Any]", properties)
    names = list(fields)  # no table: what is looked for may be a list
    if len(fields) > MOST_FIELDS or not all(name in names for name in cast("list[Any]", required)):
        return False
    return all(isinstance(each, dict) and _is_field(cast("dict[str, Any]", each)) for each in fields.values())


def _is_field(field: Mapping[str, Any]) -> bool:
    if field.get("type") not in _TYPES:
        return False
    choices = field.get("items") if field["type"] == "array" else field
    if not isinstance(choices, dict):
        return False
    limits = [field.get(name) for name in ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")]
    if any(each is not None and (isinstance(each, bool) or not isinstance(each, int | float)) for each in limits):
        return False
    for name in ("enum", "oneOf", "anyOf"):
        if not isinstance(cast("dict[str, Any]", choices).get(name, []), list):
            return False
    return field["type"] != "array" or _choices(cast("dict[str, Any]", choices)) is not None


def _choices(field: Mapping[str, Any]) -> list[str] | None:
    """What may be chosen; None where anything may be written."""
    if "enum" in field:
        return [str(each) for each in field["enum"]]
    for name in ("oneOf", "anyOf"):
        if name in field:
            options = cast("Sequence[Any]", field[name])
            return [str(cast("dict[str, Any]", each).get("const")) for each in options if isinstance(each, dict)]
    return None


def _wrong(field: Mapping[str, Any], value: object) -> str | None:
    """What a value has to be that it is not; None where it is right."""
    kind = field["type"]
    if kind == "boolean":
        return None if isinstance(value, bool) else "true or false"
    if kind in ("number", "integer"):
        return _wrong_number(field, value)
    if kind == "array":
        return _wrong_choices(field, value)
    if not isinstance(value, str):
        return "a text"
    choices = _choices(field)
    if choices is not None:
        return None if value in choices else f"one of {_named(choices)}"
    least, most = int(field.get("minLength", 0)), min(int(field.get("maxLength", LONGEST_ANSWER)), LONGEST_ANSWER)
    if not least <= len(value) <= most:
        return f"a text of {least:,} to {most:,} characters"
    return None if _has_format(field.get("format"), value) else f"a text in the format {field['format']}"


def _wrong_number(field: Mapping[str, Any], value: object) -> str | None:
    whole = field["type"] == "integer"
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
        return "a whole number" if whole else "a number"
    if "minimum" in field and value < field["minimum"]:
        return f"{field['minimum']} or more"
    if "maximum" in field and value > field["maximum"]:
        return f"{field['maximum']} or less"
    return None


def _wrong_choices(field: Mapping[str, Any], value: object) -> str | None:
    choices = _choices(field["items"]) or []
    given = cast("list[Any]", value) if isinstance(value, list) else None
    if given is None or not all(each in choices for each in given) or len(set(given)) < len(given):
        return f"a list of some of {_named(choices)}"
    least, most = int(field.get("minItems", 0)), int(field.get("maxItems", len(choices)))
    return None if least <= len(given) <= most else f"a list of {least} to {most} of {_named(choices)}"


def _has_format(wanted: object, value: str) -> bool:
    try:
        if wanted == "email":
            return _EMAIL.fullmatch(value) is not None
        if wanted == "uri":
            return bool(urlsplit(value).scheme)
        if wanted == "date":
            return len(value) == 10 and bool(date.fromisoformat(value))
        if wanted == "date-time":
            return "T" in value.upper() and bool(datetime.fromisoformat(value))
    except ValueError:
        return False
    return True


def _example(field: Mapping[str, Any]) -> object:
    if "default" in field:
        return field["default"]
    choices = _choices(field["items"] if field["type"] == "array" else field)
    if choices:
        return choices[:1] if field["type"] == "array" else choices[0]
    examples: dict[str, object] = {"boolean": True, "integer": 1, "number": 1, "array": list[str]()}
    return examples.get(str(field["type"]), "…")


def _named(names: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in names[:20])


def _page(url: str) -> str:
    """An address, and where it leads if its looks may deceive."""
    try:
        host = urlsplit(url).hostname or ""
        there = host.encode("idna").decode()
    except ValueError:
        return revealed(url)
    plain = url.isascii() and "@" not in url
    return revealed(url) if plain else f"{revealed(url)} (which is on {revealed(there)})"


def _revealed(value: Any) -> Any:
    """A form whose words are shown. What is chosen and filled in stays as it is."""
    if isinstance(value, list):
        return [_revealed(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    form = cast("dict[str, Any]", value)
    return {
        name: revealed(each)
        if name in _WORDS and isinstance(each, str)
        else [revealed(text) if isinstance(text, str) else text for text in cast("list[Any]", each)]
        if name == "enumNames" and isinstance(each, list)
        else _revealed(each)
        for name, each in form.items()
    }
