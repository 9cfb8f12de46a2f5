"""Any client of OpenAI's API talks to agents: tried with OpenAI's own."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until


def make_client(server: RunningServer, workspace: str, **options: Any) -> openai.OpenAI:
    """OpenAI's client of a server."""
    return openai.OpenAI(
        base_url=f"{server.url}/openai/v1",
        api_key=options.pop("api_key", server.api_key),
        default_headers={"X-Caxton-Workspace": workspace},
        max_retries=options.pop("max_retries", 0),
        timeout=60,
        **options,
    )


@pytest.fixture
def client(caxton_server: RunningServer, workspace: str) -> Iterator[openai.OpenAI]:
    with make_client(caxton_server, workspace) as found:
        yield found


def user(text: Any) -> Any:
    return {"role": "user", "content": text}


def thinker(stand_in: Remote, *, more: str = "", head: str = "") -> dict[str, str | bytes]:
    text = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{stand_in.model}"\n'
    return {"agents/thinker.toml": text + head + 'system_prompt = "You think."\n' + more}


def error_of(caught: "pytest.ExceptionInfo[openai.APIStatusError]") -> dict[str, Any]:
    return caught.value.response.json()["error"]


@pytest.mark.requirement("FAC-3")
def test_a_capability_answers_a_chat(client: openai.OpenAI, api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    done = client.chat.completions.create(model="echo", messages=[user("hello")])
    assert done.choices[0].message.content == "you said: hello"
    assert (done.object, done.model, done.choices[0].finish_reason) == ("chat.completion", "echo", "stop")
    assert done.id.startswith("chatcmpl-")
    facts = done.model_dump()["caxton"]
    assert api.get(f"/v1/executions/{facts['execution_id']}").json()["state"] == "completed"
    assert client.chat.completions.create(model="agent:echo", messages=[user("x")]).choices[0].message.content
    assert client.chat.completions.create(model="echo@^1", messages=[user("x")]).choices[0].message.content


@pytest.mark.requirement("FAC-3")
def test_models_are_capabilities_and_agents(client: openai.OpenAI, deploy: Deploy) -> None:
    deploy(agent("echo", capabilities='["say"]', rules=replies("x")))
    names = [model.id for model in client.models.list()]
    assert {"say", "agent:echo"} <= set(names)
    assert client.models.retrieve("say").owned_by == "caxton"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


@pytest.mark.requirement("FAC-3")
def test_a_model_sees_the_history_and_the_instructions_of_the_caller(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="Blue."))
    messages = [
        {"role": "system", "content": "Be brief."},
        user("I like blue."),
        {"role": "assistant", "content": "Noted."},
        user([{"type": "text", "text": "What do I like?"}]),
    ]
    done = client.chat.completions.create(model="think", messages=messages, stop=["###"])  # type: ignore[arg-type]
    assert done.choices[0].message.content == "Blue."
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.total_tokens) == (50, 50 + done.usage.completion_tokens)
    [request] = stand_in.requests()
    seen = [(message["role"], message["content"]) for message in request["messages"]]
    assert seen == [
        ("system", "You think.\n\nBe brief."),
        ("user", "I like blue."),
        ("assistant", "Noted."),
        ("user", "What do I like?"),
    ]
    assert request["stop"] == ["###"]


@pytest.mark.requirement("FAC-3")
def test_a_stream_has_the_text_as_it_is_made_and_the_usage(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="one two three four five six", delay=0.3, took=0.3, chunks=6))
    stream = client.chat.completions.create(
        model="think", messages=[user("count")], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(texts) == "one two three four five six"
    assert len(texts) > 2
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 50
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"


@pytest.mark.requirement("FAC-3")
def test_a_script_is_streamed_as_well_and_stops_where_it_is_told(client: openai.OpenAI, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    stream = client.chat.completions.create(model="echo", messages=[user("a END b")], stream=True, stop="END")
    texts = [choice.delta.content for chunk in stream for choice in chunk.choices if choice.delta.content]
    assert "".join(texts) == "you said: a "
    done = client.chat.completions.create(model="echo", messages=[user("a END b")], stop=["END"])
    assert done.choices[0].message.content == "you said: a "
    with pytest.raises(openai.BadRequestError, match="1000 characters"):  # it took seconds to look for
        client.chat.completions.create(model="echo", messages=[user("x")], stop="b" + "a" * 200_000)


@pytest.mark.requirement("FAC-3")
@pytest.mark.requirement("RTE-9")
def test_a_response_format_is_seen_to(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="twelve"), Answer(text='{"total": 12}'))
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}
    done = client.chat.completions.create(model="think", messages=[user("sum")], response_format=wanted)
    assert json.loads(done.choices[0].message.content or "") == {"total": 12}
    assert done.usage is not None
    assert done.usage.prompt_tokens == 100
    stand_in.answer(Answer(text='{"a": 1}'))
    done = client.chat.completions.create(
        model="think", messages=[user("sum")], response_format={"type": "json_object"}
    )
    assert json.loads(done.choices[0].message.content or "") == {"a": 1}


