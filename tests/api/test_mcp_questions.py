"""What the MCP server of a tool asks a person during a call is an approval: decided anywhere, once, and told to the server."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp_types import ElicitRequestFormParams, ElicitResult

from tests.api.conftest import new_key
from tests.conftest import RunningServer, start_server, stop_server
from tests.support import agui
from tests.support.agents import agent
from tests.support.agui import run, run_input, user
from tests.support.deploying import deploy_folder, write_files
from tests.support.mcp_client import MODES, text_of, with_sdk
from tests.support.mcp_tools import ServerFolder
from tests.support.waiting import until

pytestmark = [pytest.mark.xdist_group("mcp-questions"), pytest.mark.requirement("TOL-11")]

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 2},
        "mail": {"type": "string", "format": "email"},
        "age": {"type": "integer", "minimum": 18, "maximum": 120},
        "rate": {"type": "number", "default": 0.5},
        "agree": {"type": "boolean"},
        "size": {"type": "string", "enum": ["s", "m"], "enumNames": ["small", "medium"], "default": "m"},
        "colour": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]},
        "days": {
            "type": "array",
            "items": {"type": "string", "enum": ["mo", "tu", "we"]},
            "minItems": 1,
            "maxItems": 2,
        },
        "pets": {
            "type": "array",
            "items": {"anyOf": [{"const": "cat", "title": "Cat"}, {"const": "dog", "title": "D"}]},
        },
    },
    "required": ["name", "age", "agree", "colour", "days"],
}
ANSWER: dict[str, Any] = {
    "name": "Ada",
    "mail": "ada@example.com",
    "age": 36,
    "agree": True,
    "colour": "g",
    "days": ["mo", "we"],
    "pets": ["cat"],
}
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ServerFolder]:
    """A server of each way of the protocol."""
    found = {mood: ServerFolder(tmp_path_factory.mktemp(mood)) for mood in ("new", "old")}
    found["old"].say("mood", "old")
    return found


@pytest.fixture(scope="module")
def server(folders: dict[str, ServerFolder], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data = tmp_path_factory.mktemp("questions") / "data"
    allowed = json.dumps([folder.line for folder in folders.values()])
    write_files(data, {"caxton.toml": f"[tools]\nallowed_commands = {allowed}\n"})
    process, running = start_server(data)
    yield running
    stop_server(process)


@pytest.fixture
def api(server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    with server.client(workspace) as client:
        yield client


@pytest.fixture(params=["new", "old"])
def folder(folders: dict[str, ServerFolder], request: pytest.FixtureRequest) -> ServerFolder:
    return folders[request.param]


def deploy(
    api: httpx.Client,
    path: Path,
    folder: ServerFolder,
    *asks: dict[str, Any],
    visit: tuple[str, ...] = (),
    more: str = "",
) -> None:
    """Deploys an agent whose tool asks so, and says what came of it."""
    granted = api.post("/v1/tool-grants", json={"tool": "other", "commands": [folder.line]})
    assert granted.status_code == 201, granted.text
    told = {"asks": asks, "visit": visit}
    arguments = ", ".join(f"{name} = '''{json.dumps(value)}'''" for name, value in told.items() if value)
    rules = f"[[rules]]\n[[rules.steps]]\ntool = 'other.ask'\narguments = {{ {arguments} }}\n"
    rules += "on_error = '''failed: {{ results[0].text }}'''\n[[rules.steps]]\nreply = '''{{ results[0].text }}'''\n"
    files = {**agent("asker", rules=rules, more='tools = ["other"]\n' + more), **folder.as_tool()}
    answer = deploy_folder(api, write_files(path / "workspace", files)).json()
    assert answer["state"] == "Running", answer


def begin(api: httpx.Client) -> str:
    answer = api.post("/v1/messages", json={"capability": "asker", "content": "go"}, params={"wait": 0})
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["execution_id"]


def waiting(api: httpx.Client) -> dict[str, Any]:
    found = until(lambda: api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"], 60)
    assert len(found) == 1
    return found[0]


def reply(api: httpx.Client, execution: str) -> Any:
    return json.loads(said(api, execution))


def said(api: httpx.Client, execution: str) -> str:
    def ended() -> Any:
        found = api.get(f"/v1/executions/{execution}").json()
        return found if found["state"] != "running" else None

    found = until(ended, 60)
    assert found["state"] == "completed", found
    return found["reply"]["content"]["text"]


def test_a_form_is_filled_in_by_whoever_decides(api: httpx.Client, folder: ServerFolder, tmp_path: Path) -> None:
    deploy(api, tmp_path, folder, {"message": "Who are you?", "requestedSchema": FORM})
    execution = begin(api)
    approval = waiting(api)
    assert (approval["action_type"], approval["name"]) == ("question", "other.ask")
    shown = json.loads(approval["content"])
    assert (shown["message"], shown["form"], shown["mode"]) == ("Who are you?", FORM, "form")
    assert approval["unsandboxed"] == folder.line
    place = f"/v1/approvals/{approval['id']}/grant"
    wrong = {
        "name": "A",
        "mail": "nobody",
        "age": 17,
        "rate": "much",
        "agree": "yes",
        "size": "xl",
        "colour": "Red",
        "days": ["mo", "tu", "we"],
        "pets": ["cow"],
    }
    for name, value in wrong.items():
        refused = api.post(place, json={"arguments": {**ANSWER, name: value}})
        assert refused.status_code == 400, refused.text
        assert f'"{name}" has to be' in refused.json()["detail"]
    assert "lacks name" in api.post(place, json={"arguments": {}}).json()["detail"]
    assert "--arguments" in api.post(place).json()["hints"][0]["command"]
    assert "no field" in api.post(place, json={"arguments": {**ANSWER, "else": 1}}).json()["detail"]
    assert api.post(place, json={"arguments": ANSWER}).status_code == 200
    assert reply(api, execution) == [["accept", {**ANSWER, "rate": 0.5, "size": "m"}]]
    events = [event["event_type"] for event in api.get("/v1/events", params={"limit": 200}).json()["events"]]
    assert events.count("approval_requested") == events.count("approval_granted") == 1
    assert events.count("tool_executed") == 1
    assert "Who are you" not in api.get("/v1/events", params={"limit": 200}).text


@pytest.mark.parametrize(("decision", "told"), [("reject", "decline"), ("timeout", "cancel")])
def test_the_server_hears_that_nobody_agreed(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path, decision: str, told: str
) -> None:
    more = '[tool_policies."other.ask"]\napproval_timeout = "1s"\n' if decision == "timeout" else ""
    deploy(api, tmp_path, folder, more=more)
    execution = begin(api)
    if decision == "reject":
        assert api.post(f"/v1/approvals/{waiting(api)['id']}/reject").status_code == 200
    assert reply(api, execution) == [[told, None]]


def test_a_page_is_visited_and_one_question_follows_another(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path
) -> None:
    page = {"message": "Sign in first", "url": "https://login.example.com/start"}
    deploy(api, tmp_path, folder, page, {"message": "Where to?", "requestedSchema": PLACE})
    execution = begin(api)
    first = waiting(api)
    assert json.loads(first["content"])["url"] == page["url"]
    refused = api.post(f"/v1/approvals/{first['id']}/grant", json={"arguments": {"x": 1}})
    assert "visit its page" in refused.json()["detail"]
    assert api.post(f"/v1/approvals/{first['id']}/grant").status_code == 200
    second = until(lambda: (found := waiting(api))["id"] != first["id"] and found, 60)
    assert json.loads(second["content"])["message"] == "Where to?"
    assert api.post(f"/v1/approvals/{second['id']}/grant", json={"arguments": {"place": "Kyiv"}}).status_code == 200
    assert reply(api, execution) == [["accept", None], ["accept", {"place": "Kyiv"}]]


def test_pages_that_a_server_wants_visited_first_are_asked_for(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path
) -> None:
    pages = tuple(f"https://login.example.com/{uuid.uuid4().hex}" for _ in range(2))
    deploy(api, tmp_path, folder, {"message": "Where to?", "requestedSchema": PLACE}, visit=pages)
    execution, seen = begin(api), list[str]()
    for number, page in enumerate(pages, start=1):
        approval = until(lambda: (found := waiting(api))["id"] not in seen and found, 60)
        shown = json.loads(approval["content"])
        assert (shown["mode"], shown["url"], shown["number"]) == ("url", page, number)
        seen.append(approval["id"])
        folder.say("visited", "\n".join(pages[:number]))
        assert api.post(f"/v1/approvals/{approval['id']}/grant").status_code == 200
    last = until(lambda: (found := waiting(api))["id"] not in seen and found, 60)
    assert api.post(f"/v1/approvals/{last['id']}/grant", json={"arguments": {"place": "Kyiv"}}).status_code == 200
    assert reply(api, execution) == [["accept", {"place": "Kyiv"}]]


@pytest.mark.parametrize("decision", ["grant", "reject"])
def test_a_page_that_nobody_has_visited_fails_the_call(
    api: httpx.Client, folder: ServerFolder, tmp_path: Path, decision: str
) -> None:
    deploy(api, tmp_path, folder, visit=(f"https://login.example.com/{uuid.uuid4().hex}",))
    execution = begin(api)
    assert api.post(f"/v1/approvals/{waiting(api)['id']}/{decision}").status_code == 200
    assert said(api, execution).startswith("failed: ")
    assert api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"] == []


@pytest.mark.requirement("FAC-7", "FAC-9")
def test_a_front_end_gets_the_form_as_an_interrupt(api: httpx.Client, folder: ServerFolder, tmp_path: Path) -> None:
    deploy(api, tmp_path, folder, {"message": "Where to?", "requestedSchema": PLACE})
    thread = uuid.uuid4().hex
    events = run(api, "asker", run_input(thread, user("go")))
    [asked] = events[-1]["outcome"]["interrupts"]
    assert (asked["reason"], asked["id"]) == ("input_required", waiting(api)["id"])
    assert "Where to?" in asked["message"]
    assert asked["responseSchema"]["properties"]["editedArgs"] == PLACE
    answer = {"interruptId": asked["id"], "status": "resolved"}
    lacks: dict[str, Any] = {**answer, "payload": {"approved": True, "editedArgs": {}}}
    assert run(api, "asker", run_input(thread, user("go"), resume=[lacks]))[-1]["type"] == "RUN_ERROR"
    full = {**answer, "payload": {"approved": True, "editedArgs": {"place": "Kyiv"}}}
    done = run(api, "asker", run_input(thread, user("go"), resume=[full]))
    assert json.loads(agui.text_of(done)) == [["accept", {"place": "Kyiv"}]]
    assert [event["type"] for event in done].count("RUN_STARTED") == 1
    assert "TOOL_CALL_START" not in [event["type"] for event in done], "the call was told by the run before"


def test_only_those_may_answer_who_may_decide(
    api: httpx.Client, server: RunningServer, folder: ServerFolder, tmp_path: Path, workspace: str
) -> None:
    deploy(api, tmp_path, folder)
    execution = begin(api)
    approval = waiting(api)
    with server.client(workspace, key=new_key(api, "developer")) as developer:
        assert developer.post(f"/v1/approvals/{approval['id']}/grant").status_code == 403
    body = {"remember": {"for": "1h"}, "arguments": {"sure": True}}
    assert "not remembered" in api.post(f"/v1/approvals/{approval['id']}/grant", json=body).json()["detail"]
    assert api.post(f"/v1/approvals/{approval['id']}/grant", json={"arguments": {"sure": True}}).status_code == 200
    assert reply(api, execution) == [["accept", {"sure": True}]]


@pytest.mark.requirement("FAC-9")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action", ["accept", "decline"])
def test_the_user_of_an_mcp_client_is_shown_the_form(
    api: httpx.Client,
    server: RunningServer,
    folder: ServerFolder,
    tmp_path: Path,
    workspace: str,
    mode: str,
    action: str,
) -> None:
    deploy(api, tmp_path, folder, {"message": "Who are you?", "requestedSchema": FORM})
    asked: list[ElicitRequestFormParams] = []

    async def answer(_context: Any, params: Any) -> ElicitResult:
        asked.append(params)
        return ElicitResult(action=action, content=ANSWER if action == "accept" else None)  # type: ignore[arg-type]

    async def work(client: Client) -> str:
        return text_of(await client.call_tool("asker", {"request": "x"}))

    told = with_sdk(server, workspace, work, mode, elicitation_callback=answer)
    content = {**ANSWER, "rate": 0.5, "size": "m"} if action == "accept" else None
    assert json.loads(told) == [[action, content]]
    assert len(asked) == 1
    assert "Who are you?" in asked[0].message
    assert asked[0].model_dump(by_alias=True, mode="json")["requestedSchema"] == FORM


@pytest.mark.requirement("FAC-9", "SEC-9")
def test_what_deceives_the_eye_is_shown_to_the_user_of_an_mcp_client(
    api: httpx.Client, server: RunningServer, folder: ServerFolder, tmp_path: Path, workspace: str
) -> None:
    form = {"type": "object", "properties": {"sure": {"type": "boolean", "title": "No\u202eseY"}}, "required": ["sure"]}
    page = {"message": "Sign\u200b in", "url": "https://bank.example@b\u00e4nk.example/x"}
    deploy(api, tmp_path, folder, page, {"message": "S\u034fure?", "requestedSchema": form})
    asked: list[ElicitRequestFormParams] = []

    async def answer(_context: Any, params: Any) -> ElicitResult:
        asked.append(params)
        first = "decision" in params.model_dump_json(by_alias=True)
        return ElicitResult(action="accept", content={"decision": "approve"} if first else {"sure": True})

    async def work(client: Client) -> str:
        return text_of(await client.call_tool("asker", {"request": "x"}))

    with_sdk(server, workspace, work, MODES[0], elicitation_callback=answer)
    visit, sure = asked
    assert "Sign<U+200B> in" in visit.message
    assert "(which is on xn--bnk-qla.example)" in visit.message
    assert "S<U+034F>ure?" in sure.message
    told = sure.model_dump(by_alias=True, mode="json")["requestedSchema"]
    assert told["properties"]["sure"] == {"type": "boolean", "title": "No<U+202E>seY"}
