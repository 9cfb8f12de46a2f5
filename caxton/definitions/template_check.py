"""Checks of templates: syntax, and whether what they refer to exists. Problems point into the TOML file's string."""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeVar

from caxton.definitions.suggestions import closest, did_you_mean, listed
from caxton.definitions.template_language import (
    FILTERS,
    FORBIDDEN_TAGS,
    GLOBALS,
    RESULT_ATTRIBUTES,
    TAGS,
    TemplateScope,
)
from caxton.definitions.template_values import unknown_fields, unprovided_variables
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.domain.problems import Problem

if TYPE_CHECKING:  # Jinja2 takes 0.1 s to import: only when there is a template to check
    from jinja2 import TemplateSyntaxError, nodes

    from caxton.definitions.template_code import CheckEnvironment

_Node = TypeVar("_Node")

_TAG = re.compile(r"\{\{.*?(?:\}\}|$)|\{%.*?(?:%\}|$)|\{#.*?(?:#\}|$)")
_OPENING = re.compile(r"\{[{%#]")
_MISSING_END = re.compile(r"The innermost block that needs to be closed is '(\w+)'")
_UNKNOWN_TAG = re.compile(r"Encountered unknown tag '(\w+)'")
_EXPECTED = re.compile(r"expected token '(.+)', got '(.+)'")
_TAGS_HINT = "there are if, for, set, with, filter and raw"
_METHODS = ("get", "items", "keys", "values")
"""What templates may call on a table."""

_NESTED_BLOCKS = 19
"""Blocks that Python can nest, and so the code that Jinja2 makes of a template; with more it has to be tried."""

_EXAMPLES = {
    "filter": "there are those of Jinja2 for plain data, such as default, first, join, length, replace, round and upper",
    "test": "there are those of Jinja2, such as defined, in, none, number and string",
}
_TOKENS = {
    "end of print statement": "}}",
    "end of statement block": "%}",
    "begin of print statement": "{{",
    "begin of statement block": "{%",
}


def check_template(source: TomlSource, path: Path, text: str, scope: TemplateScope) -> list[Problem]:
    """Problems of the template `text`, which is the value at `path` of `source`."""
    if not _OPENING.search(text):
        return []
    from jinja2 import TemplateSyntaxError

    check = _TemplateCheck(source, path, text, scope)
    try:
        problems = list(check.tree(_environment().parse(text)))
        if not problems and text.count("{%") > _NESTED_BLOCKS:
            _environment().compile(text)
        return problems
    except TemplateSyntaxError as error:
        return [check.syntax(error)]
    except (RecursionError, SyntaxError, ValueError, MemoryError):
        return [source.problem(path, "the template is too complicated", "let a tool do the work")]


@cache
def _environment() -> "CheckEnvironment":
    from caxton.definitions.template_code import CheckEnvironment

    return CheckEnvironment()


