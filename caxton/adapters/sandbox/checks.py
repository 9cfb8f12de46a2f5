"""Checks arguments and results against the schemas that a tool declared: small ones here, others in a confined child.

A schema is a stranger's: compiled and matched on the event loop, one with thousands of regular expressions stopped the
whole server for half a minute, and kept gigabytes.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, cast

from caxton.adapters.confined import ConfinedChildren, Ended
from caxton.adapters.sandbox import checker
from caxton.adapters.sandbox.threads import SandboxThreads
from caxton.domain.errors import Hint, InvalidModule, ToolAnswerInvalid, ToolInputInvalid
from caxton.domain.json_schemas import (
    CheckTooExpensive,
    InvalidSchema,
    Malformed,
    Validator,
    as_json,
    check_size,
    compiled,
    violations,
)
from caxton.domain.tools import ToolFunction

CHILDREN: Final = 2
"""Checks in children at a time; each customer has its turn."""

PLAIN_SIZE: Final = 16 << 10
"""Characters of a schema that is checked here."""

PLAIN_WORK: Final = 50_000
"""Steps of a check that is done here: about a millisecond."""

SMALL: Final = 4_000
"""Values, or 16 characters each, that a value may have in it to be checked here."""

REFERRING_SIZE: Final = 4 << 10
"""Characters of such a schema that has references."""

KEPT_SIZE: Final = 512 << 10
"""Characters of all schemas whose validators are kept here; in memory they are some 40 times as large."""


class SchemaChecks:
    """Validators in memory, and children for what is not plain."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Validator, int]] = OrderedDict()
        self._kept_size = 0
        self._threads = SandboxThreads(CHILDREN, "schema-checks")
        self._children = ConfinedChildren(checker.__name__)

    def close(self) -> None:
        """Ends the children."""
        self._threads.close()
        self._children.close()

    async def violations(self, customer: str, schema: str, value: Any) -> list[dict[str, str]]:
        """In what `value` does not fit `schema` (as JSON).

        Raises:
            InvalidSchema: the schema cannot be used.
            CheckTooExpensive: this check takes too long.
            Malformed: the value is nested too deeply.
        """
        check_size(schema)
        if _is_plain(schema) and _is_small(value):
            found = violations(*self._validator(schema), value, PLAIN_WORK)
            if found is not None:
                return found
        return await self._ask(customer, schema, value)

    async def check_schema(self, customer: str, schema: str) -> None:
        """Checks that a schema can be used.

        Raises:
            InvalidSchema: it cannot.
        """
        check_size(schema)
        await self._ask(customer, schema)

    def _validator(self, schema: str) -> tuple[Validator, int]:
        known = self._kept.get(schema)
        if known is not None:
            self._kept.move_to_end(schema)
            return known
        known = self._kept[schema] = compiled(schema)
        self._kept_size += len(schema)
        while self._kept_size > KEPT_SIZE:
            self._kept_size -= len(self._kept.popitem(last=False)[0])
        return known

    async def _ask(self, customer: str, schema: str, *value: Any) -> list[dict[str, str]]:
        try:
            reply = await self._threads.run(customer, None, lambda: self._children.ask(_request(schema, *value)))
        except Ended as ended:
            what = "value" if value else "schema"
            limit = f"{checker.CPU_LIMIT:g} s of CPU" if ended.limit == "time" else "its memory"
            raise CheckTooExpensive(f"checking the {what} takes more than {limit}") from None
        if "invalid" in reply:
            raise InvalidSchema(reply["invalid"])
        if "malformed" in reply:
            raise Malformed(reply["malformed"])
        if reply["violations"] is None:
            raise CheckTooExpensive("the value is too large for so complex a schema")
        return cast("list[dict[str, str]]", reply["violations"])


def _request(schema: str, *value: Any) -> dict[str, str]:
    return {"schema": schema} | ({"value": json.dumps(value[0])} if value else {})


