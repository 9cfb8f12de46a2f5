"""Model calls that fail: told, counted, budgeted, taken back from listeners, and never longer than they may take."""

from typing import Any

import httpx
import pytest

from caxton.domain.agents import AgentSpec
from caxton.domain.executions import Ending
from caxton.turns.closing import report_of_ending
from tests.api.conftest import Deploy
from tests.support.hostile_tool import hostile_tool
from tests.support.stand_in import Answer, Remote
from tests.support.streams import read_stream, text_of

TEXT = "one two three four five six seven eight nine ten " * 4


def thinker(model: str, more: str = "") -> dict[str, str | bytes]:
    definition = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = {model}\n{more}'
    return {"agents/thinker.toml": definition}


def one(stand_in: Remote) -> str:
    return f'"{stand_in.model}"'


def send(api: httpx.Client, *, wait: bool = True) -> httpx.Response:
    body = {"capability": "think", "content": "go on"}
    return api.post("/v1/messages", json=body, params={"wait": str(wait).lower()})


def events(api: httpx.Client, turn: str, kind: str) -> list[dict[str, Any]]:
    answer = api.get("/v1/events", params={"execution": turn, "type": kind})
    answer.raise_for_status()
    return answer.json()["events"]


@pytest.mark.requirement("MSG-7")
def test_listeners_are_told_to_begin_anew(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(one(stand_in)))
    stand_in.answer(Answer(text=TEXT, chunks=10, took=0.5, cut_after=5), Answer(text=TEXT, chunks=10, took=0.5))
    turn = send(api, wait=False).json()["execution_id"]
    told = read_stream(api, turn)
    resets = [event for event in told if event.kind == "reset"]
    assert [(event.data["attempt"], event.data["step"]) for event in resets] == [(2, 1)]
    assert any(event.kind == "delta" for event in told[: told.index(resets[0])])
    assert text_of(told) == TEXT == told[-1].data["reply"]["content"]["text"]
    # Who comes back with an id from before hears that what he has counts no more.
    before = next(event for event in told if event.kind == "delta")
    after = [event for event in told if event.kind == "delta" and event.data["attempt"] == 2]
    assert before.data["text_id"] not in {event.data["text_id"] for event in after}
    assert [event.kind for event in read_stream(api, turn, before.id)] == ["reset", "step", "step", "reply"]
    assert [event.kind for event in read_stream(api, turn, after[0].id)] == ["step", "reply"]


