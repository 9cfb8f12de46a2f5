"""Agents that hand work to one another."""

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, hands_over, replies


def ask(api: httpx.Client, capability: str, content: str = "x") -> httpx.Response:
    return api.post("/v1/messages", json={"capability": capability, "content": content})


@pytest.mark.requirement("MSG-3")
def test_work_goes_through_several_agents(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("first", rules=hands_over("second", content="{{ request }} 1"), more='delegates = ["second"]\n'),
            **agent("second", rules=hands_over("third", content="{{ request }} 2"), more='delegates = ["third@^1"]\n'),
            **agent("third", rules=replies("third got: {{ request }}")),
        }
    )
    turn = ask(api, "first", "go").json()
    assert turn["reply"]["content"]["text"] == "third got: go 1 2"
    everything = api.get(f"/v1/conversations/{turn['conversation_id']}/messages", params={"all": "true"}).json()
    route = [(message["sender"], message["receiver"]) for message in everything["messages"]]
    assert route == [
        ("user", "first"),
        ("first", "second"),
        ("second", "third"),
        ("third", "second"),
        ("second", "first"),
        ("first", "user"),
    ]
    assert len({message["trace_id"] for message in everything["messages"]}) == 1
    said = api.get(f"/v1/conversations/{turn['conversation_id']}/messages").json()["messages"]
    assert len(said) == 2
    participants = api.get(f"/v1/conversations/{turn['conversation_id']}").json()["participants"]
    assert participants == ["user", "first", "second", "third"]


@pytest.mark.requirement("MSG-3")
def test_a_chain_that_is_too_deep_is_stopped(api: httpx.Client, deploy: Deploy) -> None:
    files: dict[str, str | bytes] = {}
    for number in range(4):
        more = f'delegates = ["a{number + 1}"]\n[limits]\ndepth = 2\n'
        files |= agent(f"a{number}", rules=hands_over(f"a{number + 1}"), more=more)
    deploy({**files, **agent("a4", rules=replies("deep"))})
    assert ask(api, "a2").json()["reply"]["content"]["text"] == "deep"
    failed = ask(api, "a0")
    assert failed.status_code >= 400
    assert "levels deep" in failed.json()["detail"]


@pytest.mark.requirement("MSG-3")
def test_a_circle_is_stopped(api: httpx.Client, deploy: Deploy) -> None:
    circle = "[limits]\nloops = 2\n"
    deploy(
        {
            **agent("ping", rules=hands_over("pong"), more=f'delegates = ["pong"]\n{circle}'),
            **agent("pong", rules=hands_over("ping"), more=f'delegates = ["ping"]\n{circle}'),
        }
    )
    failed = ask(api, "ping")
    assert failed.status_code >= 400
    assert "circle: ping → pong → ping → pong → ping" in failed.json()["detail"]


@pytest.mark.requirement("RTE-6")
@pytest.mark.requirement("MSG-4")
def test_an_agent_can_answer_although_the_other_is_missing(api: httpx.Client, deploy: Deploy) -> None:
    rules = hands_over("nobody", on_error="alone, because: {{ results[0].text }}")
    deploy(agent("robust", rules=rules, more='delegates = ["nobody"]\n'))
    text = ask(api, "robust").json()["reply"]["content"]["text"]
    assert text.startswith("alone, because:")
    assert 'no agent offers the capability "nobody"' in text


@pytest.mark.requirement("EVT-2")
def test_every_execution_of_a_turn_has_its_events(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'),
            **agent("second", rules=replies("ok")),
        }
    )
    turn = ask(api, "first").json()
    events = api.get(f"/v1/executions/{turn['execution_id']}/events").json()["events"]
    for execution in {event["execution_id"] for event in events if event["execution_id"]}:
        own = [event["event_type"] for event in events if event["execution_id"] == execution]
        wanted = [
            "execution_triggered",
            "execution_processing",
            "action_prepared",
            "action_dispatched",
            "execution_completed",
        ]
        assert [name for name in own if name in wanted][-1] == "execution_completed"
        assert set(wanted) <= set(own)
