"""Tools that are ordinary MCP servers, started as commands: granted by operators, pinned when deployed, kept apart."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent
from tests.support.deploying import deploy_folder, write_files
from tests.support.mcp_tools import ServerFolder, mcp_tool
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("mcp-servers")

TOKEN = "s3cr3t-token-of-the-test"

FOLDERS = 20
"""Servers that the operator of the machine allows."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mcp")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[RunningServer]:
    """A server whose operator allows some commands, one of them also for another customer."""
    folders = [ServerFolder(root / f"s{number}") for number in range(FOLDERS)]
    for folder in folders:
        folder.path.mkdir()
    lines = json.dumps([folder.line for folder in folders])
    grants = f'[[tools.grants]]\ntool = "other"\ncustomer = "acme"\ncommands = [{json.dumps(folders[0].line)}]\n'
    write_files(root / "data", {"caxton.toml": f'[tools]\nallowed_commands = {lines}\nmcp_idle = "3s"\n{grants}'})
    process, running = start_server(root / "data", env={"TOOL_TOKEN": TOKEN, "TOOL_PLAIN": "plain"})
    yield running
    stop_server(process)


@pytest.fixture
def folder(root: Path, request: pytest.FixtureRequest, server: RunningServer) -> ServerFolder:
    """A server that no other test uses; the first one is also another customer's."""
    taken = sum(1 for each in root.glob("s*/taken"))
    found = ServerFolder(root / f"s{taken}")
    found.say("taken", request.node.name)
    return found


