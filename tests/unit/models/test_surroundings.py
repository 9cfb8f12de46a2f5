"""Proxies, certificates and keys of the environment: what cannot be used is named, and another model answers."""

from pathlib import Path

import pytest
from llmock.pytest_plugin import LLMock
from model_requests import agent, request
from raw_server import RawServer, http_answer

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.domain.errors import ModelNotConfigured

RULES = [{"steps": [{"reply": "scripted reply"}]}]
KINDS = ["openai-chat", "anthropic"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def gateway(base_url: str, kind: str = "openai-chat", key: str = "sk-1") -> Models:
    provider = ProviderSettings(kind=kind, base_url=base_url, api_key_env="MOCK_KEY")
    return Models(ModelsSettings(providers={"far": provider}), templates, environment={"MOCK_KEY": key})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "names a SOCKS proxy"),
        ("https_proxy", "ftp://proxy:3128", "names no proxy that can be used"),
        ("HTTPS_PROXY", "http://proxy:http", "names no proxy that can be used"),
        ("SSL_CERT_FILE", "/no/such/file.pem", "No such file or directory"),
        ("SSL_CERT_FILE", "EMPTY", "it holds no certificate"),
        ("SSL_CERT_DIR", "/no/such/folder", "there is no such folder"),
    ],
)
async def test_what_cannot_be_used_is_named_and_another_model_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, variable: str, value: str, said: str
) -> None:
    if value == "EMPTY":
        (tmp_path / "empty.pem").write_text("")
        value = str(tmp_path / "empty.pem")
    monkeypatch.setenv(variable, value)
    models = gateway("https://models.example/v1", kind)
    with pytest.raises(ModelNotConfigured) as caught:
        await models.respond(request(agent("far:m")))
    assert f"the environment variable {variable} names" in caught.value.message
    assert said in caught.value.message
    reply = await models.respond(request(agent(["far:m", "scripted"], RULES)))
    assert reply.text == "scripted reply"
    (passed,) = reply.metadata["fallback_from"]
    assert (passed["model"], passed["code"]) == ("far:m", "model_not_configured")
    assert said in passed["reason"]
    await models.aclose()


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY", "http_proxy", "SSL_CERT_FILE"])
@pytest.mark.parametrize("value", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
async def test_a_provider_on_this_machine_is_reached_directly(
    monkeypatch: pytest.MonkeyPatch, llmock: LLMock, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    models = gateway(llmock.base_url("openai"))
    assert (await models.respond(request(agent("far:gpt-4o")))).text
    await models.aclose()


@pytest.mark.parametrize(("exceptions", "through"), [("", True), ("other.example", True), ("models.example:80", False)])
async def test_a_proxy_is_used_unless_the_host_is_excepted(
    monkeypatch: pytest.MonkeyPatch, raw_server: RawServer, exceptions: str, through: bool
) -> None:
    monkeypatch.setenv("http_proxy", raw_server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", exceptions)
    raw_server.answer = http_answer("503 Busy", b"{}")
    models = gateway("http://models.example:80/v1")
    with pytest.raises(Exception, match=r".") as caught:
        await models.respond(request(agent("far:m")))
    assert bool(raw_server.requests) is through, caught.value
    await models.aclose()


@pytest.mark.parametrize(
    "key",
    ["sk-1\n", "\ufeffsk-1", " sk-1\r\n", '"sk-1"', "'sk-1'\n", "\u200bsk-1\u00a0", "sk-1\u2028", "\u202ask-1\u202c"],
)
async def test_what_was_pasted_along_with_a_key_is_not_sent(raw_server: RawServer, key: str) -> None:
    raw_server.answer = http_answer("503 Busy", b"{}")
    models = gateway(raw_server.base_url, key=key)
    with pytest.raises(Exception, match=r"."):
        await models.respond(request(agent("far:m")))
    assert b"uthorization: Bearer sk-1\r\n" in raw_server.requests[0]
    await models.aclose()


@pytest.mark.parametrize(
    ("key", "odd"), [("sk-\u200b1", "U+200B (zero width space) at place 4"), ("sk–1", "U+2013 (en dash) at place 3")]
)
async def test_a_character_that_no_key_has_is_named(key: str, odd: str) -> None:
    with pytest.raises(ModelNotConfigured, match="its API key has a character that no key has") as caught:
        await gateway("https://models.example/v1", key=key).respond(request(agent("far:m")))
    assert odd in caught.value.message
    assert "MOCK_KEY" in caught.value.hints[0].text
