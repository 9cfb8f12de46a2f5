"""The page of the how-to, in a real browser."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import RunningServer
from tests.docs.snippets import snippets
from tests.support.browser import browser_page
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.waiting import until

PAGE = "docs/how-to/build-a-web-front-end.md"


@pytest.mark.requirement("FAC-7", "FAC-9")
@pytest.mark.xdist_group("browser")
def test_a_letter_is_asked_for_and_approved_in_a_page(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {
        snippet.note.removeprefix("file: "): snippet.text
        for snippet in snippets(PAGE)
        if snippet.note.startswith("file: ")
    }
    front = tmp_path / "front"
    front.mkdir()
    for name in ("front.py", "index.html"):
        (front / name).write_text(str(files.pop(name)))
    deploy_files(api, tmp_path / "workspace", files)
    port = free_port()
    environment = {
        **os.environ,
        "CAXTON_URL": caxton_server.url,
        "CAXTON_API_KEY": caxton_server.api_key,
        "CAXTON_WORKSPACE": workspace,
        "no_proxy": "*",
    }
    server = subprocess.Popen([sys.executable, "front.py", str(port)], cwd=front, env=environment)
    try:
        until(lambda: _answers(port), 60)
        with browser_page(tmp_path / "profile") as page:
            page.visit(f"http://127.0.0.1:{port}/")
            page.wait_for("document.forms[0]")
            page.run("document.forms[0].whom.value = 'Ada'; document.forms[0].requestSubmit()")
            asked = page.wait_for("document.querySelector('fieldset').textContent")
            assert "writer wants to reply: Dear Ada, all is well." in asked
            assert page.run("document.querySelector('#reply').textContent") == ""
            page.run("document.querySelector('fieldset button').click()")
            assert page.wait_for("document.querySelector('#reply').textContent") == "Dear Ada, all is well."
            page.run("document.forms[0].whom.value = 'Bo'; document.forms[0].requestSubmit()")
            page.wait_for("document.querySelector('fieldset')")
            page.run("document.querySelectorAll('fieldset button')[1].click()")
            page.wait_for("/refused|rejected|not approved/i.test(document.querySelector('#reply').textContent)")
    finally:
        server.terminate()
        server.wait(30)
    states = {each["state"] for each in api.get("/v1/approvals").json()["approvals"]}
    assert states == {"Granted", "Rejected"}


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/index.html", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
