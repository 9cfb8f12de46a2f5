"""Agents use MCP servers as their makers publish them: from npm and PyPI, unmodified."""

import json
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.domain.mcp_servers import command_line
from tests.conftest import start_server, stop_server
from tests.support.agents import agent
from tests.support.deploying import deploy_folder, write_files
from tests.support.mcp_tools import mcp_tool
from tests.support.node import program
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("public-mcp-servers"),
    pytest.mark.requirement("TOL-11"),
]

PYPI = ("mcp-server-time==2026.10.19", "mcp-server-fetch==2026.10.24")


@cache
def from_pypi() -> Path:
    """The folder with programs of PyPI, in an environment of their own; skips the test where they cannot be had."""
    folder = Path(tempfile.gettempdir()) / "-".join(["caxton-pypi", *(each.replace("==", "-") for each in PYPI)])
    if not (folder / ".installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        done = subprocess.run(
            [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *PYPI],
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode != 0:
            pytest.skip(f"no programs from PyPI: {done.stderr[-300:]}")
        (folder / ".installed").touch()
    return folder / "bin"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The servers, and how they are started."""
    files = tmp_path_factory.mktemp("files")
    (files / "note.txt").write_text("buy leeks\n")
    return {
        "everything": program("mcp-server-everything"),
        "filesystem": [*program("mcp-server-filesystem"), str(files)],
        "memory": program("mcp-server-memory"),
        "time": [str(from_pypi() / "mcp-server-time"), "--local-timezone", "Europe/Berlin"],
        "fetch": [str(from_pypi() / "mcp-server-fetch"), "--ignore-robots-txt"],
    }


@pytest.fixture(scope="module")
def api(commands: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that may start them, with an agent for each."""
    root = tmp_path_factory.mktemp("public")
    allowed = json.dumps([command_line(words) for words in commands.values()])
    write_files(root / "data", {"caxton.toml": f"[tools]\nallowed_commands = {allowed}\n"})
    process, server = start_server(root / "data", env={"MEMORY_FILE_PATH": str(root / "memory.json")})
    try:
        with server.client() as client:
            yield client
    finally:
        stop_server(process)


def use(api: httpx.Client, path: Path, name: str, words: list[str], function: str, arguments: str, **send: Any) -> Any:
    """Has an agent call a function, and returns what the request is answered with."""
    granted = api.post("/v1/tool-grants", json={"tool": name, "commands": [command_line(words)]})
    assert granted.status_code == 201, granted.text
    rules = f"[[rules]]\n[[rules.steps]]\ntool = '{name}.{function}'\narguments = {{ {arguments} }}\n"
    rules += "on_error = 'failed: {{ results[0].text }}'\n[[rules.steps]]\nreply = '{{ results[0].text }}'\n"
    files = {
        **agent(f"with-{name}", rules=rules, more=f'tools = ["{name}"]\n'),
        **mcp_tool(name, command=words[0], args=words[1:]),
    }
    told = deploy_folder(api, write_files(path / "workspace", files)).json()
    assert told.get("state") == "Running", told
    answer = api.post("/v1/messages", json={"capability": f"with-{name}", "content": "go"}, **send)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def text(answer: dict[str, Any]) -> str:
    return str(answer["reply"]["content"]["text"])


def test_the_clock_of_pypi(api: httpx.Client, commands: dict[str, list[str]], tmp_path: Path) -> None:
    arguments = "source_timezone = 'UTC', time = '12:00', target_timezone = 'Asia/Tokyo'"
    assert "T21:00:00" in text(use(api, tmp_path, "time", commands["time"], "convert_time", arguments))


def test_the_fetcher_of_pypi_says_what_went_wrong(
    api: httpx.Client, commands: dict[str, list[str]], tmp_path: Path
) -> None:
    told = text(use(api, tmp_path, "fetch", commands["fetch"], "fetch", "url = 'http://127.0.0.1:9/nothing'"))
    assert told.startswith("failed: ")
    assert "127.0.0.1:9" in told


def test_files_of_npms_server(api: httpx.Client, commands: dict[str, list[str]], tmp_path: Path) -> None:
    folder, words = commands["filesystem"][-1], commands["filesystem"]
    answer = use(api, tmp_path, "filesystem", words, "read_text_file", f"path = '{folder}/note.txt'")
    assert "buy leeks" in text(answer)
    shown = api.get("/v1/tools/filesystem").json()
    hints = {each["name"]: each.get("annotations") or {} for each in shown["functions"]}
    assert hints["read_text_file"]["readOnlyHint"] is True
    assert hints["write_file"]["readOnlyHint"] is False
    refused = api.post(
        "/v1/tools/filesystem/call", json={"function": "read_text_file", "arguments": {"path": "/etc/passwd"}}
    ).json()
    assert refused["is_error"], refused


def test_the_memory_of_npms_server(api: httpx.Client, commands: dict[str, list[str]], tmp_path: Path) -> None:
    name = f"Ada {uuid.uuid4().hex}"  # the server keeps what it is told beside its program, for all runs
    entity = f"entities = [{{ name = '{name}', entityType = 'person', observations = ['likes engines'] }}]"
    assert name in text(use(api, tmp_path, "graph", commands["memory"], "create_entities", entity))
    read = api.post("/v1/tools/graph/call", json={"function": "read_graph", "arguments": {}}).json()
    assert "likes engines" in json.dumps(read["content"])


def test_a_question_of_npms_everything_is_an_approval(
    api: httpx.Client, commands: dict[str, list[str]], tmp_path: Path
) -> None:
    words = commands["everything"]
    begun = use(api, tmp_path, "everything", words, "trigger-elicitation-request", "", params={"wait": 0})
    [approval] = until(lambda: api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"], 90)
    assert (approval["action_type"], approval["name"]) == ("question", "everything.trigger-elicitation-request")
    question = json.loads(approval["content"])
    form = question["form"]["properties"]
    assert len(form) > 3
    answer = {name: field["default"] for name, field in form.items() if "default" in field}
    answer |= {name: _value(form[name]) for name in question["form"].get("required", []) if name not in answer}
    granted = api.post(f"/v1/approvals/{approval['id']}/grant", json={"arguments": answer})
    assert granted.status_code == 200, granted.text

    def ended() -> Any:
        found = api.get(f"/v1/executions/{begun['execution_id']}").json()
        return found if found["state"] != "running" else None

    told = text(until(ended, 90))
    assert not told.startswith("failed"), told
    assert "provided" in told or "accept" in told, told


def _value(field: dict[str, Any]) -> Any:
    if "enum" in field:
        return field["enum"][0]
    if "oneOf" in field:
        return field["oneOf"][0]["const"]
    return {"string": "Ada", "integer": 36, "number": 36, "boolean": True}[field["type"]]
