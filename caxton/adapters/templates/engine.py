"""Templates: compile once, render many times.

Variables are plain data (text, numbers, booleans, none, lists and objects). Compiled templates are kept by their text,
so callers pass the text itself.
"""

import functools
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from caxton.adapters.templates.budget import BudgetExceeded, check_size, counted, made, new_budget, weigh
from caxton.domain.costly_work import STOPPED
from caxton.domain.errors import CaxtonError, Hint, InvalidInput

if TYPE_CHECKING:  # Jinja2 takes a tenth of a second to import: only when a template is rendered
    import jinja2

    from caxton.adapters.templates.sandbox import Sandbox

CACHE_SIZE = 1_024
"""Compiled short templates that are kept."""

SHORT = 2_048
"""Characters of a short template. Compiled, a template takes some 70 times its text."""

LONG_CACHE_SIZE = 32
"""Compiled long templates that are kept, which have 100,000 characters at most."""

_VALUE = "_value"


class TemplateError(ValueError):
    """A text is not a valid template."""

    def __init__(self, message: str, line: int = 1, hint: str | None = None) -> None:
        """Create the error.

        Args:
            message: what is wrong, without a full stop.
            line: where, counted from 1 in the template's text.
            hint: how to fix it.
        """
        super().__init__(message)
        self.message = message
        self.line = line
        self.hint = hint


class Template:
    """A compiled template."""

    def __init__(self, text: str, program: "jinja2.Template") -> None:
        self.text = text
        self._program = program
        # Jinja2 keeps a chain of mappings, which it copies for every rendering: slowly, item by item.
        program.globals = dict(program.globals)
        self.constant = None if "{" in text else "".join(program.root_render_func(program.new_context({})))

    @functools.cached_property
    def variables(self) -> frozenset[str]:
        """Names that the template takes from outside."""
        return _sandbox().variables_of(self.text)

    @functools.cached_property
    def _expression(self) -> "jinja2.Template | None":
        tree = _sandbox().parse_expression(self.text, _VALUE)
        return None if tree is None else _sandbox().from_string(tree)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text that the template makes of `variables`."""
        context = self._program.new_context(dict(variables))
        pieces: list[str] = []
        size = 0
        for piece in self._program.root_render_func(context):
            size = check_size(size + len(piece))
            pieces.append(piece)
        return "".join(pieces)

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value of a template that is one expression, as plain data; of any other its text."""
        if self._expression is None:
            return self.render(variables)
        context = self._expression.new_context(dict(variables))
        for _ in self._expression.root_render_func(context):
            pass
        return _plain(context.vars[_VALUE])

    def line_of(self, traceback: TracebackType | None) -> int | None:
        """The template's line that raised."""
        line = None
        while traceback is not None:
            for program in (self._program, self.__dict__.get("_expression")):
                if program is not None and traceback.tb_frame.f_code is program.root_render_func.__code__:
                    line = program.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


@functools.cache
def _sandbox() -> "Sandbox":
    from caxton.adapters.templates.sandbox import Sandbox

    return Sandbox()


def compile_template(text: str) -> Template:
    """Compiles `text`.

    Raises:
        TemplateError: it is not a valid template; the error carries the line.
    """
    return _compiled_short(text) if len(text) <= SHORT else _compiled_long(text)


def _compile(text: str) -> Template:
    from jinja2 import TemplateSyntaxError

    sandbox = _sandbox()
    try:
        return Template(text, sandbox.from_string(sandbox.parse_restricted(text)))
    except TemplateSyntaxError as error:
        raise _template_error(error, sandbox) from None
    except RecursionError:
        raise TemplateError("the template is nested too deeply") from None
    except (SyntaxError, ValueError, MemoryError) as error:  # of the Python code that Jinja2 makes of it
        raise TemplateError(f"the template cannot be compiled: {error}") from None


_compiled_short = functools.lru_cache(maxsize=CACHE_SIZE)(_compile)
_compiled_long = functools.lru_cache(maxsize=LONG_CACHE_SIZE)(_compile)


