"""Listening to turns whose model is a service over the network."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from caxton.domain.ids import derived_id
from tests.api.conftest import Deploy
from tests.support.stand_in import Answer, Remote
from tests.support.streams import Listener, read_stream, text_of
from tests.support.waiting import until

Send = Callable[..., dict[str, Any]]


def thinker(stand_in: Remote, more: str = "") -> dict[str, str | bytes]:
    definition = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{stand_in.model}"\n{more}'
    return {"agents/thinker.toml": definition}


def send(api: httpx.Client, *, wait: bool = False, key: str | None = None) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    body, params = {"capability": "think", "content": "go on"}, {"wait": str(wait).lower()}
    answer = api.post("/v1/messages", json=body, params=params, headers=headers)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.requirement("PRF-4")
def test_a_turn_that_nobody_listens_to_is_not_streamed(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    turn = send(api, wait=True)
    assert turn["reply"]["content"]["text"].startswith("word0 word1 ")
    [asked] = stand_in.requests()
    assert not asked.get("stream")


@pytest.mark.requirement("MSG-7")
def test_text_comes_while_the_model_speaks(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(chunks=40, took=2.0))
    events = read_stream(api, send(api)["execution_id"])
    deltas = [event for event in events if event.kind == "delta"]
    assert text_of(events) == events[-1].data["reply"]["content"]["text"]
    assert len(deltas) > 20
    assert deltas[-1].at - deltas[0].at > 1.0
    assert [event.kind for event in events if event.kind != "delta"] == ["step", "step", "reply"]
    assert stand_in.requests()[0]["stream"] is True


@pytest.mark.requirement("MSG-7")
def test_many_listen_and_each_hears_all(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(chunks=20, took=2.0))
    turn = send(api)["execution_id"]
    listeners = [Listener(api, turn) for _ in range(20)]
    told = [listener.events() for listener in listeners]
    for events in told:
        assert text_of(events) == told[0][-1].data["reply"]["content"]["text"]
        assert [(event.id, event.data) for event in events if event.kind == "step"] == [
            (event.id, event.data) for event in told[0] if event.kind == "step"
        ]


@pytest.mark.requirement("MSG-7")
def test_who_comes_while_a_whole_reply_is_made_gets_it_at_once(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, workspace: str
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(took=2.0))
    key = uuid.uuid4().hex
    turn = derived_id("x", "local", workspace, "", key)
    asking = threading.Thread(target=lambda: send(api, wait=True, key=key))
    asking.start()
    while not stand_in.requests():
        pass
    events = read_stream(api, turn)
    asking.join()
    [delta] = [event for event in events if event.kind == "delta"]
    assert delta.data["text"] == events[-1].data["reply"]["content"]["text"]
    assert len(stand_in.requests()) == 1


@pytest.mark.requirement("MSG-7")
def test_a_stream_goes_on_within_a_text(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(chunks=20, took=3.0))
    turn = send(api)["execution_id"]
    first = Listener(api, turn)
    until(lambda: len(first.heard()) > 4)
    place = first.heard()[4].id
    rest = read_stream(api, turn, place)
    deltas = [event for event in first.events() if event.kind == "delta"]
    assert not [event for event in rest if event.kind == "reset"]
    assert text_of(rest) == "".join(event.data["text"] for event in deltas[5:])


@pytest.mark.requirement("MSG-7")
def test_a_text_of_another_call_is_taken_back_first(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    """Of a call that is not this one: after a crash it has the same step and attempt."""
    deploy(thinker(stand_in))
    stand_in.answer(Answer(chunks=20, took=2.0))
    turn = send(api)["execution_id"]
    first = Listener(api, turn)
    until(lambda: len(first.heard()) > 4)
    place = first.heard()[4].id
    position = place.rpartition(".")[0]
    other = f"{position}.0123456789"
    anew = read_stream(api, turn, other)
    assert [event.kind for event in anew][:2] == ["reset", "delta"]
    assert text_of(anew) == anew[-1].data["reply"]["content"]["text"]
    said = [event for event in first.events() if event.kind == "delta"]
    steps = [event for event in first.events() if event.kind == "step"]
    assert steps[-1].data["text_id"] == said[0].data["text_id"]
    # It is over now: what a listener has of its text is right, and what it has of another one is not.
    assert [event.kind for event in read_stream(api, turn, place)] == ["step", "reply"]
    for last in (other, position, f"{position}.2"):
        [reset, step, _] = read_stream(api, turn, last)
        assert (reset.kind, reset.id) == ("reset", steps[0].id)
        assert reset.data == {"agent": "thinker", "step": 1, "attempt": 1}
        assert step.kind == "step"
