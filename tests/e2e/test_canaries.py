"""Secrets stay where they are: canaries in every place for a secret, all kinds of work, and then a search everywhere."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.api.test_failures import hostile
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files, write_files

pytestmark = [pytest.mark.requirement("SEC-4"), pytest.mark.slow]


LATE = """[{ name = "late", sla = { respond_within = "1s", escalation = [{ notify = "ops" }] } }]"""
"""A promise that is broken, so that a signed notice goes out."""


def canary(name: str) -> str:
    return f"canary-{name}-5up3r-s3cr3t/+{name[::-1]}"


class Provider(ThreadingHTTPServer):
    """A model provider, a webhook and a collector in one, all of which quote in errors what they were sent."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.seen.append(f"{self.path} {dict(self.headers.items())}")
                said = {
                    "error": {"message": f"bad key {self.headers.get('authorization')} {self.headers.get('x-team')}"}
                }
                body = json.dumps(said).encode()
                self.send_response(401 if "chat" in self.path or "responses" in self.path else 500)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()


def forms(secret: str) -> dict[str, bytes]:
    """As what a secret may appear."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "hex": raw.hex().encode(),
        "url": urllib.parse.quote(secret, safe="").encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "utf-16": secret.encode("utf-16-le"),
    }
    for offset in range(
        3
    ):  # in Base64 it looks different at each place modulo three; its ends depend on what is around
        found[f"base64+{offset}"] = base64.b64encode(b"\0" * offset + raw)[4 if offset else 0 : -4]
        found[f"base64url+{offset}"] = base64.urlsafe_b64encode(b"\0" * offset + raw)[4 if offset else 0 : -4]
    return found


def command_lines(pid: int) -> bytes:
    """The arguments of a process and of all below it."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return b"\n".join(Path(f"/proc/{process.pid}/cmdline").read_bytes() for process in processes)


def test_no_secret_is_in_anything_that_any_process_writes(tmp_path: Path) -> None:
    provider = Provider()
    key = subprocess.run(
        [sys.executable, "-m", "caxton", "encryption", "generate"], capture_output=True, text=True, check=True
    ).stdout.strip()
    key_file = tmp_path / "secrets" / "gateway"
    key_file.parent.mkdir()
    hook = "whsec_" + base64.b64encode(canary("hook").encode()).decode()
    secrets = {
        "model key": canary("model"),
        "model key in a file": canary("file"),
        "header": canary("header"),
        "webhook": hook.removeprefix("whsec_"),
        "sink": base64.b64encode(canary("sink").encode()).decode(),
        "tool": canary("tool"),
        "embedder": canary("embedder"),
        "engine key": key.removeprefix("cxe_"),
        "database": canary("database"),
    }
    key_file.write_text(secrets["model key in a file"] + "\n")
    environment = {
        "MODEL_KEY": secrets["model key"],
        "TEAM_TOKEN": secrets["header"],
        "OPS_SECRET": hook,
        "SINK_SECRET": "whsec_" + secrets["sink"],
        "TOOL_TOKEN": secrets["tool"],
        "EMBEDDER_KEY": secrets["embedder"],
        "ENGINE_KEY": key,
        "DB_PASSWORD": secrets["database"],
        "OPENAI_API_KEY": secrets["model key"],
        "CAXTON_LOG__LEVEL": "debug",
        "CAXTON_TELEMETRY__OTLP_ENDPOINT": provider.url,
        "CAXTON_ENGINE__ENCRYPTION__KEYS": '["env:ENGINE_KEY"]',
        "CAXTON_MODELS__PROVIDERS": json.dumps(
            {
                "gateway": {"base_url": f"{provider.url}/v1", "api_key": f"file:{key_file}"},
                "other": {
                    "base_url": f"{provider.url}/v1",
                    "api_key_env": "MODEL_KEY",
                    "headers": {"X-Team": "TEAM_TOKEN"},
                },
            }
        ),
        "CAXTON_CHANNELS": json.dumps({"ops": {"url": f"{provider.url}/hook", "secret": "env:OPS_SECRET"}}),
        "CAXTON_AUDIT__SINKS": json.dumps(
            {
                "hook": {"kind": "webhook", "url": f"{provider.url}/sink", "secret": "env:SINK_SECRET"},
                "disk": {"kind": "file"},
            }
        ),
    }
    data = tmp_path / "data"
    out: list[bytes] = []
    with serving(provider):
        process, server = start_server(data, env=environment)
        try:
            secrets["admin key"] = server.api_key
            out += work(server, tmp_path, provider, secrets)
            out.append(command_lines(server.pid))
            for pid in [child.pid for child in psutil.Process(server.pid).children(recursive=True)]:
                if "opener" in " ".join(psutil.Process(pid).cmdline()):
                    os.kill(pid, 6)  # a helper that dies in the middle leaves no trace of them either
            time.sleep(1)
        finally:
            stop_server(process)
        # A start that fails for a secret says which, and not what.
        nowhere, quoted = "127.0.0.1:1/x", urllib.parse.quote(secrets["database"], safe="")
        for wrong in (
            {"CAXTON_STORE__URL": f"postgresql+psycopg://caxton:{quoted}@{nowhere}"},
            {
                "CAXTON_STORE__URL": f"postgresql+psycopg://caxton@{nowhere}",
                "CAXTON_STORE__PASSWORD": "env:DB_PASSWORD",
            },
            {"ENGINE_KEY": secrets["model key"]},
            {"OPS_SECRET": secrets["model key"]},
        ):
            with pytest.raises(RuntimeError) as failed:
                start_server(tmp_path / "other", env={**environment, **wrong})
            out.append(str(failed.value).encode())
        for command in ("config show", "config show --json", "version", "health --json"):
            for flag in ([], ["--debug"]):
                own = {"CAXTON_DATA_DIR": str(data), "CAXTON_API_KEY": secrets["admin key"]}
                line = [sys.executable, "-m", "caxton", *command.split(), *flag]
                shown = subprocess.run(
                    line, capture_output=True, env={**os.environ, **environment, **own}, cwd=tmp_path, check=False
                )
                out += [shown.stdout, shown.stderr]
    assert any("/chat/completions" in seen for seen in provider.seen), "the model was called"
    assert any(secrets["header"] in seen for seen in provider.seen), "with its secrets"
    assert any(seen.startswith("/hook") for seen in provider.seen), "a notice was signed"
    assert any(seen.startswith("/sink") for seen in provider.seen), "and events for the sink"
    found = search([data, tmp_path / "other"], out, secrets)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("offset", range(3))
