"""The stream of a turn."""

import json

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, hands_over, replies

Event = tuple[str, str, dict[str, object]]


def read(api: httpx.Client, execution: str, last: str | None = None) -> list[Event]:
    headers = {"Last-Event-ID": last} if last else {}
    events: list[Event] = []
    with api.stream("GET", f"/v1/executions/{execution}/stream", headers=headers) as response:
        assert response.status_code == 200
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line.startswith(":"):
                continue
            if not line:
                if fields:
                    events.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
                continue
            name, _, value = line.partition(": ")
            fields[name] = value
    return events


@pytest.mark.requirement("MSG-7")
def test_a_turn_streams_its_steps_its_text_and_its_reply(api: httpx.Client, deploy: Deploy) -> None:
    text = "one two three four five six seven eight nine ten " * 20
    deploy(agent("slow", rules=replies(text, delay=0.5)))
    sent = api.post("/v1/messages", json={"capability": "slow", "content": "x"}, params={"wait": "false"})
    assert sent.status_code == 202
    events = read(api, sent.json()["execution_id"])
    assert events[0][1] == "step"
    assert events[-1][1] == "reply"
    streamed = "".join(str(data["text"]) for _, kind, data in events if kind == "delta")
    assert text.strip().startswith(streamed.strip()[:100])


@pytest.mark.requirement("MSG-7")
def test_a_stream_goes_on_behind_the_last_event(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'),
            **agent("second", rules=replies("ok")),
        }
    )
    turn = api.post("/v1/messages", json={"capability": "first", "content": "x"}).json()
    everything = read(api, turn["execution_id"])
    kinds = [data.get("kind") for _, kind, data in everything if kind == "step"]
    assert kinds == ["open", "model", "open", "model", "handover", "model"]
    for position, (identity, _, _) in enumerate(everything[:-1]):
        assert read(api, turn["execution_id"], identity) == everything[position + 1 :]
    for odd in ("x", "x+", "x+9" + "9" * 200, "x+\u00b2".encode("latin-1")):
        assert read(api, turn["execution_id"], odd)[-1] == everything[-1]
    too_long = {"Last-Event-ID": "x" * 301}
    assert api.get(f"/v1/executions/{turn['execution_id']}/stream", headers=too_long).status_code == 400


@pytest.mark.requirement("MSG-7")
def test_what_was_handed_over_has_a_stream_that_ends(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'),
            **agent("second", rules=hands_over("third"), more='delegates = ["third"]\n'),
            **agent("third", rules=replies("deep")),
        }
    )
    turn = api.post("/v1/messages", json={"capability": "first", "content": "x"}).json()
    told = api.get(f"/v1/executions/{turn['execution_id']}/events").json()["events"]
    parts = {event["agent"]: event["execution_id"] for event in told if event["event_type"] == "execution_processing"}
    assert set(parts) == {"first", "second", "third"}
    seen = {name: read(api, execution) for name, execution in parts.items()}
    for name, events in seen.items():
        assert events[-1][1] == "reply", name
        assert "deep" in str(events[-1][2]), name
        assert {str(data["agent"]) for _, kind, data in events if kind == "step"} >= {name}
    assert [data["kind"] for _, kind, data in seen["third"] if kind == "step"] == ["open", "model", "handover"]
    assert {str(data["agent"]) for _, kind, data in seen["third"] if data.get("kind") == "model"} == {"third"}


def test_the_stream_of_a_failed_turn_ends_with_its_error(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("fails", rules="[[rules]]\n[[rules.steps]]\nfail = 'no luck'\n"))
    failed = api.post("/v1/messages", json={"capability": "fails", "content": "x"})
    events = read(api, failed.json()["details"]["execution_id"])
    assert events[-1][1] == "error"
    assert "no luck" in str(events[-1][2]["message"])


def test_an_unknown_execution_has_no_stream(api: httpx.Client) -> None:
    assert api.get("/v1/executions/x_nothing/stream").status_code == 404