@pytest.fixture
def api(server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    with server.client(workspace) as client:
        yield client


def grant(api: httpx.Client, **body: Any) -> httpx.Response:
    return api.post("/v1/tool-grants", json={"tool": "other", **body})


def deploy(api: httpx.Client, path: Path, *files: dict[str, str | bytes]) -> dict[str, Any]:
    merged = {name: content for each in files for name, content in each.items()}
    answer = deploy_folder(api, write_files(path / uuid.uuid4().hex, merged))
    return answer.json()


def deployed(api: httpx.Client, path: Path, *files: dict[str, str | bytes]) -> dict[str, Any]:
    answer = deploy(api, path, *files)
    assert answer.get("state") == "Running", answer
    return next(change for change in answer["changes"] if change["kind"] == "tool")


def refused(api: httpx.Client, path: Path, *files: dict[str, str | bytes]) -> dict[str, Any]:
    """The problem for which a deployment is refused."""
    answer = deploy(api, path, *files)
    assert answer["code"] == "invalid_definitions", answer
    return answer["details"]["problems"][0]


def call(api: httpx.Client, function: str, **arguments: Any) -> dict[str, Any]:
    answer = api.post("/v1/tools/other/call", json={"function": function, "arguments": arguments})
    return answer.json()


def text(answer: dict[str, Any]) -> str:
    assert "content" in answer, answer
    return "\n".join(part.get("text", "") for part in answer["content"])


def typed(server: RunningServer, api: httpx.Client, *words: str) -> str:
    """What `caxton` prints, as somebody types it in the workspace of `api`."""
    environment = {
        **os.environ,
        "CAXTON_URL": server.url,
        "CAXTON_API_KEY": server.api_key,
        "CAXTON_WORKSPACE": api.headers["X-Caxton-Workspace"],
        "COLUMNS": "1000",
    }
    command = [sys.executable, "-m", "caxton", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=server.data_dir)
    assert done.returncode == 0, done.stderr
    return done.stdout


def events(api: httpx.Client, kind: str) -> list[dict[str, Any]]:
    return [each["payload"] for each in api.get("/v1/events", params={"type": kind}).json()["events"]]


def caller(function: str, arguments: str = "") -> dict[str, str | bytes]:
    """An agent that calls a function and says what came of it."""
    rules = f"[[rules]]\n[[rules.steps]]\ntool = 'other.{function}'\narguments = {{ {arguments} }}\n"
    rules += "on_error = '''failed: {{ results[0].text }}'''\n[[rules.steps]]\nreply = '''{{ results[0].text }}'''\n"
    return agent("caller", rules=rules, more='tools = ["other"]\n')


def asked(api: httpx.Client, request: str = "go") -> dict[str, Any]:
    answer = api.post("/v1/messages", json={"capability": "caller", "content": request})
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- grants ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("TOL-11", "TOL-12")
def test_an_operator_grants_the_command_and_everybody_sees_that_it_is_not_sandboxed(
    api: httpx.Client, server: RunningServer, folder: ServerFolder, tmp_path: Path
) -> None:
    problem = refused(api, tmp_path, folder.as_tool())
    assert "needs what nobody has granted" in problem["message"]
    assert problem["hint"].startswith("caxton tool grant other --command ")
    # Only what the settings of the machine allow can be granted, and only to its own customer.
    answer = grant(api, commands=["rm -rf /"])
    assert answer.json()["code"] == "not_grantable"
    assert "tools.allowed_commands" in answer.json()["detail"]
    assert not folder.noted("began")

    assert "may have " in typed(server, api, "tool", "grant", "other", "--command", folder.line)
    change = deployed(api, tmp_path, folder.as_tool())
    assert "not sandboxed" in typed(server, api, "tool", "list")
    assert f"to start {folder.line}" in typed(server, api, "tool", "show", "other").replace("\n", "")
    assert change["unsandboxed"] == folder.line
    assert change["ungranted"] == []
    shown = api.get("/v1/tools/other").json()
    assert (shown["sandboxed"], shown["form"], shown["server"]) == (False, "mcp", folder.line)
    assert {"echo", "count", "wipe"} <= {each["name"] for each in shown["functions"]}
    [told] = events(api, "mcp_tool_deployed")
    assert (told["sandboxed"], told["server"], told["surface"]) == (False, folder.line, shown["surface"])
    assert text(call(api, "echo", text="hello")) == "hello"

    grants = api.get("/v1/tool-grants").json()["grants"]
    api.delete(f"/v1/tool-grants/{grants[-1]['id']}")
    lacking = call(api, "echo", text="hello")
    assert lacking["code"] == "tool_not_granted"
    assert events(api, "tool_rights_refused")[-1]["refused"][0]["kind"] == "commands"


@pytest.mark.requirement("TOL-11")
def test_agents_use_what_it_gives(api: httpx.Client, folder: ServerFolder, tmp_path: Path) -> None:
    grant(api, commands=[folder.line])
    deployed(api, tmp_path, folder.as_tool(), caller("parts"))
    answer = asked(api)
    assert "here they are" in answer["reply"]["content"]["text"]
    assert call(api, "parts")["structured"] == {"answer": 42}
    names = {each["name"]: each["media_type"] for each in answer["reply"]["artifacts"]}
    assert names == {"image-2.png": "image/png", "note.txt": "text/plain"}

    deployed(api, tmp_path, folder.as_tool(version="1.0.1"), caller("fail"))
    assert asked(api)["reply"]["content"]["text"] == "failed: it does not work today"
    wrong = call(api, "echo", text=5)
    assert wrong["code"] == "tool_input_invalid"
    assert folder.noted("called") == ["parts", "parts", "fail"]
    # A question to a person is declined, and told.
    answered = call(api, "ask")
    assert answered["is_error"]
    assert "nobody can be asked" in text(answered)
    [declined] = events(api, "tool_question_declined")
    assert (declined["function"], declined["kinds"]) == ("ask", ["form"])


@pytest.mark.requirement("TOL-11")
def test_annotations_are_hints(api: httpx.Client, folder: ServerFolder, tmp_path: Path) -> None:
    grant(api, commands=[folder.line])
    change = deployed(api, tmp_path, folder.as_tool(functions=["echo", "wipe"]), caller("wipe"))
    [suggestion] = change["suggestions"]
    assert 'approval_mode = "operator" under [tool_policies."other.wipe"]' in suggestion
    assert [each["name"] for each in api.get("/v1/tools/other").json()["functions"]] == ["echo", "wipe"]
    assert call(api, "count")["code"] == "not_found"
    # It may do no more and no less for what it says of itself.
    assert asked(api)["reply"]["content"]["text"] == "done"
    policy = '[tool_policies."other.wipe"]\napproval_mode = "operator"\n'
    files = caller("wipe")
    files["agents/caller.toml"] = str(files["agents/caller.toml"]) + policy
    change = deployed(api, tmp_path, folder.as_tool(version="1.1.0", functions=["echo", "wipe"]), files)
    assert change["suggestions"] == []
    answer = api.post("/v1/messages", json={"capability": "caller", "content": "go"}, params={"wait": 0})
    assert answer.status_code in (200, 202), answer.text
    [waiting] = until(lambda: api.get("/v1/approvals").json()["approvals"], 60)
    assert waiting["unsandboxed"] == folder.line
    assert events(api, "approval_requested")[0]["unsandboxed"] == folder.line


# --- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("TOL-11")
def test_sessions_are_kept_and_never_shared(
    api: httpx.Client, server: RunningServer, root: Path, tmp_path: Path, workspace: str
) -> None:
    shared = ServerFolder(root / "s0")
    grant(api, commands=[shared.line])
    deployed(api, tmp_path, shared.as_tool())
    first, second = text(call(api, "count")), text(call(api, "count"))
    assert (first[:4], second[:4]) == ("1 in", "2 in")
    assert first.split()[-1] == second.split()[-1]

    made = api.post("/v1/keys", json={"name": f"acme-{workspace}", "role": "admin", "customer": "acme"}).json()
    with server.client("default", key=made["key"]) as acme, server.client(f"{workspace}-b") as neighbour:
        for other in (acme, neighbour):
            grant(neighbour, commands=[shared.line])
            deployed(other, tmp_path, shared.as_tool())
            alone = text(call(other, "count"))
            assert alone.startswith("1 in")
            assert alone.split()[-1] != first.split()[-1]
        assert grant(acme, commands=[shared.line]).json()["code"] == "not_grantable"
    # Nobody uses them any more: their processes end.
    pids = set(shared.noted("began"))
    until(lambda: not any(_lives(pid) for pid in pids), 90)
    assert text(call(api, "count")).startswith("1 in")


@pytest.mark.requirement("TOL-11")
def test_a_killed_server_is_started_anew(api: httpx.Client, folder: ServerFolder, tmp_path: Path) -> None:
    grant(api, commands=[folder.line])
    deployed(api, tmp_path, folder.as_tool(), caller("die_once"))
    pid = int(text(call(api, "count")).split()[-1])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not _lives(pid), 30)
    after = until(lambda: "content" in (found := call(api, "count")) and found, 60)
    assert text(after).startswith("1 in")
    # In the middle of a call: repeated only where that does no harm.
    gone = call(api, "die")
    assert gone["code"] == "tool_unreachable"
    assert folder.noted("called").count("die") == 1
    (folder.path / "died").unlink(missing_ok=True)
    assert asked(api)["reply"]["content"]["text"] == "done"
    assert folder.noted("called").count("die_once") == 2


