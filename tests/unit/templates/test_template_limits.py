"""No template can hold up a worker or reach beyond its variables, whatever it says."""

import time
import tracemalloc
from collections.abc import Callable

import pytest

from caxton.adapters import templates
from caxton.adapters.templates.budget import SIZE_LIMIT, TIME_LIMIT
from caxton.definitions.template_language import FILTERS
from caxton.domain.errors import InvalidInput
from caxton.domain.messages import CONTENT_LIMIT

LARGE = "x" * (8 << 20)

BOMBS = [
    "{{ range(10**9) }}",
    "{{ range(10**9) | list }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**10**10 }}",
    "{{ [1] * 10**9 }}",
    "{{ [large] * 1000 }}",
    "{{ ([large] * 1000) | tojson }}",
    "{{ ([large] * 1000) | join }}",
    "{{ large ~ large ~ large }}",
    "{{ large + large + large }}",
    "{{ large.replace('x', large) }}",
    "{{ large | replace('x', large) }}",
    "{{ large | list }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%*d' | format(1000000000, 1) }}",
    "{{ '%(a)s%(a)s%(a)s' | format(a=large) }}",
    "{{ 'x' | indent(10**9, true) }}",
    "{{ [1] | tojson(indent=10**9) }}",
    "{{ 1.5 | round(10**9, 'ceil') }}",
    "{{ large }}{{ large }}{{ large }}",
    "{% set all %}{{ large }}{{ large }}{{ large }}{% endset %}{{ all }}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) %}{{ range(100000) | sum }}{% endfor %}",
    "{% for i in range(100000) %}{{ large | upper | length }}{% endfor %}",
    "{% for i in range(100000) %}{{ large[1:] | length }}{% endfor %}",
    "{% for i in range(100000) %}{{ 'y' in large }}{% endfor %}",
    "{% set a = [1, 1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "{% set a = (1, 1) %}" + "{% set a = (a, a) %}" * 60 + "{{ {a: 1} }}",
    "{% set a = dict(b=1) %}" + "{% set a = dict(b=a, c=a) %}" * 60 + "{{ a }}",
]

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ request['__class__'] }}",
    "{{ request.format }}",
    "{{ '{0.__class__}'.format(request) }}",
    "{{ request | attr('__class__') }}",
    "{{ parameters.update }}",
    "{{ [].append(1) }}",
    "{{ range.__init__ }}",
    "{{ dict.mro() }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler }}",
    "{{ config }}",
    "{{ [1] | map('attr', '__class__') | list }}",
    "{{ [request] | map(attribute='__class__') | list }}",
]


@pytest.mark.parametrize(
    ("work", "bomb"), [(templates.render, bomb) for bomb in BOMBS] + [(templates.evaluate, bomb) for bomb in BOMBS[:15]]
)
def test_a_template_that_wants_too_much_is_stopped(work: Callable[..., object], bomb: str):
    tracemalloc.start()
    started = time.thread_time()
    try:
        templates.variables_of(bomb)  # looking at a template works nothing out
        with pytest.raises(InvalidInput):
            work(bomb, {"large": LARGE})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * SIZE_LIMIT
    assert time.thread_time() - started < 10 * TIME_LIMIT  # measuring memory makes everything slower


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_template_reaches_its_variables_only(escape: str):
    with pytest.raises(InvalidInput):
        templates.render(escape, {"request": "text", "parameters": {}})


def test_the_largest_request_fits():
    largest = "x" * CONTENT_LIMIT
    assert templates.render("{{ request }}", {"request": largest}) == largest
    assert templates.evaluate("{{ request }}", {"request": largest}) == largest


def test_a_large_table_fits():
    rows = [{"name": f"row {number}", "values": [number, number / 2, None]} for number in range(20_000)]
    text = templates.render("{% for row in rows %}{{ row.name }};{% endfor %}{{ rows | tojson }}", {"rows": rows})
    assert text.startswith("row 0;row 1;")
    assert templates.evaluate("{{ rows }}", {"rows": rows}) == rows


def test_variables_stay_as_they_are():
    variables = {"items": [3, 1, 2], "parameters": {"a": 1}}
    assert templates.render("{% set items = items | sort %}{{ items }}", variables) == "[1, 2, 3]"
    for change in ("{{ parameters.pop('a') }}", "{{ items.append(1) }}", "{{ items.clear() }}"):
        with pytest.raises(InvalidInput):
            templates.render(change, variables)
    assert variables == {"items": [3, 1, 2], "parameters": {"a": 1}}


def test_the_checks_of_definitions_know_the_same_filters():
    from caxton.adapters.templates.filters import template_filters

    assert set(template_filters()) == FILTERS
