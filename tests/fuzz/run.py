"""Runs Schemathesis as a program: with a key or without, so long as one wants."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.tools import bundled_tool

STATEFUL = "stateful"
PHASES = ("examples", "coverage", "fuzzing", STATEFUL)

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
KEYS_TRIED = "ignored_auth"
"""Asks each operation that was answered with no key and with a wrong one: one address may send some 200 before it has to wait."""

LOOPBACK = '["127.0.0.1/32"]'
"""The proxies of a server that believes each run of these to have an address of its own."""

ENDLESS = ("/v1/events/tail",)
"""Streams that never end by themselves: other tests read them."""

NOBODY = "nobody"
ROLES = ("viewer", "developer", "operator", "approver", "admin", NOBODY)


def prepare(api: httpx.Client, folder: Path) -> dict[str, dict[str, list[str]]]:
    """Makes something of each kind in the client's workspace. Returns what there is, as :mod:`tests.fuzz.hooks` wants it."""
    files = {
        **agent("echo", rules=replies("you said: {{ request }}")),
        **agent("asks", rules=hands_over("echo"), more='delegates = ["echo"]\n'),
        **bundled_tool("csv-tools"),
    }
    deployment = deploy_files(api, folder, files)
    turn = api.post("/v1/messages", json={"capability": "asks", "content": "x"}).raise_for_status().json()
    conversation = api.post("/v1/conversations", json={"capability": "echo"}).raise_for_status().json()
    memory = [api.post("/v1/memory", json={"text": text}).raise_for_status().json()["id"] for text in ("one", "two")]
    related = {"source": memory[0], "type": "next to", "target": memory[1]}
    relation = api.post("/v1/memory/relations", json=related).raise_for_status().json()
    events = api.get("/v1/events", params={"limit": 5}).json()["events"]
    tool = api.get("/v1/tools/csv-tools").json()
    content = next(iter(tool["files"].values())) if "files" in tool else "0" * 64
    return {
        "": {
            "execution_id": [turn["execution_id"]],
            "conversation_id": [conversation["id"], turn["conversation_id"]],
            "deployment_id": [deployment["id"]],
            "memory_id": memory,
            "relation_id": [relation["id"]],
            "event_id": [event["event_id"] for event in events],
            "digest": [content],
            "capability": ["echo", "asks"],
            "agent": ["echo", "asks"],
            "source": memory,
            "target": memory,
        },
        "/v1/agents": {"name": ["echo", "asks"]},
        "/v1/tools": {"name": ["csv-tools"], "function": ["read_csv", "summarize"]},
        "/v1/views": {"view": list(api.get("/v1/views").json()["views"])},
    }


def fuzz(
    url: str,
    description: Path,
    *,
    key: str | None,
    workspace: str = "default",
    known: dict[str, Any] | None = None,
    phases: Sequence[str] = PHASES,
    examples: int = 10,
    seed: int = 1,
    seconds: int | None = None,
    mode: str = "all",
    tries_keys: bool = False,
    address: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs Schemathesis on the server at `url`; its exit code is 0 when all is as the description says.

    With `seconds`, fuzzing takes all of the time that it is given and leaves none for what follows: give each its own. With
    `tries_keys`, operations are asked with wrong keys as well. With `address`, they come from there, as a proxy that the server
    trusts says.
    """
    checks = (*CHECKS, KEYS_TRIED) if tries_keys else CHECKS
    command = [str(Path(sys.executable).with_name("st")), "--no-color", "run", str(description), "--url", url]
    command += ["--phases", ",".join(phases), "--checks", ",".join(checks), "--max-examples", str(examples)]
    command += [
        "--mode",
        mode,
        "--seed",
        str(seed),
        "--header",
        f"X-Caxton-Workspace: {workspace}",
        "--continue-on-failure",
    ]
    command += [
        "--generation-database",
        "none",
        "--request-timeout",
        "60",
        "--warnings",
        "off",
        "--suppress-health-check",
        "all",
    ]
    command += [part for path in ENDLESS for part in ("--exclude-path", path)]
    command += ["--header", f"Authorization: Bearer {key}"] if key else []
    command += ["--header", f"X-Forwarded-For: {address}"] if address else []
    command += ["--max-time", str(seconds)] if seconds else []
    here = Path(__file__).resolve()
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "CAXTON_FUZZ_KNOWN": json.dumps(known or {}),
        "PYTHONPATH": str(here.parents[2]),
    }
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=description.parent, check=False)


def links_followed(done: subprocess.CompletedProcess[str]) -> int:
    """How many links, from an answer to a request that uses something of it, the stateful phase has followed."""
    found = re.search(r"API Links:\s+(\d+) covered", done.stdout)
    return int(found[1]) if found else 0


def customer(admin: httpx.Client) -> str:
    """The key of an administrator of a new customer: what is done there (budgets, say) is nobody else's trouble."""
    body = {"name": "fuzz", "role": "admin", "customer": f"fuzz-{uuid.uuid4().hex[:12]}"}
    return str(admin.post("/v1/keys", json=body).raise_for_status().json()["key"])


def key_of(api: httpx.Client, role: str) -> str | None:
    """A new key of `role`; none for nobody."""
    if role == NOBODY:
        return None
    made = api.post("/v1/keys", json={"name": f"fuzz-{role}", "role": role})
    return str(made.raise_for_status().json()["key"])
