"""The command line in this process, against the shared server, in a workspace of its own."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from caxton.cli.app import run
from tests.conftest import RunningServer
from tests.support.deploying import ECHO, write_files


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """Its error as JSON."""
        return json.loads(self.err)["error"]


RunCli = Callable[..., Outcome]

BUNDLED_TOOLS = Path(__file__).parents[2] / "caxton/bundled/tools"


def went_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the server that was asked from `folder` had ended: where it was, nobody listens."""
    nowhere = "http://127.0.0.1:1"
    file = folder / ".caxton/state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "url": nowhere}))
    monkeypatch.setenv("CAXTON_URL", nowhere)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one; no settings of the machine reach it."""
    for name in [name for name in os.environ if name.startswith("CAXTON_")]:
        monkeypatch.delenv(name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("CAXTON_DATA_DIR", str(tmp_path / "no-server-here"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return here


@pytest.fixture
def offline_cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Runs `caxton` where no server is configured; checks that no traceback and no colour comes out."""

    def run_cli(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run([*arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err or "--debug" in arguments
        assert "\x1b" not in printed.out + printed.err
        return Outcome(code, printed.out, printed.err)

    return run_cli


@pytest.fixture
def run_cli(
    offline_cli: RunCli, caxton_server: RunningServer, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> RunCli:
    """Runs `caxton` against the shared server, in this test's workspace."""
    monkeypatch.setenv("CAXTON_URL", caxton_server.url)
    monkeypatch.setenv("CAXTON_API_KEY", caxton_server.api_key)
    monkeypatch.setenv("CAXTON_WORKSPACE", workspace)
    return offline_cli


@pytest.fixture
def echo(run_cli: RunCli, folder: Path) -> RunCli:
    """`caxton`, in a workspace whose agent "echo" is deployed."""
    write_files(folder, dict(ECHO))
    assert run_cli("deploy").code == 0
    return run_cli


@pytest.fixture
def charts(run_cli: RunCli) -> RunCli:
    """`caxton`, with the tool "chart-generator" deployed by itself."""
    deployed = run_cli("tool", "deploy", str(BUNDLED_TOOLS / "chart-generator"))
    assert deployed.code == 0, deployed.err
    assert "chart-generator (tool)" in deployed.out
    return run_cli
