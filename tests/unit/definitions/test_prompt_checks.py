"""The checks of templates know exactly the language that the template engine has."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.adapters import templates
from caxton.adapters.templates.filters import template_filters
from caxton.definitions.template_check import check_template
from caxton.definitions.template_language import AGENT_VARIABLES, FILTERS, FORBIDDEN_TAGS, GLOBALS, TemplateScope
from caxton.definitions.toml_source import TomlSource, read_toml
from caxton.domain.problems import Problem

SCOPE = TemplateScope(AGENT_VARIABLES, ("tone",))


def problems_of(template: str) -> list[Problem]:
    source = read_toml("x.toml", f"prompt = '''\n{template}'''")
    assert isinstance(source, TomlSource)
    return check_template(source, ("prompt",), source.data["prompt"], SCOPE)


def test_the_filters_are_those_of_the_engine() -> None:
    assert frozenset(template_filters()) == FILTERS


@pytest.mark.parametrize("name", GLOBALS)
def test_the_functions_are_those_of_the_engine(name: str) -> None:
    assert templates.variables_of(f"{{{{ {name} }}}}") == frozenset()


@pytest.mark.parametrize("tag", FORBIDDEN_TAGS)
def test_a_tag_that_the_engine_refuses_is_found(tag: str) -> None:
    body = {
        "macro": "m()",
        "call": "m()",
        "from": "'a' import b",
        "import": "'a' as b",
        "block": "b",
        "autoescape": "true",
    }
    template = f"{{% {tag} {body.get(tag, repr('a'))} %}}"
    if tag in ("macro", "call", "block", "autoescape"):
        template += f"{{% end{tag} %}}"
    with pytest.raises(templates.TemplateError):
        templates.compile_template(template)
    assert problems_of(template)[0].message == f'templates have no tag "{tag}"'


TOKENS = """
{{ }} {% %} {# #} if else endif for
in endfor set endset with endwith filter endfilter raw endraw request x tone
parameters . [ ] ( ) | upper join 'a' 1 , + ~ == not is defined = loop macro include
"""
PIECES = st.lists(
    st.sampled_from(TOKENS.split()),
    max_size=12,
).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(PIECES)
def test_what_the_checks_let_pass_the_engine_compiles(template: str) -> None:
    if not problems_of(template):
        assert templates.variables_of(template) <= set(AGENT_VARIABLES)


@settings(max_examples=200, deadline=None)
@given(st.one_of(PIECES, st.text(max_size=30).filter(lambda text: "'''" not in text and text[-1:] != "'")))
def test_problems_lie_inside_the_text(template: str) -> None:
    source = read_toml("x.toml", f"prompt = '''\n{template}'''")
    if isinstance(source, Problem):
        return
    for problem in check_template(source, ("prompt",), source.data["prompt"], SCOPE):
        line = source.text.split("\n")[problem.line - 1]
        assert problem.column - 1 + problem.width <= max(len(line), 1)


def test_a_template_that_is_nested_too_deeply_is_refused_as_the_engine_does() -> None:
    for depth in (3, 30):
        template = "{% for a in request %}" * depth + "{{ a }}" + "{% endfor %}" * depth
        if depth == 30:
            with pytest.raises(templates.TemplateError):
                templates.compile_template(template)
        assert [problem.message for problem in problems_of(template)] == ["the template is too complicated"] * (
            depth == 30
        )
