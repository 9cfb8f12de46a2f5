"""The Jinja2 environment: sandboxed, strict about what is missing, and charged to a budget.

Templates are expressions, conditions, loops and assignments over plain data. What could run without end (macros,
recursive loops) or read other files (include, import, extends) is not part of the language here.
"""

import re
from collections.abc import Iterable
from typing import Any, cast

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.meta import TrackingCodeGenerator
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from caxton.adapters.templates.budget import (
    BudgetExceeded,
    check_growth,
    check_work,
    counted,
    made,
    spend,
    spend_for,
    weigh,
)
from caxton.adapters.templates.filters import charge, compared, replace, template_filters, to_text

INTEGER_BITS = 256
"""Width of the integers that templates may use."""

RANGE_LIMIT = 100_000
"""Numbers that `range` may give."""

METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        {"capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower"}
        | {"isnumeric", "isspace", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace"}
        | {"rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title"}
        | {"upper"}
    ),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    LoopContext: frozenset(
        {"changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem"}
        | {"revindex", "revindex0"}
    ),
}
"""What templates may reach on each kind of value."""

_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_MEASURED = "measured value"  # names of filters that no template can spell
_COUNTED = "counted items"
_COMPARED = "compared value"
_COSTLY_TESTS = frozenset(
    {
        "!=",
        "<",
        "<=",
        "==",
        ">",
        ">=",
        "divisibleby",
        "eq",
        "equalto",
        "ge",
        "greaterthan",
        "gt",
        "in",
        "le",
        "lessthan",
    }
    | {"lower", "lt", "ne", "upper"}
)
_LOOK = frozenset({"count", "endswith", "find", "index", "removeprefix", "removesuffix", "startswith", "partition"})
"""Methods of texts that find their way through 16 MB in some milliseconds, from the left."""

_STRIP = frozenset({"lstrip", "rstrip", "strip"})
_FROM_THE_RIGHT = frozenset({"rfind", "rpartition", "rsplit"})
_SPLITS = frozenset({"rsplit", "split"})
_PASSED = frozenset({"_block_vars", "_loop_vars"})
"""Arguments that Jinja2 adds to calls within blocks and loops."""

_LARGEST_PART = 100
"""Characters that a method may look for from the right, or take off at the ends: Python compares each with each there."""

_MOST_PARTS = 100_000
"""Texts that a text may be split into."""

_WORD = re.compile(r"^[A-Za-z_][\w-]{0,63}$")


