"""A manifest requests, an operator grants: what runs is the intersection."""

import concurrent.futures
import os
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over
from tests.support.hostile_tool import call_tool, hostile_tool, text_of


@pytest.fixture
def origin() -> Iterator[str]:
    """A web server on this machine that is none of Caxton's; /away redirects to itself by another name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/away" else 200)
            if self.path == "/away":
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port + 1}/")  # type: ignore[attr-defined]
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def grant(api: httpx.Client, **body: Any) -> dict[str, Any]:
    """Grants the hostile tool something."""
    answer = api.post("/v1/tool-grants", json={"tool": "hostile", **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


def events(api: httpx.Client, kind: str) -> list[dict[str, Any]]:
    return api.get("/v1/events", params={"type": kind}).json()["events"]


def key_of(api: httpx.Client, role: str, **body: str) -> str:
    made = api.post("/v1/keys", json={"name": f"k-{uuid.uuid4().hex[:8]}", "role": role, **body})
    assert made.status_code == 201, made.text
    return made.json()["key"]


@pytest.mark.requirement("TOL-4", "TOL-12")
def test_a_tool_runs_without_what_nobody_has_granted(api: httpx.Client, deploy: Deploy, origin: str) -> None:
    deployed = deploy(
        hostile_tool(permissions={"network": [origin], "environment": ["HOME"]}, limits={"wall_time": "20s"})
    )
    change = next(each for each in deployed["changes"] if each["kind"] == "tool")
    assert change["ungranted"] == [origin, "HOME", "wall_time=20s"]
    command = f"caxton tool grant hostile --network {origin} --environment HOME --limit wall_time=20s"
    assert change["grant"] == command == api.get("/v1/tools/hostile").json()["grant"]

    refused = call_tool(api, "fetch", url=f"{origin}/private?secret=1")
    assert refused.status_code == 403
    assert refused.json()["code"] == "tool_not_granted"
    assert refused.json()["hints"][0]["command"] == f"caxton tool grant hostile --network {origin}"
    assert call_tool(api, "environment", name="HOME").json()["code"] == "tool_not_granted"
    assert call_tool(api, "environment", name="PATH").json()["is_error"]  # not even requested
    told = events(api, "tool_rights_refused")
    assert [each["payload"]["refused"][0]["what"] for each in told] == [origin, "HOME", "PATH"]
    assert [each["payload"]["refused"][0]["why"] for each in told] == ["not_granted", "not_granted", "not_requested"]
    assert "secret=1" not in str(told)

    made = grant(api, network=[origin.upper()], environment=["HOME"], reason="it may")
    assert "hello" in text_of(call_tool(api, "fetch", url=f"{origin}/"))
    assert text_of(call_tool(api, "environment", name="HOME")) == os.environ["HOME"]
    assert call_tool(api, "fetch", url=f"{origin}/away").json()["is_error"]  # the redirect is not granted
    assert api.get("/v1/tools/hostile").json()["ungranted"] == ["wall_time=20s"]

    assert api.delete(f"/v1/tool-grants/{made['id']}").status_code == 200
    assert call_tool(api, "fetch", url=f"{origin}/").json()["code"] == "tool_not_granted"
    assert api.delete(f"/v1/tool-grants/{made['id']}").status_code == 404
    assert [each["payload"]["grant_id"] for each in events(api, "tool_grant_created")] == [made["id"]]
    assert [each["payload"]["grant_id"] for each in events(api, "tool_grant_revoked")] == [made["id"]]


@pytest.mark.requirement("TOL-12")
def test_an_update_that_requests_more_runs_with_the_old_rights(api: httpx.Client, deploy: Deploy, origin: str) -> None:
    grant(api, network=[origin])
    deploy(hostile_tool(permissions={"network": [origin]}))
    assert not call_tool(api, "fetch", url=f"{origin}/").json()["is_error"]
    more = {"network": [origin, "http://127.0.0.1:9"], "environment": ["HOME"]}
    updated = deploy(hostile_tool(version="1.1.0", permissions=more))
    assert next(each for each in updated["changes"] if each["kind"] == "tool")["ungranted"] == [
        "http://127.0.0.1:9",
        "HOME",
    ]
    assert not call_tool(api, "fetch", url=f"{origin}/").json()["is_error"]
    assert call_tool(api, "environment", name="HOME").json()["code"] == "tool_not_granted"
    # What is granted and not requested is no right either.
    deploy(hostile_tool(version="1.2.0"))
    assert call_tool(api, "fetch", url=f"{origin}/").json()["is_error"]
    assert events(api, "mcp_tool_deployed")[1]["payload"]["ungranted"] == ["http://127.0.0.1:9", "HOME"]


@pytest.mark.requirement("TOL-12", "SEC-9")
def test_other_code_under_the_name_has_no_grant_that_is_for_one_version(
    api: httpx.Client, deploy: Deploy, origin: str
) -> None:
    wanted = {"network": [origin], "environment": ["HOME"]}
    deploy(hostile_tool(permissions=wanted))
    grant(api, network=[origin])
    made = grant(api, environment=["HOME"], digest=api.get("/v1/tools/hostile").json()["digest"])
    assert text_of(call_tool(api, "environment", name="HOME")) == os.environ["HOME"]
    updated = deploy(hostile_tool(version="1.1.0", permissions=wanted))
    assert next(each for each in updated["changes"] if each["kind"] == "tool")["ungranted"] == ["HOME"]
    assert call_tool(api, "environment", name="HOME").json()["code"] == "tool_not_granted"
    assert "hello" in text_of(call_tool(api, "fetch", url=f"{origin}/")), "this one is for the name"
    assert api.get("/v1/tools/hostile").json()["ungranted"] == ["HOME"]
    assert events(api, "tool_grant_created")[-1]["payload"]["digest"] == made["digest"]
    deploy(hostile_tool(permissions=wanted))
    assert text_of(call_tool(api, "environment", name="HOME")) == os.environ["HOME"], "it is the version again"


@pytest.mark.requirement("TOL-5")
@pytest.mark.parametrize(
    "odd", ["http://\u2460\u2461\u2466.0.0.1", "http://b\u00fccher.example", "http://\uff10x7f000001"]
)
def test_hosts_are_written_in_ascii(api: httpx.Client, odd: str) -> None:
    refused = api.post("/v1/tool-grants", json={"tool": "hostile", "network": [odd]})
    assert refused.status_code == 400, refused.text
    assert "write" in refused.json()["detail"]


@pytest.mark.requirement("TOL-5", "TOL-12")
def test_grants_are_for_an_agent_a_function_and_arguments(api: httpx.Client, deploy: Deploy, origin: str) -> None:
    rules = (
        f"[[rules]]\n[[rules.steps]]\ntool = 'hostile.fetch'\narguments = {{ url = '{origin}/{{{{ request }}}}' }}\n"
    )
    rules += "on_error = '''{{ results[0].text }}'''\n[[rules.steps]]\nreply = '''{{ results[0].text }}'''\n"
    more = 'tools = ["hostile"]\n'
    deploy(
        {
            **hostile_tool(permissions={"network": [origin], "environment": ["HOME"]}),
            **agent("trusted", rules=rules, more=more),
            **agent("other", rules=rules, more=more),
        }
    )
    grant(api, network=[origin], agent="trusted", arguments={"url": f"{origin}/public/*"})
    grant(api, environment=["HOME"], function="fetch")

    def asked(capability: str, path: str) -> str:
        answer = api.post("/v1/messages", json={"capability": capability, "content": path})
        return answer.json()["reply"]["content"]["text"]

    assert "hello" in asked("trusted", "public/a")
    round_about = ("public/../private", "public/%2e%2e/private", "public/a/..%5C..%252fprivate", "public/.\t./private")
    for path in round_about:
        assert "hello" not in asked("trusted", path), path
    before = len(events(api, "tool_rights_refused"))
    for capability, path in (("trusted", "private"), ("other", "public/a")):
        assert "nobody has granted" in asked(capability, path), (capability, path)
    assert call_tool(api, "fetch", url=f"{origin}/public/a").json()["code"] == "tool_not_granted"  # by hand: no agent
    assert call_tool(api, "environment", name="HOME").json()["code"] == "tool_not_granted"  # another function
    told = events(api, "tool_rights_refused")[before:]
    assert [(each["agent"], each["error_code"]) for each in told][:2] == [
        ("trusted", "tool_not_granted"),
        ("other", "tool_not_granted"),
    ]
    assert all(each["payload"]["function"] == "fetch" for each in told[:2])


@pytest.mark.requirement("TOL-12", "SEC-7")
def test_a_delegate_has_no_more_rights_than_its_delegator(api: httpx.Client, deploy: Deploy, origin: str) -> None:
    rules = f"[[rules]]\n[[rules.steps]]\ntool = 'hostile.fetch'\narguments = {{ url = '{origin}/' }}\n"
    rules += "on_error = '''{{ results[0].text }}'''\n[[rules.steps]]\nreply = '''{{ results[0].text }}'''\n"
    more = 'delegates = ["fetches"]\n'
    deploy(
        {
            **hostile_tool(permissions={"network": [origin]}),
            **agent("fetches", rules=rules, more='tools = ["hostile"]\n'),
            **agent("asks", rules=hands_over("fetches"), more=more),
            **agent("begins", rules=hands_over("asks"), more='delegates = ["asks"]\n'),
        }
    )

    def asked(capability: str) -> dict[str, Any]:
        return api.post("/v1/messages", json={"capability": capability, "content": "x"}).json()

    grant(api, network=[origin], agent="fetches")
    assert "hello" in asked("fetches")["reply"]["content"]["text"]
    turn = asked("asks")
    assert "nobody has granted" in turn["reply"]["content"]["text"]
    grant(api, network=[origin], agent="asks")
    assert "hello" in asked("asks")["reply"]["content"]["text"]
    assert "nobody has granted" in asked("begins")["reply"]["content"]["text"]
    grant(api, network=[origin], agent="begins")
    assert "hello" in asked("begins")["reply"]["content"]["text"]


@pytest.mark.requirement("TOL-12")
def test_a_count_is_exact_when_calls_come_at_the_same_time(api: httpx.Client, deploy: Deploy) -> None:
    deploy(hostile_tool(permissions={"environment": ["HOME"]}))
    made = grant(api, environment=["HOME"], count=5)
    assert not call_tool(api, "ok").json()["is_error"]  # takes a use too: nobody knows before what a call will need
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: call_tool(api, "environment", name="HOME").status_code, range(16)))
    assert sorted(answers) == [200] * 4 + [403] * 12
    shown = api.get("/v1/tool-grants", params={"tool": "hostile"}).json()["grants"]
    assert [(each["id"], each["used"], each["count"]) for each in shown] == [(made["id"], 5, 5)]
    assert [each["payload"]["used"] for each in events(api, "tool_grant_used")] == [1, 2, 3, 4, 5]
    # Where another grant gives the same, none is taken.
    grant(api, environment=["HOME"])
    counted = grant(api, environment=["HOME"], count=2)
    assert call_tool(api, "environment", name="HOME").status_code == 200
    shown = api.get("/v1/tool-grants").json()["grants"]
    assert next(each for each in shown if each["id"] == counted["id"])["used"] == 0


@pytest.mark.requirement("TOL-12")
def test_a_grant_ends_when_it_expires(api: httpx.Client, deploy: Deploy) -> None:
    deploy(hostile_tool(permissions={"environment": ["HOME"]}))
    grant(api, environment=["HOME"], expires_in="2s")
    assert call_tool(api, "environment", name="HOME").status_code == 200
    deadline = time.monotonic() + 30
    while call_tool(api, "environment", name="HOME").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert call_tool(api, "environment", name="HOME").json()["code"] == "tool_not_granted"
    assert api.get("/v1/tools/hostile").json()["ungranted"] == ["HOME"]


@pytest.mark.requirement("TOL-12", "SEC-9")
def test_only_operators_grant(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> None:
    body = {"tool": "hostile", "network": ["https://example.com"]}
    made: list[str] = []
    for role, status in (("viewer", 403), ("developer", 403), ("operator", 201)):
        with caxton_server.client(workspace, key=key_of(api, role)) as client:
            answer = client.post("/v1/tool-grants", json=body)
            assert answer.status_code == status, role
            if status == 201:
                made.append(answer.json()["id"])
            assert client.get("/v1/tool-grants").status_code == 200
    with caxton_server.client(workspace, key=key_of(api, "developer")) as developer:
        assert developer.delete(f"/v1/tool-grants/{made[0]}").status_code == 403
    with caxton_server.client("w-another") as elsewhere:
        assert elsewhere.delete(f"/v1/tool-grants/{made[0]}").status_code == 404
    assert [each["id"] for each in api.get("/v1/tool-grants").json()["grants"]] == made


@pytest.mark.requirement("TOL-12", "SEC-9")
def test_other_customers_cannot_grant_what_is_the_machines(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    key = key_of(api, "admin", customer=f"acme-{uuid.uuid4().hex[:8]}")
    with caxton_server.client(workspace, key=key) as stranger:
        for body in ({"environment": ["HOME"]}, {"network": ["http://10.0.0.1"]}, {"files": [{"path": "/srv"}]}):
            refused = stranger.post("/v1/tool-grants", json={"tool": "hostile", **body})
            assert refused.status_code == 403, body
            assert refused.json()["code"] == "not_grantable"
        allowed = stranger.post("/v1/tool-grants", json={"tool": "hostile", "network": ["https://example.com"]})
        assert allowed.status_code == 201
        assert api.get("/v1/tool-grants").json()["grants"] == []


@pytest.mark.requirement("TOL-4", "TOL-12", "SEC-9")
@pytest.mark.parametrize(
    "body",
    [
        {"environment": ["OPENAI_API_KEY"]},
        {"environment": ["CAXTON_STORE__URL"]},
        {"environment": ["HOME", "AWS_SECRET_ACCESS_KEY"]},
        {"network": ["http://169.254.169.254"]},
        {"network": ["http://[::ffff:a9fe:a9fe]"]},
        {"network": ["http://0.0.0.0:8080"]},
        {"files": [{"path": "/"}]},
        {"files": [{"path": "/proc"}]},
        {"files": [{"path": "/usr"}]},
        {"limits": {"memory": "4GB"}},
        {"limits": {"wall_time": "10m"}},
    ],
)
def test_an_operator_cannot_grant_what_no_tool_gets(api: httpx.Client, body: dict[str, Any]) -> None:
    refused = api.post("/v1/tool-grants", json={"tool": "hostile", **body})
    assert refused.status_code == 403
    assert refused.json()["code"] == "not_grantable"
    assert api.get("/v1/tool-grants").json()["grants"] == []
    assert len(events(api, "tool_grant_refused")) == 1


@pytest.mark.requirement("TOL-4", "SEC-9")
def test_an_operator_cannot_grant_caxtons_own_ports(
    api: httpx.Client, caxton_server: RunningServer, deploy: Deploy
) -> None:
    ui = api.get("/v1/server").json()["engine"]["ui_url"]
    for url in (caxton_server.url, ui, ui.replace("127.0.0.1", "localhost"), ui.replace("127.0.0.1", "[::1]")):
        assert api.post("/v1/tool-grants", json={"tool": "hostile", "network": [url]}).status_code == 403, url
    other = ui.replace("127.0.0.1", "127.1")
    assert api.post("/v1/tool-grants", json={"tool": "hostile", "network": [other]}).status_code == 403
    deploy(hostile_tool(permissions={"network": [other]}))
    assert call_tool(api, "fetch", url=f"{other}/api/v1/namespaces").json()["code"] == "tool_not_granted"


@pytest.mark.requirement("TOL-12")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"network": ["https://*.example.com"]},
        {"network": ["https://example.com/path"]},
        {"network": ["ftp://example.com"]},
        {"environment": ["A=B"]},
        {"files": [{"path": "relative"}]},
        {"files": [{"path": "/srv/../etc"}]},
        {"environment": ["HOME"], "count": 0},
        {"environment": ["HOME"], "expires_in": "-1s"},
        {"environment": ["HOME"], "agent": "../x"},
        {"environment": ["HOME"], "surprise": True},
    ],
)
def test_grants_that_make_no_sense_are_refused(api: httpx.Client, body: dict[str, Any]) -> None:
    assert api.post("/v1/tool-grants", json={"tool": "hostile", **body}).status_code in (400, 422)


@pytest.mark.requirement("TOL-3", "TOL-12")
def test_limits_above_the_defaults_need_a_grant(api: httpx.Client, deploy: Deploy) -> None:
    deploy(hostile_tool(limits={"fuel": 10**15, "wall_time": "30s", "memory": "1GB"}))
    shown = api.get("/v1/tool-grants").json()
    began = time.monotonic()
    stopped = call_tool(api, "spin")
    assert stopped.json()["code"] in ("tool_timeout", "tool_fuel_exhausted")
    assert time.monotonic() - began < 25
    assert stopped.json()["details"]["value"] == shown["limits"][stopped.json()["details"]["limit"]]
    assert stopped.json()["hints"][0]["command"].startswith("caxton tool grant hostile --limit ")
    exceeded = events(api, "resource_limit_exceeded")
    assert [each["payload"]["tool"] for each in exceeded] == ["hostile"]
