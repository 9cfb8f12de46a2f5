"""A script answers by its rules: the same request, the same answer."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_requests import agent, request, result

from caxton.adapters import templates
from caxton.adapters.models.scripted import ScriptedModel
from caxton.domain.errors import ExecutionFailed, ModelNotConfigured, NoScriptRule
from caxton.domain.ports import ModelReply, ModelRequest, PromptPart

CHART: dict[str, Any] = {
    "name": "chart",
    "when": {"matches": r"(?i)chart (?:the )?(?P<what>\w+)(?: by (\w+))?"},
    "steps": [
        {
            "tool": "csv-tools.parse",
            "arguments": {"text": "{{ request }}", "options": {"columns": ["{{ match.what }}", 2]}},
        },
        {"capability": "analyze-data", "content": "Look at {{ results[0].json.rows | tojson }} of {{ match.what }}"},
        {
            "tool": "charts.line",
            "arguments": {"values": "{{ results[0].json.values }}", "title": "{{ match[1] }} in {{ parameters.unit }}"},
            "on_error": "No chart: {{ results[-1].text }}",
        },
        {"reply": "{{ results[1].text }}, {{ results | length }} steps, by {{ match[2] or 'nobody' }}"},
    ],
}
RULES = [
    {
        "name": "greeting",
        "when": {"contains": "HELLO"},
        "steps": [{"reply": "Hi, {{ variables.user | default('you') }}"}],
    },
    CHART,
    {"when": {"contains": "give up"}, "steps": [{"fail": "I give up on {{ request | length }} letters"}]},
    {"name": "short", "when": {"contains": "short"}, "steps": [{"tool": "csv-tools.parse"}]},
    {"name": "memory", "when": {"contains": "before"}, "steps": [{"reply": "{{ history | join(' / ') }}"}]},
    {"name": "typo", "when": {"contains": "typo"}, "steps": [{"tool": "a.b"}, {"reply": "{{ reslts[0].text }}"}]},
]
PARSED = result("3 rows", {"rows": [[1, 2]], "values": [1, 2.5]})


async def answer(asked: ModelRequest, deltas: list[str] | None = None) -> ModelReply:
    sink: list[str] = [] if deltas is None else deltas
    return await ScriptedModel(templates).respond(asked, sink.append)


def analyst(**fields: Any):
    return agent(rules=RULES, parameters={"unit": "EUR"}, **fields)


async def test_a_reply_says_that_a_script_made_it():
    reply = await answer(request(analyst(), "oh hello", variables={"user": "Ada"}))
    assert (reply.text, reply.model, list(reply.calls)) == ("Hi, Ada", "scripted", [])
    assert reply.metadata == {"scripted": True, "rule": "greeting"}
    assert (reply.usage.model_calls, reply.usage.tokens) == (1, 0)


async def test_steps_follow_the_number_of_results():
    version = analyst()
    first = await answer(request(version, "Chart the sales by month"))
    assert [(call.name, call.kind) for call in first.calls] == [("csv-tools.parse", "tool")]
    assert first.calls[0].arguments == {"text": "Chart the sales by month", "options": {"columns": ["sales", 2]}}

    second = await answer(request(version, "Chart the sales", [PARSED]))
    assert [(call.name, call.kind) for call in second.calls] == [("analyze-data", "capability")]
    assert second.calls[0].arguments == {"content": "Look at [[1, 2]] of sales"}

    third = await answer(request(version, "Chart the sales", [PARSED, result("rising")]))
    assert third.calls[0].arguments == {"values": [1, 2.5], "title": "sales in EUR"}
    assert len({call.id for reply in (first, second, third) for call in reply.calls}) == 3

    last = await answer(request(version, "Chart the sales", [PARSED, result("rising"), result("drawn")]))
    assert (last.text, list(last.calls)) == ("rising, 3 steps, by nobody", [])


async def test_results_of_earlier_turns_do_not_count():
    history = [PromptPart("user", "old"), PromptPart("results", results=[PARSED]), PromptPart("assistant", "answered")]
    reply = await answer(request(analyst(), "chart sales", history=history))
    assert reply.calls[0].name == "csv-tools.parse"


async def test_history_is_what_was_said_before():
    history = [PromptPart("user", "first"), PromptPart("assistant", "second")]
    reply = await answer(request(analyst(), "what was before", history=history))
    assert reply.text == "first / second"


async def test_text_that_is_json_can_be_used_as_data():
    reply = await answer(request(analyst(), "chart sales", [result('{"rows": [7]}')]))
    assert reply.calls[0].arguments == {"content": "Look at [7] of sales"}


async def test_a_failed_step_with_on_error_replies():
    failed = result("axis too long", is_error=True)
    reply = await answer(request(analyst(), "chart sales", [PARSED, result("rising"), failed]))
    assert reply.text == "No chart: axis too long"


async def test_a_failed_step_without_on_error_ends_the_turn_and_says_which():
    with pytest.raises(ExecutionFailed) as caught:
        await answer(request(analyst(), "chart sales", [result("no such column", is_error=True)]))
    assert caught.value.message == 'step 1 of rule "chart" failed (tool "csv-tools.parse"): no such column'
    assert caught.value.details == {"rule": "chart", "step": 1, "cause": "tool"}


async def test_fail_ends_the_turn_with_its_text():
    with pytest.raises(ExecutionFailed, match="I give up on 7 letters"):
        await answer(request(analyst(), "give up"))


async def test_a_rule_that_ends_without_a_reply_says_so():
    with pytest.raises(ExecutionFailed, match='step 1 of rule "short" ends without a reply'):
        await answer(request(analyst(), "short", [result()]))


async def test_a_template_that_does_not_fit_names_rule_and_step():
    with pytest.raises(ExecutionFailed) as caught:
        await answer(request(analyst(), "typo", [result()]))
    assert caught.value.message.startswith('step 2 of rule "typo" cannot be done: ')
    assert '"reslts" is not defined' in caught.value.message
    assert 'did you mean "results"?' in [hint.text for hint in caught.value.hints]


async def test_no_rule_lists_the_rules_and_how_to_add_one():
    with pytest.raises(NoScriptRule) as caught:
        await answer(request(analyst(), "something else"))
    assert caught.value.details["rules"] == ["greeting", "chart", 3, "short", "memory", "typo"]
    assert "greeting, chart, 3" in caught.value.hints[0].text
    assert "something else" not in caught.value.message


async def test_an_agent_without_a_script_says_so():
    with pytest.raises(ModelNotConfigured, match='agent "analyst" has no script'):
        await answer(request(agent()))


async def test_a_runaway_pattern_is_stopped():
    version = agent(rules=[{"name": "evil", "when": {"matches": "(x+x+)+y"}, "steps": [{"reply": "never"}]}])
    with pytest.raises(ExecutionFailed, match='patterns up to that of rule "evil" take longer'):
        await answer(request(version, "x" * 5_000))


async def test_the_patterns_of_a_script_share_their_time():
    rules = [{"when": {"matches": f"a{{{least},}}b"}, "steps": [{"reply": "x"}]} for least in range(3, 200)]
    begun = time.thread_time()
    with pytest.raises(ExecutionFailed, match=r"take longer than 0.05 s") as caught:
        await answer(request(agent(rules=rules), "a" * 10_000))
    assert caught.value.details["stopped"]
    assert time.thread_time() - begun < 2


async def test_many_rules_look_through_a_long_request():
    rules = [{"when": {"contains": f"word {number}"}, "steps": [{"reply": "x"}]} for number in range(200)]
    begun = time.thread_time()
    with pytest.raises(ExecutionFailed, match="take longer"):
        await answer(request(agent(rules=rules), "wor" * 4_000_000))
    assert time.thread_time() - begun < 4


async def test_the_texts_of_a_step_share_their_time():
    slow = "{% for i in range(15000) %}{{ i }}{% endfor %}"
    version = agent(rules=[{"steps": [{"tool": "a.b", "arguments": {str(n): slow + str(n) for n in range(100)}}]}])
    with pytest.raises(ExecutionFailed, match="was stopped"):
        await answer(request(version))


async def test_a_long_request_may_be_put_into_words():
    version = agent(rules=[{"steps": [{"reply": "{{ ('You said: ' ~ request) | length }}"}]}])
    assert (await answer(request(version, "x" * (2 << 20)))).text == str(10 + (2 << 20))


async def test_the_delay_is_waited_for_before_each_step():
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    version = agent(rules=[{"steps": [{"tool": "a.b"}, {"reply": "ok"}]}], delay=1.5)
    model = ScriptedModel(templates, sleep)
    await model.respond(request(version), lambda _: None)
    await model.respond(request(version, results=[result()]), lambda _: None)
    assert waited == [1.5, 1.5]


@given(text=st.text(max_size=2_000))
async def test_deltas_add_up_to_the_text(text: str):
    version = agent(rules=[{"steps": [{"reply": "{{ request }}"}]}])
    deltas: list[str] = []
    reply = await answer(request(version, text), deltas)
    assert "".join(deltas) == reply.text == text
    assert len(deltas) <= 12 or len(text) < 12 * 48


@given(words=st.lists(st.sampled_from(["hello", "chart", "sales", "before", "zzz"]), max_size=6))
async def test_the_same_request_gets_the_same_answer(words: list[str]):
    asked = request(analyst(), " ".join(words))

    async def outcome() -> object:
        try:
            return await answer(asked)
        except ExecutionFailed as error:
            return error.report()

    assert await outcome() == await outcome()
