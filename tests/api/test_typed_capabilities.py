"""Capabilities with schemas: what comes in and goes out is checked, wherever it comes from."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies
from tests.support.stand_in import Answer, Remote
from tests.support.streams import read_stream

ORDER = """
[[capabilities]]
name = "price-order"
description = "Prices an order."

[capabilities.input]
type = "object"
required = ["customer", "items"]
additionalProperties = false

[capabilities.input.properties.customer]
type = "string"

[capabilities.input.properties.items]
type = "array"
minItems = 1

[capabilities.input.properties.items.items]
type = "object"
required = ["sku", "quantity"]

[capabilities.input.properties.items.items.properties]
sku = { type = "string" }
quantity = { type = "integer", minimum = 1 }
"""
OUTPUT = (
    '\n[capabilities.output]\ntype = "object"\nrequired = ["total"]\nproperties = { total = { type = "number" } }\n'
)
GOOD = {"customer": "c-7", "items": [{"sku": "a", "quantity": 2}]}


def order(name: str = "pricer", *, rules: str, more: str = "", output: str = OUTPUT) -> dict[str, str | bytes]:
    definition = f'name = "{name}"\nversion = "1.0.0"\nmodel = "scripted"\nscript = "{name}.script.toml"\n'
    return {f"agents/{name}.toml": definition + more + ORDER + output, f"agents/{name}.script.toml": rules}


PRICES = """
[[rules]]
[[rules.steps]]
data = { total = "{{ input['items'] | map(attribute='quantity') | sum * 5 }}", customer = "{{ input.customer }}" }
"""


def ask(api: httpx.Client, body: dict[str, Any], **params: str) -> httpx.Response:
    return api.post("/v1/messages", json={"capability": "price-order", **body}, params=params)


@pytest.mark.requirement("RTE-9")
def test_input_is_seen_by_templates_and_the_reply_carries_data(api: httpx.Client, deploy: Deploy) -> None:
    deploy(order(rules=PRICES))
    turn = ask(api, {"input": GOOD}).json()
    assert turn["reply"]["data"] == {"total": 10, "customer": "c-7"}
    assert json.loads(turn["reply"]["content"]["text"]) == turn["reply"]["data"]
    same = ask(api, {"content": json.dumps(GOOD)}).json()
    assert same["reply"]["data"] == turn["reply"]["data"]
    assert api.get(f"/v1/executions/{turn['execution_id']}").json()["reply"]["data"]["total"] == 10


@pytest.mark.requirement("RTE-9")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": {"customer": "c-7", "items": [{"sku": "a", "quantity": "two"}]}}, "/items/0/quantity"),
        ({"input": {"customer": "c-7", "items": []}}, "/items"),
        ({"input": {**GOOD, "note": "secret words"}}, ""),
        ({"content": "two of a, please"}, ""),
        ({"content": "[1]"}, ""),
    ],
)
def test_input_that_does_not_fit_is_refused_at_the_door(
    api: httpx.Client, deploy: Deploy, body: dict[str, Any], path: str
) -> None:
    deploy(order(rules=PRICES))
    refused = ask(api, body)
    assert refused.status_code == 422, refused.text
    problem = refused.json()
    assert problem["code"] == "capability_input_invalid"
    assert problem["details"]["violations"][0]["path"] == path
    assert "two of a" not in refused.text
    assert api.get("/v1/messages").json()["messages"] == []


def test_a_request_says_what_it_asks_once(api: httpx.Client, deploy: Deploy) -> None:
    deploy(order(rules=PRICES))
    for body in ({}, {"content": "x", "input": GOOD}):
        refused = ask(api, body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
        assert 'give either "content" or "input"' in refused.json()["detail"]


@pytest.mark.requirement("RTE-9")
def test_capabilities_tell_their_schemas(api: httpx.Client, deploy: Deploy) -> None:
    deploy(order(rules=PRICES))
    [found] = api.get("/v1/capabilities").json()["capabilities"]
    assert found["input"]["properties"]["customer"] == {"type": "string"}
    assert found["output"]["required"] == ["total"]
    assert found["providers"][0]["input"] == found["input"]


@pytest.mark.requirement("RTE-9")
def test_a_schema_comes_from_a_file_of_the_agent(api: httpx.Client, deploy: Deploy) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"$ref": "#/$defs/count"}}}
    schema["$defs"] = {"count": {"type": "integer", "minimum": 1}}
    counted = '[{ name = "count", input = "count.schema.json" }]'
    files = agent("counter", capabilities=counted, rules=replies("{{ input.n + 1 }}"))
    deploy({**files, "agents/count.schema.json": json.dumps(schema)})
    done = api.post("/v1/messages", json={"capability": "count", "input": {"n": 2}}).json()
    assert done["reply"]["content"]["text"] == "3"
    assert done["reply"]["data"] is None
    refused = api.post("/v1/messages", json={"capability": "count", "input": {"n": 0}})
    assert refused.json()["details"]["violations"][0]["path"] == "/n"


@pytest.mark.requirement("RTE-9")
def test_messages_of_a_conversation_are_checked_as_well(api: httpx.Client, deploy: Deploy) -> None:
    deploy(order(rules=PRICES))
    talk = api.post("/v1/conversations", json={"capability": "price-order"}).json()["id"]
    path = f"/v1/conversations/{talk}/messages"
    assert api.post(path, json={"input": GOOD}).json()["reply"]["data"]["total"] == 10
    assert api.post(path, json={"input": {}}).json()["code"] == "capability_input_invalid"
    assert api.post(path, json={"input": GOOD}).json()["reply"]["data"]["total"] == 10


@pytest.mark.requirement("RTE-9")
def test_a_script_hands_over_typed_input_and_reads_what_comes_back(api: httpx.Client, deploy: Deploy) -> None:
    rules = """
