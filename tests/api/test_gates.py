"""Gates: what has to be so before a new version takes traffic."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.api import test_forks as forks
from tests.api.conftest import Deploy
from tests.api.test_forks import grant
from tests.api.test_rollouts import ask, latest, live_version, shares
from tests.api.test_schedules import events
from tests.conftest import HOOK_SECRETS
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_folder, write_files
from tests.support.mcp_tools import ServerFolder, mcp_tool
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("forks")

DIRECT = '[rollout]\nstrategy = "direct"\nlook_every = "0.2s"\n'


COUNT: tuple[str, dict[str, Any]] = ("other.count", {})
WIPE: tuple[str, dict[str, Any]] = ("other.wipe", {})


def script(*calls: tuple[str, dict[str, Any]], reply: str) -> str:
    """A script that calls tools and replies."""
    steps = [f"[[rules.steps]]\ntool = '{name}'\narguments = {_toml(arguments)}\n" for name, arguments in calls]
    return "[[rules]]\n" + "".join(steps) + f"[[rules.steps]]\nreply = '''{reply}'''\n"


def _toml(arguments: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in arguments.items()) + " }"


def clerk(origin: str, number: int, rules: str, *, more: str = "") -> dict[str, str | bytes]:
    files = agent("clerk", version=f"{number}.0.0", rules=rules, more=f'tools = ["other"]\n{more}')
    return {**files, **mcp_tool(url=f"{origin}/mcp")}


def gates(*wanted: str) -> str:
    return DIRECT + "".join(f"[[rollout.gates]]\n{each}\n" for each in wanted)


def ended(api: httpx.Client) -> dict[str, Any]:
    return until(lambda: (each := latest(api))["state"] not in ("Gating", "Progressing") and each, 60)


REPLAY = """name = "talks"
rules = [{ rule = "no_new_errors" }, { rule = "exact" }, { rule = "same_calls" }, { rule = "recorded_calls" }]
"""


@pytest.mark.requirement("DEP-10", "FAC-6")
def test_recorded_turns_are_replayed_and_a_candidate_that_does_the_same_goes_live(
    api: httpx.Client,
    deploy: Deploy,
    outside: tuple[ServerFolder, str],
) -> None:
    folder, origin = outside
    grant(api, origin)
    echo: tuple[str, dict[str, Any]] = ("other.echo", {"text": "two"})
    work = (COUNT, echo, echo)
    deploy(clerk(origin, 1, script(*work, reply="{{ request }}: {{ results[0].text }}, {{ results[1].text }}")))
    told = [ask_text(api, text) for text in ("a", "b", "c")]
    before = len(folder.noted("called"))
    same = script(*work, reply="{{ request }}: {{ results[0].text }}, {{ results[2].text }}")
    deploy(clerk(origin, 2, same, more=gates(REPLAY)))
    assert latest(api)["percent"] in (0, None)
    found = ended(api)
    assert found["state"] == "Promoted", found
    [gate] = found["gates"]
    assert (gate["state"], gate["turns"], gate["compared"], gate["differ"]) == ("passed", 3, 3, 0), gate
    assert folder.noted("called")[before:] == [], "no tool ran, and the counter was not asked again"
    until(lambda: live_version(api) == "2.0.0")
    [event] = events(api, "rollout_gate_decided")
    assert (event["payload"]["gate"], event["payload"]["state"]) == ("talks", "passed")
    rehearsed = [each for each in events(api, "execution_forked") if each["payload"].get("rehearsal") == found["id"]]
    assert {each["payload"]["source"] for each in rehearsed} == {turn["execution_id"] for turn in told}
    for each in rehearsed:
        replayed = api.get(f"/v1/executions/{each['execution_id']}/replay").json()
        assert replayed["differences"] == []
    assert len(api.get("/v1/tools/other/logs").json()["lines"]) == 9, "the tool knows of the recorded calls alone"


def ask_text(api: httpx.Client, text: str) -> dict[str, Any]:
    body = {"capability": "clerk", "content": text}
    turn = api.post("/v1/messages", params={"wait": "true"}, json=body).raise_for_status().json()
    assert turn["state"] == "completed", turn
    return turn


@pytest.mark.requirement("DEP-10", "FAC-6")
def test_a_candidate_that_differs_takes_no_traffic_and_its_calls_run_dry(
    api: httpx.Client,
    deploy: Deploy,
    outside: tuple[ServerFolder, str],
) -> None:
    folder, origin = outside
    grant(api, origin)
    deploy(clerk(origin, 1, script(("other.echo", {"text": "one"}), reply="v1: {{ results[0].text }}")))
    source = ask_text(api, "a")["execution_id"]
    before = len(folder.noted("called"))
    wild = script(WIPE, ("other.echo", {"text": "two"}), reply="v2: {{ results[0].text }}")
    deploy(clerk(origin, 2, wild, more=gates(REPLAY)))
    found = ended(api)
    assert (found["state"], live_version(api)) == ("RolledBack", "1.0.0")
    assert found["reason"] == 'gate "talks": 1 of 1 turns differ'
    [gate] = found["gates"]
    assert [(each["rule"], each["source"]) for each in gate["differences"]] == [
        ("exact", source),
        ("same_calls", source),
        ("recorded_calls", source),
    ]
    assert gate["differences"][1]["text"] == "calls: other.echo; the candidate's: other.wipe, other.echo"
    assert folder.noted("called")[before:] == [], "what the record lacks ran dry"
    contents = api.get(f"/v1/executions/{gate['differences'][0]['execution']}/contents").json()["contents"]
    assert "the record has no such call" in json.dumps(contents)
    assert shares(api, 4) == {"v1": 4}

    tolerant = gates(REPLAY + "tolerance = 1.0\n")
    deploy(clerk(origin, 3, script(reply="v3: x"), more=tolerant))
    assert ended(api)["state"] == "Promoted"


@pytest.mark.requirement("FAC-6")
@pytest.mark.parametrize(
    ("rules", "reply", "outcome"),
    [
        ('[{ rule = "similar" }]', "The meeting takes place on Monday at ten.", "passed"),
        ('[{ rule = "similar" }]', "Bananas are rich in potassium.", "failed"),
        ('[{ rule = "similar", at_least = 0.99 }]', "The meeting takes place on Monday at ten.", "failed"),
        ('[{ rule = "tokens", at_most = 1.0 }, { rule = "cost" }]', "x", "passed"),
        ('[{ rule = "latency", at_most = 0.001 }]', "x", "failed"),
    ],
)
def test_rules_judge_what_replies_mean_and_what_they_take(
    api: httpx.Client, deploy: Deploy, rules: str, reply: str, outcome: str
) -> None:
    deploy(agent("clerk", rules=replies("The meeting is on Monday at 10 o'clock.")))
    ask(api)
    more = gates(f'name = "talks"\nrules = {rules}')
    deploy(agent("clerk", version="2.0.0", rules=replies(reply), more=more))
    found = ended(api)
    assert found["gates"][0]["state"] == outcome, found["gates"]
    assert (found["state"] == "Promoted") == (outcome == "passed")


@pytest.mark.requirement("DEP-10")
def test_without_recorded_turns_a_gate_fails_unless_it_says_otherwise(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("clerk", rules=replies("v1: x")))
    deploy(agent("clerk", version="2.0.0", rules=replies("v2: x"), more=gates('name = "talks"')))
    found = ended(api)
    assert (found["state"], live_version(api)) == ("RolledBack", "1.0.0")
    assert "there is no recorded turn to replay" in found["reason"]
    more = gates('name = "talks"\non_empty = "pass"')
    deploy(agent("clerk", version="3.0.0", rules=replies("v3: x"), more=more))
    assert ended(api)["state"] == "Promoted"


@pytest.mark.requirement("DEP-10")
def test_a_turn_with_too_much_in_its_record_is_not_replayed_and_the_gate_says_so(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, outside: tuple[ServerFolder, str]
) -> None:
    _, origin = outside
    grant(api, origin)
    deploy(forks.clerk(stand_in, origin))
    stand_in.answer(*[forks.calls("echo", text="z" * 1_500_000)] * 3, Answer(text="done"))
    assert forks.said(forks.ask(api)) == "done"
    deploy(clerk(origin, 2, script(reply="done"), more=gates('name = "talks"')))
    found = ended(api)
    assert (found["state"], live_version(api)) == ("RolledBack", "1.0.0")
    assert "invalid_input" in str(found["gates"][0]), found["gates"]


def heard(api: httpx.Client, stand_in: Remote) -> list[dict[str, Any]]:
    """What the channel was told of this workspace, with good signatures."""
    found: list[dict[str, Any]] = []
    for each in stand_in.requests(f"hook-{api.headers['X-Caxton-Workspace']}"):
        Webhook(HOOK_SECRETS["HOOK_STANDARD"]).verify(each["body"].encode(), each["headers"])
        found.append(json.loads(each["body"]))
    return found


def answer_hooks(api: httpx.Client, stand_in: Remote, *statuses: int) -> None:
    answers = [Answer(status=status) for status in statuses]
    stand_in.answer(*answers, name=f"hook-{api.headers['X-Caxton-Workspace']}")


def hook(at: str) -> str:
    return f'name = "{at}"\nkind = "webhook"\nat = "{at}"\nchannel = "ci"'


STAGES = "stages = [{ percent = 40, sample = 1 }, { percent = 60, sample = 1 }]"
CANARY = f'[rollout]\nlook_every = "0.2s"\ntolerance = 1.0\n{STAGES}\n'


@pytest.mark.requirement("DEP-10")
def test_webhooks_are_asked_at_their_moments_and_hold_a_rollout_up(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(agent("clerk", rules=replies("v1: x")))
    moments = ["confirm-rollout", "pre-rollout", "confirm-traffic-increase", "confirm-promotion", "post-rollout"]
    more = CANARY + "".join(f"[[rollout.gates]]\n{hook(each)}\n" for each in moments)
    answer_hooks(api, stand_in, 409, 503, 200)
    deploy(agent("clerk", version="2.0.0", rules=replies("v2: x"), more=more))
    found = until(lambda: (each := latest(api))["state"] == "Gating" and each["gates"][0]["attempts"] and each)
    assert 'webhook "confirm-rollout": it answered' in found["gates"][0]["reason"]
    assert shares(api, 5) == {"v1": 5}

    def over() -> bool:
        ask(api)
        return latest(api)["state"] == "Promoted" and len(heard(api, stand_in)) >= 7

    until(over, 90)
    told = heard(api, stand_in)
    assert list(dict.fromkeys(each["type"] for each in told)) == [f"caxton.{each}" for each in moments]
    assert [each["type"] for each in told].count("caxton.confirm-rollout") == 3, "refused twice, then agreed"
    last = told[-1]["data"]
    assert (last["agent"], last["candidate"], last["state"]) == ("clerk", "2.0.0", "Promoted")
    assert len({each["headers"]["webhook-id"] for each in stand_in.requests(f"hook-{last['workspace']}")}) == 5


@pytest.mark.requirement("DEP-10")
@pytest.mark.parametrize(
    ("at", "status", "reason"),
    [
        ("pre-rollout", 403, 'gate "pre-rollout": webhook "pre-rollout": it answered 403'),
        ("rollout", 403, 'webhook "rollout": it answered 403'),
        ("rollback", 200, 'webhook "rollback" asked for it'),
    ],
)
def test_webhooks_roll_a_candidate_back(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, at: str, status: int, reason: str
) -> None:
    deploy(agent("clerk", rules=replies("v1: x")))
    answer_hooks(api, stand_in, status)
    more = CANARY.replace("sample = 1 ", "sample = 1000 ") + f"[[rollout.gates]]\n{hook(at)}\n"
    deploy(agent("clerk", version="2.0.0", rules=replies("v2: x"), more=more))
    found = ended(api)
    assert (found["state"], found["reason"]) == ("RolledBack", reason)
    assert shares(api, 4) == {"v1": 4}


@pytest.mark.requirement("DEP-10")
@pytest.mark.parametrize("verdict", ["grant", "reject"])
def test_a_person_decides_with_the_report_of_the_gates_before(api: httpx.Client, deploy: Deploy, verdict: str) -> None:
    deploy(agent("clerk", rules=replies("v1: x")))
    ask(api)
    person = 'name = "owner"\nkind = "person"'
    more = gates('name = "talks"\nrules = [{ rule = "exact" }]\ntolerance = 1.0', person)
    deploy(agent("clerk", version="2.0.0", rules=replies("v2: x"), more=more))
    [waiting] = until(lambda: api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"], 60)
    assert (waiting["action_type"], waiting["name"]) == ("rollout", "clerk 2.0.0")
    assert "talks: passed, 1 of 1 turns differ" in waiting["content"]
    assert "exact: the reply is another one" in waiting["content"]
    assert (latest(api)["state"], shares(api, 3)) == ("Gating", {"v1": 3})
    decided = api.post(f"/v1/approvals/{waiting['id']}/{verdict}", json={"reason": "I read it"}).raise_for_status()
    assert decided.json()["state"] == ("Granted" if verdict == "grant" else "Rejected")
    found = ended(api)
    assert found["state"] == ("Promoted" if verdict == "grant" else "RolledBack")
    told = events(api, "approval_granted" if verdict == "grant" else "approval_rejected")
    assert [each["actor"] for each in told] == ["founder:admin"]


@pytest.mark.requirement("DEP-10")
def test_commands_before_traffic(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("clerk", rules=replies("v1: x")))
    more = gates('name = "owner"\nkind = "person"')
    deploy(agent("clerk", version="2.0.0", rules=replies("v2: x"), more=more))
    until(lambda: api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"], 60)
    rollout = latest(api)["id"]
    refused = api.post(f"/v1/rollouts/{rollout}/pause", json={})
    assert refused.json()["details"]["legal"] == ["promote", "abort"]
    assert api.post(f"/v1/rollouts/{rollout}/abort", json={}).json()["state"] == "RolledBack"
    assert api.get("/v1/approvals", params={"state": "Withdrawn"}).json()["approvals"], "nobody is asked any more"
    assert api.post(f"/v1/rollouts/{rollout}/retry", json={}).json()["state"] == "Gating"
    until(lambda: api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"], 60)
    assert api.post(f"/v1/rollouts/{rollout}/promote", json={}).json()["state"] == "Promoted"
    assert shares(api, 3) == {"v2": 3}


@pytest.mark.requirement("DEP-10")
@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ('name = "a"\nkind = "webhook"', "a webhook needs `at`"),
        ('name = "a"\nchannel = "ci"', "`at` and `channel` go with a webhook"),
        ('name = "a"\nrules = [{ rule = "exact", at_least = 0.5 }]', '`at_least` goes with the rule "similar"'),
        ('name = "a"\nrules = [{ rule = "similar", at_most = 2 }]', "`at_most` goes with the rules latency"),
        ('name = "a"\nrules = [{ rule = "exakt" }]', '"exakt" is not possible here'),
        ('name = "a"\nkind = "webhook"\nat = "post-rollout"\nchannel = "ci"', '"direct" has no such time'),
        ('name = "shadow"', 'a gate cannot be called "shadow"'),
        ('name = "a"\n[[rollout.gates]]\nname = "a"', "two gates have the same name"),
    ],
)
def test_gates_that_cannot_work_are_told_with_their_place(tmp_path: Path, gate: str, message: str) -> None:
    from caxton.definitions.workspace import load_workspace

    files = agent("clerk", rules=replies("x"), more=gates(gate))
    found = load_workspace(write_files(tmp_path, files))
    assert any(message in error.message for error in found.errors), [error.message for error in found.errors]
    assert all(error.line and error.line >= 6 for error in found.errors)


@pytest.mark.requirement("DEP-10")
def test_a_channel_that_the_server_does_not_have_is_told(api: httpx.Client, tmp_path: Path) -> None:
    more = gates(hook("pre-rollout").replace('"ci"', '"cii"'))
    answer = deploy_folder(api, write_files(tmp_path, agent("clerk", rules=replies("x"), more=more)))
    [problem] = answer.json()["details"]["problems"]
    assert problem["message"] == 'the server has no channel "cii" (it has ci)'
    assert problem["line"] >= 8
