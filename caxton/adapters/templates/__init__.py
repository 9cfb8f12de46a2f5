"""The template engine: Jinja2 in a sandbox with limits on time, steps and size.

The module as a whole provides the port :class:`caxton.domain.ports.TemplateEngine`.
"""

from caxton.adapters.templates.budget import new_budget
from caxton.adapters.templates.engine import (
    Template,
    TemplateError,
    compile_template,
    evaluate,
    render,
    variables_of,
)

__all__ = ["Template", "TemplateError", "compile_template", "evaluate", "new_budget", "render", "variables_of"]