[[rules]]
[[rules.steps]]
capability = "price-order"
input = { customer = "{{ request }}", items = [{ sku = "b", quantity = "{{ 1 + 2 }}" }] }
[[rules.steps]]
reply = "{{ results[0].json.total }} for {{ results[0].json.customer }}"
"""
    asker = agent("asker", capabilities='["order"]', rules=rules, more='delegates = ["price-order"]\n')
    deploy({**asker, **order(rules=PRICES)})
    turn = api.post("/v1/messages", json={"capability": "order", "content": "c-9"}).json()
    assert turn["reply"]["content"]["text"] == "15 for c-9"
    replayed = api.get(f"/v1/executions/{turn['execution_id']}/replay").json()
    assert replayed["differences"] == []


@pytest.mark.requirement("RTE-9")
def test_a_model_hands_over_what_the_schema_says_and_mends_what_does_not_fit(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    asker = f'name = "asker"\nversion = "1.0.0"\ncapabilities = ["order"]\nmodel = "{stand_in.model}"\n'
    deploy({"agents/asker.toml": asker + 'delegates = ["price-order"]\n', **order(rules=PRICES)})
    stand_in.answer(
        Answer(calls=[{"id": "a", "name": "ask__price-order", "arguments": {"customer": "c-1", "items": []}}]),
        Answer(calls=[{"id": "b", "name": "ask__price-order", "arguments": GOOD}]),
        Answer(text="It costs 10."),
    )
    turn = api.post("/v1/messages", json={"capability": "order", "content": "go on"}).json()
    assert turn["reply"]["content"]["text"] == "It costs 10."
    first, *_, last = stand_in.requests()
    [function] = [tool["function"] for tool in first["tools"]]
    assert function["parameters"]["required"] == ["customer", "items"]
    told = [message["content"] for message in last["messages"] if message["role"] == "tool"]
    assert "/items" in told[0]
    assert json.loads(told[1]) == {"total": 10, "customer": "c-7"}


def typed_model(stand_in: Remote, *, more: str = "") -> dict[str, str | bytes]:
    text = f'name = "pricer"\nversion = "1.0.0"\nmodel = "{stand_in.model}"\n[[capabilities]]\nname = "price-order"\n'
    return {"agents/pricer.toml": text + more + OUTPUT}


@pytest.mark.requirement("RTE-9")
def test_a_model_is_given_the_schema_of_its_reply(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(typed_model(stand_in))
    stand_in.answer(Answer(text='```json\n{"total": 12.5}\n```'))
    turn = ask(api, {"content": "two of a"}).json()
    assert turn["reply"]["data"] == {"total": 12.5}
    assert turn["reply"]["content"]["text"] == '{"total": 12.5}'
    [request] = stand_in.requests()
    wanted = request["response_format"]["json_schema"]
    assert (wanted["name"], wanted["schema"]["required"]) == ("price-order", ["total"])


@pytest.mark.requirement("RTE-9", "SEC-4")
def test_a_reply_that_looks_like_a_fence_and_is_none_costs_nothing(api: httpx.Client, deploy: Deploy) -> None:
    rules = replies("{{ request }}")
    deploy(agent("pricer", capabilities='[{ name = "price-order", output = { type = "object" } }]', rules=rules))
    began = time.monotonic()
    assert ask(api, {"content": "```" + "\n" * 100_000 + "x"}).status_code == 502
    assert time.monotonic() - began < 20, "a regular expression took a minute for 3,000 of these lines"
    for text in ('```\n{"total": 1}```', '```JSON  \n\n {"total": 1}\n ```\n', '{"total": 1}'):
        assert ask(api, {"content": text}).json()["reply"]["data"] == {"total": 1}


@pytest.mark.requirement("RTE-9")
def test_a_reply_that_does_not_fit_is_mended_and_each_attempt_is_paid(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(typed_model(stand_in))
    stand_in.answer(Answer(text='{"total": "twelve"}'), Answer(text='{"total": 12}'))
    turn = ask(api, {"content": "two of a"}).json()
    assert turn["reply"]["data"] == {"total": 12}
    assert (turn["usage"]["model_calls"], turn["usage"]["input_tokens"]) == (2, 100)
    _, second = stand_in.requests()
    assert [message["role"] for message in second["messages"][-2:]] == ["assistant", "user"]
    assert "/total" in second["messages"][-1]["content"]
    told = {"execution": turn["execution_id"], "type": "model_attempt_failed"}
    [failed] = api.get("/v1/events", params=told).json()["events"]
    assert failed["payload"]["reason"] == "capability_output_invalid"
    assert failed["payload"]["input_tokens"] == 50
    assert api.get(f"/v1/executions/{turn['execution_id']}/replay").json()["differences"] == []


@pytest.mark.requirement("RTE-9")
def test_a_reply_that_never_fits_is_a_typed_error(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(typed_model(stand_in, more="output_repairs = 2\n"))
    stand_in.answer(Answer(text="twelve"))
    failed = ask(api, {"content": "two of a"})
    assert (failed.status_code, failed.json()["code"]) == (502, "capability_output_invalid")
    assert failed.json()["details"]["attempts"] == 3
    assert len(stand_in.requests()) == 3
    view = api.get(f"/v1/executions/{failed.json()['details']['execution_id']}").json()
    assert view["usage"]["model_calls"] == 3
    assert view["usage"]["input_tokens"] == 150


@pytest.mark.requirement("RTE-9")
def test_a_budget_ends_the_mending(api: httpx.Client, deploy: Deploy, stand_in: Remote, workspace: str) -> None:
    deploy(typed_model(stand_in, more="output_repairs = 5\n"))
    stand_in.answer(Answer(text="twelve", usage={"prompt_tokens": 60, "completion_tokens": 5}))
    budget = {"resource": "tokens", "limit": 100, "period": "day", "workspace": workspace}
    api.put("/v1/budgets", json=budget).raise_for_status()
    failed = ask(api, {"content": "two of a"})
    assert failed.json()["code"] == "budget_exceeded", failed.text
    assert len(stand_in.requests()) == 2


@pytest.mark.requirement("RTE-9")
def test_a_provider_that_knows_no_schemas_is_asked_in_words(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(typed_model(stand_in))
    refusal = {"error": {"message": "unknown field: response_format", "type": "invalid_request_error"}}
    stand_in.answer(Answer(status=400, body=refusal), Answer(text='{"total": 1}'), Answer(text='{"total": 2}'))
    assert ask(api, {"content": "one"}).json()["reply"]["data"] == {"total": 1}
    assert ask(api, {"content": "two"}).json()["reply"]["data"] == {"total": 2}
    first, second, third = stand_in.requests()
    assert "response_format" in first
    assert "response_format" not in second
    assert "response_format" not in third
    assert '"required": ["total"]' in second["messages"][0]["content"]


@pytest.mark.requirement("RTE-9")
def test_a_listener_hears_that_the_first_reply_counts_no_more(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(typed_model(stand_in))
    stand_in.answer(Answer(text="twelve", delay=0.5), Answer(text='{"total": 12}'))
    body = {"capability": "price-order", "content": "two of a"}
    turn = api.post("/v1/messages", json=body, params={"wait": "false"}).json()
    told = read_stream(api, turn["execution_id"])
    assert told[-1].kind == "reply"
    assert told[-1].data["reply"]["data"] == {"total": 12}
    texts = "".join(event.data["text"] if event.kind == "delta" else "|" for event in told if event.kind != "step")
    assert texts.rstrip("|").endswith('{"total": 12}')


@pytest.mark.requirement("RTE-9")
def test_a_script_whose_reply_does_not_fit_fails(api: httpx.Client, deploy: Deploy) -> None:
    deploy(order(rules=replies("about ten")))
    failed = ask(api, {"input": GOOD})
    assert (failed.status_code, failed.json()["code"]) == (502, "capability_output_invalid")


@pytest.mark.requirement("RTE-9")
def test_a_refused_reply_is_no_object(api: httpx.Client, deploy: Deploy) -> None:
    more = OUTPUT.replace("\n[capabilities.output]", 'approval_mode = "operator"\n[capabilities.output]')
    text = 'name = "pricer"\nversion = "1.0.0"\nmodel = "scripted"\nscript = "pricer.script.toml"\n'
    definition = text + '[[capabilities]]\nname = "price-order"\n' + more
    rules = "[[rules]]\n[[rules.steps]]\ndata = { total = 1 }\n"
    deploy({"agents/pricer.toml": definition, "agents/pricer.script.toml": rules})
    turn = ask(api, {"content": "one"}, wait="false").json()
    events = f"/v1/executions/{turn['execution_id']}"
    from tests.support.waiting import until

    [waiting] = until(lambda: api.get("/v1/approvals").json()["approvals"])
    api.post(f"/v1/approvals/{waiting['id']}/reject", json={"reason": "no"}).raise_for_status()
    done = until(lambda: (view := api.get(events).json())["state"] != "running" and view)
    assert done["reply"]["data"] is None
