"""Jinja2's compiler without its habit of working out constant parts: `{{ 10 ** 10 ** 8 }}` would take minutes and gigabytes
before anybody has rendered anything.

Imported only when there is a template to check, for Jinja2 takes 0.1 s.
"""

from typing import NoReturn

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.meta import TrackingCodeGenerator


class _Unfolded(CodeGenerator):
    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: object) -> NoReturn:  # noqa: ARG002
        raise nodes.Impossible


class _Names(_Unfolded, TrackingCodeGenerator):
    """Finds what a template takes from outside."""


class CheckEnvironment(Environment):
    """Parses and compiles templates; renders none."""

    code_generator_class = _Unfolded

    def __init__(self) -> None:
        super().__init__(autoescape=False, optimized=False)

    def names_of(self, tree: nodes.Template) -> set[str]:
        """Names that a template takes from outside."""
        finder = _Names(self)
        finder.optimizer = None
        finder.visit(tree)
        return finder.undeclared_identifiers
