"""A default model that cannot be used: scripts answer in its place, and everything says so."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import write_files

FILES = {
    name: content.replace('model = "scripted"', 'model = "auto"') if isinstance(content, str) else content
    for name, content in agent("greeter", rules=replies("Hello.")).items()
}


@pytest.fixture(params=["opnai:gpt-5", "openai:gpt-5"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server whose default model has a mistyped provider, or whose key is missing."""
    for name in [name for name in os.environ if name.startswith(("CAXTON_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    process, server = start_server(tmp_path / "data", env={"CAXTON_MODELS__DEFAULT": request.param})
    yield server
    assert stop_server(process) == 0


@pytest.mark.requirement("FAC-4")
def test_a_default_model_that_cannot_be_used_is_told_everywhere(
    server: RunningServer, offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAXTON_URL", server.url)
    monkeypatch.setenv("CAXTON_API_KEY", server.api_key)
    started = (server.data_dir / "serve.log").read_text()
    told = (
        'model opnai:gpt-5 is of an unknown provider, "opnai"'
        if "opnai" in started
        else "model openai:gpt-5 cannot be used: its API key is not set"
    )
    assert told in started
    assert ("did you mean" in started) or ("export OPENAI_API_KEY" in started) or ("set OPENAI_API_KEY" in started)

    write_files(folder, dict(FILES))
    deployed = offline_cli("deploy", "--yes")
    assert deployed.code == 0, deployed.err
    assert f"warning: greeter: {told} (" in deployed.err
    assert "The agent's script answers instead" in deployed.err

    asked = offline_cli("ask", "greeter", "hi")
    assert asked.out.strip() == "Hello."
    assert f"warning: {told}" in asked.err

    listed = offline_cli("agent", "list")
    assert "scripted !" in listed.out
    assert told in listed.err
    assert told in offline_cli("agent", "show", "greeter").out.replace("\n", " ")

    health = offline_cli("health")
    assert health.code == 0
    assert told in health.out
    parts = offline_cli("--json", "health").data["components"]
    assert parts["model"]["status"] == "degraded"
