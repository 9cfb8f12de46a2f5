"""An idempotency key after a failure that may pass: who asks again with it gets the work done, once."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.test_failures import HOSTILE_MANIFEST
from tests.conftest import start_server, stop_server
from tests.e2e.test_run_to_completion import tool
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.provider import Provider, Said, model_agent, running_provider

pytestmark = pytest.mark.xdist_group("asking-again")  # one worker makes what they share

FEW_ATTEMPTS = 5
"""Attempts that the policy of model calls allows."""


class Model:
    """Fails for so many requests, then answers; calls a tool first where it is offered one."""

    def __init__(self) -> None:
        self.fails = 0

    def __call__(self, body: dict[str, Any]) -> Said:
        offered = [each["function"]["name"] for each in body.get("tools", ())]
        has_called = any(message["role"] == "tool" for message in body["messages"])
        if offered and not has_called:
            return Said(calls=[(next(name for name in offered if name.endswith("ok")), {})])
        if self.fails > 0:
            self.fails -= 1
            return Said(status=503)
        return Said("it is done")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def provider(model: Model) -> Iterator[Provider]:
    with running_provider(model) as found:
        yield found


@pytest.fixture(scope="module")
def api(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("again")
    # Its breaker would open in the midst of them.
    process, server = start_server(folder / "data", env={**provider.env, "CAXTON_BREAKER__ENABLED": "false"})
    with server.client() as client:
        files: dict[str, str | bytes] = {
            **tool("often", HOSTILE_MANIFEST),
            **tool("once", HOSTILE_MANIFEST.replace("[limits]", "idempotent = false\n[limits]")),
            **model_agent("asks"),
            **model_agent("calls", more='tools = ["often"]\n'),
            **model_agent("books", more='tools = ["once"]\n'),
            **agent("busy", rules=replies("slept", delay=2)),
        }
        deploy_files(client, folder / "w", files)
        yield client
    stop_server(process)


def ask(api: httpx.Client, path: str, key: str, *, content: str = "x", **more: Any) -> httpx.Response:
    return api.post(path, json={"content": content, **more}, headers={"Idempotency-Key": key})


@pytest.mark.requirement("MSG-8")
@pytest.mark.parametrize("capability", ["asks", "calls"])
def test_after_a_failure_that_may_pass_the_work_is_done(
    api: httpx.Client, model: Model, provider: Provider, capability: str
) -> None:
    key = f"again-{capability}"
    answers: list[str] = []
    model.fails = 2 * FEW_ATTEMPTS
    for _ in range(2):
        failed = ask(api, "/v1/messages", key, capability=capability)
        assert (failed.status_code, failed.json()["code"]) == (503, "model_unavailable"), failed.text
        assert failed.json()["retryable"]
        answers.append(failed.json()["details"]["execution_id"])
    assert model.fails == 0
    done = ask(api, "/v1/messages", key, capability=capability)
    assert done.json()["reply"]["content"]["text"] == "it is done"
    answers.append(done.json()["execution_id"])
    assert len(set(answers)) == 3
    asked = len(provider.asked)
    assert ask(api, "/v1/messages", key, capability=capability).json() == done.json()
    assert len(provider.asked) == asked
    conflict = ask(api, "/v1/messages", key, capability=capability, content="y")
    assert conflict.json()["code"] == "idempotency_conflict"
    for execution in answers:
        assert api.get(f"/v1/executions/{execution}/replay").json()["differences"] == []


@pytest.mark.requirement("MSG-8")
def test_what_called_a_tool_that_may_not_be_called_twice_stays_as_it_is(api: httpx.Client, model: Model) -> None:
    model.fails = FEW_ATTEMPTS
    failed = [ask(api, "/v1/messages", "books", capability="books").json() for _ in range(2)]
    assert failed[0]["code"] == failed[1]["code"] == "model_unavailable"
    assert failed[0]["details"]["execution_id"] == failed[1]["details"]["execution_id"]


@pytest.mark.requirement("MSG-8")
def test_a_message_of_a_conversation_is_sent_again(api: httpx.Client, model: Model) -> None:
    conversation = api.post("/v1/conversations", json={"capability": "asks"}).json()["id"]
    path = f"/v1/conversations/{conversation}/messages"
    model.fails = FEW_ATTEMPTS
    assert ask(api, path, "k1").json()["code"] == "model_unavailable"
    assert ask(api, path, "k2").json()["reply"]["content"]["text"] == "it is done"
    again = ask(api, path, "k1").json()
    assert again["reply"]["content"]["text"] == "it is done"
    assert ask(api, path, "k1").json() == again
    assert api.post(f"/v1/conversations/{conversation}/end", json={}).json()["state"] == "Completed"