def _template_error(error: "jinja2.TemplateSyntaxError", sandbox: "Sandbox") -> TemplateError:
    message = (error.message or "the template cannot be understood").rstrip(".")
    hint = None
    for kind in ("filter", "test"):
        if message.startswith(f"No {kind} named "):
            name, names = message.split("'")[1], sandbox.names_of(kind)
            message = f'there is no {kind} "{name}"'
            close = get_close_matches(name, names, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"{kind}s: {', '.join(names)}"
    return TemplateError(message[0].lower() + message[1:], error.lineno, hint)


def render(template: Template | str, variables: Mapping[str, Any]) -> str:
    """The text that `template` makes of `variables`.

    Raises:
        InvalidInput: a variable is missing, an operation does not fit its values, or the template wants more time or
            memory than allowed.
    """
    return _run(template, variables, native=False)


def evaluate(template: Template | str, variables: Mapping[str, Any]) -> Any:
    """The value of a template that is a single expression, such as `{{ results[0].json.rows }}`; else its text.

    The value is plain data: text, number, boolean, none, list or object.

    Raises:
        InvalidInput: as for :func:`render`.
    """
    return _run(template, variables, native=True)


def variables_of(text: str) -> frozenset[str]:
    """The names that the template `text` takes from outside.

    Raises:
        TemplateError: it is not a valid template.
    """
    return compile_template(text).variables


def _run(template: Template | str, variables: Mapping[str, Any], *, native: bool) -> Any:
    from jinja2 import TemplateError as JinjaError

    if isinstance(template, str):
        try:
            template = compile_template(template)
        except TemplateError as error:
            raise InvalidInput(
                f"a template of the agent is not valid (line {error.line}): {error.message}",
                *([error.hint] if error.hint else []),
            ) from None
    if template.constant is not None:
        return template.constant
    try:
        with new_budget(variables):
            return template.evaluate(variables) if native else template.render(variables)
    except BudgetExceeded as error:
        raise InvalidInput(
            f"a template of the agent was stopped: {error}",
            "make the template do less, or pass it smaller values",
            details={STOPPED: True},
        ) from None
    except (JinjaError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _rendering_error(template, error, variables) from None


def _rendering_error(template: Template, error: Exception, variables: Mapping[str, Any]) -> CaxtonError:
    from jinja2 import TemplateError as JinjaError
    from jinja2 import UndefinedError

    line = template.line_of(error.__traceback__)
    where = f" (line {line})" if line and "\n" in template.text else ""
    if isinstance(error, UndefinedError):
        hint = Hint(text=f"variables here: {_listed(variables)}")
        lacking = sorted(template.variables - set(variables))
        hints = [
            f'did you mean "{close[0]}"?' for name in lacking if (close := get_close_matches(name, variables, n=1))
        ]
        return InvalidInput(
            f"a template of the agent cannot be filled in{where}: {error.message}",
            *hints,
            hint,
            details={"missing": lacking, "available": sorted(variables)},
        )
    # Type errors speak of types; the text of others may quote values, which are the user's
    told = isinstance(error, (TypeError, JinjaError))
    reason = str(error).rstrip(".") if told else f"its values do not fit ({type(error).__name__})"
    return InvalidInput(f"a template of the agent cannot be filled in{where}: {reason}")


def _listed(variables: Mapping[str, Any]) -> str:
    return ", ".join(sorted(variables)) or "none"


def _plain(value: Any) -> Any:
    """`value` as JSON has it: what Jinja2 makes lazily is made, and what is missing raises."""
    if type(value) in _PLAIN:
        return value
    weigh(value)
    return _made_plain(value)


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _made_plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        made(mapping, 8 * len(mapping))
        return {str(key): item if type(item) in _PLAIN else _made_plain(item) for key, item in mapping.items()}
    if isinstance(value, (list, tuple, range)):
        items = cast("list[Any]", value)
        made(items, 8 * len(items))
        return [item if type(item) in _PLAIN else _made_plain(item) for item in items]
    if isinstance(value, Iterable) and not hasattr(cast("object", value), "_undefined_message"):
        return [_made_plain(item) for item in counted(value)]
    return str(cast("object", value))  # of what is missing, this raises