class _TemplateCheck:
    def __init__(self, source: TomlSource, path: Path, text: str, scope: TemplateScope) -> None:
        self.source = source
        self.path = path
        self.text = text
        self.scope = scope
        self.nodes: list[nodes.Node] = []

    # --- what the tree refers to ---

    def tree(self, tree: "nodes.Template") -> Iterator[Problem]:
        """Problems of a template whose syntax is right."""
        from jinja2 import nodes

        self.nodes = list(tree.find_all(nodes.Node))
        yield from self._tags()
        yield from self._filters()
        yield from self._names(tree)
        yield from self._parameters()
        yield from self._results()
        yield from self._groups()
        yield from self._values(tree)

    def _all(self, *kinds: type[_Node]) -> Iterator[_Node]:
        """The nodes of the tree that are of one of `kinds`."""
        for node in self.nodes:
            if isinstance(node, kinds):
                yield node

    def _tags(self) -> Iterator[Problem]:
        from jinja2 import nodes

        forbidden = (
            nodes.Macro,
            nodes.CallBlock,
            nodes.Include,
            nodes.Import,
            nodes.FromImport,
            nodes.Extends,
            nodes.Block,
        )
        for node in self._all(*forbidden, nodes.ScopedEvalContextModifier):
            found = re.compile(rf"\{{%[-+]?\s*({'|'.join(FORBIDDEN_TAGS)})\b").search(
                self.text, self._line_start(node.lineno)
            )
            name = found[1] if found else "that"
            yield self._problem(node.lineno, name, f'templates have no tag "{name}"', _TAGS_HINT)
        for node in self._all(nodes.For):
            if node.recursive:
                yield self._problem(node.lineno, "recursive", "templates have no recursive loops")

    def _names(self, tree: "nodes.Template") -> Iterator[Problem]:
        from jinja2 import nodes

        unknown = _environment().names_of(tree) - set(self.scope.variables) - set(GLOBALS)
        for node in self._all(nodes.Name):
            if node.name in unknown:
                unknown.remove(node.name)  # once is enough
                yield self._problem(
                    node.lineno, node.name, f'unknown variable "{node.name}"', self._name_hint(node.name)
                )

    def _name_hint(self, name: str) -> str:
        guess = closest(name, self.scope.variables)
        if name in (self.scope.parameters or ()):
            return f"write parameters.{name}"
        if guess:
            return f'did you mean "{guess}"?'
        return f"a value that callers send is variables.{name}, a value of the agent is parameters.{name}"

    def _filters(self) -> Iterator[Problem]:
        """Filters and tests that there are not. They get another name in the tree, or Jinja2 would stop at them."""
        from jinja2 import nodes

        tests: list[str] = list(_environment().tests)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        for node in self._all(nodes.Filter, nodes.Test):
            kind, known, other = (
                ("filter", FILTERS, "string") if isinstance(node, nodes.Filter) else ("test", tests, "defined")
            )
            if node.name not in known:
                hint = did_you_mean(node.name, known) or _EXAMPLES[kind]
                yield self._problem(node.lineno, node.name, f'unknown {kind} "{node.name}"', hint)
                node.name = other

    def _parameters(self) -> Iterator[Problem]:
        """`parameters.x` that the agent does not have, unless the template itself provides for that."""
        from jinja2 import nodes

        if self.scope.parameters is None:
            return
        guarded: set[str] = set()
        for node in self._all(nodes.Filter, nodes.Test):
            if node.name in ("default", "d", "defined", "undefined"):
                guarded |= {found.attr for found in _with_self(node, nodes.Getattr)}
        seen: set[str] = set()
        for node in self._all(nodes.Getattr):
            is_parameter = isinstance(node.node, nodes.Name) and node.node.name == "parameters"
            if is_parameter and node.attr not in {*self.scope.parameters, *guarded, *seen, *_METHODS}:
                seen.add(node.attr)
                hint = did_you_mean(node.attr, self.scope.parameters) or f"add it: [parameters] {node.attr} = …"
                yield self._problem(
                    node.lineno, node.attr, f'[parameters] has no "{node.attr}"', hint, after="parameters."
                )

    def _results(self) -> Iterator[Problem]:
        from jinja2 import nodes

        for node in self._all(nodes.Getitem):
            if not (isinstance(node.node, nodes.Name) and node.node.name == "results"):
                continue
            index = node.arg.value if isinstance(node.arg, nodes.Const) else None
            if isinstance(index, int) and not -self.scope.results <= index < self.scope.results:
                yield self._problem(
                    node.lineno, f"results[{index}]", f"there is no results[{index}] at this step", self._results_hint()
                )
        for node in self._all(nodes.Getattr):
            inner = node.node
            on_result = (
                isinstance(inner, nodes.Getitem) and isinstance(inner.node, nodes.Name) and inner.node.name == "results"
            )
            if on_result and node.attr not in RESULT_ATTRIBUTES:
                hint = did_you_mean(node.attr, RESULT_ATTRIBUTES) or f"it has {listed(RESULT_ATTRIBUTES)}"
                yield self._problem(node.lineno, node.attr, f'a result has no "{node.attr}"', hint)

    def _groups(self) -> Iterator[Problem]:
        """Groups of the pattern that it does not have."""
        from jinja2 import nodes

        groups = self.scope.groups
        if groups is None:
            return
        for node in self._all(nodes.Getattr, nodes.Getitem):
            if not (isinstance(node.node, nodes.Name) and node.node.name == "match"):
                continue
            group: object = node.attr if isinstance(node, nodes.Getattr) else None
            if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
                group = node.arg.value
            if isinstance(group, (str, int)) and group not in {*groups, *_METHODS}:
                names = [name for name in groups if isinstance(name, str)]
                hint = did_you_mean(str(group), names) or f'write "(?P<{group}>…)" around what it stands for'
                if not groups:
                    hint = 'give the rule a pattern: when = { matches = "…" }'
                elif isinstance(group, int):
                    hint = f"it has the groups 0 to {len(groups) - len(names) - 1}"
                yield self._problem(node.lineno, str(group), f'the pattern of the rule has no group "{group}"', hint)

    def _values(self, tree: "nodes.Template") -> Iterator[Problem]:
        """What may not be there when the template is filled in."""
        for found in (*unknown_fields(tree), *unprovided_variables(tree)):
            severity = "error" if found.severe else "warning"
            yield self._problem(found.line, found.word, found.message, found.hint, after=found.after, severity=severity)

    def _results_hint(self) -> str:
        if not self.scope.results:
            return "no step that brings a result comes before it"
        if self.scope.results == 1:
            return "only results[0] is there by then"
        return f"results[0] to results[{self.scope.results - 1}] are there by then"

    # --- syntax ---

    def syntax(self, error: "TemplateSyntaxError") -> Problem:
        """What Jinja2 says, with a place in the line and a hint."""
        message = (error.message or "the template cannot be understood").rstrip(".")
        if found := _UNKNOWN_TAG.search(message):
            name = found[1]
            hint = did_you_mean(name, TAGS) or _TAGS_HINT
            if name.startswith("end"):
                hint = f"there is no {{% {name[3:]} %}} before it that it could end"
            return self._problem(error.lineno, name, f'unknown tag "{name}"', hint)
        if found := _MISSING_END.search(message):
            name = found[1]
            start, end = self._unclosed_tag(name) or self._broken_tag(error.lineno)
            return self._at(start, end, f"{{% {name} %}} has no end", f"add {{% end{name} %}}")
        start, end = self._broken_tag(error.lineno)
        tag = self.text[start:end]
        closing = {"{{": "}}", "{%": "%}", "{#": "#}"}.get(tag[:2])
        message = message[:1].lower() + message[1:]
        for theirs, ours in _TOKENS.items():
            message = message.replace(f"'{theirs}'", f"'{ours}'")
        if found := _EXPECTED.fullmatch(message):
            message = f'"{found[2]}" stands where "{found[1]}" should'
        hint = None
        if closing and not tag.endswith(closing):
            message, hint = f"{tag[:2]} has no {closing}", f"close it with {closing}"
        return self._at(start, end, f"the template is not valid: {message}", hint)

    def _unclosed_tag(self, name: str) -> tuple[int, int] | None:
        """The innermost `{% name … %}` that has no end."""
        opened: list[tuple[int, int]] = []
        for tag in re.compile(rf"\{{%[-+]?\s*(end)?{name}\b.*?%\}}", re.DOTALL).finditer(self.text):
            if tag[1] is None:
                opened.append(tag.span())
            elif opened:
                opened.pop()
        return opened[-1] if opened else None

    def _broken_tag(self, line: int) -> tuple[int, int]:
        """The first tag on `line` that is not valid for itself; the line if there is none."""
        from jinja2 import TemplateSyntaxError

        start = self._line_start(line)
        text = self.text[start:].partition("\n")[0]
        tags = [(start + tag.start(), start + tag.end()) for tag in _TAG.finditer(text)]
        for tag in tags:
            if self.text.startswith("{%", tag[0]):
                continue  # a block's beginning is never valid for itself
            try:
                _environment().parse(self.text[slice(*tag)])
            except TemplateSyntaxError:
                return tag
        return tags[0] if tags else (start, start + len(text))

    # --- places ---

    def _line_start(self, line: int) -> int:
        start = 0
        for _ in range(line - 1):
            start = self.text.find("\n", start) + 1
        return start

    def _problem(
        self,
        line: int,
        word: str,
        message: str,
        hint: str | None = None,
        *,
        after: str = "",
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """A problem with `word`, which stands inside a tag on or below `line`."""
        start = self._line_start(line)
        for tag in re.compile(r"\{[{%].*?[}%]\}", re.DOTALL).finditer(self.text):
            if tag.end() <= start:
                continue
            begin = max(start, tag.start())
            found = re.compile(rf"(?<![\w.]){re.escape(after)}{re.escape(word)}(?!\w)").search(
                self.text, begin, tag.end()
            )
            found = found or re.compile(rf"\b{re.escape(word)}(?!\w)").search(self.text, begin, tag.end())
            if found:
                return self._at(found.end() - len(word), found.end(), message, hint, severity)
        return self._at(start, start + len(self.text[start:].partition("\n")[0]), message, hint, severity)

    def _at(
        self,
        start: int,
        end: int,
        message: str,
        hint: str | None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        span = self.source.inside_string(self.path, start, end)
        return self.source.problem_at(span, self.path, message, hint, severity=severity)


def _with_self(node: "nodes.Node", kind: type["nodes.Getattr"]) -> Iterator["nodes.Getattr"]:
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)