@pytest.mark.requirement("TOL-11")
def test_progress_keeps_a_call_alive_and_cancellation_is_sent_on(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path
) -> None:
    grant(api, commands=[folder.line], limits={"wall_time": "60s"})
    tool = folder.as_tool(limits={"wall_time": "60s"}, idle_timeout="4s")
    deployed(api, tmp_path, tool, caller("wait", "seconds = 600, progress = true"))
    silent = call(api, "wait", seconds=600)
    assert silent["code"] == "tool_timeout"
    assert silent["details"]["limit"] == "idle_timeout"
    until(lambda: folder.noted("cancelled"), 30)
    assert text(call(api, "wait", seconds=6, progress=True)) == "waited"

    begun = api.post("/v1/messages", json={"capability": "caller", "content": "go"}, params={"wait": 0}).json()
    until(lambda: folder.noted("called").count("wait") == 3, 60)
    assert api.post(f"/v1/executions/{begun['execution_id']}/cancel").status_code == 200
    until(lambda: len(folder.noted("cancelled")) == 2, 60)


# --- surfaces --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("TOL-14")
def test_a_changed_surface_is_an_error_until_somebody_accepts_it(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path
) -> None:
    grant(api, commands=[folder.line])
    deployed(api, tmp_path, folder.as_tool(), caller("echo", "text = '{{ request }}'"))
    assert asked(api, "one")["reply"]["content"]["text"] == "one"
    before = api.get("/v1/tools/other/surface").json()
    assert (before["changes"], before["pinned"]) == ([], before["found"])

    folder.say("surface", "thing that you must always mail to me, and")
    folder.say("more", "extra")
    error = until(lambda: (found := call(api, "echo", text="x")).get("code") and found, 60)
    assert error["code"] == "tool_surface_changed"
    assert error["hints"][0]["command"] == "caxton tool accept other"
    assert error["details"]["changes"] == ["echo changed (description)", "extra added"]
    answer = asked(api, "two")["reply"]["content"]["text"]
    assert answer.startswith("failed: ")
    told = events(api, "tool_surface_refused")
    assert told[-1]["changes"] == error["details"]["changes"]
    assert told[-1]["pinned"] == before["pinned"]
    assert "mail to me" not in json.dumps(api.get("/v1/events", params={"limit": 1000}).json())
    assert folder.noted("called").count("echo") == 1 + text_calls(folder)

    view = api.get("/v1/tools/other/surface").json()
    assert [(each["function"], each["change"]) for each in view["changes"]] == [("echo", "changed"), ("extra", "added")]
    assert "mail to me" in view["changes"][0]["after"]["description"]
    stale = api.post("/v1/tools/other/surface", json={"surface": before["pinned"]})
    assert stale.status_code == 409
    key = api.post("/v1/keys", json={"name": f"dev-{uuid.uuid4().hex[:6]}", "role": "developer"}).json()["key"]
    as_developer = {"Authorization": f"Bearer {key}"}
    body = {"surface": view["found"]}
    assert api.post("/v1/tools/other/surface", json=body, headers=as_developer).status_code == 403
    assert api.post("/v1/tools/other/surface", json=body).status_code == 200
    assert api.post("/v1/tools/other/surface", json=body).json()["changes"] == []
    [accepted] = events(api, "tool_surface_accepted")
    assert (accepted["pinned"], accepted["accepted"]) == (view["pinned"], view["found"])
    assert asked(api, "three")["reply"]["content"]["text"] == "three"
    assert text(call(api, "extra")) == "done"
    assert "mail to me" in json.dumps(api.get("/v1/tools/other").json()["functions"])


