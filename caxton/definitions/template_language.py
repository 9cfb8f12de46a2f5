"""What templates may say: names, filters and tags, as the checks of definitions know them.

The engine that renders templates is an adapter, which this package may not import; a test holds the two together.
"""

from collections.abc import Collection
from dataclasses import dataclass

AGENT_VARIABLES = (
    "request",
    "input",
    "parameters",
    "variables",
    "context",
    "history",
    "memories",
    "files",
    "agent",
    "conversation",
)
"""Names that prompts see."""

SCRIPT_VARIABLES = (
    "request",
    "input",
    "parameters",
    "variables",
    "history",
    "memories",
    "files",
    "agent",
    "results",
    "match",
)
"""Names that the texts of a script see: also the results of its steps so far and the groups of the rule's pattern."""

SCHEDULE_VARIABLES = ("schedule", "parameters", "variables", "agent")
"""Names that the content of a schedule sees."""

TRIGGER_VARIABLES = ("body", "event", "delivery", "trigger", "parameters", "variables", "agent")
"""Names that the content of a trigger sees."""

RESULT_ATTRIBUTES = ("text", "json", "is_error", "name")
"""What each entry of `results` has."""

GLOBALS = ("range", "dict")
"""Functions that templates may call."""

# fmt: off
FILTERS = frozenset({
    "abs", "capitalize", "count", "d", "default", "dictsort", "filesizeformat", "first", "float", "format",
    "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject",
    "rejectattr", "replace", "reverse", "round", "select", "selectattr", "sort", "string", "sum", "title",
    "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
})
# fmt: on

TAGS = (
    "if",
    "elif",
    "else",
    "endif",
    "for",
    "endfor",
    "set",
    "endset",
    "with",
    "endwith",
    "filter",
    "endfilter",
    "raw",
)
"""Tags of Jinja2 that templates may use."""

FORBIDDEN_TAGS = ("macro", "call", "include", "import", "from", "extends", "block", "autoescape")
"""Tags of Jinja2 that could run without end or read other files."""


@dataclass(frozen=True, slots=True)
class TemplateScope:
    """What one template can refer to."""

    variables: Collection[str]
    parameters: Collection[str] | None
    """Keys of the agent's `[parameters]`; None when they are not known."""
    results: int = 0
    """How many results of earlier steps there are."""
    groups: Collection[str | int] | None = None
    """Groups of the rule's pattern, by name and number; None where there is no `match`, or its pattern is not valid."""
