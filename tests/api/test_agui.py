"""AG-UI: web front ends run capabilities, by the official schema."""

import uuid
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_approvals import finished, guarded, reviewed
from tests.api.test_failures import hostile
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.agui import check_order, frames, run, run_input, text_of, user
from tests.support.files import PNG, data_uri
from tests.support.modules import answering
from tests.support.stand_in import Answer, Remote


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def outcome(events: list[dict[str, Any]]) -> dict[str, Any]:
    return events[-1]["outcome"]


@pytest.fixture
def thread() -> str:
    return uuid.uuid4().hex


@pytest.mark.requirement("FAC-7")
def test_a_capability_runs_and_its_thread_goes_on(api: httpx.Client, deploy: Deploy, thread: str) -> None:
    deploy(agent("echo", rules=replies("{{ history | length }}: {{ request }}")))
    first = run_input(thread, user("hello"))
    events = run(api, "echo", first)
    assert (events[0]["threadId"], events[0]["runId"], events[0]["protocolVersion"]) == (thread, first["runId"], "1.0")
    assert text_of(events) == "0: hello"
    assert outcome(events) == {"type": "success"}
    assert events[-1]["result"]["scripted"]
    assert kinds(events)[:3] == ["RUN_STARTED", "STATE_SNAPSHOT", "STEP_STARTED"]
    again = run(api, "echo", first)
    assert again[-1]["result"] == events[-1]["result"], "the same run is the same turn"
    said = [*first["messages"], {"id": "a", "role": "assistant", "content": "0: hello"}, user("more")]
    assert text_of(run(api, "echo", run_input(thread, *said))) == "2: more"
    other = run_input(uuid.uuid4().hex, *said)
    assert text_of(run(api, "echo", other)) == "2: more", "a thread that is new here brings its history"
    assert text_of(run(api, "agent:echo", run_input(thread, user("x")))) == "0: x"