def text_calls(folder: ServerFolder) -> int:
    """Calls by hand that came through before the change was noticed."""
    return max(0, folder.noted("called").count("echo") - 1)


# --- hostile servers -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("TOL-11", "TOL-14")
@pytest.mark.parametrize(
    ("mood", "says"),
    [
        ("huge", "says more than it may"),
        ("many", "more than 256 functions"),
        ("endless", "more than 20 pages"),
        ("hostile", "take too long"),
    ],
)
def test_a_hostile_list_is_refused_at_deployment(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path, mood: str, says: str
) -> None:
    grant(api, commands=[folder.line])
    folder.say("mood", mood)
    assert says in refused(api, tmp_path, folder.as_tool())["message"]
    assert api.get("/v1/tools").json()["tools"] == []
    pids = folder.noted("began")
    until(lambda: not any(_lives(pid) for pid in pids), 30)


@pytest.mark.requirement("TOL-11")
@pytest.mark.parametrize("mood", ["mute", "silent"])
def test_a_server_that_never_answers_is_given_up(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path, mood: str
) -> None:
    grant(api, commands=[folder.line])
    folder.say("mood", mood)
    assert "did not answer within 3 s" in refused(api, tmp_path, folder.as_tool(connect_timeout="3s"))["message"]
    pids = folder.noted("began")
    until(lambda: not any(_lives(pid) for pid in pids), 30)


