"""What a template uses that may not be there: variables that callers need not send, and fields that no value has."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caxton.definitions.suggestions import did_you_mean, listed

if TYPE_CHECKING:  # Jinja2 takes 0.1 s to import: only when there is a template to check
    from jinja2 import nodes

SCHEDULE_FIELDS = ("name", "due_at", "date", "time", "weekday")

FIELDS = {
    "agent": ("name", "version", "description"),
    "conversation": ("id",),
    "schedule": SCHEDULE_FIELDS,
    "trigger": ("name",),
}
"""What the objects have that every template sees."""

ITEM_FIELDS = {
    "history": ("sender", "text"),
    "files": ("name", "media_type", "size"),
    "memories": ("id", "text", "metadata", "similarity", "from", "at"),
}
"""What each entry of the lists has."""

_METHODS = ("get", "items", "keys", "values")
_SAFE = ("default", "d", "defined", "undefined")
"""Filters and tests that take what is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a template that may, or will, not be there."""

    line: int
    word: str
    after: str
    """What stands before the word: "variables."."""
    message: str
    hint: str
    severe: bool = False
    """Whether it fails always, not only for some requests."""


def unprovided_variables(tree: "nodes.Template") -> Iterator[Finding]:
    """Variables that the template needs of every request: it does not say what to do without them.

    `{% if variables.x %}…{% endif %}` around it, and `{{ variables.x | default("…") }}`, say so.
    """
    seen: set[str] = set()
    for node, name in _needed(tree, frozenset()):
        if name not in seen:
            seen.add(name)
            message = f'a request that does not send the variable "{name}" fails here'
            hint = (
                f'if it may be left out, write {{{{ variables.{name} | default("") }}}} or {{% if variables.{name} %}}'
            )
            yield Finding(node.lineno, name, "variables.", message, hint)


def _needed(node: "nodes.Node", provided: frozenset[str]) -> Iterator[tuple["nodes.Node", str]]:
    """Uses of variables in `node` that fail where the variable is missing; `provided` are those that are there."""
    from jinja2 import nodes

    name = _variable(node)
    if name is not None:
        if name not in provided:
            yield node, name
        return
    match node:
        case nodes.If():
            yield from _needed_under(node.test, (*node.body, *node.elif_, *node.else_), provided)
        case nodes.CondExpr():
            yield from _needed_under(node.test, (node.expr1, node.expr2), provided)
        case nodes.Or():
            yield from _needed_in_test(node.left, provided)
            yield from _needed(node.right, provided)
        case nodes.And():  # its value is that of the left side where that is missing
            yield from _needed(node.left, provided)
            yield from _needed(node.right, provided | _mentioned(node.left))
        case nodes.Not() | nodes.Compare():
            yield from _needed_in_test(node, provided)
        case nodes.Filter() | nodes.Test() if node.name in _SAFE:
            return
        case _:
            for child in node.iter_child_nodes():
                yield from _needed(child, provided)


def _needed_under(
    test: "nodes.Node", branches: "Iterable[nodes.Node | None]", provided: frozenset[str]
) -> Iterator[tuple["nodes.Node", str]]:
    """The same in a condition and what depends on it, where the variables that it asks about are checked."""
    yield from _needed_in_test(test, provided)
    for branch in branches:
        if branch is not None:
            yield from _needed(branch, provided | _mentioned(test))


def _needed_in_test(node: "nodes.Node", provided: frozenset[str]) -> Iterator[tuple["nodes.Node", str]]:
    """The same in a condition, where what is missing is false, equal to nothing, and contains nothing."""
    from jinja2 import nodes

    if _variable(node) is not None:
        return
    match node:
        case nodes.Not():
            yield from _needed_in_test(node.node, provided)
        case nodes.And() | nodes.Or():
            yield from _needed_in_test(node.left, provided)
            yield from _needed_in_test(node.right, provided | _mentioned(node.left))
        case nodes.Compare() if all(operand.op in ("eq", "ne", "in", "notin") for operand in node.ops):
            for child in (node.expr, *(operand.expr for operand in node.ops)):
                yield from _needed_in_test(child, provided)
        case nodes.Compare():
            for child in node.iter_child_nodes():
                yield from _needed(child, provided)
        case _:
            yield from _needed(node, provided)


def _variable(node: "nodes.Node") -> str | None:
    """The x of `variables.x` and `variables["x"]`, and of what is below it: `variables.x.y`."""
    from jinja2 import nodes

    if not isinstance(node, (nodes.Getattr, nodes.Getitem)):
        return None
    if not (isinstance(node.node, nodes.Name) and node.node.name == "variables"):
        return _variable(node.node)
    if isinstance(node, nodes.Getattr):
        return None if node.attr in _METHODS else node.attr
    key: object = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return key if isinstance(key, str) else None


def _mentioned(test: "nodes.Node") -> frozenset[str]:
    """Variables that a condition asks about."""
    from jinja2 import nodes

    found = {_variable(node) for node in test.find_all((nodes.Getattr, nodes.Getitem))} | {_variable(test)}
    return frozenset(name for name in found if name is not None)


def unknown_fields(tree: "nodes.Template") -> Iterator[Finding]:
    """Fields of `agent` and `conversation`, and of entries of `history`, `memories` and `files`, that there are not."""
    from jinja2 import nodes

    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name in FIELDS:
            yield from _unknown(node, node.node.name, node.node.name, FIELDS[node.node.name])
        elif isinstance(node.node, nodes.Getitem) and _name(node.node.node) in ITEM_FIELDS:
            owner = str(_name(node.node.node))
            yield from _unknown(node, f"an entry of {owner}", "", ITEM_FIELDS[owner])
    for loop in tree.find_all(nodes.For):
        owner, item = _name(loop.iter), _name(loop.target)
        if owner in ITEM_FIELDS and item is not None:
            for part in (*loop.body, *([loop.test] if loop.test is not None else [])):
                for node in (part, *part.find_all(nodes.Getattr)):
                    if isinstance(node, nodes.Getattr) and _name(node.node) == item:
                        yield from _unknown(node, f"an entry of {owner}", item, ITEM_FIELDS[owner])


def _name(node: "nodes.Node") -> str | None:
    from jinja2 import nodes

    return node.name if isinstance(node, nodes.Name) else None


def _unknown(node: "nodes.Getattr", owner: str, before: str, known: tuple[str, ...]) -> Iterator[Finding]:
    if node.attr not in (*known, *_METHODS):
        hint = did_you_mean(node.attr, known) or f"it has {listed(known)}"
        after = f"{before}." if before else ""
        yield Finding(node.lineno, node.attr, after, f'{owner} has no "{node.attr}"', hint, severe=True)
