"""The embedded engine's UI is behind a key, and nothing else of the engine speaks to pages in a browser."""

import base64
import json
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.conftest import RunningServer

pytestmark = pytest.mark.requirement("SEC-9")

NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
def login(caxton_server: RunningServer) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{caxton_server.api_key}".encode()).decode()}


@pytest.fixture
def ui(caxton_server: RunningServer) -> Iterator[httpx.Client]:
    url = json.loads((caxton_server.data_dir / "server.json").read_text())["ui_url"]
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


def test_people_log_in_to_it(ui: httpx.Client, login: dict[str, str]) -> None:
    asked = ui.get("/")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic")
    page = ui.get("/", headers=login)
    assert page.status_code == 200
    assert "<html" in page.text
    assert "frame-ancestors" in page.headers["content-security-policy"] or page.headers["x-frame-options"] == "DENY"
    assert ui.get(NAMESPACES, headers={**login, "Sec-Fetch-Site": "same-origin"}).json()["namespaces"]
    assert ui.get("/%2e%2e/api/v1/namespaces?pageSize=1&x=%20y", headers=login).status_code < 500


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8233"}, 421),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_pages_of_others_get_nothing_of_it(
    ui: httpx.Client, login: dict[str, str], headers: dict[str, str], status: int
) -> None:
    for method in ("GET", "POST"):
        refused = ui.request(method, NAMESPACES, headers={**login, **headers})
        assert refused.status_code == status, refused.text


def test_it_is_for_the_servers_own_administrators(ui: httpx.Client, api: httpx.Client) -> None:
    key = api.post("/v1/keys", json={"name": "a-viewer", "role": "viewer"}).json()["key"]
    refused = ui.get(NAMESPACES, headers={"Authorization": f"Bearer {key}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_permitted")
    assert ui.get(NAMESPACES, headers={"Authorization": "Bearer cx_wrong"}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost", "caxton.invalid"])
def test_no_port_of_the_engine_tells_pages_of_workflows(caxton_server: RunningServer, host: str) -> None:
    """A page that gets at a port by a name of its own finds no workflow there. (The UI's own place is found by no trying.)"""
    engine = next(
        child for child in psutil.Process(caxton_server.pid).children() if "start-dev" in " ".join(child.cmdline())
    )
    places = [found.laddr for found in engine.net_connections("tcp") if found.status == psutil.CONN_LISTEN]
    assert len(places) > 3
    assert all(place.ip.startswith("127.") for place in places)
    looked_at = 0
    for place in places:
        if place.ip != "127.0.0.1":
            continue
        looked_at += 1
        try:
            answer = httpx.get(
                f"http://{place.ip}:{place.port}{NAMESPACES}", headers={"Host": host}, timeout=5, trust_env=False
            )
        except httpx.HTTPError:
            continue  # gRPC: nothing that a page can speak
        assert answer.status_code in (403, 404), (place, answer.text)
    assert looked_at > 3