@pytest.mark.requirement("FAC-3")
def test_a_conversation_goes_on_by_its_header(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="Noted."), Answer(text="Blue."))
    begun = client.chat.completions.with_raw_response.create(
        model="think", messages=[user("I like blue.")], extra_headers={"X-Caxton-Conversation": "new"}
    )
    talk = begun.headers["X-Caxton-Conversation"]
    done = client.chat.completions.create(
        model="think", messages=[user("What do I like?")], extra_headers={"X-Caxton-Conversation": talk}
    )
    assert done.choices[0].message.content == "Blue."
    seen = [message["content"] for message in stand_in.requests()[-1]["messages"]]
    assert seen == ["You think.", "I like blue.", "Noted.", "What do I like?"]


@pytest.mark.requirement("FAC-3")
@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [user([{"type": "image_url", "image_url": {"url": "data:"}}])]}, "messages.0.content"),
        ({"messages": [{"role": "assistant", "content": "hello"}]}, "messages"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}},
            "response_format",
        ),
    ],
)
def test_what_an_agent_cannot_do_is_refused_by_name(
    client: openai.OpenAI, deploy: Deploy, options: dict[str, Any], param: str
) -> None:
    deploy(agent("echo", rules=replies("x")))
    given: dict[str, Any] = {"model": "echo", "messages": [user("x")], **options}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**given)
    assert (error_of(caught)["param"], error_of(caught)["type"]) == (param, "invalid_request_error")


@pytest.mark.requirement("FAC-3")
def test_errors_are_those_of_openai(
    client: openai.OpenAI, caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    deploy({**agent("echo", rules=replies("x")), **agent("fails", rules="[[rules]]\n[[rules.steps]]\nfail = 'no'\n")})
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="ecco", messages=[user("x")])
    assert (error_of(missing)["code"], error_of(missing)["param"]) == ("model_not_found", "model")
    assert "echo" in error_of(missing)["message"]
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="fails", messages=[user("x")])
    assert error_of(failed)["code"] == "execution_failed"
    assert failed.value.response.headers["x-should-retry"] == "false"
    with (
        make_client(caxton_server, workspace, api_key="cx_wrong") as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.models.list()
    assert error_of(refused)["code"] == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as nowhere:
        client.get("/no/such/path", cast_to=object)
    assert error_of(nowhere)["code"] == "not_found"
    with pytest.raises(openai.APIError, match="no"):
        list(client.chat.completions.create(model="fails", messages=[user("x")], stream=True))


@pytest.mark.parametrize("base", ["", "/v1", "/openai", "/openai/v1/v1"])
@pytest.mark.requirement("FAC-3")
def test_a_client_with_a_wrong_base_url_is_told_the_right_one(
    caxton_server: RunningServer, workspace: str, base: str
) -> None:
    with make_client(caxton_server, workspace) as client:
        client.base_url = f"{caxton_server.url}{base}"
        for ask in (
            client.models.list,
            lambda: client.responses.create(model="echo", input="x"),
            lambda: client.embeddings.create(model="echo", input="x"),
            lambda: client.chat.completions.create(model="echo", messages=[user("x")]),
        ):
            with pytest.raises(openai.NotFoundError, match=r"a base URL that ends with /openai/v1$"):
                ask()
        client.api_key = "sk-wrong"
        with pytest.raises(openai.AuthenticationError, match="the API key is not valid"):
            client.models.list()


@pytest.mark.requirement("FAC-8")
def test_responses_go_on_with_one_another(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="Noted."), Answer(text="Blue."))
    first = client.responses.create(model="think", input="I like blue.", instructions="Be brief.")
    assert (first.output_text, first.status) == ("Noted.", "completed")
    second = client.responses.create(model="think", input="What do I like?", previous_response_id=first.id)
    assert second.output_text == "Blue."
    assert second.usage is not None
    assert second.usage.input_tokens == 50
    seen = [message["content"] for message in stand_in.requests()[-1]["messages"]]
    assert seen == ["You think.", "I like blue.", "Noted.", "What do I like?"]
    known = client.responses.retrieve(second.id)
    assert (known.output_text, known.status, known.model) == ("Blue.", "completed", "think")
    with pytest.raises(openai.ConflictError) as branched:
        client.responses.create(model="think", input="And?", previous_response_id=first.id)
    assert second.id in error_of(branched)["message"]
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="think", input="And?", previous_response_id="resp_nothing")


@pytest.mark.requirement("FAC-8")
def test_a_response_is_streamed_in_events(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="one two three four", delay=0.3, took=0.2, chunks=4))
    with client.responses.stream(model="think", input="count") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert final.output_text == "one two three four"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "one two three four"


@pytest.mark.requirement("FAC-8")
def test_a_response_in_the_background_is_fetched_later(client: openai.OpenAI, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="Done.", delay=0.5))
    begun = client.responses.create(model="think", input="go", background=True)
    assert begun.status == "in_progress"
    done = until(lambda: (found := client.responses.retrieve(begun.id)).status == "completed" and found)
    assert done.output_text == "Done."


