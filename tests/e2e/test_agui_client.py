"""The official client of AG-UI, `@ag-ui/client`, from npm: strict under Node.js, and in a page of a real browser."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_approvals import finished
from tests.conftest import RunningServer
from tests.docs.snippets import snippets
from tests.support.agents import agent, hands_over, replies
from tests.support.browser import browser_page
from tests.support.deploying import deploy_files
from tests.support.npm import node_program, with_packages
from tests.support.ports import free_port
from tests.support.waiting import until

PAGE = "docs/how-to/build-a-web-front-end.md"

BUNDLED = """<!doctype html>
<meta charset="utf-8">
<title>loading</title>
<body><script type="module" src="page.js"></script></body>
"""


def letters() -> dict[str, str | bytes]:
    """A writer whose letters wait for a person, a greeter, and one that hands over to it."""
    offered = '[{ name = "write-letter", approval_mode = "operator", risk_level = "low", approval_timeout = "1h" }]'
    return {
        **agent("writer", capabilities=offered, rules=replies("Dear {{ request }}, all is well.")),
        **agent("greeter", capabilities='["greet"]', rules=replies("Hello {{ request }}.")),
        **agent("front", rules=hands_over("greet"), more='delegates = ["greet"]\n'),
    }


@pytest.mark.requirement("FAC-7", "FAC-9")
def test_the_strict_client_takes_every_event(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    deploy_files(api, tmp_path / "workspace", letters())
    headers = {"Authorization": f"Bearer {caxton_server.api_key}", "X-Caxton-Workspace": workspace}
    command = [node_program(), "strict.mjs", caxton_server.url, json.dumps(headers)]
    run = subprocess.run(
        command, cwd=with_packages("agui"), capture_output=True, text=True, timeout=120, env=_direct(), check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found: dict[str, Any] = json.loads(run.stdout)

    assert found["greeted"]["said"] == "Hello Ada."
    assert found["greeted"]["last"]["outcome"] == {"type": "success"}
    assert found["greeted"]["state"]["caxton"]["status"] == "completed"
    assert found["again"]["said"] == "Hello Bo.", "only what is new is asked"
    assert found["handed"]["said"].endswith("Hello Cy.")
    assert {"TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"} <= {*found["handed"]["types"]}
    [interrupt] = found["asked"]["last"]["outcome"]["interrupts"]
    assert interrupt["message"] == "writer wants to reply"
    assert found["unanswered"]["last"]["type"] == "RUN_ERROR"
    assert interrupt["id"] in found["unanswered"]["last"]["message"]
    assert found["resumed"]["said"] == "Dear Dee, all is well."
    assert "409" in found["conflict"]["error"]
    assert api.get(f"/v1/approvals/{interrupt['id']}").json()["state"] == "Granted"


@pytest.mark.requirement("FAC-7", "FAC-9")
@pytest.mark.xdist_group("browser")
def test_a_page_with_it_writes_letters(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    packages = with_packages("agui")
    front = tmp_path / "front"
    front.mkdir()
    [proxy] = [snippet.text for snippet in snippets(PAGE) if snippet.note == "file: front.py"]
    (front / "front.py").write_text(proxy)
    (front / "index.html").write_text(BUNDLED)
    bundle = ["node_modules/.bin/esbuild", "page.mjs", "--bundle", "--format=esm", f"--outfile={front / 'page.js'}"]
    subprocess.run(bundle, cwd=packages, check=True, capture_output=True, timeout=120)
    deploy_files(api, tmp_path / "workspace", letters())
    port = free_port()
    ours = {"CAXTON_URL": caxton_server.url, "CAXTON_API_KEY": caxton_server.api_key, "CAXTON_WORKSPACE": workspace}
    server = subprocess.Popen([sys.executable, "front.py", str(port)], cwd=front, env={**_direct(), **ours})
    try:
        until(lambda: _answers(port), 60)
        with browser_page(tmp_path / "profile") as page:
            page.visit(f"http://127.0.0.1:{port}/")
            page.wait_for("document.title === 'ready'")
            page.run("void write('Ada')")
            page.wait_for("document.title === 'asked'")
            assert page.run("asked()") == "writer wants to reply: Dear Ada, all is well."
            assert page.run("said()") == ""
            page.run("void answer(true)")
            page.wait_for("document.title === 'done'")
            assert page.run("said()") == "Dear Ada, all is well." == page.run("document.body.dataset.live")
            page.run("void write('Bo')")
            page.wait_for("document.title === 'asked'")
            assert page.run("asked()") == "writer wants to reply: Dear Bo, all is well."
            [waiting] = api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"]
            api.post(f"/v1/approvals/{waiting['id']}/grant", json={}).raise_for_status()  # by somebody elsewhere
            finished(api, waiting["root_id"])
            page.run("void answer(true)")
            page.wait_for("document.title === 'done'")
            assert page.run("said()").endswith("Dear Bo, all is well.")
            assert page.run("document.body.dataset.error") is None
    finally:
        server.terminate()
        server.wait(30)


def _direct() -> dict[str, str]:
    """The environment, for programs that talk to this machine alone."""
    return {**os.environ, "no_proxy": "*", "NO_PROXY": "*"}


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/index.html", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
