"""The checks of templates know exactly the language that the template engine has."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.adapters import templates
from caxton.adapters.templates.filters import template_filters
from caxton.definitions.template_check import check_template
from caxton.definitions.template_language import AGENT_VARIABLES, FILTERS, FORBIDDEN_TAGS, GLOBALS, TemplateScope
from caxton.definitions.toml_source import TomlSource, read_toml
from caxton.domain.errors import InvalidInput
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


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("Write for {{ variables.audience }}.", "audience"),
        ("{{ variables['audience'] | upper }}", "audience"),
        ("{{ variables.customer.name }}", "customer"),
        ("{% for order in variables.orders %}{{ order }}{% endfor %}", "orders"),
        ("{% if variables.count > 3 %}many{% endif %}", "count"),
        ("{% if variables.audience %}{{ variables.name }}{% endif %}", "name"),
        ("{% if variables.roles | length %}{% endif %}", "roles"),
        ("{{ 'a' if request else variables.b }}", "b"),
        ("{{ variables.a and variables.a.b }}", "a"),
        ("{{ variables.a or variables.b }}", "b"),
    ],
)
@pytest.mark.requirement("AGT-2")
def test_a_variable_that_every_request_would_have_to_send_is_a_warning(template: str, name: str) -> None:
    (problem,) = problems_of(template)
    assert problem.severity == "warning"
    assert problem.message == f'a request that does not send the variable "{name}" fails here'
    assert "default" in str(problem.hint)
    with pytest.raises(InvalidInput):
        templates.render(
            template, {"request": "", "variables": {"audience": "x", "count": None} if name == "name" else {}}
        )


@pytest.mark.parametrize(
    "template",
    [
        "{% if variables.audience %}Write for {{ variables.audience }}.{% endif %}",
        "{% if not variables.audience %}all{% else %}{{ variables.audience }}{% endif %}",
        "{% if variables.audience is defined %}{{ variables.audience }}{% endif %}",
        "{{ variables.audience | default('all') }}{{ variables.customer.name | default('') }}",
        "{{ variables.audience or 'all' }}{% if variables.a and variables.a.b > 1 %}{% endif %}",
        "{{ variables.audience if variables.audience else 'all' }}",
        "{% if variables.tone == 'formal' or 'x' in variables.roles %}Sir{% endif %}",
        "{% if variables.a.b.c %}{{ variables.a.b.c }}{% endif %}",
        "{{ variables.get('audience', '') }}{% for key, value in variables.items() %}{{ key }}{% endfor %}",
    ],
)
def test_a_variable_that_may_be_left_out_is_none(template: str) -> None:
    assert problems_of(template) == []
    templates.render(template, {"variables": {}})


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [
        ("{{ agent.nme }}", 'agent has no "nme"', 'did you mean "name"?'),
        ("{{ conversation.title }}", 'conversation has no "title"', 'it has "id"'),
        (
            "{% for said in history %}{{ said.txt }}{% endfor %}",
            'an entry of history has no "txt"',
            'did you mean "text"?',
        ),
        ("{{ memories[0].texts }}", 'an entry of memories has no "texts"', 'did you mean "text"?'),
        (
            "{% for m in memories if m.score > 1 %}{{ m.text }}{% endfor %}",
            'an entry of memories has no "score"',
            'it has "id", "text", "metadata", "similarity", "from" and "at"',
        ),
    ],
)
def test_a_field_that_nothing_has_is_found(template: str, message: str, hint: str) -> None:
    (problem,) = problems_of(template)
    assert (problem.severity, problem.message, problem.hint) == ("error", message, hint)


def test_fields_that_are_there_are_no_problem() -> None:
    agent = "{{ agent.name }} {{ agent.version }} {{ agent.description }} {{ conversation.id }}"
    items = "{% for m in memories %}{{ m.text }} {{ m.from.actor }}{% endfor %}{% for h in history %}{{ h.sender }}{% endfor %}"
    assert problems_of(agent + items) == []
