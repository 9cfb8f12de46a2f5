"""A real browser in which somebody has logged in to /docs, and then comes by a page of an attacker."""

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.browser import Page, browser_page
from tests.support.deploying import deploy_files

pytestmark = [pytest.mark.requirement("SEC-9"), pytest.mark.xdist_group("browser")]

ATTACK = """<!doctype html><title>attack</title><body><script>
const server = SERVER, done = [];
const types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
function form(path, type, body) {           // needs no leave of the server, and takes its cookies and logins along
  const frame = document.createElement("iframe"); frame.name = "f" + Math.random(); document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, {action: server + path, method: "post", enctype: type, target: frame.name});
  const field = document.createElement("input");
  const at = body.indexOf("=");
  Object.assign(field, {name: body.slice(0, at), value: body.slice(at + 1)});
  form.append(field); document.body.append(form);
  done.push(new Promise(resolve => frame.addEventListener("load", resolve)));
  form.submit();
}
function call(method, path, body, headers, mode) {
  done.push(fetch(server + path, {method, body, headers, mode, credentials: "include"})
    .then(answer => answer.type === "opaque" ? "opaque" : answer.text()).catch(error => "blocked"));
}
const message = JSON.stringify({agent: AGENT, content: "from the attacker"});
for (const type of types) {
  form("/v1/agents/" + AGENT + "/stop", type, "a=b");
  form("/v1/messages/batch", type, message.slice(0, -1) + ', "id": "=1"}');
  form("/v1/memory/import", type, '{"content": "="}');
  form("/v1/deployments/" + DEPLOYMENT + "/rollback", type, "a=b");
}
for (const path of ["/v1/messages/batch", "/v1/messages"]) {
  call("POST", path, message, {"Content-Type": "text/plain"}, "no-cors");
  call("POST", path, new Blob([message]), {}, "no-cors");
  call("POST", path, message, {"Content-Type": "application/json"}, "cors");
  call("POST", path, message, {"Content-Type": "application/x-ndjson"}, "cors");
}
const asked = {jsonrpc: "2.0", id: 1, method: "tools/call", params: {name: AGENT, arguments: {message: "from the attacker"}}};
const said = {role: "user", parts: [{text: "from the attacker"}], messageId: "m1"};
const others = {
  "/mcp": asked,
  "/a2a/v1": {jsonrpc: "2.0", id: 1, method: "SendMessage", params: {message: said}},
  "/a2a/v1/message:send": {message: said},
  [`/v1/agui/${AGENT}`]: {threadId: "t1", runId: "r1", messages: [{id: "m", role: "user", content: "from the attacker"}]},
  "/openai/v1/chat/completions": {model: "agent:" + AGENT, messages: [{role: "user", content: "from the attacker"}]},
  "/openai/v1/responses": {model: "agent:" + AGENT, input: "from the attacker"},
  "/v1/hooks/hook_0": {id: "x"},
  "/v1/files": {},
};
for (const [path, body] of Object.entries(others)) {
  const text = JSON.stringify(body);
  form(path, "text/plain", text.slice(0, -1) + ', "x": "=1"}');
  for (const mode of ["no-cors", "cors"]) {
    call("POST", path, text, {"Content-Type": "text/plain"}, mode);
    call("POST", path, new Blob([text]), {}, mode);
    call("GET", path, undefined, {}, mode);
  }
  call("POST", path, text, {"Content-Type": "application/json", "MCP-Protocol-Version": "2025-06-18"}, "cors");
  call("POST", path, text, {"Content-Type": "application/a2a+json"}, "cors");
  navigator.sendBeacon(server + path, new Blob([text], {type: "text/plain"}));
}
for (const path of ["/openapi.json", "/v1/messages", "/.well-known/agent-card.json"]) {   // as a script, to read what it holds
  done.push(new Promise(resolve => {
    const script = document.createElement("script");
    script.onload = () => resolve("ran"); script.onerror = () => resolve("blocked");
    script.src = server + path; document.body.append(script);
  }));
}
done.push(new Promise(resolve => {
  const socket = new WebSocket(server.replace("http", "ws") + "/mcp");
  socket.onopen = () => resolve("open"); socket.onerror = () => resolve("blocked");
}));
done.push(new Promise(resolve => {
  const stream = new EventSource(server + "/v1/events/stream", {withCredentials: true});
  stream.onmessage = () => resolve("heard"); stream.onerror = () => { stream.close(); resolve("blocked"); };
}));
call("DELETE", "/v1/keys/k_1", undefined, {}, "cors");
for (const path of ["/v1/server", "/openapi.json", "/docs", "/v1/events", "/metrics"])
  for (const mode of ["no-cors", "cors"]) call("GET", path, undefined, {}, mode);
Promise.all(done).then(answers => { window.answers = answers; });
</script>"""


