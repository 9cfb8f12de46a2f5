"""Tokens of an identity provider, against a server with a local issuer."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from caxton.adapters.oidc import Oidc
from caxton.adapters.oidc_settings import OidcSettings
from caxton.domain.errors import IdentityProviderUnavailable, InvalidSettings, TokenRefused
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.mcp_client import Raw, result_of

pytestmark = pytest.mark.xdist_group("oidc")  # one worker makes what they share

CONFIG = """
[auth.oidc]
issuer = "https://login.example.com/"
audience = "caxton"
jwks_url = "{url}"
customer_claim = "tenant"
customers = ["acme", "local"]
name_claim = "email"
roles_claim = "realm_access.roles"
workspaces_claim = "workspaces"
leeway = "5s"
[auth.oidc.roles]
admins = ["admin"]
devs = ["viewer", "developer:shop,lab"]
"""


class Issuer:
    """Signs tokens, and publishes its keys."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.publish(one=self.rsa, two=self.ec)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps({"keys": issuer.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"

    def publish(self, **keys: Any) -> None:
        algorithms: dict[type, Any] = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
        self.keys = []
        for kid, key in keys.items():
            kind = next(each for known, each in algorithms.items() if isinstance(key, known))
            self.keys.append({**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        found = {
            "iss": "https://login.example.com/",
            "aud": "caxton",
            "sub": "user-1",
            "email": "anna@example.com",
            "exp": now + 300,
            "iat": now,
            "tenant": "acme",
            "realm_access": {"roles": ["devs"]},
            "workspaces": ["shop", "lab", "yard"],
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def token(self, key: Any = None, algorithm: str = "RS256", kid: str = "one", **changes: Any) -> str:
        return jwt.encode(self.claims(**changes), key or self.rsa, algorithm, headers={"kid": kid})

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("oidc")
    (folder / "caxton.toml").write_text(CONFIG.format(url=issuer.url))
    process, running = start_server(folder)
    yield running
    stop_server(process)


def ask(
    server: RunningServer, token: str, method: str = "GET", path: str = "/v1/server", **more: Any
) -> httpx.Response:
    with server.client("shop", key=token) as client:
        return client.request(method, path, **more)


MESSAGE = {"json": {"capability": "nothing", "content": "x"}}


@pytest.mark.requirement("SEC-1")
def test_claims_become_customer_workspaces_and_roles(server: RunningServer, issuer: Issuer) -> None:
    for token in (issuer.token(), issuer.token(issuer.ec, "ES256", "two")):
        told = ask(server, token).json()
        assert (told["customer"], told["workspace"]) == ("acme", "shop")
        assert told["key"]["name"] == "oidc/anna@example.com"
        assert "messages:send" in told["key"]["permissions"]
        assert "keys:manage" not in told["key"]["permissions"]
    assert ask(server, issuer.token(), "POST", "/v1/messages", **MESSAGE).status_code == 404
    yard = ask(server, issuer.token(workspaces=["yard"]), headers={"X-Caxton-Workspace": "yard"}).json()
    assert "messages:send" not in yard["key"]["permissions"], "developer holds in shop and lab only"
    assert ask(server, issuer.token(workspaces=["lab"])).status_code == 403, "the token's claim limits it further"
    assert ask(server, issuer.token(realm_access={"roles": ["unknown"]})).status_code == 403
    assert ask(server, issuer.token(realm_access=None, workspaces=None)).status_code == 403


@pytest.mark.requirement("FAC-1")
def test_clients_of_mcp_learn_whose_tokens_are_accepted(
    server: RunningServer, issuer: Issuer, caxton_server: RunningServer
) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as nobody:
        for path in ("/mcp", ""):
            told = nobody.get(f"/.well-known/oauth-protected-resource{path}").raise_for_status().json()
            assert told["authorization_servers"] == ["https://login.example.com/"]
            assert told["resource"] == f"{server.url}/mcp"
    with server.client("shop", key=issuer.token()) as client:
        assert result_of(Raw(client).modern("tools/list"))["tools"] == []
    refused = httpx.get(f"{caxton_server.url}/.well-known/oauth-protected-resource/mcp", trust_env=False)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


@pytest.mark.requirement("SEC-1")
def test_an_administrator_of_the_claims_customer_is_none_of_another(server: RunningServer, issuer: Issuer) -> None:
    token = issuer.token(realm_access={"roles": ["admins"]}, workspaces=["shop"])
    assert ask(server, token, path="/v1/keys").status_code == 403, "what concerns all workspaces takes a role in all"
    assert ask(server, token, path="/metrics").status_code == 403
    assert ask(server, issuer.token(tenant="other")).status_code == 401
    assert ask(server, issuer.token(tenant="../etc")).status_code == 401


def unsigned(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), "", "none", headers={"kid": "one"})


def signed_with_the_public_key(issuer: Issuer) -> str:
    public = issuer.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "typ": "JWT", "kid": "one"}, issuer.claims()]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.new(public, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return f"{text}.{signature}"


def changed(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    body = json.dumps(issuer.claims(tenant="local", realm_access={"roles": ["admins"]})).encode()
    return f"{header}.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.{signature}"


@pytest.mark.requirement("SEC-1")
def test_tokens_that_are_not_good_are_refused_in_words(server: RunningServer, issuer: Issuer) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    for token, word in (
        (issuer.token(exp=now - 60), "expired"),
        (issuer.token(nbf=now + 600), "not valid yet"),
        (issuer.token(aud="someone"), "audience"),
        (issuer.token(aud=None), "aud"),
        (issuer.token(iss="https://evil.example.com/"), "issuer"),
        (issuer.token(exp=None), "exp"),
        (issuer.token(sub=None), "sub"),
        (issuer.token(stranger), "not valid"),
        (issuer.token(stranger, kid="three"), "key"),
        (issuer.token(kid="two"), "not"),
        (issuer.token(algorithm="RS512"), "algorithm"),
        (unsigned(issuer), "algorithm"),
        (signed_with_the_public_key(issuer), "algorithm"),
        (changed(issuer), "not valid"),
        ("eyJhbGciOiJSUzI1NiJ9.e30.", "not"),
        ("eyJ..", "not valid"),
        (f"eyJ{'a' * 20_000}.b.c", "too long"),
    ):
        answer = ask(server, token)
        assert answer.status_code == 401, f"{word}: {answer.text}"
        problem = answer.json()
        assert problem["code"] == "token_refused"
        assert word in problem["detail"], problem["detail"]
        assert token not in answer.text
    told = ask(server, server.api_key, path="/v1/events", headers={"X-Caxton-Workspace": "default"})
    refused = [event for event in told.json()["events"] if event["event_type"] == "authentication_failed"]
    assert [event["payload"]["reason"] for event in refused] == ["invalid"], "counted, not repeated"


def test_clocks_may_differ_a_little(server: RunningServer, issuer: Issuer) -> None:
    now = int(time.time())
    assert ask(server, issuer.token(iat=now + 3, nbf=now + 3)).status_code == 200


@pytest.mark.requirement("SEC-1")
async def test_keys_are_kept_and_rotated(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Issuer()
    monkeypatch.setattr("caxton.adapters.oidc.ASK_AGAIN_AFTER", 0.0)
    settings = OidcSettings(
        issuer="https://login.example.com/",
        audience="caxton",
        jwks_url=own.url,
        customer="acme",
        roles={"a": ["admin"]},
    )
    verifier = Oidc(settings)
    old = own.token()
    for _ in range(20):
        assert (await verifier.verify(old)).customer == "acme"
    assert own.asked == 1, "the keys are kept"
    new_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own.publish(new=new_key)
    assert (await verifier.verify(own.token(new_key, kid="new"))).name == "oidc/user-1"
    assert own.asked == 2, "a token that names a key that is not known makes the provider be asked again"
    with pytest.raises(TokenRefused):
        await verifier.verify(old)
    own.close()
    assert await verifier.verify(own.token(new_key, kid="new")), "a provider that is away keeps nobody out"
    with pytest.raises(IdentityProviderUnavailable):
        await Oidc(settings).verify(own.token(new_key, kid="new"))


async def test_keys_from_a_file(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": issuer.keys}))
    verifier = Oidc(
        OidcSettings(issuer="https://login.example.com/", audience="caxton", jwks_file=file, customer="acme")
    )
    found = await verifier.verify(issuer.token())
    assert (found.customer, found.grants) == ("acme", ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"jwks_url": "http://login.example.com/jwks"},
        {"jwks_url": "file:///etc/passwd"},
        {"customer": None},
        {"audience": None},
        {"jwks_url": None},
        {"customer": None, "customer_claim": "tenant"},
        {"roles": {"x": ["no role!"]}},
    ],
)
def test_settings_that_would_be_dangerous_are_refused(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "issuer": "x",
        "audience": "y",
        "jwks_url": "https://login.example.com/k",
        "customer": "acme",
    }
    Oidc(OidcSettings(**good))
    with pytest.raises((ValidationError, InvalidSettings)):
        Oidc(OidcSettings(**{**good, **wrong}))
