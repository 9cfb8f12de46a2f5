"""What no tool gets, whatever its manifest says: the server's secrets, and Caxton's own ports by any address."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.hostile_tool import call_tool, hostile_tool, text_of

FORMS = ("127.0.0.1", "127.0.0.2", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]")
"""Literal addresses that lead to this machine, and its name."""

NAMES = ("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.1")
"""What resolvers take for loopback too."""

METADATA = """
    169.254.169.254 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] 169.254.1.1 [fe80::1] [fd00:ec2::254] [64:ff9b::a9fe:a9fe]
    [2002:a9fe:a9fe::1] 100.100.100.200 168.63.129.16 224.0.0.1 255.255.255.255 [ff02::1]
"""
NUMBERS = "2852039166 0xa9fea9fe 0251.0376.0251.0376"
"""What resolvers take for 169.254.169.254."""

SECRETS = """
    CAXTON_STORE__URL CAXTON_API_KEY caxton_store__url OPENAI_API_KEY ANTHROPIC_API_KEY AWS_PROFILE DATABASE_URL GITHUB_TOKEN
    MY_SECRET_THING PGPASSWORD DB_PWD HTTPS_PROXY GOOGLE_APPLICATION_CREDENTIALS
"""


def _ports(server: RunningServer) -> Iterator[int]:
    """Every port that the server or its engine listens on."""
    process = psutil.Process(server.pid)
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a helper that has ended meanwhile
            for connection in each.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    yield connection.laddr.port


@pytest.mark.requirement("TOL-4", "SEC-9")
def test_no_tool_reaches_caxtons_own_ports(api: httpx.Client, deploy: Deploy, caxton_server: RunningServer) -> None:
    ports = sorted(set(_ports(caxton_server)))
    own = urlsplit(caxton_server.url).port
    ui = urlsplit(api.get("/v1/server").json()["engine"]["ui_url"]).port
    assert {own, ui} <= set(ports)
    hosts = [*FORMS, *NAMES, *_addresses(), *_own_names()]
    origins = [f"http://{host}:{ui}" for host in hosts] + [f"http://127.0.0.1:{port}" for port in ports]
    deploy(hostile_tool(permissions={"network": origins}))
    granted = _granted(api, origins)
    # Of a name nobody knows before where it leads.
    assert granted == [f"http://{name}:{ui}" for name in _own_names()]
    for origin in origins:
        _assert_refused(api, f"{origin}/api/v1/namespaces/default/workflows")


@pytest.mark.requirement("TOL-4", "SEC-9")
def test_no_tool_reaches_the_addresses_of_a_clouds_metadata(api: httpx.Client, deploy: Deploy) -> None:
    hosts = f"{METADATA} {NUMBERS} metadata.google.internal".split()
    origins = [f"http://{host}" for host in hosts]
    deploy(hostile_tool(permissions={"network": origins}, limits={"wall_time": "5s"}))
    assert _granted(api, origins) == []
    for origin in origins:
        _assert_refused(api, f"{origin}/latest/meta-data/")


def _granted(api: httpx.Client, origins: list[str]) -> list[str]:
    """Grants what can be granted."""
    found: list[str] = []
    for origin in origins:
        answer = api.post("/v1/tool-grants", json={"tool": "hostile", "network": [origin]})
        assert answer.status_code in (201, 403), answer.text
        found += [origin] if answer.status_code == 201 else []
    return found


def _assert_refused(api: httpx.Client, url: str) -> None:
    answer = call_tool(api, "fetch", url=url)
    if answer.status_code == 403:
        assert answer.json()["code"] == "tool_not_granted"
        return
    text = text_of(answer)
    assert answer.json()["is_error"], f"{url}: {text[:200]}"
    assert "no tool may connect" in text or "leads to the private address" in text, f"{url}: {text}"


@pytest.mark.requirement("TOL-4", "SEC-9")
def test_no_tool_gets_the_servers_secrets(api: httpx.Client, deploy: Deploy) -> None:
    deploy(hostile_tool(permissions={"environment": SECRETS.split()}))
    for name in SECRETS.split():
        answer = call_tool(api, "environment", name=name)
        assert f"{name} is given to no tool" in text_of(answer)
        assert answer.json()["is_error"]


def _own_names() -> list[str]:
    """A name of this machine, if it has one that leads to it."""
    name = socket.gethostname().lower()
    try:
        return [name] if socket.gethostbyname(name) in (*_addresses(), "127.0.1.1") else []
    except OSError:
        return []


def _addresses() -> list[str]:
    """This machine's own addresses."""
    found: list[str] = []
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET:
                found.append(each.address)
            elif each.family == socket.AF_INET6 and "%" not in each.address:
                found.append(f"[{each.address}]")
    return found


@pytest.mark.requirement("TOL-4")
@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("http://127.1", "another way to write an address; write 127.0.0.1"),
        ("http://2130706433:99", "write 127.0.0.1"),
        ("http://0:99", "write 0.0.0.0"),
        ("http://0x8080808", "write 8.8.8.8"),
        ("http://010.8.8.8", "write 8.8.8.8"),
        ("http://1.2.3.4.5", "this is not an address"),
        ("http://metadata.google.internal", "a cloud's metadata"),
    ],
)
def test_a_grant_names_an_address_as_it_is(api: httpx.Client, origin: str, told: str) -> None:
    refused = api.post("/v1/tool-grants", json={"tool": "hostile", "network": [origin]})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_grantable")
    assert told in refused.json()["detail"]
