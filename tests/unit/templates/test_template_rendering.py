"""What templates can say, and what they say when something is wrong."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.adapters import templates
from caxton.domain.errors import InvalidInput
from caxton.domain.ports import TemplateEngine

RESULT = {"text": "3 rows", "json": {"values": [1, 2.5, None], "rows": 3, "name": "sales"}, "is_error": False}
SEEN = {"request": "chart sales", "parameters": {"unit": "EUR"}, "results": [RESULT], "match": {0: "chart", 1: "sales"}}

TOKENS = [
    *("{{ ", " }}", "{% ", " %}", "{#", "#}", "for ", "x", " in ", "if ", "else", "endif", "endfor", "set ", "=", ", "),
    *("request", "results", "parameters", "loop.index", "range(9)", "0", "7", "'a'", "(", ")", "[", "]", ".", ":"),
    *(" | ", "upper", "tojson", "first", "map(", "join", "~", "+", "*", "-", "not ", " is defined", "\n"),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def test_the_module_is_the_port():
    engine: TemplateEngine = templates
    assert engine.render("{{ request }}!", SEEN) == "chart sales!"


@pytest.mark.requirement("AGT-1")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no variables", "no variables"),
        ("Sum in {{ parameters.unit }}: {{ results[0].json['values'][0] + 2 }}", "Sum in EUR: 3"),
        ("{% for value in results[0].json.values %}{{ loop.index }}:{{ value }} {% endfor %}", "1:1 2:2.5 3:None "),
        ("{% if results[0].is_error %}bad{% else %}good{% endif %}", "good"),
        ("{{ missing | default('nothing') }}", "nothing"),
        ("{% set unit = parameters.unit | lower %}{{ unit }}", "eur"),
        ("{{ results[0].json | tojson }}", '{"values": [1, 2.5, null], "rows": 3, "name": "sales"}'),
        ("{{ '%.2f' | format(2.5) }}", "2.50"),
        ("{{ request.split()[1] | title }} {{ request[:5] }} {{ match[1] ~ 1 }}", "Sales chart sales1"),
        ("{% raw %}{{ kept }}{% endraw %}", "{{ kept }}"),
        ("<b> & 'quotes'", "<b> & 'quotes'"),
    ],
)
def test_a_template_becomes_text(text: str, expected: str):
    assert templates.render(text, SEEN) == expected


def test_a_field_wins_over_a_method_of_the_same_name():
    assert templates.evaluate("{{ results[0].json.values }}", SEEN) == [1, 2.5, None]
    assert templates.render("{{ parameters.items() | length }}", SEEN) == "1"


@given(value=json_values)
def test_a_single_expression_keeps_its_value(value: object):
    assert templates.evaluate("{{ value }}", {"value": value}) == value
    assert templates.evaluate("{{ [value] | first }}", {"value": value}) == value


@given(text=st.text())
def test_text_around_an_expression_makes_text(text: str):
    assert templates.evaluate("> {{ value }}", {"value": text}) == f"> {text}"


@given(text=st.lists(st.sampled_from(TOKENS), max_size=30).map("".join) | st.text(max_size=200))
def test_any_text_renders_or_is_refused(text: str):
    with contextlib.suppress(InvalidInput):
        assert isinstance(templates.render(text, SEEN), str)
    with contextlib.suppress(templates.TemplateError):
        assert isinstance(templates.variables_of(text), frozenset)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("one\ntwo {% if %}", 2, "expected an expression", None),
        ("{{ request | uper }}", 1, 'there is no filter "uper"', 'did you mean "upper"?'),
        ("\n\n{{ request is nmber }}", 3, 'there is no test "nmber"', 'did you mean "number"?'),
        ("{{ (request }}", 1, "unexpected '}', expected ')'", None),
        ("a\n{% include 'secrets' %}", 2, '"{% include %}" is not available', None),
        ("{% macro f() %}{% endmacro %}", 1, '"{% macro %}" is not available', None),
        ("{% for a in [1] recursive %}{% endfor %}", 1, "recursive loops are not available", None),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 1, "nested too deeply", None),
    ],
)
@pytest.mark.requirement("AGT-2")
def test_a_broken_template_says_where_and_what(text: str, line: int, message: str, hint: str | None):
    with pytest.raises(templates.TemplateError) as caught:
        templates.compile_template(text)
    assert caught.value.line == line
    assert message in caught.value.message
    assert caught.value.hint == hint


def test_a_missing_variable_is_named_with_those_that_exist():
    with pytest.raises(InvalidInput) as caught:
        templates.render("Dear\n{{ requst }}", SEEN)
    assert caught.value.message == 'a template of the agent cannot be filled in (line 2): "requst" is not defined'
    assert [hint.text for hint in caught.value.hints] == [
        'did you mean "request"?',
        "variables here: match, parameters, request, results",
    ]
    assert caught.value.details == {"missing": ["requst"], "available": ["match", "parameters", "request", "results"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ results[0].json.total }}", 'there is no "total" in the object'),
        ("{{ results | map(attribute='total') | list }}", 'there is no "total" in the object'),
        ("{{ results[4].text }}", "there is no item 4: the list has 1"),
        ("{{ request.shout() }}", 'there is no "shout" in the text'),
        ("{{ request + 1 }}", 'can only concatenate str (not "int") to str'),
        ("{% for item in 5 %}{% endfor %}", "'int' object is not iterable"),
        ("{{ 1 / 0 }}", "its values do not fit (ZeroDivisionError)"),
    ],
)
def test_what_does_not_fit_is_told_without_the_values(text: str, message: str):
    with pytest.raises(InvalidInput) as caught:
        templates.render(text, SEEN)
    assert message in caught.value.message
    assert "chart sales" not in caught.value.message


def test_variables_are_found_without_rendering():
    text = "{{ request }} {% for row in results %}{{ row.text }}{% endfor %}{{ range(3) | list }}{% set x = 1 %}{{ x }}"
    assert templates.variables_of(text) == {"request", "results"}


def test_the_same_text_is_compiled_once():
    text = "compiled {{ request }}"
    assert templates.compile_template(text) is templates.compile_template(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% if parameters.audience %}for {{ parameters.audience }}{% endif %}.", "."),
        ("{{ 'formal' if parameters.tone == 'formal' else 'plain' }}", "plain"),
        ("{% if parameters.tone != 'formal' %}plain{% endif %}", "plain"),
        ("{% if not parameters.customer.vip %}plain{% endif %}", "plain"),
        ("{% if parameters['customer']['vip'] %}vip{% endif %}", ""),
        ("{% if 'admin' in parameters.roles %}all{% else %}some{% endif %}", "some"),
        ("{{ parameters.name or 'you' }}", "you"),
        ("{{ parameters.customer.name | default('you') }}", "you"),
        ("{% for value in [1, 2] if parameters.wanted %}{{ value }}{% endfor %}", ""),
        ("{% if nothing and parameters.tone %}x{% endif %}", ""),
    ],
)
@pytest.mark.requirement("AGT-1")
def test_what_is_missing_is_false_in_a_condition(text: str, expected: str):
    assert templates.render(text, SEEN) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ parameters.customer.name }}",
        "{{ parameters.customer }}",
        "{{ parameters.customer | length }}",
        "{{ parameters.customer ~ '!' }}",
        "{% for x in parameters.customer.orders %}{% endfor %}",
        "{{ [parameters.customer] }}",
        "{{ parameters.customer() }}",
        "{{ parameters.customer.__class__ }}",
        "{% if parameters.customer > 1 %}{% endif %}",
    ],
)
def test_what_is_missing_is_told_wherever_it_would_be_used(text: str):
    for way in (templates.render, templates.evaluate):
        with pytest.raises(InvalidInput) as caught:
            way(text, SEEN)
        assert 'there is no "customer" in the object' in caught.value.message
