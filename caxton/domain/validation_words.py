"""What pydantic says of a value, in words for somebody who sent it and has never heard of pydantic."""

import re
from collections.abc import Callable

from pydantic import ValidationError

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dictionary": "an object",
    "datetime": 'a time with a zone, such as "2026-11-21T08:00:00Z"',
}
_COUNTED = {"String": ("character", "characters"), "List": ("entry", "entries"), "Dictionary": ("entry", "entries")}


def _length(found: re.Match[str]) -> str:
    one, several = _COUNTED.get(found["what"], ("entry", "entries"))
    count = found["count"]
    if found["bound"] == "least" and count == "1":
        return "must not be empty"
    return f"must have at {found['bound']} {count} {one if count == '1' else several}"


_SENTENCES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"Value error, (?P<said>.*)", re.DOTALL), lambda found: found["said"]),
    (
        re.compile(
            r"Input should be (?:a |an )?(?:valid )?(?P<kind>\w+)"
            r"(?: with timezone info|, .*| or instance of .*| or object to extract fields from)?"
        ),
        lambda found: f"must be {_KINDS[found['kind']]}" if found["kind"] in _KINDS else found[0],
    ),
    (re.compile(r"Input should have timezone info"), lambda _: f"must be {_KINDS['datetime']}"),
    (
        re.compile(r"Input should be greater than or equal to (?P<bound>.+)"),
        lambda found: f"must be at least {found['bound']}",
    ),
    (
        re.compile(r"Input should be less than or equal to (?P<bound>.+)"),
        lambda found: f"must be at most {found['bound']}",
    ),
    (re.compile(r"Input should be greater than (?P<bound>.+)"), lambda found: f"must be more than {found['bound']}"),
    (re.compile(r"Input should be less than (?P<bound>.+)"), lambda found: f"must be less than {found['bound']}"),
    (re.compile(r"Input should be (?P<choices>'.+)"), lambda found: f"must be {found['choices']}"),
    (
        re.compile(
            r"(?P<what>String|List|Dictionary|Tuple|Set) should have at (?P<bound>least|most) (?P<count>\d+) \w+"
            r"(?: after validation, not .*)?"
        ),
        _length,
    ),
    (re.compile(r"String should match pattern '.*'", re.DOTALL), lambda _: "has characters that are not allowed in it"),
    (re.compile(r"Field required"), lambda _: "is missing"),
    (
        re.compile(r"Input tag '(?P<tag>.*)' found using '(?P<field>\w+)' does not match .*: (?P<tags>'.+)", re.DOTALL),
        lambda found: (
            f'has the {found["field"]} "{found["tag"][:50]}", which is not known: it must be one of {found["tags"]}'
        ),
    ),
    (
        re.compile(r"Unable to extract tag using discriminator '(?P<field>\w+)'"),
        lambda found: f'must be an object with a "{found["field"]}"',
    ),
    (re.compile(r"Invalid JSON: (?P<said>.+)", re.DOTALL), lambda found: f"is not JSON: {found['said']}"),
    (re.compile(r"Extra inputs are not permitted"), lambda _: "is not known here"),
]


_NO_FIELDS = frozenset({"str", "int", "float", "bool", "dict", "none", "constrained-str"})
_FIELD = re.compile(r"[a-z][A-Za-z0-9_]*")


def first_problem(error: ValidationError, depth: int = 6) -> tuple[str, str]:
    """What is wrong first: the dotted path of the value (at most `depth` names of it), and a sentence that begins with that.

    Of what a value could be, the one counts that it comes nearest to; names of types are left out of the path.
    """
    errors = error.errors(include_url=False)
    alike = [each for each in errors if each["loc"][:1] == errors[0]["loc"][:1]]
    chosen = max(alike, key=lambda each: len(_fields(each["loc"])))
    place = ".".join(_fields(chosen["loc"])[:depth]) or "body"
    return place, f"{place} {in_plain_words(chosen['msg'])}"


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """The names and numbers of a place; pydantic puts kinds of values between them."""
    return [
        str(part)
        for part in location
        if isinstance(part, int) or (_FIELD.fullmatch(part) is not None and part not in _NO_FIELDS)
    ]


def in_plain_words(message: str) -> str:
    """`message` of pydantic as a predicate: "must be at least 0"; as it is if it is none of its usual ones."""
    for pattern, sentence in _SENTENCES:
        found = pattern.fullmatch(message)
        if found is not None:
            return sentence(found)
    return message
