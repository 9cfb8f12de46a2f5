"""Secrets are looked up by reference, and appear nowhere else."""

import sys
import time
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from caxton.adapters import secrets as module
from caxton.adapters.secrets import SECRETS, Secrets
from caxton.domain.errors import InvalidSettings, SecretMissing
from caxton.domain.secrets import kind_of_secret, literal_secrets, split_reference
from caxton.observability.redaction import REDACTED, redact
from caxton.runtime.settings import Settings
from caxton.runtime.settings_sources import load_settings

CANARY = "s3cr3t-canary-0001"

pytestmark = pytest.mark.requirement("SEC-4")


def test_each_source_gives_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"{CANARY}\n")
    monkeypatch.setenv("A_KEY", CANARY)
    for reference in ("env:A_KEY", f"file:{file}"):
        found = SECRETS.get(reference)
        assert found.get_secret_value() == CANARY
        assert CANARY not in repr(found) + str(found)
    file.write_text("rotated-secret")
    assert SECRETS.get(f"file:{file}").get_secret_value() == "rotated-secret", "a rotated secret counts at once"


def test_the_keyring_is_asked_by_service_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Ring(KeyringBackend):
        priority = 1  # pyright: ignore

        def get_password(self, service: str, username: str) -> str | None:
            return CANARY if (service, username) == ("caxton/models", "openai") else None

        def set_password(self, service: str, username: str, password: str) -> None: ...

        def delete_password(self, service: str, username: str) -> None: ...

    monkeypatch.setattr(keyring.core, "_keyring_backend", Ring())
    assert Secrets().get("keyring:caxton/models/openai").get_secret_value() == CANARY
    with pytest.raises(SecretMissing, match="is not set"):
        Secrets().get("keyring:caxton/nobody")


def test_without_the_keyring_package_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SecretMissing) as caught:
        Secrets().get("keyring:a/b")
    assert caught.value.hints[0].command == "pip install 'caxton[keyring]'"


def test_packages_add_sources_and_their_errors_quote_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def vault(place: str) -> str:
        calls.append(place)
        if place == "locked":
            raise RuntimeError(f"token {CANARY} refused")
        return CANARY

    plugin = types.ModuleType("a_vault")
    plugin.vault = vault  # pyright: ignore
    monkeypatch.setitem(sys.modules, "a_vault", plugin)
    point = EntryPoint("vault", "a_vault:vault", "caxton.secrets")
    monkeypatch.setattr(module, "entry_points", lambda group: [point] if group == "caxton.secrets" else [])
    found = Secrets()
    assert found.get("vault:kv/openai#key").get_secret_value() == CANARY
    assert found.get("vault:kv/openai#key").get_secret_value() == CANARY
    assert calls == ["kv/openai#key"], "a slow source is not asked for each use"
    with pytest.raises(SecretMissing) as caught:
        found.get("vault:locked")
    assert CANARY not in repr(caught.value.report())
    assert caught.value.reason == "RuntimeError"
    with pytest.raises(SecretMissing, match='no source of secrets "volt"'):
        found.get("volt:x")


@pytest.mark.parametrize(
    "reference",
    ["", "hunter2hunter2", "env:", "env:NOT SET", "env:1X", "file:relative", "keyring:alone", "keyring:/x", "ENV:X",
     "sk-proj-abcdefghijklmnop1234567890", "env:sk-proj-abcdefghijklmnop1234567890"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_and_not_repeated(reference: str) -> None:
    with pytest.raises(ValueError) as caught:
        split_reference(reference)
    assert not reference or len(reference) < 8 or reference not in str(caught.value)
    with pytest.raises(SecretMissing):
        SECRETS.get(reference)


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "device", "large", "binary"])
def test_what_is_no_readable_file_is_told_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    import os

    path = tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "large":
        path.write_bytes(b"x" * 70_000)
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SecretMissing, match="cannot be read"):
        SECRETS.get(f"file:{path}")


def test_what_was_looked_up_never_shows_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "correct horse battery")
    SECRETS.get("env:A_KEY")
    assert redact("it said: correct horse battery staple") == f"it said: {REDACTED} staple"


# --- what looks like a secret ---

