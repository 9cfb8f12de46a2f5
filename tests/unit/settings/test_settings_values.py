"""Each setting's own rules: where it may stand, how it may be written, and what goes with what."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caxton.domain.errors import InvalidSettings
from caxton.runtime.settings import Settings
from caxton.runtime.settings_sources import flatten, load_settings, variable

NAMES = [".".join(path) for path in flatten(Settings().model_dump(mode="json"))]

PLAUSIBLE: dict[str, Any] = {
    "a2a.card_key": "file:/run/secrets/card.pem",
    "a2a.push_secret": "env:PUSH_SECRET",
    "temporal.address": "h:1",
    "temporal.api_key": "env:TEMPORAL_KEY",
    "temporal.api_key_env": "TEMPORAL_KEY",
    "temporal.ui_url": "http://h",
    "engine.binary": "/usr/bin/temporal",
    "store.url": "sqlite:///x",
    "telemetry.otlp_endpoint": "http://h",
    "limits.requests_per_second": 10.0,
    "limits.request_burst": 20,
    "flow.each_customer.max_in_flight": 20,
    "flow.each_customer.rate": 2.5,
    "auth.oidc.issuer": "https://h/",
    "auth.oidc.audience": "caxton",
    "auth.oidc.jwks_url": "https://h/k",
    "auth.oidc.jwks_file": "/k.json",
    "auth.oidc.customer": "acme",
    "auth.oidc.customer_claim": "tenant",
    "auth.oidc.workspaces_claim": "workspaces",
    "metrics_key": "env:SCRAPE_KEY",
    "models.default": "openai:gpt-5",
    "retention.conversations": "90d",
    "retention.messages": "90d",
    "retention.executions": "90d",
    "retention.steps": "90d",
    "retention.contents": "90d",
    "retention.events": "90d",
    "retention.archive": "/archive",
    "limits.data_size": "50GB",
    "limits.customer_size": "5GB",
    "memory.embedder.model": "m",
    "memory.embedder.dimensions": 3,
    "memory.embedder.base_url": "http://h",
    "memory.embedder.api_key": "file:/run/secrets/key",
    "memory.embedder.api_key_env": "KEY",
}
"""Values of settings that have none by default."""

NEEDS_OTHERS = {
    "store.password",
    "temporal.tls_ca",
    "temporal.tls_cert",
    "temporal.tls_key",
    "tools.allowed_paths",
    "auth.oidc.algorithms",
    "models.providers",
    "a2a.push_origins",
}
CALLED_OTHERWISE_IN_THE_FILE = {"workspace", "url", "api_key"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and an environment without settings."""
    for name in [name for name in os.environ if name.startswith("CAXTON_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "caxton.toml").write_text(text)


@pytest.mark.requirement("SRV-4")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEEDS_OTHERS | CALLED_OTHERWISE_IN_THE_FILE])
def test_every_setting_can_stand_in_the_file_and_in_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    value = PLAUSIBLE[name] if name in PLAUSIBLE else load_settings().values()[name]
    *tables, key = name.split(".")
    written = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    table = f"[{'.'.join(tables)}]" if tables else ""
    write(folder, f"{table}\n{key} = {written}\n")
    assert load_settings().origins[name] == "caxton.toml:2"
    monkeypatch.setenv(variable(name), written.strip('"'))
    assert load_settings().origins[name] == f"environment {variable(name)}"


def test_the_workspace_and_its_server_stand_in_a_table_of_the_file(folder: Path) -> None:
    write(folder, '[workspace]\nname = "mine"\nserver = "http://h:1/"\n')
    loaded = load_settings()
    assert (loaded.settings.workspace, loaded.settings.url) == ("mine", "http://h:1")
    assert (loaded.origins["workspace"], loaded.origins["url"]) == ("caxton.toml:2", "caxton.toml:3")


@pytest.mark.parametrize(("written", "meant"), [('"10MB"', 10 << 20), ("2048", 2048), ('"1.5 KiB"', 1536)])
def test_sizes_may_be_written_with_units(folder: Path, written: str, meant: int) -> None:
    write(folder, f"[limits]\ncontent_bytes = {written}\n")
    assert load_settings().settings.limits.content_bytes == meant


@pytest.mark.parametrize(("given", "meant"), [("90", 90.0), ("90s", 90.0), ("2m", 120.0), ("1.5", 1.5)])
def test_times_of_the_environment_may_have_a_unit_or_be_seconds(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: float
) -> None:
    monkeypatch.setenv("CAXTON_TOOLS__COMPILE_TIMEOUT", given)
    assert load_settings().settings.tools.compile_timeout == meant


@pytest.mark.requirement("FAC-4")
def test_providers_of_models_come_from_file_and_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = '[models.providers.one.prices."a.b"]\ninput_per_million = 1.0\noutput_per_million = 2.0\n'
    write(folder, f'[models.providers.one]\nbase_url = "http://h"\n{prices}')
    monkeypatch.setenv("CAXTON_MODELS__PROVIDERS__TWO__BASE_URL", "http://i")
    loaded = load_settings()
    assert set(loaded.settings.models.providers) == {"one", "two"}
    assert loaded.settings.models.providers["one"].prices["a.b"].output_per_million == 2
    assert loaded.origins["models.providers.one.base_url"] == "caxton.toml:2"
    assert loaded.origins["models.providers.two.base_url"].endswith("__TWO__BASE_URL")


def test_values_that_fit_only_together_are_checked_over_all_sources(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "[temporal]\ntls_ca = 'ca.pem'\n")
    with pytest.raises(InvalidSettings, match=r"temporal\.tls = true"):
        load_settings()
    monkeypatch.setenv("CAXTON_TEMPORAL__TLS", "true")
    assert load_settings().settings.temporal.tls_ca == folder / "ca.pem"


@pytest.mark.requirement("SRV-4")
def test_mistakes_of_all_sources_are_told_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "port = 'x'\n[log]\nlevel = 'loud'\n")
    monkeypatch.setenv("CAXTON_METRICS_PORT", "x")
    with pytest.raises(InvalidSettings) as caught:
        load_settings({"temporal.address": "nowhere"})
    files = [problem["file"] for problem in caught.value.details["problems"]]
    assert files[:2] == ["caxton.toml", "caxton.toml"]
    assert sorted(files[2:]) == ["environment CAXTON_METRICS_PORT", "flag --temporal-address"]


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAXTON_PORT", "")
    assert load_settings().origins["port"] == "default"


def test_loading_settings_loads_no_engine_no_web_framework_and_no_model_library(folder: Path) -> None:
    heavy = ("temporalio", "fastapi", "pydantic_ai", "sqlalchemy", "wasmtime", "httpx", "jinja2")
    code = (
        "import sys; from caxton.runtime.settings_sources import load_settings; load_settings();"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert shown.stdout.strip() == "[]"
