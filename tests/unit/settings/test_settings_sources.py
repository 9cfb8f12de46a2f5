"""Flags, environment, file and defaults, joined with an account of where each value comes from."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.errors import InvalidSettings
from caxton.domain.problems import Problem
from caxton.runtime.settings_sources import LoadedSettings, find_config, flag, load_settings, mask, variable


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and an environment without settings."""
    for name in [name for name in os.environ if name.startswith("CAXTON_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(**flags: Any) -> list[Problem]:
    """What is wrong with the settings."""
    with pytest.raises(InvalidSettings) as caught:
        load_settings(flags)
    return [Problem.model_validate(problem) for problem in caught.value.details["problems"]]


def value(loaded: LoadedSettings, name: str) -> tuple[Any, str]:
    """A value and where it comes from."""
    return loaded.values()[name], loaded.origins[name]


def test_without_any_source_everything_has_a_default() -> None:
    loaded = load_settings()
    assert loaded.file is None
    assert value(loaded, "port") == (8080, "default")
    assert value(loaded, "metrics_port") == (9090, "default")
    assert set(loaded.origins.values()) == {"default"}
    assert set(loaded.origins) == set(loaded.values())


@pytest.mark.requirement("SRV-4")
def test_flags_win_over_the_environment_and_that_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "caxton.toml").write_text("port = 1\n[temporal]\nnamespace = 'file'\n[log]\nlevel = 'error'\n")
    assert value(load_settings(), "port") == (1, "caxton.toml:1")
    monkeypatch.setenv("CAXTON_PORT", "2")
    monkeypatch.setenv("CAXTON_TEMPORAL__NAMESPACE", "environment")
    loaded = load_settings({"port": 3, "temporal.namespace": None})
    assert value(loaded, "port") == (3, "flag --port")
    assert value(loaded, "temporal.namespace") == ("environment", "environment CAXTON_TEMPORAL__NAMESPACE")
    assert value(loaded, "log.level") == ("error", "caxton.toml:5")


@pytest.mark.requirement("SRV-4")
def test_the_nearest_file_above_is_read_unless_one_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    (folder / "caxton.toml").write_text("port = 1\n")
    assert find_config(below) == folder / "caxton.toml"
    other = folder / "other.toml"
    other.write_text("port = 2\n")
    assert load_settings(start_folder=below).settings.port == 1
    assert load_settings(start_folder=below, config=other).settings.port == 2
    monkeypatch.setenv("CAXTON_CONFIG", str(other))
    assert load_settings(start_folder=below).settings.port == 2


def test_a_file_that_is_named_must_exist(folder: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings(config=folder / "nothing.toml")


def test_paths_in_the_file_count_from_the_file(folder: Path) -> None:
    below = folder / "agents"
    below.mkdir()
    (folder / "caxton.toml").write_text('data_dir = "data"\n[tools]\nallowed_paths = ["shared", "/srv"]\n')
    settings = load_settings(start_folder=below).settings
    assert settings.data_dir == folder / "data"
    assert settings.tools.allowed_paths == [folder / "shared", Path("/srv")]


@pytest.mark.requirement("SRV-4")
@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('port = "many"\n', 1, 8, '"port" must be'),
        ("\nport = true\n", 2, 8, "must be a number"),
        ("port = 99999\n", 1, 8, "65535"),
        ("# one\n# two\nprot = 1\n", 3, 1, 'unknown key "prot"'),
        ('[log]\nlevel = "loud"\n', 2, 9, '"level" must be'),
        ("[logs]\n", 1, 2, '"logs"'),
        ("log = 5\n", 1, 7, '"log" must be a table'),
        ('[temporal]\naddress = "nowhere"\n', 2, 11, "host:port"),
        ('[limits]\ncontent_bytes = "16 potatoes"\n', 2, 17, '"content_bytes" must be a size'),
        ('[store]\nurl = "mysql://x/y"\n', 2, 7, ""),
        ("port = 1\nport = 2\n", 2, 1, "given twice"),
        ("[log\n", 1, 1, ""),
        ('url = "http://127.0.0.1:1"\n', 1, 1, '"url"'),
    ],
)
def test_each_mistake_in_the_file_has_line_column_and_message(
    folder: Path, text: str, line: int, column: int, message: str
) -> None:
    (folder / "caxton.toml").write_text(text)
    (problem,) = problems()
    assert (problem.file, problem.line, problem.column) == ("caxton.toml", line, column)
    assert message in f"{problem.message} {problem.hint}"


