"""`make audit`: the security audit, in front of your eyes. A hostile tool, a restricted agent, another customer and a flood
attack a fresh server; each attack has to be contained and to stand in the event log.

It is scenario 3 of the requirements. The report says for each attack what was tried, what came of it, and which events tell it;
the exit code is 0 if all were contained and told. `SECURITY.md` lists the tests that go further.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.agents import agent, replies  # noqa: E402 - of this checkout
from tests.support.hostile_tool import call_tool, hostile_tool  # noqa: E402

GREEDY: dict[str, Any] = {
    "permissions": {"network": ["http://127.0.0.1:7233", "http://169.254.169.254"], "environment": ["OPENAI_API_KEY"]},
    "limits": {"memory": "8MB", "fuel": 100_000_000, "wall_time": "2s"},
}
PATIENCE = float(os.environ.get("AUDIT_PATIENCE", "1"))
"""How many times as long as on an idle machine somebody else may wait while hogs are at work."""

RULES = "[[rules]]\n[[rules.steps]]\ntool = 'hostile.ok'\n[[rules.steps]]\nreply = 'it was allowed'\n"


@dataclass
class Report:
    """What was tried, and what came of it."""

    lines: list[tuple[bool, str, str]] = field(default_factory=list[tuple[bool, str, str]])

    def check(self, attack: str, contained: bool, outcome: str) -> None:
        """Notes the outcome of an attack."""
        self.lines.append((contained, attack, outcome))
        print(f"  {'contained' if contained else 'NOT CONTAINED':14} {attack}\n{'':17}{outcome}", flush=True)

    @property
    def failed(self) -> int:
        """How many attacks were not contained."""
        return sum(not contained for contained, _, _ in self.lines)


def main() -> int:
    """Runs the audit; the exit code tells whether everything was contained and told."""
    with tempfile.TemporaryDirectory(prefix="caxton-audit-") as temporary:
        folder = Path(temporary)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")}
        environment |= {"OPENAI_API_KEY": "the-key-that-no-tool-may-see", "CAXTON_ENGINE__UI_PORT": "0"}
        command = [sys.executable, "-m", "caxton", "serve", "--data-dir", str(folder / "data"), "--port", "0"]
        log = (folder / "server.log").open("wb")  # the report is to be read, and the log has a warning for each attack
        server = subprocess.Popen([*command, "--metrics-port", "0"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            url = wait_until_ready(server, folder / "data")
            key = (folder / "data" / "admin.key").read_text().strip()
            with client(url, key) as admin:
                return audit(admin, url, folder)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
            log.close()


def audit(admin: httpx.Client, url: str, folder: Path) -> int:
    """All attacks, one after the other."""
    report = Report()
    print("\n1. A malicious tool asks for the model's key, the workflow engine and a cloud's metadata", flush=True)
    send(admin, hostile_tool(**GREEDY)).raise_for_status()
    print("  (it is deployed, and runs with what is granted, which is nothing)")
    for function, arguments in (
        ("environment", {"name": "OPENAI_API_KEY"}),
        ("fetch", {"url": "http://127.0.0.1:7233/"}),
        ("fetch", {"url": "http://169.254.169.254/latest/meta-data/"}),
    ):
        answer = call_tool(admin, function, **arguments)
        text = answer.text
        contained = "the-key-that-no-tool-may-see" not in text and (
            answer.status_code == 403 or answer.json().get("is_error", False)
        )
        report.check(f"the tool calls {function} {arguments}", contained, told(answer))
    grant = admin.post("/v1/tool-grants", json={"tool": "hostile", "environment": ["OPENAI_API_KEY"]})
    report.check("an operator is talked into granting it the key", grant.status_code == 403, told(grant))
    port = httpx.URL(url).port
    grant = admin.post("/v1/tool-grants", json={"tool": "hostile", "network": [f"http://127.1:{port}"]})
    report.check("… and Caxton's own port, by another spelling", grant.status_code == 403, told(grant))

    print("\n2. An agent with restricted permissions", flush=True)
    answer = send(admin, agent("clerk", rules=RULES, more='tools = ["hostile.trap"]\n'))
    report.check("its script calls a function that its `tools` does not name", answer.status_code == 422, told(answer))
    send(admin, agent("clerk", rules=replies("hello"))).raise_for_status()

    print("\n3. Other customers, workspaces and pages", flush=True)
    stored = admin.post("/v1/memory", json={"text": "the combination is 12-34-56"})
    stored.raise_for_status()
    other = admin.post("/v1/keys", json={"name": "other", "role": "admin", "customer": "mallory"}).json()["key"]
    viewer = admin.post("/v1/keys", json={"name": "viewer", "role": "viewer"}).json()["key"]
    with client(url, other) as mallory, client(url, viewer) as reader, client(url, "cx_guess") as nobody:
        found = mallory.post("/v1/memory/search", json={"text": "combination"})
        hidden = found.status_code == 200 and "12-34-56" not in found.text
        report.check("another customer's administrator searches memories", hidden, matches_of(found))
        gone = mallory.get(f"/v1/memory/{stored.json()['id']}")
        report.check("… and asks for one by its id", gone.status_code == 404, told(gone))
        server_page = mallory.get("/v1/server")
        outcome = f"{told(server_page)}, and no more than: {', '.join(sorted(server_page.json()))}"
        report.check("… and for the server's own facts", str(folder) not in server_page.text, outcome)
        limited = admin.post("/v1/keys", json={"name": "shop", "role": "operator", "workspaces": ["shop"]}).json()[
            "key"
        ]
        with client(url, limited) as shop:
            found = shop.post("/v1/memory/search", json={"text": "combination"})
            hidden = found.status_code == 200 and "12-34-56" not in found.text
            report.check("a key of another workspace searches memories", hidden, matches_of(found))
            inside = shop.get("/v1/memory", headers={"X-Caxton-Workspace": "default"})
            report.check("… and names the workspace that they are in", inside.status_code == 403, told(inside))
        waiting(admin, url, report)
        stop = reader.post("/v1/agents/clerk/stop", json={"grace": 0})
        report.check("a viewer stops an agent", stop.status_code == 403, told(stop))
        guess = nobody.get("/v1/agents")
        report.check("somebody guesses a key", guess.status_code == 401, told(guess))
        page = admin.post(
            "/v1/messages",
            json={"capability": "x", "content": "x"},
            headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        )
        report.check("a page of another site sends a message", page.status_code == 403, told(page))
    cloned_project(report, folder)

    print("\n4. Exhaustion: memory, CPU and requests", flush=True)
    for function in ("allocate", "spin"):
        answer = call_tool(admin, function)
        report.check(
            f"the tool calls {function}",
            answer.status_code != 200 or answer.json().get("is_error", False),
            told(answer),
        )
    with ThreadPoolExecutor(4) as pool:
        hogs = [pool.submit(call_tool, admin, "spin") for _ in range(8)]
        began = time.monotonic()
        health = admin.get("/health")
        took = time.monotonic() - began
        for hog in hogs:
            hog.result()
    report.check(
        "eight hogs at once",
        health.status_code == 200 and took < PATIENCE,
        f"/health answered after {1000 * took:.0f} ms meanwhile",
    )
    with client(url, other) as mallory, ThreadPoolExecutor(20) as pool:
        hogs = [pool.submit(mallory.get, "/v1/events/verify") for _ in range(20)]
        began = time.monotonic()
        mine = admin.get("/v1/events/verify")
        took = time.monotonic() - began
        for hog in hogs:
            hog.result()
    report.check(
        "another customer has its log verified twenty times at once",
        mine.status_code == 200 and took < 2 * PATIENCE,
        f"one's own was verified after {1000 * took:.0f} ms meanwhile",
    )
    large = admin.post("/v1/messages", content=b"x" * (20 << 20), headers={"Content-Type": "application/json"})
    report.check("a body of 20 MB", large.status_code in (400, 413, 422), told(large))

    print("\n5. The event log", flush=True)
    wait_for(lambda: "requests_refused" in types_of(admin))
    types = types_of(admin)
    for wanted in (
        "tool_rights_refused",
        "tool_grant_refused",
        "resource_limit_exceeded",
        "change_refused",
        "requests_refused",
    ):
        report.check(f"somebody looks for {wanted}", wanted in types, f"{types.get(wanted, 0)} in the log")
    verified = admin.get("/v1/events/verify").json()
    report.check("somebody doubts the log", bool(verified.get("ok")), f"verified: {json.dumps(verified)[:120]}")

    print(f"\n{len(report.lines) - report.failed} of {len(report.lines)} contained and told.")
    return 1 if report.failed else 0


def waiting(admin: httpx.Client, url: str, report: Report) -> None:
    """Somebody waits for a reply, and their key is revoked meanwhile."""
    send(admin, agent("slow", rules=replies("the reply", delay=2))).raise_for_status()
    made = admin.post("/v1/keys", json={"name": "leaving", "role": "developer"}).json()
    with client(url, made["key"]) as leaving, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(leaving.post, "/v1/messages", json={"agent": "slow", "content": "x"})
        time.sleep(0.7)
        admin.delete(f"/v1/keys/{made['id']}").raise_for_status()
        reply = asked.result()
    refused = reply.status_code == 401 and "the reply" not in reply.text
    report.check("somebody waits for a reply while their key is revoked", refused, told(reply))


def cloned_project(report: Report, folder: Path) -> None:
    """An administrator types a command in a cloned project, whose caxton.toml names a server that keeps what it is sent."""
    sent: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.headers.get("Authorization", ""))
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    project = folder / "project"
    project.mkdir()
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        (project / "caxton.toml").write_text(
            f'data_dir = "{folder / "data"}"\n[workspace]\nname = "x"\nserver = "http://127.0.0.1:{collector.server_port}"\n'
        )
        thread = Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        command = [sys.executable, "-m", "caxton", "agent", "list"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")}
        environment["PYTHONPATH"] = str(ROOT)
        subprocess.run(command, cwd=project, env=environment, capture_output=True, timeout=60, check=False)
        collector.shutdown()
    report.check(
        "a cloned project asks for the administrator's key",
        bool(sent) and not any(sent),
        f"its server was sent {len(sent)} request without a key" if not any(sent) else "its server has the key",
    )


def send(admin: httpx.Client, files: dict[str, str | bytes]) -> httpx.Response:
    """Deploys `files` as they are, without the checks that `caxton deploy` makes before."""
    bundles: dict[tuple[str, str], dict[str, str]] = {}
    for path, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        digest = hashlib.sha256(data).hexdigest()
        headers = {"Content-Type": "application/octet-stream"}
        admin.put(f"/v1/blobs/{digest}", content=data, headers=headers).raise_for_status()
        folder, _, rest = path.partition("/")
        name = rest.partition("/")[0] if folder == "tools" else rest.partition(".")[0]
        inside = rest.partition("/")[2] if folder == "tools" else rest
        bundles.setdefault((folder.removesuffix("s"), name), {})[inside] = digest
    body = [{"kind": kind, "name": name, "files": found} for (kind, name), found in bundles.items()]
    return admin.post("/v1/deployments", json={"bundles": body})


def types_of(admin: httpx.Client) -> dict[str, int]:
    """How many events of each type the log has."""
    found: dict[str, int] = {}
    for event in admin.get("/v1/events", params={"limit": 500}).json()["events"]:
        found[event["event_type"]] = found.get(event["event_type"], 0) + 1
    return found


def matches_of(answer: httpx.Response) -> str:
    """What a search of memories found, in a line."""
    return f"{told(answer)}, and {len(answer.json().get('matches', []))} memories"


def told(answer: httpx.Response) -> str:
    """What the server says, in a line."""
    try:
        body: dict[str, Any] | list[Any] = answer.json()
    except ValueError:
        return f"{answer.status_code}"
    if isinstance(body, list):
        return f"{answer.status_code}"
    if "detail" in body:
        return f"{answer.status_code} {body.get('code')}: {body['detail'][:110]}"
    parts: list[dict[str, str]] = body.get("content", [])
    text = " ".join(part.get("text", "") for part in parts)
    return f"{answer.status_code} {text[:110]}".rstrip()


def client(url: str, key: str) -> httpx.Client:
    """A client with a key."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False)


def wait_until_ready(server: subprocess.Popen[bytes], data: Path) -> str:
    """The address of the server, when it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            url = str(json.loads((data / "server.json").read_text())["url"])
            if httpx.get(f"{url}/ready", timeout=2, trust_env=False).status_code == 200:
                return url
        except (OSError, ValueError, httpx.HTTPError):
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits for what the log tells a moment later: refusals are counted and told together."""
    deadline = time.monotonic() + 90
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