@pytest.mark.requirement("FAC-8")
def test_a_response_is_followed_again_by_who_has_lost_the_line(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="one two three four", delay=0.5, took=0.2, chunks=4))
    with client.responses.create(model="think", input="count", stream=True) as lost:
        begun = next(iter(lost))
    assert begun.type == "response.created"
    for _ in ("while it is made", "when it is over"):
        events = list(client.responses.retrieve(begun.response.id, stream=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == "one two three four"
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == "one two three four"
    with pytest.raises(openai.BadRequestError, match="starting_after"):
        client.responses.retrieve(begun.response.id, stream=True, starting_after=3)
    with pytest.raises(openai.NotFoundError, match="there is no response"):
        client.responses.retrieve("resp_nothing", stream=True)


@pytest.mark.requirement("FAC-8")
def test_a_response_is_cancelled_and_its_conversation_goes_on(
    client: openai.OpenAI, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="Noted."), Answer(text="never", delay=60))
    first = client.responses.create(model="think", input="I like blue.")
    slow = client.responses.create(model="think", input="go", background=True, previous_response_id=first.id)
    until(lambda: len(stand_in.requests()) == 2)
    assert client.responses.cancel(slow.id).status == "cancelled"
    assert client.responses.retrieve(slow.id).status == "cancelled"
    assert client.responses.cancel(slow.id).status == "cancelled"
    stand_in.answer(Answer(text="Blue."))
    assert client.responses.create(model="think", input="And?", previous_response_id=slow.id).output_text == "Blue."
    assert client.responses.cancel(first.id).status == "completed"
    with pytest.raises(openai.NotFoundError, match="there is no response"):
        client.responses.cancel("resp_nothing")


@pytest.mark.requirement("FAC-9")
def test_an_approval_that_waits_is_told_with_the_way_back(
    client: openai.OpenAI, api: httpx.Client, deploy: Deploy
) -> None:
    offered = '[{ name = "pay", approval_mode = "operator" }]'
    deploy(agent("payer", capabilities=offered, rules=replies("paid {{ request }}")))
    key = {"Idempotency-Key": "order-7"}
    with pytest.raises(openai.ConflictError) as waiting:
        client.chat.completions.create(model="pay", messages=[user("7")], extra_headers=key)
    told = error_of(waiting)
    assert told["code"] == "reply_pending"
    assert waiting.value.response.headers["x-should-retry"] == "false"
    details = told["caxton"]["details"]
    assert client.responses.retrieve(details["response_id"]).status == "in_progress"
    held = client.responses.create(model="pay", input="8")
    assert held.status == "in_progress"
    assert held.metadata is not None
    assert held.metadata["caxton_waits_for"] == "approval"
    with pytest.raises(openai.APIError, match="approval"):
        list(client.chat.completions.create(model="pay", messages=[user("9")], stream=True))
    for approval in (details["approval_id"], held.metadata["caxton_approval_id"]):
        api.post(f"/v1/approvals/{approval}/grant", json={"reason": "fine"}).raise_for_status()
    done = until(lambda: (found := client.responses.retrieve(held.id)).status == "completed" and found)
    assert done.output_text == "paid 8"
    until(lambda: client.responses.retrieve(details["response_id"]).status == "completed")
    again = client.chat.completions.create(model="pay", messages=[user("7")], extra_headers=key)
    assert again.choices[0].message.content == "paid 7"


@pytest.mark.requirement("FAC-3")
def test_texts_are_embedded(client: openai.OpenAI) -> None:
    name = next(model.id for model in client.models.list() if "minilm" in model.id)
    found = client.embeddings.create(model=name, input=["Sales grew.", "Revenue went up.", "A cat sleeps."])
    vectors = [each.embedding for each in found.data]
    assert {len(vector) for vector in vectors} == {384}

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(vectors[0], vectors[1]) > likeness(vectors[0], vectors[2])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="text-embedding-3-small", input="x")


@pytest.mark.requirement("FAC-3")
def test_work_that_is_handed_over_lacks_what_the_caller_brought(client: openai.OpenAI, deploy: Deploy) -> None:
    front = agent("front", rules=hands_over("echo"), more='delegates = ["echo"]\n')
    deploy({**front, **agent("echo", rules=replies("{{ request }}, {{ history | length }} before"))})
    messages = [user("a"), {"role": "assistant", "content": "b"}, user("c")]
    done = client.chat.completions.create(model="front", messages=messages)  # type: ignore[arg-type]
    assert done.choices[0].message.content == "c, 0 before"


def test_a_key_that_may_only_read_gets_no_answer(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("x")))
    made = api.post("/v1/keys", json={"name": f"v-{workspace}", "grants": [{"role": "viewer"}]})
    made.raise_for_status()
    with make_client(caxton_server, workspace, api_key=made.json()["key"]) as viewer:
        assert viewer.models.list().data
        with pytest.raises(openai.PermissionDeniedError) as refused:
            viewer.chat.completions.create(model="echo", messages=[user("x")])
    assert error_of(refused)["type"] == "permission_error"
