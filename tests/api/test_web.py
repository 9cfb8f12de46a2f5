"""What pages in a browser, by whatever name and from whatever site, cannot do with the server."""

import base64
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from caxton.service.system import BETWEEN_CHECKS
from tests.conftest import RunningServer

pytestmark = pytest.mark.requirement("SEC-9")

FORM = "application/x-www-form-urlencoded"

UNSAFE = [
    ("POST", "/v1/agents/anybody/stop"),
    ("POST", "/v1/deployments/d_1/rollback"),
    ("POST", "/v1/memory/import"),
    ("POST", "/v1/messages/batch"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/keys"),
    ("PUT", "/v1/budgets"),
    ("DELETE", "/v1/keys/k_1"),
    ("POST", "/docs"),
]


@pytest.fixture
def bare(caxton_server: RunningServer) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=caxton_server.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def login(caxton_server: RunningServer) -> str:
    """What a browser sends everywhere after somebody has logged in to /docs."""
    return "Basic " + base64.b64encode(f"me:{caxton_server.api_key}".encode()).decode()


def _is_problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["hints"] or response.json()["detail"]


@pytest.mark.parametrize(("method", "path"), UNSAFE)
def test_a_browsers_login_changes_nothing(bare: httpx.Client, login: str, method: str, path: str) -> None:
    for content_type in ("text/plain", FORM, "multipart/form-data; boundary=x", "application/json"):
        headers = {"Authorization": login, "Content-Type": content_type}
        _is_problem(bare.request(method, path, content="{}", headers=headers), 401, "not_authenticated")


@pytest.mark.parametrize(
    "path", ["/v1/agents", "/v1/server", "/metrics", "/v1/events", "/docs/", "/docsx", "/openapi.jsonx"]
)
def test_a_browsers_login_reads_only_the_pages(bare: httpx.Client, login: str, path: str) -> None:
    refused = bare.get(path, headers={"Authorization": login})
    _is_problem(refused, 401, "not_authenticated")
    assert "basic" not in refused.headers["www-authenticate"].lower()  # no browser is to ask people for their key


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"])
def test_pages_take_a_browsers_login(bare: httpx.Client, login: str, path: str) -> None:
    asked = bare.get(path)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic")
    assert bare.get(path, headers={"Authorization": login}).status_code == 200


@pytest.mark.requirement("SEC-9")
def test_many_who_have_no_key_are_told_of_the_server_by_one_look(caxton_server: RunningServer) -> None:
    def asked(_: int) -> str:
        with httpx.Client(base_url=caxton_server.url, timeout=60, trust_env=False) as client:
            return client.get("/ready").json()["checked_at"]

    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        looks = set(pool.map(asked, range(120)))
    most = (time.monotonic() - began) / BETWEEN_CHECKS + 2
    assert len(looks) <= most, "each look asks the database, the engine and the disk"


@pytest.mark.parametrize("path", ["/health", "/ready", "/", "/.well-known/agent-card.json"])
def test_what_answers_without_a_key_answers_a_browser_that_has_a_login(
    bare: httpx.Client, login: str, path: str
) -> None:
    """A refusal would have it forget the login, so that any page could log people out by asking for such a path."""
    answers = [bare.get(path, headers={"Authorization": given}) for given in (login, "Basic bWU6d3Jvbmc=")]
    assert [each.status_code for each in answers] == [bare.get(path).status_code] * 2
    assert 401 not in [each.status_code for each in answers]
    assert all("free" not in each.text for each in answers), "details take a program's key"


@pytest.mark.parametrize(
    "wrong", ["Basic \xe9", "Basic ====", "Basic", "Basic Og==", "Basic " + "A" * 999, "Bearer", "Bearer \xff"]
)
@pytest.mark.parametrize("path", ["/docs", "/v1/agents"])
def test_credentials_that_are_none_are_refused(bare: httpx.Client, wrong: str, path: str) -> None:
    _is_problem(bare.get(path, headers={"Authorization": wrong.encode("latin-1")}), 401, "not_authenticated")


@pytest.mark.parametrize(
    "given", [None, "text/plain", FORM, "multipart/form-data; boundary=x", "application/xml", "json", ""]
)
@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", "/v1/messages", "application/json"),
        ("POST", "/v1/messages/batch", "application/x-ndjson"),
        ("POST", "/v1/memory/import", "application/x-ndjson"),
        ("PUT", f"/v1/blobs/{'0' * 64}", "application/octet-stream"),
        ("POST", "/v1/agents/anybody/stop", "application/json"),
        ("POST", "/v1/deployments/d_1/rollback", "application/json"),
        ("DELETE", "/v1/keys/k_1", "application/json"),
    ],
)
def test_bodies_say_what_they_are(
    caxton_server: RunningServer, bare: httpx.Client, method: str, path: str, wanted: str, given: str | None
) -> None:
    headers = {"Authorization": f"Bearer {caxton_server.api_key}"}
    if given is not None:
        headers["Content-Type"] = given
    refused = bare.request(method, path, content="{}", headers=headers)
    _is_problem(refused, 415, "unsupported_media_type")
    assert refused.headers["accept"] == wanted
    assert wanted in refused.json()["hints"][0]["text"]