def test_the_search_finds_a_secret_in_each_of_its_forms(tmp_path: Path, offset: int) -> None:
    secret = canary("search")
    wrapped = b"x" * offset + secret.encode() + b"y" * 4
    hidden = {
        "plain": wrapped,
        "hex": wrapped.hex().encode(),
        "url": urllib.parse.quote(secret, safe="").encode(),
        "json": json.dumps({"a": secret}).encode(),
        "base64": base64.b64encode(wrapped),
        "base64url": base64.urlsafe_b64encode(wrapped),
        "utf-16": secret.encode("utf-16-le"),
    }
    for name, content in hidden.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(b"\0\1 before " + content + b" after")
        assert search([folder], [], {"it": secret}), f"{name} at {offset}"
        assert search([], [content], {"it": secret}), f"{name} at {offset}"
    assert not search([tmp_path], [], {"another": canary("another")})


def work(server: RunningServer, tmp_path: Path, provider: Provider, secrets: dict[str, str]) -> list[bytes]:
    """All kinds of work that touch a secret, failures before all; returns everything that was answered."""
    out: list[bytes] = []
    with server.client() as api:
        files: dict[str, str | bytes] = {
            **hostile(),
            **agent("quick", rules=replies("you said {{ request }}")),
            **agent("late", capabilities=LATE, rules=replies("done", delay=3)),
        }
        for name, model in (("file", "gateway:m"), ("header", "other:m")):
            head = f'name = "{name}"\nversion = "1.0.0"\ncapabilities = ["{name}"]\nmodel = "{model}"\n'
            files[f"agents/{name}.toml"] = head + 'system_prompt = "x"\n'
        deploy_files(api, tmp_path / "w", files)

        def keep(answer: httpx.Response) -> httpx.Response:
            out.append(answer.content)
            return answer

        for capability in ("quick", "file", "header", "late"):
            keep(api.post("/v1/messages", json={"capability": capability, "content": "x"}, timeout=60))
        conversation = api.post("/v1/conversations", json={"capability": "header"}).json()["id"]
        keep(api.post(f"/v1/conversations/{conversation}/messages", json={"content": "x"}, timeout=60))
        for function in ("ok", "env", "trap"):
            keep(api.post("/v1/tools/hostile/call", json={"function": function}, timeout=60))
        made = keep(api.post("/v1/keys", json={"name": "k", "role": "viewer"})).json()
        out.pop()  # shown this once
        secrets["new key"] = made["key"]
        with server.client(key=made["key"]) as viewer:
            keep(viewer.post("/v1/messages", json={"capability": "quick", "content": "x"}))
        with server.client(key=made["key"][:-1] + ("A" if made["key"][-1] != "A" else "B")) as stranger:
            keep(stranger.get("/v1/agents"))
        token = "eyJhbGciOiJSUzI1NiJ9." + base64.urlsafe_b64encode(canary("token").encode()).decode() + ".c2lnbmF0dXJl"
        secrets["token of an identity provider"] = token.split(".")[1]
        with server.client(key=token) as stranger:
            keep(stranger.get("/v1/agents"))
        keep(api.delete(f"/v1/keys/{made['id']}"))
        secret = "sk-proj-" + "A1b2" * 10
        secrets["literal in a file"] = secret
        broken = write_files(tmp_path / "broken", agent("bad", rules=replies(f"use {secret}")))
        shown = subprocess.run(
            [sys.executable, "-m", "caxton", "deploy"], capture_output=True, cwd=broken, check=False,
            env={**os.environ, "CAXTON_URL": server.url, "CAXTON_API_KEY": server.api_key},
        )  # fmt: skip
        assert shown.returncode != 0
        out += [shown.stdout, shown.stderr]
        for path in (
            "/metrics",
            "/v1/server",
            "/ready",
            "/v1/events?limit=1000",
            "/v1/events/export?everything=true",
            "/v1/agents",
            "/v1/tools",
        ):
            keep(api.get(path))
    with httpx.Client(trust_env=False) as plain:
        out.append(plain.get(f"{server.url}/health").content)
    return out


def search(folders: list[Path], out: list[bytes], secrets: dict[str, str]) -> list[str]:
    """Where a secret appears in any form. The admin key has one place, and that is its file."""
    places: dict[str, bytes] = {f"output {number}": content for number, content in enumerate(out)}
    for folder in folders:
        places |= {
            str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "admin.key"
        }
    joined = re.compile(b"|".join(re.escape(form) for secret in secrets.values() for form in forms(secret).values()))
    found: list[str] = []
    for place, content in places.items():
        if joined.search(content):
            found += [
                f"{place}: {name} as {form}"
                for name, secret in secrets.items()
                for form, text in forms(secret).items()
                if text in content
            ]
    return found
