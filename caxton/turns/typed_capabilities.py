"""Requests and replies of capabilities that have schemas: both are objects, in JSON, and checked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from caxton.domain.capabilities import Capability
from caxton.domain.errors import CapabilityInputInvalid, Hint, InvalidInput
from caxton.domain.ids import Scope
from caxton.domain.json_schemas import InvalidSchema, Malformed, as_json
from caxton.domain.ports import OutputSchema, SchemaChecker
from caxton.domain.strict_json import read_json

_FENCE: Final = "```"
"""What models like to put around JSON, for it is Markdown's."""

SHOWN_VIOLATIONS = 10
"""Violations that a model is told of at a time."""


async def read_input(
    checker: SchemaChecker, scope: Scope, agent: str, offered: Capability, text: str
) -> dict[str, Any]:
    """The object that a request to a capability with an input schema is.

    Args:
        checker: checks it.
        scope: whose request.
        agent: who offers the capability.
        offered: the capability, which has an input schema.
        text: the request.

    Raises:
        CapabilityInputInvalid: it is not JSON, or does not fit; `details["violations"]` has the path of each violation.
    """
    assert offered.input_json is not None
    details: dict[str, Any] = {"capability": offered.name, "version": offered.version, "agent": agent}
    hint = Hint(text="see what it takes", command=f"caxton capabilities {offered.name} --json")
    try:
        value = read_json(text, "the input")
        found = await checker.violations(scope.customer, offered.input_json, value)
    except InvalidInput as error:
        raise CapabilityInputInvalid(
            f'capability "{offered.name}" takes an object, and {error.message}',
            "send it as `input`, or as JSON in `content`",
            hint,
            details={**details, "violations": [{"path": "", "message": error.message}]},
        ) from None
    except (InvalidSchema, Malformed) as error:
        raise CapabilityInputInvalid(
            f'the input of capability "{offered.name}" cannot be checked: {error}', hint, details=details
        ) from None
    if found:
        raise CapabilityInputInvalid(
            f'the input does not fit capability "{offered.name}": {_listed(found, 1)}',
            hint,
            details={**details, "violations": found},
        )
    return cast("dict[str, Any]", value)


async def check_wanted(
    checker: SchemaChecker, scope: Scope, offered: Capability | None, schema: Mapping[str, Any]
) -> None:
    """Checks a schema that a caller wants the reply of `offered` to fit.

    Raises:
        InvalidInput: it cannot be used, or the capability has one of its own.
    """
    if offered is not None and offered.output_schema is not None and offered.output_schema != schema:
        raise InvalidInput(
            f'capability "{offered.name}" has an output schema of its own', "leave the form of the answer out"
        )
    try:
        await checker.violations(scope.customer, as_json(schema), {})
    except (InvalidSchema, Malformed) as error:
        raise InvalidInput(f"the schema of the answer cannot be used: {error}", "correct or simplify it") from None


def content_handed_over(arguments: Mapping[str, Any], offered: Capability | None) -> str:
    """What another agent is sent, of the arguments of a hand-over.

    A capability without a schema takes the text `content`; one with a schema takes the arguments themselves. A script may
    give it as the text of an object.
    """
    content = arguments.get("content")
    schema = offered.input_schema if offered is not None else None
    is_text = isinstance(content, str) and len(arguments) == 1
    if is_text and (schema is None or "content" not in (schema.get("properties") or {})):
        return cast("str", content)
    if schema is None and (content is None or isinstance(content, str)) and not set(arguments) - {"content"}:
        return content or ""
    return as_content(arguments)


def as_content(value: Mapping[str, Any]) -> str:
    """An object as the text of a message."""
    return json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """Whether a text is what a capability promises."""

    text: str
    """The text without what does not belong to the object."""
    violations: Sequence[Mapping[str, str]] = ()

    @property
    def fits(self) -> bool:
        """Whether it is."""
        return not self.violations

    @property
    def listed(self) -> str:
        """The violations, for people and models."""
        return _listed(self.violations, SHOWN_VIOLATIONS)


async def check_output(checker: SchemaChecker, scope: Scope, output: OutputSchema, text: str) -> OutputCheck:
    """Checks the reply `text` against what it has to be."""
    text = _unfenced(text.strip())
    try:
        value = read_json(text, "the reply")
        return OutputCheck(text, await checker.violations(scope.customer, output.text, value))
    except InvalidInput as error:
        return OutputCheck(text, [{"path": "", "message": error.message}])
    except (InvalidSchema, Malformed) as error:
        return OutputCheck(text, [{"path": "", "message": f"it cannot be checked: {error}"}])


def _unfenced(text: str) -> str:
    """`text` without a fence around it. No regular expression: it is a model's, and one would go through it again and again."""
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    language, newline, inner = text[len(_FENCE) : -len(_FENCE)].partition("\n")
    return inner.strip() if newline and language.strip().lower() in ("", "json") else text


def _listed(violations: Sequence[Mapping[str, str]], most: int) -> str:
    told = "; ".join(f"{each['path'] or '/'}: {each['message']}" for each in violations[:most])
    more = len(violations) - most
    return f"{told} (and {more} more)" if more > 0 else told
