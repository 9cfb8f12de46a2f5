"""What goes wrong, and what callers get to see of it."""

from pathlib import Path

import httpx
import pytest

from caxton.domain.ids import digest_of
from tests.api.conftest import Deploy
from tests.support.agents import agent, replies

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "wasm"
HOSTILE_MANIFEST = """
name = "hostile"
version = "1.0.0"
module = "hostile.wasm"
[limits]
memory = "8MB"
fuel = 100_000_000
wall_time = "500ms"
message_size = "64KB"
"""


def hostile(**limits: str) -> dict[str, str | bytes]:
    """The hostile tool server."""
    manifest = HOSTILE_MANIFEST
    for name, value in limits.items():
        manifest = "\n".join(f"{name} = {value}" if line.startswith(name) else line for line in manifest.splitlines())
    return {"tools/hostile/tool.toml": manifest, "tools/hostile/hostile.wasm": (FIXTURES / "hostile.wasm").read_bytes()}


def calls(function: str, *, then: str = "{{ results[0].text }}") -> str:
    """A script that calls a function of the hostile tool and says what came of it."""
    return (
        f"[[rules]]\n[[rules.steps]]\ntool = 'hostile.{function}'\non_error = '''failed: {then}'''\n"
        f"[[rules.steps]]\nreply = '''ok: {then}'''\n"
    )


def ask(api: httpx.Client, capability: str) -> httpx.Response:
    return api.post("/v1/messages", json={"capability": capability, "content": "x"})


def test_a_script_without_a_fitting_rule_says_so(api: httpx.Client, deploy: Deploy) -> None:
    rules = "[[rules]]\nname = 'sums'\nwhen = { contains = 'sum' }\n[[rules.steps]]\nreply = 'yes'\n"
    deploy(agent("picky", rules=rules))
    problem = ask(api, "picky")
    assert problem.status_code == 422
    body = problem.json()
    assert body["code"] == "no_script_rule"
    assert body["hints"]
    turn = api.get(f"/v1/executions/{body['details']['execution_id']}").json()
    assert turn["state"] == "failed"
    assert turn["reply"]["type"] == "Error"


@pytest.mark.requirement("TOL-3")
@pytest.mark.parametrize(
    ("function", "limits", "code"),
    [
        ("spin", {}, "tool_fuel_exhausted"),
        # Without a grant it gets 5·10⁹ instructions, for which a fast machine needs less than half a second.
        ("spin", {"fuel": "1_000_000_000_000", "wall_time": '"50ms"'}, "tool_timeout"),
        ("allocate", {}, "tool_memory_exceeded"),
        ("trap", {}, "tool_trapped"),
        ("garbage", {}, "tool_answer_invalid"),
        ("huge", {"memory": '"64MB"'}, "tool_message_too_large"),
    ],
)
def test_each_limit_of_a_tool_has_its_own_error(
    api: httpx.Client, deploy: Deploy, function: str, limits: dict[str, str], code: str
) -> None:
    deploy({**hostile(**limits), **agent("user", rules=calls(function), more='tools = ["hostile"]\n')})
    turn = ask(api, "user").json()
    assert turn["reply"]["content"]["text"].startswith("failed: ")
    events = api.get(f"/v1/executions/{turn['execution_id']}/events").json()["events"]
    failed = [event for event in events if event["event_type"] == "tool_execution_failed"]
    assert [event["error_code"] for event in failed] == [code]
    lines = api.get("/v1/tools/hostile/logs").json()["lines"]
    assert lines[-1]["error_code"] == code


@pytest.mark.requirement("TOL-5")
def test_a_script_may_not_call_what_the_allowlist_does_not_name(api: httpx.Client, deploy: Deploy) -> None:
    deploy(hostile())
    files = agent("user", rules=calls("ok"), more='tools = ["hostile.trap"]\n')
    contents = {name.removeprefix("agents/"): str(text).encode() for name, text in files.items()}
    for content in contents.values():
        api.put(f"/v1/blobs/{digest_of(content)}", content=content).raise_for_status()
    bundle = {"kind": "agent", "name": "user", "files": {name: digest_of(text) for name, text in contents.items()}}
    refused = api.post("/v1/deployments", json={"bundles": [bundle]})
    assert refused.status_code == 422
    messages = [problem["message"] for problem in refused.json()["details"]["problems"]]
    assert 'the agent may not call "hostile.ok"' in messages
    assert ask(api, "user").status_code == 404


@pytest.mark.requirement("MSG-4")
@pytest.mark.requirement("AGT-6")
def test_a_stopped_agent_is_told_with_alternatives(api: httpx.Client, deploy: Deploy) -> None:
    deploy({**agent("work", rules=replies("done")), **agent("workshop", rules=replies("done"))})
    stopped = api.post("/v1/agents/work/stop", json={"grace": 0}).json()
    assert stopped["state"] == "Stopped"
    problem = ask(api, "work")
    assert problem.status_code == 503
    assert problem.json()["code"] == "all_agents_unavailable"
    assert problem.json()["hints"][0]["command"] == "caxton agent start work"
    assert api.post("/v1/agents/work/start").json()["state"] == "Running"
    assert ask(api, "work").status_code == 200