@pytest.mark.requirement("FAC-7")
def test_calls_steps_and_state_are_told(api: httpx.Client, deploy: Deploy, stand_in: Remote, thread: str) -> None:
    deploy(
        {
            "agents/first.toml": f'name = "first"\nversion = "1.0.0"\ncapabilities = ["first"]\nmodel = "{stand_in.model}"\n'
            'tools = ["t"]\ndelegates = ["second"]\nuser_prompt_template = "{{ request }} {{ variables.state.city }}"\n',
            **agent("second", rules=replies("it is late")),
            "tools/t/tool.toml": 'name = "t"\nversion = "1.0.0"\nmodule = "m.wasm"\n',
            "tools/t/m.wasm": answering('{"content": [{"type": "text", "text": "12"}]}'),
        }
    )
    calls: list[dict[str, Any]] = [
        {"id": "1", "name": "t__run", "arguments": {}},
        {"id": "2", "name": "ask__second", "arguments": {"content": "when?"}},
    ]
    stand_in.answer(Answer(text="I look.", calls=calls), Answer(text="It is 12."))
    context = [{"description": "The page", "value": "Clock"}]
    body = run_input(thread, user("time?"), state={"city": "Bern"}, context=context, tools=[], forwardedProps={})
    events = run(api, "first", body)
    assert text_of(events) == "I look.\nIt is 12."
    [tool, handed] = [event for event in events if event["type"] == "TOOL_CALL_START"]
    assert (tool["toolCallName"], handed["toolCallName"]) == ("t.run", "second")
    arguments = {event["toolCallId"]: event["delta"] for event in events if event["type"] == "TOOL_CALL_ARGS"}
    assert arguments[handed["toolCallId"]] == '{"content": "when?"}'
    results = {event["toolCallId"]: event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"}
    assert results == {tool["toolCallId"]: "12", handed["toolCallId"]: "it is late"}
    assert [event["stepName"] for event in events if event["type"] == "STEP_STARTED"] == ["first", "second"]
    [snapshot] = [event["snapshot"] for event in events if event["type"] == "STATE_SNAPSHOT"]
    assert snapshot["city"] == "Bern"
    assert snapshot["caxton"]["status"] == "running"
    assert events[-1]["usage"][0]["inputTokens"] == 100
    asked = stand_in.requests()[0]["messages"]
    assert asked[-1]["content"] == "time? Bern"
    assert "The page: Clock" in asked[0]["content"]


@pytest.mark.requirement("FAC-7")
def test_text_comes_as_it_is_made(api: httpx.Client, deploy: Deploy, stand_in: Remote, thread: str) -> None:
    deploy({"agents/a.toml": f'name = "a"\nversion = "1.0.0"\ncapabilities = ["a"]\nmodel = "{stand_in.model}"\n'})
    stand_in.answer(Answer(text="one two three four five six", delay=0.3, took=0.3, chunks=6))
    events = run(api, "a", run_input(thread, user("count")))
    assert text_of(events) == "one two three four five six"
    assert kinds(events).count("TEXT_MESSAGE_CONTENT") > 2
    assert kinds(events).count("TEXT_MESSAGE_START") == 1


@pytest.mark.requirement("FAC-7", "FAC-9")
@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_is_an_interrupt_and_decided_by_a_resume(
    api: httpx.Client, deploy: Deploy, thread: str, approved: bool
) -> None:
    deploy(guarded())
    asked = user("pay")
    events = run(api, "teller", run_input(thread, asked))
    [waiting] = outcome(events)["interrupts"]
    [start] = [event for event in events if event["type"] == "TOOL_CALL_START"]
    assert (waiting["toolCallId"], waiting["reason"]) == (start["toolCallId"], "tool_call")
    assert waiting["metadata"]["risk_level"] == "high"
    [shown] = api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"]
    assert shown["id"] == waiting["id"], "it is the same approval everywhere"
    answer = {"interruptId": waiting["id"], "status": "resolved", "payload": {"approved": approved, "reason": "seen"}}
    resumed = run_input(thread, asked, resume=[answer])
    goes_on = run(api, "teller", resumed)
    assert outcome(goes_on)["type"] == "success", goes_on
    results = [event for event in goes_on if event["type"] == "TOOL_CALL_RESULT"]
    assert [event["toolCallId"] for event in results] == [start["toolCallId"]]
    decided = api.get(f"/v1/approvals/{waiting['id']}").json()
    assert (decided["state"], decided["reason"]) == ("Granted" if approved else "Rejected", "seen")
    assert run(api, "teller", resumed)[-1] == goes_on[-1], "the same run again decides nothing"
    other = {**answer, "payload": {"approved": not approved}}
    assert run(api, "teller", run_input(thread, asked, resume=[other]))[-1]["code"] == "invalid_state"


@pytest.mark.requirement("FAC-7", "FAC-9")
def test_arguments_are_edited_with_the_approval(api: httpx.Client, deploy: Deploy, thread: str) -> None:
    deploy(guarded())
    asked = user("pay")
    [waiting] = outcome(run(api, "teller", run_input(thread, asked)))["interrupts"]
    assert "editedArgs" in waiting["responseSchema"]["properties"]
    answer = {"interruptId": waiting["id"], "status": "resolved"}
    wrong = {**answer, "payload": {"approved": True, "editedArgs": "no object"}}
    assert run(api, "teller", run_input(thread, asked, resume=[wrong]))[-1]["code"] == "invalid_input"
    edited = {**answer, "payload": {"approved": True, "editedArgs": {"note": "edited"}}}
    assert outcome(run(api, "teller", run_input(thread, asked, resume=[edited])))["type"] == "success"
    told = api.get(f"/v1/approvals/{waiting['id']}").json()
    assert (told["state"], told["arguments"]) == ("Granted", {"note": "edited"})


@pytest.mark.requirement("FAC-7", "FAC-9")
def test_a_message_that_would_wait_for_a_person_is_told_what_waits(
    api: httpx.Client, deploy: Deploy, thread: str
) -> None:
    deploy(reviewed())
    asked = user("Ada")
    [waiting] = outcome(run(api, "write", run_input(thread, asked)))["interrupts"]
    second = run_input(thread, asked, user("Bo"))
    started, refused = run(api, "write", second)
    assert (started["type"], started["runId"]) == ("RUN_STARTED", second["runId"])
    assert (refused["type"], refused["code"]) == ("RUN_ERROR", "conversation_busy")
    for part in ("wants to reply", waiting["id"], "resume"):
        assert part in refused["message"], refused
    answer = {"interruptId": waiting["id"], "status": "resolved", "payload": True}
    assert text_of(run(api, "write", run_input(thread, asked, resume=[answer]))) == "Dear Ada"
    [after] = outcome(run(api, "write", second))["interrupts"]
    assert after["id"] != waiting["id"], "nothing was accepted before, so it is asked now"


@pytest.mark.requirement("FAC-7")
def test_a_message_may_take_the_place_of_one_that_waits_for_a_person(
    api: httpx.Client, deploy: Deploy, thread: str
) -> None:
    files = reviewed()
    files["agents/writer.toml"] = str(files["agents/writer.toml"]).replace(
        'name = "write",', 'name = "write", when_busy = "replace",'
    )
    deploy(files)
    asked = user("Ada")
    [waiting] = outcome(run(api, "write", run_input(thread, asked)))["interrupts"]
    [other] = outcome(run(api, "write", run_input(thread, asked, user("Bo"))))["interrupts"]
    assert other["id"] != waiting["id"]


@pytest.mark.requirement("FAC-7")
def test_a_run_that_is_asked_for_again_with_another_message_is_refused(
    api: httpx.Client, deploy: Deploy, thread: str
) -> None:
    deploy(agent("clerk", rules=replies("You said {{ request }}")))
    body = run_input(thread, user("yes"))
    assert text_of(run(api, "clerk", body)) == "You said yes" == text_of(run(api, "clerk", body))
    other = api.post("/v1/agui/clerk", json={**body, "messages": [user("no")]})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert "runId" in other.text
    encoded = data_uri(PNG, "image/png").partition(",")[2]
    image = {"type": "image", "source": {"type": "data", "value": encoded, "mimeType": "image/png"}}
    pictured = {"id": "m", "role": "user", "content": [{"type": "text", "text": "yes"}, image]}
    assert api.post("/v1/agui/clerk", json={**body, "messages": [pictured]}).status_code == 409


@pytest.mark.requirement("FAC-9")
def test_what_is_decided_elsewhere_is_decided_here(api: httpx.Client, deploy: Deploy, thread: str) -> None:
    deploy(reviewed())
    asked = user("Ada")
    events = run(api, "write", first := run_input(thread, asked))
    [waiting] = outcome(events)["interrupts"]
    assert (waiting["reason"], list(waiting["responseSchema"]["properties"])) == (
        "confirmation",
        ["approved", "reason"],
    )
    api.post(f"/v1/approvals/{waiting['id']}/grant", json={}).raise_for_status()
    finished(api, api.get(f"/v1/approvals/{waiting['id']}").json()["root_id"])
    assert text_of(run(api, "write", first)) == "Dear Ada"
    answer = {"interruptId": waiting["id"], "status": "resolved", "payload": True}
    assert text_of(run(api, "write", run_input(thread, asked, resume=[answer]))) == "Dear Ada"


@pytest.mark.requirement("FAC-7", "SEC-2")
def test_who_may_not_read_approvals_does_not_see_what_waits(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, deploy: Deploy, thread: str
) -> None:
    deploy(reviewed())
    role = f"sender-{workspace}"
    api.put(f"/v1/roles/{role}", json={"permissions": ["messages:send", "messages:read"]}).raise_for_status()
    key = api.post("/v1/keys", json={"name": role, "role": role}).json()["key"]
    with caxton_server.client(workspace, key=key) as sender:
        told = run(sender, "write", body := run_input(thread, user("Ada")))
    [waiting] = outcome(told)["interrupts"]
    assert "Dear Ada" not in str(told)
    [seen] = outcome(run(api, "write", body))["interrupts"]
    assert (seen["id"], seen["metadata"]["content"]) == (waiting["id"], "Dear Ada")


@pytest.mark.requirement("FAC-7", "SEC-3")
def test_only_approvers_answer_and_only_in_their_thread(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, deploy: Deploy, thread: str
) -> None:
    deploy(guarded())
    asked = user("pay")
    [waiting] = outcome(run(api, "teller", run_input(thread, asked)))["interrupts"]
    answer = {"interruptId": waiting["id"], "status": "resolved", "payload": True}
    body = {"name": f"dev-{uuid.uuid4().hex[:8]}", "role": "developer"}
    with caxton_server.client(workspace, key=api.post("/v1/keys", json=body).json()["key"]) as developer:
        refused = developer.post("/v1/agui/teller", json=run_input(thread, asked, resume=[answer]))
        assert (refused.status_code, refused.json()["code"]) == (403, "not_permitted")
    elsewhere = run(api, "teller", run_input(uuid.uuid4().hex, asked, resume=[answer]))
    assert [event["type"] for event in elsewhere] == ["RUN_STARTED", "RUN_ERROR"]
    assert elsewhere[-1]["code"] == "not_found"
    unclear = {**answer, "payload": {"yes": 1}}
    assert run(api, "teller", run_input(thread, asked, resume=[unclear]))[-1]["code"] == "invalid_input"
    assert api.get(f"/v1/approvals/{waiting['id']}").json()["state"] == "Pending"
    given_up = {"interruptId": waiting["id"], "status": "cancelled"}
    assert outcome(run(api, "teller", run_input(thread, asked, resume=[given_up])))["type"] == "success"
    assert api.get(f"/v1/approvals/{waiting['id']}").json()["state"] == "Rejected"


@pytest.mark.requirement("FAC-7")
def test_a_client_that_comes_back_goes_on_behind_its_last_event(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, thread: str
) -> None:
    deploy(
        {
            "agents/first.toml": f'name = "first"\nversion = "1.0.0"\ncapabilities = ["first"]\nmodel = "{stand_in.model}"\n'
            'delegates = ["second"]\n',
            **agent("second", rules=replies("it is late")),
        }
    )
    call = {"id": "1", "name": "ask__second", "arguments": {"content": "when?"}}
    stand_in.answer(Answer(text="I ask.", calls=[call]), Answer(text="It is late, is it not?", chunks=8, took=0.2))
    body = run_input(thread, user("time?"))
    everything = frames(api, "first", body)
    events = [event for _, event in everything]
    check_order(events)
    assert len({identity for identity, _ in everything}) == len(everything), "each event has an id of its own"
    for position, (identity, _) in enumerate(everything[:-1]):
        rest = [event for _, event in frames(api, "first", body, identity)]
        whole = [*events[: position + 1], *rest]
        check_order(whole)
        assert text_of(whole) == text_of(events)
        assert kinds(whole).count("TOOL_CALL_RESULT") == 1
        assert kinds(whole).count("STEP_STARTED") == 2
    assert frames(api, "first", body, everything[-1][0]) == []
    assert text_of([event for _, event in frames(api, "first", body, "nonsense~9")]) == text_of(events)


@pytest.mark.requirement("FAC-7", "MSG-12")
def test_a_message_may_have_files(api: httpx.Client, deploy: Deploy, thread: str) -> None:
    deploy(agent("clerk", rules=replies("{{ request }} {{ files | map(attribute='media_type') | join(' ') }}")))
    encoded = data_uri(PNG, "image/png").partition(",")[2]
    image = {"type": "image", "source": {"type": "data", "value": encoded, "mimeType": "image/png"}}
    message = {"id": "m", "role": "user", "content": [{"type": "text", "text": "This:"}, image]}
    assert text_of(run(api, "clerk", run_input(thread, message))) == "This: image/png"
    far = {"type": "image", "source": {"type": "url", "value": "https://example.com/a.png"}}
    refused = api.post("/v1/agui/clerk", json=run_input(thread, {**message, "content": [far]}))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")


@pytest.mark.requirement("FAC-7")
def test_failures_are_errors_of_the_run_and_what_cannot_begin_is_refused(
    api: httpx.Client, deploy: Deploy, thread: str
) -> None:
    deploy(
        {
            **agent("sad", rules="[[rules]]\n[[rules.steps]]\nfail = 'I cannot'\n"),
            **agent("first", rules=hands_over("sad"), more='delegates = ["sad"]\n'),
        }
    )
    events = run(api, "sad", run_input(thread, user("x")))
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "execution_failed")
    assert "I cannot" in events[-1]["message"]
    assert run(api, "first", run_input(thread, user("x")))[-1]["type"] == "RUN_ERROR"
    nobody = api.post("/v1/agui/nothing", json=run_input(thread, user("x")))
    assert nobody.status_code == 404
    for body in ({}, {"threadId": "t"}, run_input(thread), run_input(thread, {"id": "a", "role": "assistant"})):
        refused = api.post("/v1/agui/sad", json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input"), refused.text


@pytest.mark.requirement("FAC-9")
def test_an_approval_that_takes_two_stays_an_interrupt_until_the_second_agrees(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, deploy: Deploy, thread: str
) -> None:
    files = guarded()
    files["agents/teller.toml"] = str(files["agents/teller.toml"]) + "approvals_needed = 2\n"
    deploy(files)
    asked = user("pay")
    [waiting] = outcome(run(api, "teller", run_input(thread, asked)))["interrupts"]
    answer = {"interruptId": waiting["id"], "status": "resolved", "payload": True}
    [still] = outcome(run(api, "teller", run_input(thread, asked, resume=[answer])))["interrupts"]
    assert (still["id"], still["metadata"]["votes"], still["metadata"]["approvals_needed"]) == (waiting["id"], 1, 2)
    body = {"name": f"second-{uuid.uuid4().hex[:8]}", "role": "operator"}
    with caxton_server.client(workspace, key=api.post("/v1/keys", json=body).json()["key"]) as second:
        assert outcome(run(second, "teller", run_input(thread, asked, resume=[answer])))["type"] == "success"


@pytest.mark.requirement("FAC-7", "FAC-9")
def test_a_resume_answers_all_interrupts_or_none(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, thread: str
) -> None:
    policy = """[tool_policies."hostile.ok"]\napproval_mode = "operator"\n"""
    text = f'name = "payer"\nversion = "1.0.0"\ncapabilities = ["pay"]\nmodel = "{stand_in.model}"\n'
    deploy({**hostile(), "agents/payer.toml": f'{text}tools = ["hostile"]\n{policy}'})
    calls: list[dict[str, Any]] = [{"id": str(number), "name": "hostile__ok", "arguments": {}} for number in (1, 2, 3)]
    stand_in.answer(Answer(calls=calls), Answer(text="Paid."))
    asked = user("pay")
    waiting = outcome(run(api, "pay", run_input(thread, asked)))["interrupts"]
    assert len(waiting) == 3, "calls of one answer are asked for together"
    answers = [{"interruptId": each["id"], "status": "resolved", "payload": True} for each in waiting]
    for some in (answers[:2], answers[2:], [answers[0], answers[0], *answers[1:]]):
        refused = run(api, "pay", run_input(thread, asked, resume=some))
        assert [event["type"] for event in refused] == ["RUN_STARTED", "RUN_ERROR"]
        assert refused[-1]["code"] == "invalid_input"
    assert waiting[0]["id"] in run(api, "pay", run_input(thread, asked, resume=answers[1:]))[-1]["message"]
    wrong = [*answers[:2], {**answers[2], "payload": "perhaps"}]
    assert run(api, "pay", run_input(thread, asked, resume=wrong))[-1]["code"] == "invalid_input"
    states = [api.get(f"/v1/approvals/{each['id']}").json()["state"] for each in waiting]
    assert states == ["Pending"] * 3, "nothing of a resume that is refused counts"
    mixed = [answers[0], {**answers[1], "payload": {"approved": False}}, {**answers[2], "status": "cancelled"}]
    done = run(api, "pay", whole := run_input(thread, asked, resume=mixed))
    assert text_of(done) == "Paid."
    assert kinds(done).count("TOOL_CALL_RESULT") == 3
    states = [api.get(f"/v1/approvals/{each['id']}").json()["state"] for each in waiting]
    assert states == ["Granted", "Rejected", "Rejected"]
    assert run(api, "pay", whole)[-1] == done[-1], "the same resume again decides nothing"
    assert run(api, "pay", run_input(thread, asked, resume=mixed[:1]))[-1]["outcome"]["type"] == "success"
