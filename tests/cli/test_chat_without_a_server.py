"""`caxton chat` while the server goes away and comes back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, RunCli
from tests.cli.terminal import Terminal
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.deploying import ECHO, write_files
from tests.support.ports import free_port


class Own:
    """A server of the test's own, on a port that stays."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.server: RunningServer
        self.start()

    def start(self) -> None:
        """Starts it, again."""
        self.process, self.server = start_server(self.data_dir, "--port", str(self.port))

    def stop(self) -> None:
        """Stops it as Ctrl-C does."""
        stop_server(self.process)


@pytest.fixture
def own(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    server = Own(tmp_path / "server")
    monkeypatch.setenv("CAXTON_DATA_DIR", str(server.data_dir))
    monkeypatch.setenv("CAXTON_URL", server.server.url)
    monkeypatch.setenv("CAXTON_API_KEY", server.server.api_key)
    yield server
    server.stop()


@pytest.mark.requirement("MSG-5")
def test_a_message_waits_for_a_server_that_is_away(own: Own, offline_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(ECHO))
    assert offline_cli("deploy").code == 0
    terminal = Terminal("chat", "echo", cwd=folder, env=dict(os.environ))
    terminal.wait_for("you ›")
    terminal.type("one\r")
    terminal.wait_for("you said: one")
    terminal.wait_for("you ›")
    own.stop()
    terminal.type("/history\r")
    terminal.wait_for("does not answer")
    terminal.wait_for("you ›")
    terminal.type("two\r")
    terminal.wait_for("The server does not answer. Nothing is lost")
    own.start()
    terminal.wait_for("The server is back.", seconds=60)
    terminal.wait_for("you said: two", seconds=60)
    terminal.wait_for("you ›")
    own.stop()
    terminal.type("three\r")
    terminal.wait_for("The server does not answer. Nothing is lost")
    terminal.type("\x03")
    terminal.wait_for("may not have arrived")
    terminal.wait_for("three")  # it stands in the prompt again
    terminal.type("\x03")
    terminal.wait_for("/quit or Ctrl-D leaves, /end")
    terminal.wait_for("you ›")
    terminal.type("\x04")
    assert terminal.finish() == 0
    assert "The conversation stays open: caxton chat --resume c_" in terminal.text
    assert "Traceback" not in terminal.text
    own.start()
    (conversation,) = offline_cli("conversation", "list", "--json").data["conversations"]
    assert conversation["message_count"] == 4

    resumed = Terminal("chat", "--resume", conversation["id"], cwd=folder, env=dict(os.environ))
    resumed.wait_for("you said: two")  # what was said last
    resumed.wait_for("you ›")
    resumed.type("/end\r")
    assert resumed.finish() == 0


def test_from_a_pipe_the_way_back_is_named(
    own: Own, offline_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(folder, dict(ECHO))
    assert offline_cli("deploy").code == 0

    class Stdin:
        """One line, and another one when the server is gone."""

        lines = 0

        def isatty(self) -> bool:
            return False

        def readline(self) -> str:
            self.lines += 1
            if self.lines == 2:
                own.stop()
            return "hello\n"

    monkeypatch.setattr("sys.stdin", Stdin())
    talked: Outcome = offline_cli("chat", "echo")
    assert talked.code == 5
    assert "you said: hello" in talked.out
    assert "caxton chat --resume c_" in talked.err