def test_json_may_name_its_charset(api: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answered = api.post("/v1/messages", content='{"capability": "nobody-has-it", "content": "x"}', headers=headers)
    assert answered.status_code == 404, answered.text


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "anything"},
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_pages_of_other_sites_are_refused(api: httpx.Client, foreign: dict[str, str]) -> None:
    for method, path in (("POST", "/v1/agents/anybody/stop"), ("GET", "/v1/agents"), ("OPTIONS", "/v1/messages")):
        refused = api.request(method, path, headers=foreign)
        _is_problem(refused, 403, "cross_site")
        assert not [name for name in refused.headers if name.startswith("access-control")]


def test_own_pages_and_links_are_not(api: httpx.Client, bare: httpx.Client, login: str) -> None:
    own = f"{api.base_url}".rstrip("/")
    for headers in ({"Sec-Fetch-Site": "same-origin", "Origin": own}, {"Sec-Fetch-Site": "none"}, {"Origin": own}):
        assert api.post("/v1/agents/anybody/stop", headers=headers).status_code == 404
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert bare.get("/docs", headers={**visit, "Authorization": login}).status_code == 200
    assert bare.get("/docs", headers={**visit, "Authorization": login, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert bare.get("/health", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost.evil",
        "10.0.0.1",
        "0.0.0.0:{port}",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/v1/agents", "/v1/messages"])
def test_other_names_are_refused(api: httpx.Client, host: str, path: str) -> None:
    refused = api.get(path, headers={"Host": host.format(port=api.base_url.port)})
    _is_problem(refused, 421, "wrong_host")
    assert "evil" not in refused.text


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "LOCALHOST", "localhost.", "127.0.0.1", "127.9.9.9:{port}", "[::1]:{port}"]
)
def test_names_of_loopback_are_good(api: httpx.Client, host: str) -> None:
    assert api.get("/v1/agents", headers={"Host": host.format(port=api.base_url.port)}).status_code == 200


@pytest.mark.parametrize(
    "host", ["a b", "user@127.0.0.1", "127.0.0.1/x", "127.0.0.1:99999x", "[::1", "ä", "127.0.0.1, evil"]
)
def test_hosts_that_are_none_are_refused(api: httpx.Client, host: str) -> None:
    _is_problem(api.get("/health", headers={"Host": host.encode("latin-1")}), 400, "malformed_request")


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "X-Caxton-Workspace", "Origin", "Idempotency-Key"])
def test_what_may_come_once_comes_once(bare: httpx.Client, name: str) -> None:
    refused = bare.get("/v1/agents", headers=[(name, "a"), (name, "b")])
    _is_problem(refused, 400, "malformed_request")


def test_every_answer_tells_browsers_what_not_to_do(api: httpx.Client, bare: httpx.Client, login: str) -> None:
    answers: list[Callable[[], httpx.Response]] = [
        lambda: bare.get("/health"),
        lambda: bare.get("/v1/agents"),
        lambda: api.get("/v1/agents"),
        lambda: api.get("/v1/nothing"),
        lambda: api.post("/v1/messages", json={}),
        lambda: api.get("/health", headers={"Host": "evil"}),
        lambda: bare.get("/docs", headers={"Authorization": login}),
        lambda: bare.get("/static-offline-docs/swagger-ui-bundle.js", headers={"Authorization": login}),
    ]
    for ask in answers:
        headers = ask().headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"].replace("style-src 'self' 'unsafe-inline'", "")
        assert headers["cache-control"] == "no-store"


def test_nothing_leads_to_the_host_that_a_request_names(api: httpx.Client) -> None:
    for path in ("/v1/agents/", "/docs/", "/static-offline-docs", "/v1/messages/"):
        answered = api.get(path, headers={"Host": f"localhost:{urlsplit(str(api.base_url)).port}"})
        assert answered.status_code == 404, path
        assert "location" not in answered.headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/keys", "GET, POST"),
        ("TRACE", "/v1/agents", "GET"),
        ("PROPFIND", "/v1/agents", "GET"),
        ("DELETE", "/v1/messages", "GET, POST"),
        ("POST", "/health", "GET"),
        ("OPTIONS", "/v1/messages", "GET, POST"),
        ("PATCH", "/v1/budgets", "GET, PUT, DELETE"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(api: httpx.Client, method: str, path: str, allowed: str) -> None:
    refused = api.request(method, path)
    _is_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == allowed


def test_the_description_says_how_to_authenticate(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["security"] == [{"key": []}]
    assert document["paths"]["/health"]["get"]["security"] == []
