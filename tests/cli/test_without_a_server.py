"""The light installation, command line and client: what works, and what it says of the parts that it lacks."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.support.deploying import ECHO, write_files
from tests.support.without_extras import run_without

LIGHT = ["server", "memory", "postgres", "qdrant", "keyring"]


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200"}


@pytest.mark.parametrize("command", ["serve", "api", "worker"])
def test_a_server_that_is_not_installed_is_told_with_the_command_that_installs_it(
    environment: dict[str, str], command: str
) -> None:
    done = run_without(LIGHT, command, env=environment)
    assert done.returncode == 5
    assert "error: this installation has no server: it is the command line and the Python client" in done.stderr
    assert "pip install" in done.stderr
    assert "[server]'" in done.stderr
    assert "--url or CAXTON_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_lacks_of_a_server_is_named(environment: dict[str, str]) -> None:
    done = run_without(["memory"], "serve", "--json", "--data-dir", "/dev/null/x", env=environment)
    assert json.loads(done.stderr)["error"]["code"] != "not_installed", "a server needs no memory"
    broken = run_without(LIGHT, "serve", "--json", env=environment)
    error = json.loads(broken.stderr)["error"]
    assert error["code"] == "not_installed"
    assert error["details"]["extra"] == "server"
    assert "wasmtime" in error["details"]["missing"]


def test_what_needs_no_server_works(folder: Path, environment: dict[str, str]) -> None:
    for arguments in (
        ["--help"],
        ["init", "data-analyzer", "--template", "data-analyzer", "--yes"],
        ["validate"],
        ["config", "show"],
        ["encryption", "generate"],
        ["tool", "init", "counter", "--language", "python"],
        ["completion", "bash"],
    ):
        done = run_without(LIGHT, *arguments, env=environment)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)


def test_mistakes_are_found_and_what_was_meant_is_offered(folder: Path, environment: dict[str, str]) -> None:
    write_files(
        folder,
        {"agents/a.toml": 'name = "a"\nversion = "1.0.0"\ncapabilites = [{ name = "x" }]\nscript = "a.script.toml"\n'},
    )
    done = run_without(LIGHT, "validate", env=environment)
    assert done.returncode == 3
    assert 'did you mean "capabilities"?' in done.stderr


def test_a_server_that_does_not_answer_is_not_to_be_started_here(environment: dict[str, str]) -> None:
    done = run_without(LIGHT, "agent", "list", env=environment)
    assert "name the server with --url or CAXTON_URL, or install one" in done.stderr
    assert "start it: caxton serve" not in done.stderr


def test_all_of_the_way_to_an_answer_works_against_a_server_elsewhere(
    caxton_server: RunningServer, workspace: str, folder: Path, environment: dict[str, str]
) -> None:
    environment |= {
        "CAXTON_URL": caxton_server.url,
        "CAXTON_API_KEY": caxton_server.api_key,
        "CAXTON_WORKSPACE": workspace,
    }
    write_files(folder, dict(ECHO))
    for arguments in (
        ["status"],
        ["deploy"],
        ["ask", "echo", "hello"],
        ["capabilities"],
        ["events", "verify"],
        ["memory", "list"],
        ["health"],
        ["version"],
    ):
        done = run_without(LIGHT, *arguments, env=environment)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