class MissingValue(StrictUndefined):
    """A value that is not there. In conditions it is false, equal to nothing else, and contains nothing.

    Any other use ends the rendering with a message for the template's author.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Undefined)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Undefined)

    __hash__ = StrictUndefined.__hash__  # which raises

    def __contains__(self, _: object) -> bool:
        return False

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name: Any = self._undefined_name
        owner: Any = self._undefined_obj
        shown = f'"{name}"' if isinstance(name, str) and _WORD.match(name) else "what is asked for"
        if owner is missing:
            return f"{shown} is not defined"
        if isinstance(owner, (list, tuple)) and isinstance(name, int):
            return f"there is no item {name}: the list has {len(cast('list[Any]', owner))}"
        kinds: dict[type, str] = {dict: "the object", list: "the list", str: "the text", type(None): "none"}
        return f"there is no {shown} in {kinds.get(type(cast('object', owner)), 'the value')}"


class Sandbox(ImmutableSandboxedEnvironment):
    """Environment of all templates."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self) -> None:
        # Nothing is worked out while compiling: neither by the optimizer, nor when printed, for that needs a context
        super().__init__(autoescape=False, undefined=MissingValue, finalize=_printable, optimized=False, cache_size=0)
        self.filters = template_filters() | {_MEASURED: _measured, _COUNTED: counted, _COMPARED: compared}
        tests = cast("dict[str, Any]", self.tests)  # pyright: ignore[reportUnknownMemberType]
        self.tests = {name: charge(name, test) if name in _COSTLY_TESTS else test for name, test in tests.items()}
        self.globals = {"range": _numbers, "dict": dict}

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Joins what a block printed."""
        texts = list(pieces)
        check_growth(sum(map(len, texts)))
        joined = "".join(texts)
        made(joined, len(joined))
        return joined

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`. A key of an object wins over a method, so that data may call a field "values".

        What is missing has nothing but missing values, and those name what was missing first.
        """
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, dict) and attribute in obj:
            return cast("dict[str, Any]", obj)[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`."""
        return obj if isinstance(obj, Undefined) else super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - Jinja2's signature
        """Whether templates may reach `attr`: only what METHODS lists."""
        return any(isinstance(obj, kind) and attr in names for kind, names in METHODS.items())

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """What templates may not reach is for them not there."""
        return self.undefined(obj=obj, name=attribute)

    def wrap_str_format(self, value: Any) -> None:
        """No wrapper for `str.format`: it pads without limit, so it is out of reach; there is the filter `format`."""

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Calls a function or method, for steps."""
        owner = cast("Any", getattr(obj, "__self__", None))
        named = {name: value for name, value in kwargs.items() if name not in _PASSED} if kwargs else kwargs
        for argument in (*args, *named.values()):
            compared(argument)
        if isinstance(owner, str):
            name = getattr(obj, "__name__", "")
            spend_for(len(owner))
            if name == "replace":
                return replace(owner, *args, **named)
            result = _of_text(owner, name, obj, args, named)
        else:
            compared(owner)
            spend()
            result = super().call(context, obj, *args, **kwargs)
        made(result, weigh(result))
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, measured before it is done."""
        _check_operands(operator, left, right)
        result: Any = super().call_binop(context, operator, left, right)
        if isinstance(result, (str, list, tuple)):
            made(result, len(cast("list[Any]", result)) * (1 if isinstance(result, str) else 8))
        return cast("Any", result)

    def parse_restricted(self, text: str) -> nodes.Template:
        """The syntax tree of `text`, with what has to be counted or measured marked in it.

        Raises:
            TemplateSyntaxError: `text` is not a template, or uses what templates may not.
        """
        tree = self.parse(text)
        for node in tree.find_all(tuple(_FORBIDDEN)):
            raise TemplateSyntaxError(f'"{{% {_FORBIDDEN[type(node)]} %}}" is not available in templates', node.lineno)
        for node in tree.find_all(nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("recursive loops are not available in templates", node.lineno)
        return cast("nodes.Template", _Marker(self).visit(tree))

    def parse_expression(self, text: str, target: str) -> nodes.Template | None:
        """A program that sets `target` to the value of `text`, when `text` is one expression and nothing else."""
        match self.parse_restricted(text).body:
            case [nodes.Output(nodes=[only])] if not isinstance(only, nodes.TemplateData):
                tree = nodes.Template([nodes.Assign(nodes.Name(target, "store"), only, lineno=1)], lineno=1)
                tree.set_environment(self)
                return tree
            case _:
                return None

    def variables_of(self, text: str) -> frozenset[str]:
        """Names that the template `text` takes from outside."""
        finder = TrackingCodeGenerator(self)
        finder.optimizer = None  # or it would work out constant parts, without any limit
        finder.visit(self.parse(text))
        return frozenset(finder.undeclared_identifiers - set(self.globals))

    def names_of(self, kind: str) -> list[str]:
        """Names of all filters or tests, `kind` being "filter" or "test"."""
        tests = cast("dict[str, Any]", self.tests)  # pyright: ignore[reportUnknownMemberType]
        known: dict[str, Any] = self.filters if kind == "filter" else tests
        return sorted(name for name in known if name.isidentifier())


class _Marker(NodeTransformer):
    """Wraps loops, literals, slices and concatenations in filters that count and measure them."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def _filter(self, node: nodes.Node, name: str) -> nodes.Filter:
        wrapped = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
        wrapped.set_environment(self.environment)
        return wrapped

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = self._filter(node.iter, _COUNTED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        first, *others = (self._filter(part, "string") for part in node.nodes)
        joined: nodes.Expr = first
        for other in others:
            joined = nodes.Add(joined, other, lineno=node.lineno)
            joined.set_environment(self.environment)
        return joined

    def visit_literal(self, node: nodes.Node) -> nodes.Node:
        self.generic_visit(node)
        return self._filter(node, _MEASURED)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.expr, nodes.Const):
            node.expr = self._filter(node.expr, _COMPARED)
        for operand in node.ops:
            if not isinstance(operand.expr, nodes.Const):
                operand.expr = self._filter(operand.expr, _COMPARED)
        return node

    visit_List = visit_Dict = visit_literal  # noqa: N815

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return self.generic_visit(node) if node.ctx == "store" else self.visit_literal(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._filter(node, _MEASURED) if isinstance(node.arg, nodes.Slice) else node


def _measured(value: Any) -> Any:
    made(value, weigh(value))
    return value


def _of_text(text: str, name: str, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a method of `text` gives, where that takes some milliseconds at most."""
    if name not in _LOOK and name not in _STRIP and name not in _FROM_THE_RIGHT and name != "split":
        check_work(len(text))  # it looks at each letter
    if name in _STRIP or name in _FROM_THE_RIGHT:
        for argument in (*args, *kwargs.values()):
            check_work(len(argument) if isinstance(argument, str) else 0, _LARGEST_PART)
    if name in _SPLITS:
        parts = _split(text, name, *args, **kwargs)
        check_work(len(parts), _MOST_PARTS)
        return parts
    if name == "splitlines":
        check_work(sum(map(text.count, _LINE_ENDS)), _MOST_PARTS)
    return method(*args, **kwargs)


_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def _split(text: str, name: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    most = _MOST_PARTS if maxsplit < 0 else min(maxsplit, _MOST_PARTS)
    return text.rsplit(sep, most) if name == "rsplit" else text.split(sep, most)


@pass_context
def _printable(_: Context, value: Any) -> str:
    if isinstance(value, str):
        return value
    text = to_text(value)
    made(text, len(text))
    return text


def _numbers(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > RANGE_LIMIT:
        raise BudgetExceeded(f"range gives {RANGE_LIMIT:,} numbers at most")
    return numbers


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 1) if operator == "**" else left.bit_length() + right.bit_length()
        if operator in ("**", "*") and bits > INTEGER_BITS:
            raise BudgetExceeded(f"it uses integers of more than {INTEGER_BITS} bits")
        spend()
        return
    if operator == "%" and isinstance(left, str):
        raise TypeError("% does not format texts here; write {{ text | format(value) }}")
    size = 0
    if operator == "*":
        size = _times(left, right) or _times(right, left)
    elif operator == "+" and isinstance(left, (str, list, tuple)):
        size = len(cast("str", left)) + (len(cast("str", right)) if isinstance(right, (str, list, tuple)) else 0)
    spend_for(check_growth(size))


def _times(value: Any, count: Any) -> int:
    if not isinstance(value, (str, list, tuple)) or not isinstance(count, int):
        return 0
    return (len(value) if isinstance(value, str) else weigh(cast("list[Any]", value))) * max(count, 0)
