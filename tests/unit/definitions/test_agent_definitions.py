"""An agent is one TOML file, read into a version whose digest is that of its files."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toml_documents import DOCUMENTS

from caxton.definitions.agents import AgentSource, read_agent
from caxton.domain.agents import AgentSpec
from caxton.domain.deployments import Bundle
from caxton.domain.ids import digest_of
from caxton.domain.scripts import Script

FULL = b"""\
name = "analyst"
version = "1.2.3"
description = "Looks at numbers"
capabilities = ["analyze-data", { name = "report", version = "2.0.0", description = "Writes it down" }]
tools = ["csv-tools", "chart-generator.line_chart"]
delegates = ["translate@^2", { name = "fetch-data", version_range = ">=1 <3" }]
model = ["openai:gpt-5", "auto"]
script = "analyst.script.toml"
system_prompt = '''You are {{ agent.name }}. Files up to {{ parameters.max_file_size }}.'''
user_prompt_template = "{{ request }} {% for key, value in parameters.units.items() %}{{ key }}{{ value }}{% endfor %}"
documentation = "# Analyst"

[limits]
time = "90s"
steps = 3

[model_settings]
temperature = 0.2

[parameters]
max_file_size = "10MB"
formats = ["csv", "json"]
units = { length = "m", weight = "kg" }
"""
SCRIPT = b"""\
[[rules]]
when = { matches = "(?P<year>[0-9]{4})" }
steps = [
  { tool = "csv-tools.parse", arguments = { csv = "{{ request }}", first_rows = 3 }, on_error = "{{ results[0].text }}" },
  { capability = "translate", content = "{{ match.year }} {{ results[0].json.rows }}" },
  { reply = "{{ results[-1].text }} {{ parameters.formats | join }}" },
]
"""
FILES = {"analyst.toml": FULL, "analyst.script.toml": SCRIPT}


def read(text: str | bytes, **others: bytes) -> AgentSource:
    reading = read_agent("x.toml", {"x.toml": text.encode() if isinstance(text, str) else text, **others})
    assert reading.problems == []
    assert reading.value is not None
    return reading.value


def messages(text: str) -> list[str]:
    return [problem.message for problem in read_agent("x.toml", {"x.toml": text.encode()}).problems]


SMALLEST = 'name = "x"\nversion = "1.0.0"\ncapabilities = ["a"]\n'


@pytest.mark.requirement("AGT-1")
def test_one_file_says_all_that_an_agent_is() -> None:
    reading = read_agent("analyst.toml", FILES)
    assert reading.problems == []
    assert reading.value is not None
    spec = reading.value.version.spec
    assert (spec.name, spec.version, spec.description) == ("analyst", "1.2.3", "Looks at numbers")
    assert [(offer.name, offer.version) for offer in spec.capabilities] == [
        ("analyze-data", "1.0.0"),
        ("report", "2.0.0"),
    ]
    assert [str(request) for request in spec.delegates] == ["translate@^2", "fetch-data@>=1 <3"]
    assert spec.models == ["openai:gpt-5", "auto"]
    assert spec.allows_tool("csv-tools", "parse")
    assert not spec.allows_tool("chart-generator", "pie_chart")
    assert spec.limits.time == 90.0
    assert spec.model_settings.temperature == 0.2
    assert spec.parameters["units"] == {"length": "m", "weight": "kg"}
    assert spec.documentation == "# Analyst"


@pytest.mark.requirement("AGT-1")
def test_a_script_beside_the_agent_is_read_with_it() -> None:
    version = read_agent("analyst.toml", FILES).value
    assert version is not None
    script = Script.model_validate(version.version.script)
    assert [step.tool or step.capability or "reply" for step in script.rules[0].steps] == [
        "csv-tools.parse",
        "translate",
        "reply",
    ]


def test_the_digest_is_that_of_the_bundle_of_its_files() -> None:
    agent = read_agent("analyst.toml", FILES).value
    assert agent is not None
    files = {name: digest_of(content) for name, content in FILES.items()}
    assert agent.version.digest == Bundle(kind="agent", name="analyst", files=files).digest == agent.bundle.digest


def test_a_change_of_the_script_alone_makes_another_version() -> None:
    before = read_agent("analyst.toml", FILES).value
    after = read_agent("analyst.toml", {**FILES, "analyst.script.toml": SCRIPT + b"# more\n"}).value
    assert before is not None
    assert after is not None
    assert before.version.script == after.version.script
    assert before.version.digest != after.version.digest


def test_the_file_may_have_another_name_than_the_agent() -> None:
    assert read(SMALLEST).version.name == "x"


def test_the_least_that_an_agent_needs_is_name_version_and_a_capability() -> None:
    agent = read(SMALLEST).version
    assert agent.spec.models == ["auto"]
    assert agent.spec.user_prompt_template == "{{ request }}"
    assert agent.script is None


@pytest.mark.requirement("AGT-2")
def test_a_hint_names_the_table_that_a_key_belongs_into() -> None:
    [problem] = read_agent("x.toml", {"x.toml": f"{SMALLEST}steps = 3\n".encode()}).problems
    assert (problem.line, problem.column, problem.width, problem.path) == (4, 1, 5, "steps")
    assert problem.hint == "it belongs into the table [limits]"


@pytest.mark.parametrize(
    ("key", "value"), [("description", '"mine"'), ("model", '"T1000"'), ("tools", '["hammer"]'), ("name", '"Bond"')]
)
def test_a_parameter_may_be_called_like_a_key_of_the_agent(key: str, value: str) -> None:
    assert messages(f"{SMALLEST}[parameters]\n{key} = {value}\n") == []


@pytest.mark.parametrize(
    "prompt",
    [
        "{{ request }} {{ history | length }} {{ context }} {{ conversation.id }} {{ variables.anything | default }}",
        "{% set x = request.upper() %}{{ x }}{% if variables.a is defined %}{{ variables.a }}{% endif %}",
        "{% for n in range(3) %}{{ loop.index }}{{ n }}{% else %}none{% endfor %}",
        "{{ parameters.not_there | default('x') }}{{ parameters.get('y') }}{{ parameters['z'] }}",
        "{% if parameters.maybe is defined %}{{ parameters.maybe }}{% endif %}",
        "{# {{ nothing }} #}{% raw %}{{ nothing }}{% endraw %}",
        "}} and %} and { { are text",
        "{{ {'a': 1}['a'] }}{{ dict(a=1).a }}",
    ],
)
def test_what_templates_may_say_is_no_problem(prompt: str) -> None:
    assert messages(f"{SMALLEST}system_prompt = '''\n{prompt}'''\n") == []


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("gpt-5", 'write "openai:gpt-5"'),
        ("claude-sonnet", 'write "anthropic:claude-sonnet"'),
        ("Auto", 'did you mean "auto"?'),
        ("openai:", 'write "auto", or "provider:model" such as "openai:gpt-5"'),
    ],
)
def test_a_model_without_a_provider_gets_one_suggested(model: str, hint: str) -> None:
    [problem] = read_agent("x.toml", {"x.toml": f'{SMALLEST}model = "{model}"\n'.encode()}).problems
    assert problem.hint == hint


DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in value) + '"'
    return "nan" if value is None else str(value)


KEYS = st.sampled_from([*AgentSpec.model_fields, "surprise", "rules", "steps"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, DATA), st.dictionaries(st.sampled_from(["rules", "delay", "x"]), DATA))
def test_whatever_the_values_are_the_outcome_is_an_agent_or_problems(
    agent: dict[str, Any], script: dict[str, Any]
) -> None:
    agent["script"] = agent.get("script", "x.script.toml")
    text = "\n".join(f"{key} = {toml(value)}" for key, value in agent.items())
    script_text = "\n".join(f"{key} = {toml(value)}" for key, value in script.items())
    reading = read_agent("x.toml", {"x.toml": text.encode(), "x.script.toml": script_text.encode()})
    assert (reading.value is None) == bool(reading.errors)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_any_files_are_read_without_an_exception(text: str, script: str) -> None:
    files = {"x.toml": f'script = "x.script.toml"\n{text}'.encode(), "x.script.toml": script.encode()}
    reading = read_agent("x.toml", files)
    assert reading.errors
