"""What a rollout compares besides failures: broken promises, events of turns, the scores of a judge."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_failures import calls, hostile
from tests.api.test_rollouts import ask, latest, live_version
from tests.support.agents import agent, replies
from tests.support.waiting import until


def tool() -> dict[str, str | bytes]:
    """The hostile tool, which goes on taking calls however often it fails."""
    files = hostile()
    return {**files, "tools/hostile/tool.toml": f"{files['tools/hostile/tool.toml']}\n[breaker]\nenabled = false\n"}


ROLLOUT = '[rollout]\nlook_every = "0.2s"\nstages = [{ percent = 50, sample = 5 }]\n'


def clerk(number: int, rules: str, *, rollout: str = "", top: str = "", **more: Any) -> dict[str, str | bytes]:
    table = ROLLOUT + rollout if rollout else ""
    return agent("clerk", version=f"{number}.0.0", rules=rules, more=f"{top}\n{table}", **more)


def ended(api: httpx.Client, talk: Callable[[httpx.Client], object] = ask) -> dict[str, Any]:
    """The rollout as it ends, while somebody keeps asking."""

    def over() -> dict[str, Any] | None:
        for _ in range(4):
            talk(api)
        found = latest(api)
        return found if found["state"] not in ("Progressing", "Gating") else None

    return until(over, seconds=120)


def metric(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["metrics"] if each["metric"] == name)


@pytest.mark.requirement("DEP-9", "DEP-6")
def test_a_candidate_that_breaks_its_promises_is_rolled_back(api: httpx.Client, deploy: Deploy) -> None:
    offers = '[{ name = "clerk", sla = { respond_within = "0.3s" } }]'
    deploy(clerk(1, replies("v1: x"), capabilities=offers))
    deploy(clerk(2, replies("v2: x", delay=0.5), capabilities=offers, rollout="breaches = true\n"))
    found = ended(api)
    assert (found["state"], found["verdict"]) == ("RolledBack", "bad")
    assert "came later than was promised" in found["reason"]
    late = metric(found, "breaches")
    assert late["candidate_bad"] == late["candidate_messages"] > 0
    assert metric(found, "errors")["candidate_bad"] == 0
    assert live_version(api) == "1.0.0"


@pytest.mark.requirement("DEP-9", "DEP-6")
def test_a_metric_of_ones_own_counts_turns_by_their_events(api: httpx.Client, deploy: Deploy) -> None:
    own = '[[rollout.metrics]]\nname = "troubles"\nevent = "action_failed"\n'
    uses = 'tools = ["hostile"]'
    deploy({**tool(), **clerk(1, calls("ok"), top=uses)})
    deploy({**tool(), **clerk(2, calls("trap"), top=uses, rollout=own)})
    found = ended(api)
    assert (found["state"], found["verdict"]) == ("RolledBack", "bad")
    assert "had troubles" in found["reason"]
    troubles = metric(found, "troubles")
    assert (troubles["stable_bad"], troubles["candidate_bad"]) == (0, troubles["candidate_messages"])
    assert metric(found, "errors")["verdict"] != "bad", "the turns themselves did not fail"


GRADER = """
[[rules]]
when = { contains = "v2" }
[[rules.steps]]
reply = "0.1"
[[rules]]
[[rules.steps]]
reply = '''{"score": 0.9}'''
"""
JUDGE = '[rollout.judge]\ncapability = "grade"\nat_least = 0.5\n'


@pytest.mark.requirement("DEP-9", "DEP-6")
def test_a_judge_scores_replies_of_both_versions(api: httpx.Client, deploy: Deploy) -> None:
    grader = agent("grader", capabilities='["grade"]', rules=GRADER)
    deploy({**grader, **clerk(1, replies("v1: x"))})
    deploy({**grader, **clerk(2, replies("v2: x"), rollout=JUDGE)})
    found = ended(api)
    assert (found["state"], found["verdict"]) == ("RolledBack", "bad"), found
    assert "got a low score" in found["reason"]
    scores = metric(found, "judge")
    assert (scores["stable_bad"], scores["candidate_bad"]) == (0, scores["candidate_messages"])
    deploy({**grader, **clerk(3, replies("v3: x"), rollout=JUDGE)})
    found = ended(api)
    assert (found["state"], found["verdict"]) == ("Promoted", "good"), found
    assert metric(found, "judge")["candidate_messages"] >= 5, "no scores would be inconclusive"


@pytest.mark.requirement("DEP-9")
def test_a_judge_that_says_nothing_is_inconclusive(api: httpx.Client, deploy: Deploy) -> None:
    grader = agent("grader", capabilities='["grade"]', rules=replies("rather good"))
    deploy({**grader, **clerk(1, replies("v1: x"))})
    deploy({**grader, **clerk(2, replies("v2: x"), rollout=f'longest = "4s"\n{JUDGE}')})
    found = ended(api)
    assert (found["state"], found["verdict"]) == ("Paused", "inconclusive"), found
    assert metric(found, "errors")["verdict"] == "good"
    assert metric(found, "judge")["candidate_messages"] == 0


@pytest.mark.requirement("DEP-6", "TOL-9")
def test_a_new_version_of_a_tool_is_tried_by_a_part_of_the_traffic_of_an_agent(
    api: httpx.Client, deploy: Deploy
) -> None:
    def files(number: int, name: str, function: str, rollout: str = "") -> dict[str, str | bytes]:
        both = {**tool(), **{path.replace("/hostile/", "/hostile-2/"): text for path, text in tool().items()}}
        second = str(both["tools/hostile-2/tool.toml"]).replace('"hostile"', '"hostile-2"')
        rules = calls(function).replace("'hostile.", f"'{name}.")
        both["tools/hostile-2/tool.toml"] = second
        return {**both, **clerk(number, rules, top=f'tools = ["{name}"]', rollout=rollout)}

    deploy(files(1, "hostile", "ok"))
    own = '[[rollout.metrics]]\nname = "broken"\nevent = "tool_execution_failed"\n'
    deploy(files(2, "hostile-2", "trap", own))
    found = ended(api)
    assert (found["state"], live_version(api)) == ("RolledBack", "1.0.0")
    assert api.get("/v1/agents/clerk").json()["tools"] == ["hostile"], "the tool was taken back with the agent"
