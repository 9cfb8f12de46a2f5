"""Habits of model services, through the front door: one call, the reply that was meant, and mistakes that models mend."""

import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies
from tests.support.stand_in import Answer, Remote, in_pieces, whole
from tests.support.streams import read_stream, text_of
from tests.support.tools import bundled_tool

PARSE = {"id": "a", "name": "csv-tools__parse", "arguments": {"csv": "a,b\n1,2"}}


@pytest.fixture
def thinker(deploy: Deploy, stand_in: Remote) -> Remote:
    """An agent with a tool and another agent to hand work to; says what its model says."""
    definition = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{stand_in.model}"\n'
    definition += 'tools = ["csv-tools"]\ndelegates = ["look"]\n'
    looker = agent("looker", capabilities='["look"]', rules=replies("I looked at: {{ request }}"))
    deploy({**bundled_tool("csv-tools"), **looker, "agents/thinker.toml": definition})
    return stand_in


def send(api: httpx.Client, *, wait: bool = True) -> dict[str, Any]:
    body = {"capability": "think", "content": "go on"}
    answer = api.post("/v1/messages", json=body, params={"wait": str(wait).lower()})
    return answer.json()


def said(answer: dict[str, Any]) -> str:
    return answer["reply"]["content"]["text"]


def results(request: dict[str, Any]) -> list[str]:
    texts = [message["content"] for message in request["messages"] if message["role"] == "tool"]
    return [json.loads(text)["error"] if text.startswith('{"error"') else text for text in texts]


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("finish", ["eos", "end_turn"])
def test_a_whole_answer_is_paid_once(api: httpx.Client, thinker: Remote, finish: str) -> None:
    thinker.answer(in_pieces({"content": "The whole "}, {"content": "answer."}, finish=finish))
    assert said(send(api)) == "The whole answer."
    assert len(thinker.requests()) == 1


@pytest.mark.requirement("MSG-7")
def test_a_listener_hears_a_reply_that_was_not_streamed(api: httpx.Client, thinker: Remote) -> None:
    thinker.answer(Answer(text="first ", delay=0.5, calls=[PARSE]), whole({"content": "All at once \ud83d\ude00."}))
    told = read_stream(api, send(api, wait=False)["execution_id"])
    assert text_of(told) == "first All at once \U0001f600."
    assert said(told[-1].data) == "All at once \U0001f600."


@pytest.mark.requirement("FAC-4")
def test_what_a_provider_wants_back_is_kept_with_the_step(api: httpx.Client, thinker: Remote) -> None:
    signature = {"google": {"thought_signature": "c2lnbmVk"}}
    function = {"name": PARSE["name"], "arguments": json.dumps(PARSE["arguments"])}
    call = {"index": 0, "id": "a", "type": "function", "function": function, "extra_content": signature}
    thinker.answer(
        in_pieces(
            {"reasoning_content": "I should "}, {"reasoning_content": "look."}, {"tool_calls": [call]}, finish="stop"
        ),
        Answer(calls=[{**PARSE, "id": "b"}]),
        Answer(text="I saw the table."),
    )
    assert said(send(api)) == "I saw the table."
    first, second = [message for message in thinker.requests()[-1]["messages"] if message["role"] == "assistant"]
    assert first["reasoning_content"] == "I should look."
    assert first["tool_calls"][0]["extra_content"] == signature
    # DeepSeek refuses calls without the field, also where nothing was thought.
    assert second["reasoning_content"] == ""


@pytest.mark.requirement("FAC-4")
def test_a_model_mends_a_call_of_what_does_not_exist(api: httpx.Client, thinker: Remote) -> None:
    thinker.answer(Answer(calls=[{**PARSE, "name": "csv_parse_magic"}]), Answer(calls=[PARSE]), Answer(text="Done."))
    answer = send(api)
    assert said(answer) == "Done."
    assert (answer["usage"]["model_calls"], answer["usage"]["tool_calls"]) == (3, 2)
    told, parsed = results(thinker.requests()[-1])
    assert 'there is no function "csv_parse_magic"' in told
    assert "csv-tools__parse" in told
    assert "ask__look" in told
    assert not parsed.startswith("error")
    [call] = [m["tool_calls"][0] for m in thinker.requests()[1]["messages"] if m["role"] == "assistant"]
    assert call["function"] == {"name": "csv_parse_magic", "arguments": "{}"}
    turn = answer["execution_id"]
    failed = api.get("/v1/events", params={"execution": turn, "type": "action_failed"}).json()["events"]
    assert [(each["payload"]["name"], each["payload"]["reason"]) for each in failed] == [
        ("csv_parse_magic", "call_invalid")
    ]
    assert api.get(f"/v1/executions/{turn}/replay").json()["differences"] == []