@pytest.mark.requirement("MSG-7")
def test_a_fallback_begins_anew_too(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    second = f"{stand_in.name}-b"
    deploy(thinker(f'["{stand_in.model}", "stand-in:{second}"]'))
    stand_in.answer(Answer(text="wrong words all along " * 3, chunks=10, took=0.5, cut_after=6))
    stand_in.answer(Answer(text=TEXT, chunks=10, took=0.5), name=second)
    told = read_stream(api, send(api, wait=False).json()["execution_id"])
    assert [event.data["attempt"] for event in told if event.kind == "reset"] == [2]
    assert text_of(told) == TEXT
    steps = [(event.data["kind"], event.data.get("model")) for event in told if event.kind == "step"]
    assert steps == [("open", None), ("attempt", stand_in.model), ("model", f"stand-in:{second}")]


@pytest.mark.requirement("FAC-4")
def test_each_attempt_is_told_and_counted(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    """Calls that bring nothing, one of which costs something, then one that does."""
    deploy(thinker(one(stand_in)))
    used = {"prompt_tokens": 30, "completion_tokens": 7}
    blank, away = Answer(text="", usage=used), Answer(status=500)
    stand_in.answer(blank, away, away, Answer(text="At last.", usage=used))
    answer = send(api).json()
    turn = answer["execution_id"]
    failed = events(api, turn, "model_attempt_failed")
    assert [(each["payload"]["attempt"], each["payload"]["reason"]) for each in failed] == [
        (1, "model_answer_invalid"),
        (2, "model_unavailable"),
        (3, "model_unavailable"),
    ]
    assert [each["payload"].get("input_tokens") for each in failed] == [30, None, None]
    assert all(each["latency_ms"] > 0 and each["error_code"] for each in failed)
    assert all(each["payload"]["model"] == stand_in.model for each in failed)
    usage = answer["usage"]
    assert (usage["model_calls"], usage["input_tokens"], usage["output_tokens"]) == (4, 60, 14)
    assert answer["reply"]["metadata"]["model_calls"] == 4
    replay = api.get(f"/v1/executions/{turn}/replay").json()
    assert replay["differences"] == []


@pytest.mark.requirement("FAC-4")
def test_failed_attempts_use_up_a_budget(api: httpx.Client, deploy: Deploy, stand_in: Remote, workspace: str) -> None:
    deploy(thinker(one(stand_in)))
    budget = {"resource": "tokens", "limit": 50, "period": "total", "workspace": workspace}
    api.put("/v1/budgets", json=budget).raise_for_status()
    used = {"prompt_tokens": 50, "completion_tokens": 10}
    stand_in.answer(Answer(text="", usage=used))
    refused = send(api)
    assert refused.json()["code"] == "budget_exceeded", refused.text
    assert len(stand_in.requests()) == 1
    [found] = [each for each in api.get("/v1/budgets").json()["budgets"] if each["workspace"] == workspace]
    assert found["used"] == 60


def took(api: httpx.Client, turn: str) -> float:
    """Seconds from a turn's beginning to its end, by the server's clock."""
    return api.get(f"/v1/executions/{turn}").json()["duration_ms"] / 1000


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize(
    ("answer", "more"),
    [
        (Answer(delay=30), ""),
        (Answer(status=503), ""),
        (Answer(status=429, headers={"retry-after": "100"}), ""),
        (Answer(took=30), ""),
        (Answer(delay=1.5, calls=[{"name": "nothing", "arguments": {}}]), ""),
        (Answer(delay=30), "[model_settings]\ntimeout = '1500ms'\n"),
    ],
)
def test_the_limit_of_time_holds(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, answer: Answer, more: str
) -> None:
    deploy(thinker(one(stand_in), f"[limits]\ntime = '4s'\n{more}"))
    stand_in.answer(answer)
    failed = send(api)
    assert failed.json()["code"] == "time_limit_reached", failed.text
    assert "within 4 s" in failed.json()["detail"]
    assert "`time` in [limits]" in failed.json()["hints"][0]["text"]
    assert failed.json()["details"]["value"] == 4.0
    assert took(api, failed.json()["details"]["execution_id"]) < 4.4
    assert events(api, failed.json()["details"]["execution_id"], "execution_failed")


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize("answer", [Answer(stall_after=2), Answer(text="word " * 600, chunks=600, took=60)])
def test_the_limit_of_time_holds_for_an_answer_that_is_listened_to(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, answer: Answer
) -> None:
    deploy(thinker(one(stand_in), "[limits]\ntime = '4s'\n"))
    stand_in.answer(answer)
    turn = send(api, wait=False).json()["execution_id"]
    assert read_stream(api, turn)[-1].kind == "error"
    assert api.get(f"/v1/executions/{turn}").json()["error"]["code"] == "time_limit_reached"
    assert took(api, turn) < 4.4


@pytest.mark.requirement("FAC-4")
def test_the_limit_of_time_holds_for_who_handed_work_over(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    below = f"{stand_in.name}-b"
    looker = f'name = "looker"\nversion = "1.0.0"\ncapabilities = ["look"]\nmodel = "stand-in:{below}"\n'
    files = thinker(one(stand_in), "delegates = ['look']\n[limits]\ntime = '4s'\n")
    deploy({**files, "agents/looker.toml": looker})
    stand_in.answer(Answer(calls=[{"name": "ask__look", "arguments": {"content": "x"}}]))
    stand_in.answer(Answer(delay=30), name=below)
    failed = send(api).json()
    assert failed["code"] == "time_limit_reached", failed
    assert took(api, failed["details"]["execution_id"]) < 4.4


@pytest.mark.requirement("FAC-4")
def test_the_limit_of_time_holds_for_a_tool_that_hangs(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    tool = hostile_tool(limits={"wall_time": "30s", "fuel": 10**15})
    deploy({**tool, **thinker(one(stand_in), "tools = ['hostile']\n[limits]\ntime = '4s'\n")})
    stand_in.answer(Answer(calls=[{"name": "hostile__spin", "arguments": {}}]))
    failed = send(api).json()
    assert failed["code"] == "time_limit_reached", failed
    assert took(api, failed["details"]["execution_id"]) < 8  # far from the tool's own 30 s; ending it takes CPU


@pytest.mark.parametrize("code", ["TimeoutError", "worker_lost"])
def test_a_call_that_the_engine_gives_up_has_an_error_of_its_own(code: str) -> None:
    report = report_of_ending(Ending(code=code), None)
    assert report.code == "step_timed_out"
    assert "given up" in report.message


def test_an_error_of_ours_is_not_what_the_agent_said(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(one(stand_in)))
    conversation = api.post("/v1/conversations", json={"capability": "think"}).json()["id"]
    path = f"/v1/conversations/{conversation}/messages"
    stand_in.answer(Answer(text="Hello."), Answer(status=400), Answer(text="Here I am."))
    assert api.post(path, json={"content": "first"}).status_code == 200
    failed = api.post(path, json={"content": "second"})
    assert failed.status_code == 502
    assert api.post(path, json={"content": "third"}).status_code == 200
    said = [(each["role"], each["content"]) for each in stand_in.requests()[-1]["messages"]]
    assert said == [("user", "first"), ("assistant", "Hello."), ("user", "second\n\nthird")]


def test_a_turn_may_have_a_thousand_steps() -> None:
    spec = {"name": "x", "version": "1.0.0", "capabilities": ["x"], "limits": {"steps": 1000}}
    assert AgentSpec.model_validate(spec).limits.steps == 1000