@dataclass
class Attacker:
    """A web server that serves one page, by whatever name it is called."""

    port: int
    page: list[bytes]


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    page = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page[0])

        def log_message(self, format: str, *args: object) -> None:
            """Not wanted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Attacker(server.server_address[1], page)
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Victim:
    """A customer whose administrator uses a browser."""

    key: str
    client: httpx.Client
    agent: str
    deployment: str

    def state(self) -> dict[str, Any]:
        """What an attacker would have changed."""
        messages = self.client.get("/v1/messages").json()["messages"]
        memories = self.client.get("/v1/memory").json()["memories"]
        deployments = self.client.get("/v1/deployments").json()["deployments"]
        agent = self.client.get(f"/v1/agents/{self.agent}").json()
        return {
            "messages": len(messages),
            "memories": len(memories),
            "deployments": [each["id"] for each in deployments],
            "state": agent["state"],
        }


@pytest.fixture
def victim(caxton_server: RunningServer, tmp_path: Path) -> Iterator[Victim]:
    customer, name = f"c-{uuid.uuid4().hex[:8]}", f"victim-{uuid.uuid4().hex[:8]}"
    with caxton_server.client() as admin:
        body = {"name": "browser", "role": "admin", "customer": customer}
        key = admin.post("/v1/keys", json=body).raise_for_status().json()["key"]
    with caxton_server.client(key=key) as client:
        deployed = deploy_files(client, tmp_path / "workspace", agent(name, rules=replies("I am here")))
        yield Victim(key, client, name, deployed["id"])


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browser_page(tmp_path / "profile") as found:
        yield found


def _log_in(page: Page, url: str, key: str) -> None:
    parts = urlsplit(url)
    page.visit(
        f"http://me:{key}@{parts.netloc}/docs"
    )  # the page asks for what it needs without user and key in addresses
    page.wait_for("document.querySelectorAll('.opblock').length > 20")
    page.visit(f"{url}/docs")  # the browser remembers the login
    page.wait_for("document.querySelectorAll('.opblock').length > 20")


def _refused(server: RunningServer) -> float:
    """Requests that were refused as another site's."""
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("caxton_http_requests_total{") and 'status="403"' in line
    )


def test_pages_of_others_change_and_read_nothing(
    page: Page, caxton_server: RunningServer, victim: Victim, attacker: Attacker
) -> None:
    _log_in(page, caxton_server.url, victim.key)
    before, refused = victim.state(), _refused(caxton_server)
    attacker.page[0] = (
        ATTACK.replace("SERVER", json.dumps(caxton_server.url))
        .replace("AGENT", json.dumps(victim.agent))
        .replace("DEPLOYMENT", json.dumps(victim.deployment))
        .encode()
    )
    # Another site; the same site, as browsers reckon it: another port of the same address; a name of the attacker's.
    for host in ("localhost", "127.0.0.1", "evil.example"):
        page.visit(f"http://{host}:{attacker.port}/")
        answers = page.wait_for("window.answers")
        assert {answer for answer in answers if isinstance(answer, str)} <= {"opaque", "blocked"}, answers
    assert victim.state() == before
    assert _refused(caxton_server) - refused > 60  # they came, each time
    # The login is still good for what it is for.
    page.visit(f"{caxton_server.url}/docs")
    page.wait_for("document.querySelectorAll('.opblock').length > 20")


def test_a_name_that_points_here_shows_nothing(page: Page, caxton_server: RunningServer) -> None:
    """DNS rebinding: for the browser, the attacker's page and the server are one site then."""
    port = urlsplit(caxton_server.url).port
    ui = urlsplit(json.loads((caxton_server.data_dir / "server.json").read_text())["ui_url"]).port
    for place in (port, ui):
        page.visit(f"http://evil.example:{place}/health")
        page.wait_for("document.body.innerText.includes('wrong_host')")
        told = page.run("fetch('/v1/server').then(answer => answer.status).catch(() => 'blocked')")
        assert told in (421, "blocked")  # even the refusal lets no script ask again


def test_the_documentation_can_be_tried_out(page: Page, caxton_server: RunningServer, victim: Victim) -> None:
    """Under the page's policy, with a key that is entered there: the browser's login is not good for the API."""
    _log_in(page, caxton_server.url, victim.key)
    try_it = """(() => {
      const operation = [...document.querySelectorAll('.opblock')].find(
        each => each.querySelector('.opblock-summary-path').innerText.replace(/\\u200b/g, '') === '/v1/server');
      if (!operation.classList.contains('is-open')) operation.querySelector('.opblock-summary-control').click();
      return true; })()"""
    status = "(document.querySelector('.live-responses-table tbody .response-col_status') || {}).innerText"
    page.run(try_it)
    page.wait_for("document.querySelector('.try-out__btn')")
    page.run("document.querySelector('.try-out__btn').click()")
    page.wait_for("document.querySelector('.execute')")
    page.run("document.querySelector('.execute').click()")
    assert page.wait_for(status).startswith("401")
    page.run("document.querySelector('.btn.authorize').click()")
    page.wait_for("document.querySelector('.auth-container input')")
    page.run(
        f"""(() => {{
          const input = document.querySelector('.auth-container input');
          Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, {json.dumps(victim.key)});
          input.dispatchEvent(new Event('input', {{bubbles: true}}));
          document.querySelector('.auth-btn-wrapper .authorize').click(); return true; }})()"""
    )
    page.run("document.querySelector('.auth-btn-wrapper .btn-done').click()")
    page.run("document.querySelector('.execute').click()")
    page.wait_for(f"{status}.startsWith('200')")
    assert victim.client.get("/v1/server").json()["customer"] in page.run("document.body.innerText")
