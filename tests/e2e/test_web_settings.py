"""What an operator opens: further names, sites whose pages may call, limits of connections."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.waiting import until

pytestmark = [pytest.mark.requirement("SEC-9"), pytest.mark.xdist_group("web-settings")]

DASHBOARD = "https://dashboard.example.com"

SETTINGS = {
    "CAXTON_SERVER__HOSTS": '["caxton.example.com", "*.inner.example.com"]',
    "CAXTON_SERVER__CORS_ORIGINS": f'["{DASHBOARD}"]',
    "CAXTON_SERVER__CONNECTIONS": "64",
    "CAXTON_ENGINE__UI": "false",
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("opened")
    process, server = start_server(folder / "data", env=SETTINGS)
    yield server
    stop_server(process)


def test_further_names(opened: RunningServer) -> None:
    with opened.client() as client:
        for host, status in (
            ("caxton.example.com", 200),
            ("CAXTON.example.com:443", 200),
            ("a.inner.example.com", 200),
            ("a.b.inner.example.com", 200),
            ("127.0.0.1", 200),
            ("inner.example.com", 421),
            ("evilinner.example.com", 421),
            ("caxton.example.com.evil.example", 421),
            ("other.example.com", 421),
        ):
            assert client.get("/v1/agents", headers={"Host": host}).status_code == status, host


def test_pages_of_a_named_site_may_call_with_a_key(opened: RunningServer) -> None:
    page = {"Origin": DASHBOARD, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with httpx.Client(base_url=opened.url, trust_env=False) as client:
        asked = client.options("/v1/messages", headers={**page, **asks})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == DASHBOARD
        assert "access-control-allow-credentials" not in asked.headers  # no login of the browser goes along
        refused = client.get("/v1/agents", headers=page)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == DASHBOARD  # so that the page can tell why
        for other in ("https://evil.example", f"{DASHBOARD}.evil.example", "http://dashboard.example.com", "null"):
            stranger = client.options("/v1/messages", headers={**page, **asks, "Origin": other})
            assert stranger.status_code == 403
            assert "access-control-allow-origin" not in stranger.headers
    with opened.client() as client:
        answered = client.get("/v1/agents", headers=page)
        assert answered.status_code == 200
        assert answered.headers["access-control-allow-origin"] == DASHBOARD
        assert "x-request-id" in answered.headers["access-control-expose-headers"].lower()


def test_the_engines_ui_can_be_turned_off(opened: RunningServer) -> None:
    with opened.client() as client:
        assert client.get("/v1/server").json()["engine"]["ui_url"] is None


@pytest.mark.requirement("SEC-3", "EVT-6")
def test_streams_of_one_customer_leave_connections_to_others(opened: RunningServer) -> None:
    with opened.client() as boss:
        made = boss.post("/v1/keys", json={"name": "greedy", "role": "viewer", "customer": "greedy"})
        key = made.raise_for_status().json()["key"]
        address = urlsplit(opened.url)
        head = f"GET /v1/events/tail HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        with contextlib.ExitStack() as held:
            told: list[bytes] = []
            for _ in range(56):
                connection = held.enter_context(socket.create_connection((address.hostname, address.port), timeout=30))
                connection.sendall(head)
                told.append(connection.recv(12))
            assert told == [b"HTTP/1.1 200"] * 48 + [b"HTTP/1.1 429"] * 8
            assert boss.get("/v1/agents").status_code == 200
            with opened.client() as another:  # a connection of its own
                assert another.get("/v1/agents").status_code == 200
        until(lambda: _asks(opened, key) == 200)


def _asks(server: RunningServer, key: str) -> int:
    with server.client(key=key) as client:
        return client.get("/v1/agents").status_code
