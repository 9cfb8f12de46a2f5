"""`caxton config`: every value and where it comes from."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli


@pytest.mark.requirement("SRV-4")
def test_show_tells_where_each_value_comes_from(
    offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "caxton.toml").write_text('host = "0.0.0.0"\n\n[log]\nlevel = "debug"\n')
    monkeypatch.setenv("CAXTON_PORT", "18080")
    settings = offline_cli("config", "show", "--json").data["settings"]
    assert settings["host"] == {"value": "0.0.0.0", "from": "caxton.toml:1"}
    assert settings["log.level"] == {"value": "debug", "from": "caxton.toml:4"}
    assert settings["port"] == {"value": 18080, "from": "environment CAXTON_PORT"}
    assert settings["metrics_port"] == {"value": 9090, "from": "default"}
    table = offline_cli("config", "show").out
    assert "environment CAXTON_PORT" in table
    assert len(table.splitlines()) == len(settings)


def test_sizes_and_times_have_units(offline_cli: RunCli) -> None:
    shown = {line.split()[0]: line.rsplit("  ", 1)[0] for line in offline_cli("config", "show").out.splitlines()}
    for name, value in {
        "tools.limits.memory": "128 MB",
        "tools.limits.wall_time": "5 s",
        "tools.limits.fuel": "5000000000",
        "limits.free_disk": "32 MB",
        "models.rate_limit_wait": "20 s",
        "deployments.drain": "7 d",
        "breaker.failures": "10",
        "tools.mcp_idle": "5 min",
    }.items():
        assert shown[name].removeprefix(name).strip() == value


@pytest.mark.requirement("SRV-4")
def test_secrets_are_masked(offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAXTON_API_KEY", "cx_very_secret")
    monkeypatch.setenv("CAXTON_STORE__URL", "postgresql://caxton:hunter2@db/caxton")
    for outcome in (offline_cli("config", "show"), offline_cli("config", "show", "--json")):
        assert outcome.code == 0
        assert "cx_very_secret" not in outcome.out
        assert "hunter2" not in outcome.out
        assert "postgresql://caxton:" in outcome.out


@pytest.mark.requirement("SRV-4")
def test_path_names_the_file_that_is_read(offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offline_cli("config", "path", "--json").data["file"] is None
    (folder / "caxton.toml").write_text("")
    below = folder / "agents"
    below.mkdir()
    monkeypatch.chdir(below)
    assert offline_cli("config", "path", "--json").data["file"] == str(folder / "caxton.toml")


@pytest.mark.requirement("SRV-4")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port = 70000\n", "caxton.toml:1:8:"),
        ("prot = 8080\n", 'did you mean "port"?'),
        ("port = 8080\nport = 8081\n", "caxton.toml:2:1:"),
        ('[log]\nlevel = "loud"\n', "caxton.toml:2:9:"),
        ("port = \n", "caxton.toml:1:1:"),
        ('api_key = "cx_secret"\n', "CAXTON_API_KEY"),
    ],
)
def test_a_wrong_file_is_told_with_line_and_column(offline_cli: RunCli, folder: Path, text: str, told: str) -> None:
    (folder / "caxton.toml").write_text(text)
    outcome = offline_cli("config", "show")
    assert outcome.code == 3
    assert outcome.out == ""
    assert told in outcome.err
    assert "│" in outcome.err
    assert "cx_secret" not in outcome.err.replace(text.strip(), "")
    as_json = offline_cli("config", "show", "--json").error
    assert as_json["code"] == "invalid_settings"
    assert as_json["details"]["problems"][0]["file"] == "caxton.toml"


@pytest.mark.requirement("SRV-4")
def test_the_schema_is_for_editors(offline_cli: RunCli) -> None:
    schema = json.loads(offline_cli("config", "schema").out)
    assert schema["title"] == "caxton.toml"
    assert not schema["additionalProperties"]
    assert "description" in schema["properties"]["port"]