def _is_plain(schema: str) -> bool:
    """Whether nothing in a schema can take long that its length does not show."""
    return (
        len(schema) <= PLAIN_SIZE
        and '"pattern' not in schema
        and not (
            '"format"' in schema and '"$schema"' in schema
        )  # early drafts check formats, with expressions of their own
        and ('"$ref"' not in schema or len(schema) <= REFERRING_SIZE)
    )


def _is_small(value: Any) -> bool:
    """Whether a value has few values in it, and little text."""
    left, level = SMALL, [value]
    while level and left > 0:
        below: list[Any] = []
        for item in level[:left]:
            if isinstance(item, str):
                left -= len(item) // 16
            elif isinstance(item, dict):
                below.extend(cast("dict[str, Any]", item).values())
            elif isinstance(item, list):
                below.extend(cast("list[Any]", item))
        left -= len(level)
        level = below
    return left > 0


async def check_schemas(checks: SchemaChecks, customer: str, function: ToolFunction) -> None:
    """Checks that the schemas of a function can be used.

    Raises:
        InvalidModule: one of them is not a valid JSON Schema, or none that is safe to check against.
    """
    for name, schema in (("inputSchema", function.inputSchema), ("outputSchema", function.outputSchema)):
        if schema is None:
            continue
        problem, details = None, {"function": function.name, "schema": name}
        try:
            await checks.check_schema(customer, as_json(schema))
        except InvalidSchema as error:
            problem = str(error)
            if isinstance(error, CheckTooExpensive):
                details["limit"] = "schema"
        if problem is None and schema.get("type") != "object":
            problem = 'its "type" is not "object", and MCP passes objects only'
        if problem:
            raise InvalidModule(
                f'{name} of the function "{function.name}" is not a JSON Schema that Caxton can check: {problem}',
                "correct the schema in the tool's source and build it again",
                details=details,
            )


async def validate_arguments(
    checks: SchemaChecks, customer: str, tool: str, function: ToolFunction, arguments: Mapping[str, Any]
) -> None:
    """Checks arguments before a call.

    Raises:
        ToolInputInvalid: they do not fit; `details["violations"]` has the path (JSON Pointer) and message of each
            violation.
    """
    details: dict[str, Any] = {"tool": tool, "function": function.name}
    try:
        found = await checks.violations(customer, as_json(function.inputSchema), dict(arguments))
    except Malformed as error:
        raise ToolInputInvalid(f'the arguments of "{function.name}" are refused: {error}', details=details) from None
    except InvalidSchema as error:
        raise ToolInputInvalid(
            f'the arguments of "{function.name}" cannot be checked: {error}',
            "call it with less, or deploy the tool again with a simpler inputSchema",
            details=details,
        ) from None
    if not found:
        return
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise ToolInputInvalid(
        f'the arguments do not fit the schema of "{function.name}": {first["path"] or "/"}: {first["message"]}{more}',
        "call it with arguments that fit its inputSchema",
        Hint(text="see what it takes", command=f"caxton tool show {tool}"),
        details={**details, "violations": found},
    )


async def validate_structured(
    checks: SchemaChecks, customer: str, tool: str, function: ToolFunction, structured: Any
) -> None:
    """Checks structured content against the function's outputSchema, if it declares one.

    Raises:
        ToolAnswerInvalid: it does not fit, or is missing (MCP: servers must provide it).
    """
    if function.outputSchema is None:
        return
    details: dict[str, Any] = {"tool": tool, "function": function.name}
    if structured is None:
        raise ToolAnswerInvalid(
            f'"{function.name}" declares an outputSchema but returned no structured content', details=details
        )
    try:
        found = await checks.violations(customer, as_json(function.outputSchema), structured)
    except (Malformed, InvalidSchema) as error:
        raise ToolAnswerInvalid(
            f'the structured content of "{function.name}" cannot be checked: {error}', details=details
        ) from None
    if found:
        raise ToolAnswerInvalid(
            f'the structured content of "{function.name}" does not fit its outputSchema: {found[0]["message"]}',
            details={**details, "violations": found},
        )
