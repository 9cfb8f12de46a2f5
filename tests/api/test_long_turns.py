"""Turns of many model calls and many tool calls: each step reads what it needs, and the model sees all."""

import itertools
import json
import time
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_failures import HOSTILE_MANIFEST
from tests.e2e.test_run_to_completion import tool
from tests.support.stand_in import Answer, Remote

ROUNDS = 25


def thinker(stand_in: Remote) -> dict[str, str | bytes]:
    definition = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{stand_in.model}"\n'
    return {
        **tool("short", HOSTILE_MANIFEST),
        "agents/thinker.toml": f'{definition}tools = ["short"]\n[limits]\nsteps = 1000\n',
    }


def call(number: int) -> dict[str, Any]:
    return {"id": f"theirs-{number}", "name": "short__ok", "arguments": {}}


def send(api: httpx.Client) -> dict[str, Any]:
    answer = api.post("/v1/messages", json={"capability": "think", "content": "go on"})
    answer.raise_for_status()
    return answer.json()


@pytest.mark.requirement("PRF-5")
def test_the_model_sees_all_that_was_done(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    """Also after calls that brought nothing."""
    deploy(thinker(stand_in))
    rounds = [Answer(text=f"round {number}", calls=[call(number)]) for number in range(ROUNDS)]
    rounds.insert(10, Answer(status=500))
    stand_in.answer(*rounds, Answer(text="Done."))
    answer = send(api)
    assert answer["reply"]["content"]["text"] == "Done."
    assert (answer["usage"]["model_calls"], answer["usage"]["tool_calls"]) == (ROUNDS + 2, ROUNDS)
    asked = [request["messages"] for request in stand_in.requests()]
    assert len(asked) == ROUNDS + 2
    last = asked[-1]
    said = [(each["role"], each.get("content")) for each in last if each["role"] == "assistant"]
    assert said == [("assistant", f"round {number}") for number in range(ROUNDS)]
    for before, after in itertools.pairwise(asked):
        assert (
            json.dumps(after)[: len(json.dumps(before)) - 1] == json.dumps(before)[:-1]
        )  # as providers' caches want it
    calls = [each["tool_calls"][0]["id"] for each in last if each.get("tool_calls")]
    assert calls == [each["tool_call_id"] for each in last if each["role"] == "tool"]
    assert len(set(calls)) == ROUNDS


@pytest.mark.requirement("PRF-5")
def test_rounds_of_many_calls_take_no_longer_each_time(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    many = [call(number) for number in range(60)]
    stand_in.answer(*[Answer(calls=many)] * 4, Answer(text="Done."))
    began = time.monotonic()
    answer = send(api)
    assert answer["usage"]["tool_calls"] == 240
    assert time.monotonic() - began < 60