LITERALS = [
    "cx_" + "A1b2" * 10,
    "sk-proj-" + "A1b2" * 10,
    "sk-ant-api03-" + "A1b2" * 10,
    "sk-or-v1-" + "0a" * 32,
    "ghp_" + "A1b2" * 9,
    "github_pat_" + "A1b2" * 12,
    "glpat-" + "A1b2" * 5,
    "hf_" + "A1b2" * 9,
    "xoxb-" + "123456789012-abcdef",
    "AKIA" + "A1B2" * 4,
    "AIza" + "A1b2_" * 7,
    "sk_live_" + "A1b2" * 6,
    "whsec_" + "A1b2" * 8 + "==",
    "npm_" + "A1b2" * 9,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n",
    "postgresql://caxton:hunter2@db/caxton",
]
HARMLESS = [
    "env:OPENAI_API_KEY", "file:/run/secrets/key", "keyring:caxton/openai", "OPENAI_API_KEY", "openai:gpt-5",
    "You are an agent. Never ask for keys like sk-… or passwords.", "sk-learn-based-classification-model",
    "https://example.com/a:b@c", "postgresql://caxton@db/caxton", "http://127.0.0.1:8080", "{{ parameters.token }}",
    "postgresql://USER:{{ password }}@host/db", "0a" * 32, "data-fetcher-2026-01-01-12-30-30",
]  # fmt: skip


@pytest.mark.parametrize("text", LITERALS)
def test_known_formats_are_found_wherever_they_stand(text: str) -> None:
    for around in ("{}", "use {} here", '"{}"', "key={}", "\n{}\n"):
        assert kind_of_secret(around.format(text)), around
    assert list(literal_secrets({"a": {"b": [text]}})) == [(("a", "b", 0), kind_of_secret(text))]


@pytest.mark.parametrize("text", HARMLESS)
def test_words_references_and_templates_are_no_secrets(text: str) -> None:
    assert kind_of_secret(text) is None
    assert not list(literal_secrets({"prompt": text}))


@pytest.mark.parametrize(
    "name", ["password", "db_password", "api_key", "apiKey", "client-secret", "access_token", "token"]
)
def test_names_tell_of_secrets_without_a_format(name: str) -> None:
    assert list(literal_secrets({"p": {name: "hunter2hunter2"}})) == [(("p", name), f'a literal "{name}"')]
    for harmless in ("env:THE_PASSWORD", "THE_PASSWORD", "{{ password }}", "what the user types", "********", ""):
        assert not list(literal_secrets({name: harmless}))


# --- in settings ---


@pytest.mark.parametrize(
    "text",
    [
        '[models.providers.x]\napi_key = "{}"\n',
        '[models.providers.x]\napi_key_env = "{}"\n',
        '[models.providers.x.headers]\nAuthorization = "Bearer {}"\n',
        '[memory.embedder]\napi_key = "{}"\n',
        '[memory.options]\napi_key = "{}"\n',
        '[temporal]\napi_key = "{}"\n',
        '[channels.ops]\nurl = "http://h"\nsecret = "{}"\n',
        '[store]\nurl = "postgresql://caxton:{}@db/caxton"\n',
        '[store]\nurl = "postgresql://caxton@db/caxton"\npassword = "{}"\n',
        '[telemetry]\nservice_name = "{}"\n',
    ],
)
def test_a_literal_secret_in_the_settings_file_is_refused_and_shown_nowhere(
    tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from caxton.cli import problems as shown
    from caxton.domain.problems import Problem

    secret = "sk-proj-" + "A1b2" * 10
    (tmp_path / "caxton.toml").write_text(text.format(secret))
    with pytest.raises(InvalidSettings) as caught:
        load_settings(start_folder=tmp_path)
    assert secret not in repr(caught.value.report())
    problems = [Problem.model_validate(each) for each in caught.value.details["problems"]]
    assert problems[0].line >= 2, "the place is told"
    rendered = "\n".join(shown.render(problems, shown.read_sources(problems, tmp_path), "Nothing."))
    assert secret not in rendered


def test_a_password_in_the_environment_is_no_part_of_what_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAXTON_STORE__URL", f"postgresql://caxton:{CANARY}@db/caxton")
    loaded = load_settings(start_folder=tmp_path)
    assert CANARY not in repr(loaded.settings) + repr(loaded.values())


def test_the_old_names_of_variables_go_on_to_work() -> None:
    settings = Settings(models={"providers": {"x": {"api_key_env": "MY_KEY", "headers": {"X-Team": "TEAM"}}}})  # pyright: ignore
    from caxton.adapters.models.endpoints import Endpoints

    endpoints = Endpoints(settings.models, {"MY_KEY": CANARY, "TEAM": "team-secret"})
    endpoint = endpoints.find("x:m")
    assert endpoints.key(endpoint).get_secret_value() == CANARY
    assert endpoints.headers(endpoint)["X-Team"].get_secret_value() == "team-secret"


def test_a_long_text_is_looked_through_once() -> None:
    began = time.process_time()
    assert kind_of_secret("a" * 300_000) is None
    assert kind_of_secret("a" * 300_000 + " postgres://me:hunter2@db/x") == "a password in a URL"
    assert time.process_time() - began < 5, "it took five minutes for this"
