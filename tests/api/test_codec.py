"""Temporal's remote codec: decrypts for those who may."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer, start_server, stop_server

pytestmark = [pytest.mark.requirement("SEC-4"), pytest.mark.slow, pytest.mark.xdist_group("codec")]

UI = "https://temporal.example.com"


def payload(value: object) -> dict[str, Any]:
    encoded = {"encoding": base64.b64encode(b"json/plain").decode()}
    return {"metadata": encoded, "data": base64.b64encode(json.dumps(value).encode()).decode()}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    key = subprocess.run(
        [sys.executable, "-m", "caxton", "encryption", "generate"], capture_output=True, text=True, check=True
    ).stdout.strip()
    env = {
        "CAXTON_ENGINE__ENCRYPTION__KEYS": '["env:KEY"]',
        "KEY": key,
        "CAXTON_SERVER__CORS_ORIGINS": json.dumps([UI]),
    }
    process, server = start_server(Path(tmp_path_factory.mktemp("codec")) / "data", env=env)
    yield server
    stop_server(process)


def test_payloads_are_encrypted_and_decrypted_again(encrypted: RunningServer) -> None:
    with encrypted.client() as admin:
        plain = [payload({"a": "secret text"}), payload([1])]
        sealed = admin.post("/codec/encode", json={"payloads": plain}).raise_for_status().json()["payloads"]
        assert "secret text" not in base64.b64decode(sealed[0]["data"]).decode(errors="replace")
        assert base64.b64decode(sealed[0]["metadata"]["encoding"]) == b"binary/encrypted"
        opened = admin.post("/codec/decode", json={"payloads": [*sealed, plain[0]]}).raise_for_status().json()
        assert opened["payloads"] == [*plain, plain[0]], "what is not encrypted stays"
        damaged = [{**sealed[0], "data": base64.b64encode(b"x" * 60).decode()}]
        refused = admin.post("/codec/decode", json={"payloads": damaged})
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_key_missing")
        for wrong in ({"payloads": [{"data": 1}]}, {"payloads": [{"nope": ""}]}, {"payloads": "x"}, {}):
            assert admin.post("/codec/decode", json=wrong).status_code == 400
        told = admin.get("/v1/events", params={"type": "payloads_decoded"}).json()["events"]
        assert told[0]["payload"]["origin"]["key"].startswith("k_")


def test_only_those_decrypt_who_may(encrypted: RunningServer) -> None:
    with encrypted.client() as admin:
        body = {"payloads": [payload(1)]}
        assert httpx.post(f"{encrypted.url}/codec/decode", json=body, trust_env=False).status_code == 401
        for role in ("viewer", "developer", "operator", "approver"):
            key = admin.post("/v1/keys", json={"name": "nosy", "role": role}).raise_for_status().json()["key"]
            with encrypted.client(key=key) as other:
                assert other.post("/codec/decode", json=body).status_code == 403, role
        other_customer = {"name": "boss", "role": "admin", "customer": "another"}
        key = admin.post("/v1/keys", json=other_customer).raise_for_status().json()["key"]
        with encrypted.client(key=key) as boss:
            assert boss.post("/codec/decode", json=body).status_code == 403, "it opens what is everybody's"


def test_the_ui_of_a_named_origin_may_ask_and_no_other(encrypted: RunningServer) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for origin, allowed in ((UI, True), ("https://evil.example.com", False)):
        preflight = httpx.options(f"{encrypted.url}/codec/decode", headers={"Origin": origin, **asked}, trust_env=False)
        assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