@pytest.mark.requirement("MSG-3")
def test_a_hand_over_with_another_argument_is_no_empty_task(api: httpx.Client, thinker: Remote) -> None:
    thinker.answer(
        Answer(calls=[{"name": "ask__look", "arguments": {"task": "the sales"}}]),
        Answer(calls=[{"name": "ask__look", "arguments": {"content": "the sales"}}]),
        Answer(text="Done."),
    )
    answer = send(api)
    assert said(answer) == "Done."
    told, looked = results(thinker.requests()[-1])
    assert '"ask__look" takes one argument, "content"' in told
    assert 'You sent "task". Nothing was handed over' in told
    assert looked == "I looked at: the sales"
    everything = api.get(f"/v1/conversations/{answer['conversation_id']}/messages", params={"all": "true"}).json()
    assert [m["content"]["text"] for m in everything["messages"] if m["receiver"] == "looker"] == ["the sales"]
    assert api.get(f"/v1/executions/{answer['execution_id']}/replay").json()["differences"] == []


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize(
    "arguments",
    [
        "{'csv': 1}",
        '{"csv": "a',
        "[1]",
        '{"csv": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"csv": "\\ud83d"}',
        '{"cvs": "a"}',
    ],
)
def test_broken_arguments_are_told_to_the_model(api: httpx.Client, thinker: Remote, arguments: str) -> None:
    thinker.answer(Answer(calls=[{**PARSE, "arguments": arguments}]), Answer(text="I mend it."))
    assert said(send(api)) == "I mend it."
    [told] = results(thinker.requests()[-1])
    assert told.startswith("error: ")
    assert "parse" in told


@pytest.mark.requirement("FAC-4")
def test_arguments_nested_deep_go_their_way(api: httpx.Client, thinker: Remote) -> None:
    deep = '{"csv": ' + "[" * 150 + "]" * 150 + "}"
    thinker.answer(Answer(calls=[{**PARSE, "arguments": deep}]), Answer(text="I mend it."))
    assert said(send(api)) == "I mend it."
    assert len(results(thinker.requests()[-1])) == 1


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("text", ["", "  \n"])
def test_blank_answers_are_not_paid_again_and_again(api: httpx.Client, thinker: Remote, text: str) -> None:
    thinker.answer(Answer(text=text))
    failed = send(api)
    assert failed["code"] == "model_answer_invalid"
    assert "answered with nothing" in failed["detail"]
    assert len(thinker.requests()) == 2


@pytest.mark.requirement("FAC-4")
def test_an_answer_that_is_cut_says_so(api: httpx.Client, thinker: Remote) -> None:
    thinker.answer(in_pieces({"content": "Half of"}, finish="max_tokens"))
    answer = send(api)
    assert (said(answer), answer["reply"]["metadata"]["cut_by"]) == ("Half of", "length")
    thinker.answer(in_pieces({"reasoning_content": "I think and think"}, finish="length"))
    failed = send(api)
    assert failed["code"] == "model_answer_cut"
    assert "max_tokens" in failed["hints"][0]["text"]
    assert len(thinker.requests()) == 2


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize(
    ("error", "code", "requests"),
    [
        ({"code": 429, "message": "slow down"}, "model_rate_limited", 5),
        ({"code": 400, "type": "BadRequestError"}, "model_refused_request", 1),
    ],
)
def test_an_error_inside_an_answer_has_its_own_code(
    api: httpx.Client, thinker: Remote, error: dict[str, Any], code: str, requests: int
) -> None:
    thinker.answer(Answer(sent=f"data: {json.dumps({'error': error})}\n\ndata: [DONE]\n\n"))
    assert send(api)["code"] == code
    assert len(thinker.requests()) == requests


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("text", ["a\ud83d", "a\ufffe\uffffb", "\u202eabc"])
def test_odd_characters_come_through(api: httpx.Client, thinker: Remote, text: str) -> None:
    thinker.answer(in_pieces({"content": text}))
    assert said(send(api)).replace("\ufffd", "") == text.replace("\ud83d", "")
