"""Finding the server, and what is told when it is not there or does not let one in."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal
from tests.conftest import RunningServer


@pytest.mark.requirement("SRV-2")
@pytest.mark.requirement("ERR-1")
@pytest.mark.parametrize("command", [["agent", "list"], ["ask", "echo", "hello"], ["health"], ["rollback"]])
def test_a_server_that_does_not_run_is_told_with_the_command_that_starts_it(
    offline_cli: RunCli, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAXTON_URL", "http://127.0.0.1:1")
    outcome = offline_cli(*command)
    assert outcome.code == 5
    lines = outcome.err.splitlines()
    assert lines[0] == "error: the Caxton server at http://127.0.0.1:1 does not answer"
    assert "  hint: start it: caxton serve" in lines
    assert any("CAXTON_URL" in line for line in lines)


@pytest.mark.requirement("ERR-1")
def test_a_wrong_key_is_told_with_where_it_came_from(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAXTON_API_KEY", "cx_wrong")
    outcome = run_cli("agent", "list")
    assert outcome.code == 6
    assert "key" in outcome.err.splitlines()[0]
    assert "the key came from CAXTON_API_KEY" in outcome.err
    assert "cx_wrong" not in outcome.err


def test_a_missing_key_is_told(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAXTON_API_KEY")
    outcome = run_cli("agent", "list")
    assert outcome.code == 6
    assert "no key was found" in outcome.err


def test_server_and_key_are_found_through_the_data_folder(
    offline_cli: RunCli, caxton_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAXTON_DATA_DIR", str(caxton_server.data_dir))
    outcome = offline_cli("health")
    assert outcome.code == 0
    assert caxton_server.url in outcome.out
    assert offline_cli("agent", "list").code == 0


def test_the_admin_key_of_this_machine_never_goes_to_another_one(
    caxton_server: RunningServer, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    from caxton.client.discovery import discover

    monkeypatch.setenv("CAXTON_DATA_DIR", str(caxton_server.data_dir))
    assert discover().api_key == caxton_server.api_key
    assert discover("https://caxton.example.com").api_key is None
    assert discover("https://caxton.example.com", api_key="cx_given").api_key == "cx_given"


def test_flags_win_over_the_environment_and_that_over_the_file(
    run_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch, workspace: str
) -> None:
    (folder / "caxton.toml").write_text('[workspace]\nname = "from-file"\n')
    assert run_cli("config", "show", "--json").data["settings"]["workspace"]["value"] == workspace
    flagged = run_cli("config", "show", "--json", "--workspace", "from-flag").data["settings"]["workspace"]
    assert flagged == {"value": "from-flag", "from": "flag --workspace"}
    monkeypatch.delenv("CAXTON_WORKSPACE")
    from_file = run_cli("config", "show", "--json").data["settings"]["workspace"]
    assert from_file == {"value": "from-file", "from": "caxton.toml:2"}


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is not a Caxton."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html>hello</html>"
            self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_web_server_is_recognised(offline_cli: RunCli, stranger: str) -> None:
    outcome = offline_cli("agent", "list", "--url", stranger)
    assert outcome.code == 5
    assert f"what answers at {stranger} is not a Caxton server" in outcome.err
    assert "--url" in outcome.err


@pytest.mark.parametrize(
    "url", ["foo", "localhost:8080", "ftp://127.0.0.1", "http://[bad", "http://127.0.0.1:notaport"]
)
def test_an_address_that_is_none_is_told_with_how_one_looks(offline_cli: RunCli, url: str) -> None:
    outcome = offline_cli("agent", "list", "--url", url)
    assert outcome.code in (3, 5)
    assert f'"{url}" is not the address of a server' in outcome.err
    assert "http://127.0.0.1:8080" in outcome.err
    assert "Protocol" not in outcome.err, "no words of the library"


def test_what_a_server_that_is_gone_left_behind_is_not_believed(
    offline_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    data = tmp_path / "data"
    data.mkdir()
    (data / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{port}", "pid": 2**22 + 1}))
    monkeypatch.setenv("CAXTON_DATA_DIR", str(data))
    outcome = offline_cli("agent", "list")
    assert outcome.code == 5
    assert "caxton serve" in outcome.err


@pytest.fixture
def collector() -> Iterator[tuple[str, list[str]]]:
    """A server that keeps the keys that it is sent."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", keys
        server.shutdown()
        thread.join()


@pytest.mark.requirement("SEC-4")
def test_a_folder_that_names_a_server_does_not_get_the_admin_key(
    offline_cli: RunCli,
    folder: Path,
    collector: tuple[str, list[str]],
    caxton_server: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, keys = collector
    (folder / "caxton.toml").write_text(
        f'data_dir = "{caxton_server.data_dir}"\n[workspace]\nname = "x"\nserver = "{url}"\n'
    )
    monkeypatch.delenv("CAXTON_DATA_DIR")
    outcome = offline_cli("agent", "list")
    assert outcome.code == 5
    assert keys == [""]


@pytest.mark.requirement("SEC-4")
def test_a_key_goes_to_a_server_that_only_a_file_names_after_the_user_has_agreed(
    folder: Path, tmp_path: Path, collector: tuple[str, list[str]]
) -> None:
    url, keys = collector
    (folder / "caxton.toml").write_text(f'[workspace]\nname = "x"\nserver = "{url}"\n')
    env = {**os.environ, "CAXTON_API_KEY": "cx_mine", "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    refusing = Terminal("agent", "list", cwd=folder, env=env)
    refusing.wait_for("Send it the key?")
    refusing.type("\r")
    assert refusing.finish() == 1
    assert "Nothing was sent." in refusing.text
    assert not keys
    agreeing = Terminal("agent", "list", cwd=folder, env=env)
    assert url in agreeing.wait_for("Send it the key?")
    agreeing.type("y\r")
    agreeing.finish()
    assert keys == ["Bearer cx_mine"]
    again = Terminal("agent", "list", cwd=folder, env=env)
    again.finish()
    assert "Send it the key?" not in again.text
    named = Terminal("agent", "list", "--url", url.replace("127.0.0.1", "localhost"), cwd=folder, env=env)
    named.finish()
    assert "Send it the key?" not in named.text, "the user has named it"
    assert keys[1:] == ["Bearer cx_mine"] * 2