@pytest.mark.requirement("SRV-4")
def test_all_mistakes_of_the_file_come_at_once(folder: Path) -> None:
    (folder / "caxton.toml").write_text('prot = 1\nmetrics_port = -1\n[log]\nlevel = "loud"\n')
    assert [problem.line for problem in problems()] == [1, 2, 4]


@pytest.mark.requirement("SRV-4")
@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("CAXTON_PORT", "many", "is not a whole number"),
        ("CAXTON_PORT", "70000", "must be at most 65535"),
        ("CAXTON_LOG__LEVEL", "loud", "is not one of"),
        ("CAXTON_TEMPORAL__TLS", "perhaps", "is neither"),
        ("CAXTON_TEMPORAL__ADDRESS", "nowhere", "host:port"),
        ("CAXTON_TOOLS__ALLOWED_PATHS", "[", "is not valid JSON"),
        ("CAXTON_LIMITS__WAITNG", "5", "CAXTON_LIMITS__WAITING"),
        ("CAXTON_PROT", "8080", 'did you mean "CAXTON_PORT"?'),
        ("CAXTON_PORT", "tcp://10.0.0.1:8080", "Kubernetes"),
        ("CAXTON_WORKSPACE", "My Workspace", "is not a valid name"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, told: str
) -> None:
    monkeypatch.setenv(name, given)
    (problem,) = problems()
    assert problem.file == f"environment {name}"
    assert told in f"{problem.message} {problem.hint}"


def test_a_mistake_in_a_flag_names_the_flag() -> None:
    (problem,) = problems(**{"temporal.address": "nowhere"})
    assert problem.file == "flag --temporal-address"


@pytest.mark.parametrize("name", ["CAXTON_SERVICE_HOST", "CAXTON_PORT_8080_TCP", "CAXTON_MY_OWN_THING"])
def test_variables_of_others_do_no_harm(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    load_settings()


def test_values_that_do_not_go_together_are_told(folder: Path) -> None:
    (folder / "caxton.toml").write_text('[temporal]\ntls = true\ntls_cert = "client.pem"\n')
    (problem,) = problems()
    assert problem.message == "temporal.tls_cert needs temporal.tls_key as well"
    (problem,) = problems(**{"temporal.tls": False, "temporal.tls_key": "client.key"})
    assert problem.message == "temporal.tls_cert needs temporal.tls = true"


@pytest.mark.requirement("SEC-4")
def test_an_api_key_does_not_belong_in_a_file_and_is_never_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "caxton.toml").write_text('api_key = "cx_secret"\n')
    (problem,) = problems()
    assert "CAXTON_API_KEY" in str(problem.hint)
    assert "cx_secret" not in problem.message
    (folder / "caxton.toml").write_text("")
    monkeypatch.setenv("CAXTON_API_KEY", "cx_secret")
    loaded = load_settings()
    assert loaded.settings.api_key is not None
    assert "cx_secret" not in repr(loaded.values())
    assert "cx_secret" not in repr(loaded.settings)


@pytest.mark.requirement("SEC-4")
def test_wrong_values_near_a_secret_do_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAXTON_STORE__URL", "mysql://user:hunter2@db/x")
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value.report().model_dump())


@given(
    user=st.text("abcdefghij", min_size=1),
    password=st.text("klmnopqrst:@", min_size=6),
    host=st.text("uvwxyz", min_size=1),
)
def test_passwords_in_addresses_are_masked(user: str, password: str, host: str) -> None:
    shown = mask("store.url", f"postgresql://{user}:{password}@{host}/db")
    assert password not in shown
    assert shown == f"postgresql://{user}:********@{host}/db"


def test_every_setting_has_a_variable_that_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that messages and the reference give are those that work."""
    loaded = load_settings()
    for name, default in loaded.values().items():
        if isinstance(default, int) and not isinstance(default, bool) and default > 1:
            with monkeypatch.context() as context:
                context.setenv(variable(name), str(default - 1))
                assert value(load_settings(), name) == (default - 1, f"environment {variable(name)}")


def test_flags_are_called_as_the_commands_call_them() -> None:
    assert flag("data_dir") == "--data-dir"
    assert flag("temporal.address") == "--temporal-address"
    assert flag("temporal.namespace") == "--namespace"