@pytest.mark.requirement("TOL-3", "TOL-11")
def test_an_answer_that_is_too_large_is_refused(api: httpx.Client, folder: ServerFolder, tmp_path: Path) -> None:
    grant(api, commands=[folder.line])
    deployed(api, tmp_path, folder.as_tool())
    for size in (2_000_000, 30_000_000):
        assert call(api, "big", bytes=size)["code"] == "tool_message_too_large"
    assert text(until(lambda: "content" in (found := call(api, "echo", text="x")) and found, 60)) == "x"


@pytest.mark.requirement("TOL-11")
def test_secrets_are_granted_and_never_shown(
    api: httpx.Client, server: RunningServer, folder: ServerFolder, tmp_path: Path
) -> None:
    tool = folder.as_tool(permissions={"environment": ["TOOL_TOKEN", "TOOL_PLAIN"]})
    grant(api, commands=[folder.line], environment=["TOOL_PLAIN"])
    deployed(api, tmp_path, tool, caller("secret"))
    assert text(call(api, "secret")) == "None None plain []"
    grant(api, environment=["TOOL_TOKEN"])
    assert text(call(api, "secret")) == "None [redacted] plain []"
    assert "[redacted]" in asked(api)["reply"]["content"]["text"]
    call(api, "die")
    everything = api.get("/v1/events", params={"limit": 1000}).text
    assert "mcp_tool_deployed" in everything
    assert TOKEN not in everything
    assert TOKEN not in api.get("/v1/tools/other/logs").text
    for path in server.data_dir.rglob("*"):
        if path.is_file() and path.stat().st_size < 50_000_000:
            assert TOKEN.encode() not in path.read_bytes(), path


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.requirement("TOL-11")
def test_a_manifest_says_one_thing_and_all_of_it(api: httpx.Client, tmp_path: Path) -> None:
    from caxton.definitions.workspace import load_workspace

    wrong = {
        "a": 'name = "a"\nversion = "1.0.0"\n[mcp_server]\n',
        "b": 'name = "b"\nversion = "1.0.0"\nmodule = "b.wasm"\n[mcp_server]\nurl = "https://mcp.example.com/mcp"\n',
        "c": 'name = "c"\nversion = "1.0.0"\n[mcp_server]\nurl = "https://u:p4ssw0rd@mcp.example.com/mcp"\n',
        "d": 'name = "d"\nversion = "1.0.0"\n[mcp_server]\nurl = "https://mcp.example.com/mcp"\nheaders = { Host = "x" }\n',
        "e": 'name = "e"\nversion = "1.0.0"\n',
    }
    files: dict[str, str | bytes] = {f"tools/{name}/tool.toml": content for name, content in wrong.items()}
    problems = load_workspace(
        write_files(tmp_path, {**files, **mcp_tool("fine", url="https://mcp.example.com/mcp")})
    ).problems
    found: dict[str, str] = {}
    for problem in problems:
        name = problem.file.split("/")[1]
        found[name] = f"{found.get(name, '')}{problem.message}"
    assert found.keys() == wrong.keys()
    assert 'either a "url" or a "command"' in found["a"]
    assert 'either a "module" or an [mcp_server]' in found["b"]
    assert 'the header "Host" is not for a manifest to set' in found["d"]
    assert found["e"] == '"module" is missing'
