"""`caxton serve`, as a process: what it says, what it refuses, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caxton.runtime.data_folder import DataFolder
from tests.cli.terminal import Terminal
from tests.conftest import RunningServer

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """An environment in which a server takes nothing that another one uses."""
    return {**os.environ, "CAXTON_PORT": "0", "CAXTON_METRICS_PORT": "0", "CAXTON_ENGINE__UI_PORT": "0"}


@pytest.fixture
def serve(folder: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[Serve]:
    """Starts `caxton COMMAND FLAGS` and kills what is left at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "caxton", *(arguments or ("serve",))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**environment, "CAXTON_DATA_DIR": str(tmp_path / "data"), **variables},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refusal(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and the error of a command that cannot start."""
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, err


@pytest.mark.requirement("SRV-1")
@pytest.mark.requirement("SRV-2")
@pytest.mark.requirement("SRV-5")
def test_serve_shows_each_step_and_where_things_are_and_stops_cleanly(serve: Serve, tmp_path: Path) -> None:
    process = serve()
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if "caxton conversation list" in line:
            break
    assert lines[0].startswith("Caxton ")
    assert lines[0].endswith(f"starting in {tmp_path}/data") or "starting in ~/data" in lines[0]
    for step, line in zip(("workflow engine", "memory", "worker", "API"), lines[1:], strict=False):
        assert line.startswith(f"  ✓ {step}")
        assert line.endswith((" s", " ms")) or step == "memory"
    assert "lancedb" in lines[2]
    facts = json.loads((tmp_path / "data/server.json").read_text())
    assert any(line.startswith("Ready in ") for line in lines)
    places = {line[4:23].strip(): line[24:] for line in lines[-4:]}
    assert places["API, to try out"] == f"{facts['url']}/docs"
    assert places["workflow engine"].split()[0] == facts["ui_url"]  # it shows workflows: conversations are in the log
    assert places["conversations"] == "caxton conversation list"
    assert (tmp_path / "data/admin.key").stat().st_mode & 0o777 == 0o600
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert rest.splitlines()[-1] == "Stopped."
    assert all(json.loads(line)["message"] for line in err.splitlines())  # in a pipe the log is JSON lines
    assert not (tmp_path / "data/server.json").exists()


@pytest.mark.requirement("SRV-1")
@pytest.mark.requirement("SRV-2")
def test_on_a_terminal_the_log_does_not_drown_the_screen(
    environment: dict[str, str], tmp_path: Path, folder: Path
) -> None:
    started = time.perf_counter()
    terminal = Terminal("serve", "--data-dir", str(tmp_path / "data"), cwd=folder, env=environment)
    terminal.wait_for("Caxton ")
    acknowledged = time.perf_counter() - started
    terminal.wait_for("Next: ")
    ready = time.perf_counter() - started
    terminal.type("\x03")
    terminal.process.send_signal(signal.SIGINT)
    terminal.finish()
    assert acknowledged < ready / 2  # benchmarks/cli.py measures it; here other tests run beside it
    assert "caxton init" in terminal.text
    assert len(terminal.text.splitlines()) <= 14, terminal.text


@pytest.mark.requirement("SRV-2")
def test_with_json_every_line_is_an_event(serve: Serve) -> None:
    process = serve("serve", "--json", CAXTON_FLOW__PROVIDERS__OPENIA__MAX_IN_FLIGHT="3")
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "ready":
            break
    assert [event["event"] for event in events] == ["starting", "step", "step", "step", "step", "notice", "ready"]
    assert events[-2]["message"].startswith("the limit flow.providers.openia holds for nothing")
    assert events[-1]["urls"]["api"].startswith("http://")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["stopping", "stopped"]


@pytest.mark.requirement("SRV-2")
def test_a_port_that_is_taken_is_told_with_another_one(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = refusal(serve("serve", "--port", str(port)))
    assert code == 5
    assert f"error: 127.0.0.1:{port} is not available" in err
    assert f"caxton serve --port {port + 1}" in err


@pytest.mark.requirement("SRV-2")
def test_a_metrics_port_that_is_taken_is_told(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = refusal(serve("serve", "--metrics-port", str(port)))
    assert code == 5
    assert str(port) in err
    assert "--metrics-port" in err


@pytest.mark.requirement("SRV-2")
def test_a_data_folder_that_cannot_be_written_is_told(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for place in (file, file / "below", Path("/proc/nothing")):
        code, err = refusal(serve("serve", "--data-dir", str(place)))
        assert code == 5
        assert f"the data folder {place} cannot be written" in err
        assert "caxton serve --data-dir" in err
    assert file.read_text() == "not a folder"


@pytest.mark.requirement("SEC-4")
def test_what_is_in_a_data_folder_is_for_one_user(caxton_server: RunningServer) -> None:
    found = list(caxton_server.data_dir.iterdir())
    assert {"caxton.db", "temporal.db", "blobs"} <= {path.name for path in found}
    private = ("caxton.db", "temporal.db", "blobs", "cache", "memory", "logs")
    for path in found:
        if path.name.startswith(private):
            assert path.stat().st_mode & 0o077 == 0, path.name


@pytest.mark.requirement("SEC-4")
def test_what_an_older_version_left_open_becomes_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "blobs").mkdir(parents=True)
    for name in ("caxton.db", "caxton.db-wal", "temporal.db", "notes.txt"):
        (folder / name).write_text("")
        (folder / name).chmod(0o644)
    for each in (folder, folder / "blobs"):
        each.chmod(0o755)
    opened = DataFolder(folder)
    opened.open()
    opened.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {modes[name] for name in ("caxton.db", "caxton.db-wal", "temporal.db")} == {0o600}
    assert {modes[name] for name in ("blobs", "cache", "memory", "logs")} == {0o700}
    assert modes["notes.txt"] == 0o644, "what is not Caxton's stays as it is"
    folder.chmod(0o770)
    (folder / "caxton.db").chmod(0o664)
    opened.create()
    assert (folder / "caxton.db").stat().st_mode & 0o777 == 0o660, "a folder that a group shares stays the group's"


@pytest.mark.requirement("SRV-2")
def test_a_second_server_on_the_same_data_folder_is_refused(serve: Serve, caxton_server: RunningServer) -> None:
    code, err = refusal(serve("serve", "--data-dir", str(caxton_server.data_dir)))
    assert code == 7
    assert f"another server runs on {caxton_server.data_dir} at {caxton_server.url}" in err
    assert "caxton serve --data-dir" in err
    assert (caxton_server.data_dir / "server.json").exists()


@pytest.mark.requirement("SRV-2")
def test_an_engine_that_is_missing_is_told(serve: Serve) -> None:
    code, err = refusal(serve("serve", CAXTON_ENGINE__BINARY="/nowhere/temporal"))
    assert code == 5
    assert "/nowhere/temporal does not exist" in err
    assert "hint:" in err


@pytest.mark.requirement("SRV-2")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no launcher tells")
def test_an_engine_that_cannot_be_run_is_told(serve: Serve, tmp_path: Path) -> None:
    program = tmp_path / "temporal"
    program.write_text("of another world")
    program.chmod(0o755)
    code, err = refusal(serve("serve", CAXTON_ENGINE__BINARY=str(program)))
    assert code == 5
    assert f"the engine {program} is there, but cannot be run" in err
    assert "CAXTON_ENGINE__BINARY" in err


@pytest.mark.requirement("SRV-2")
def test_a_temporal_service_that_does_not_answer_is_told(serve: Serve, tmp_path: Path) -> None:
    address = "127.0.0.1:1"
    started = [
        serve(command, "--temporal-address", address, "--data-dir", str(tmp_path / command))
        for command in ("serve", "api", "worker")
    ]
    for process in started:
        code, err = refusal(process)
        assert code == 5
        error = err[err.index("error: ") :]
        assert address in error.splitlines()[0]
        assert "hint:" in error


@pytest.mark.requirement("SRV-4")
def test_wrong_flags_and_files_are_told_before_anything_starts(serve: Serve, folder: Path, tmp_path: Path) -> None:
    code, err = refusal(serve("serve", "--temporal-address", "nonsense"))
    assert code == 3
    assert "flag --temporal-address" in err
    (folder / "caxton.toml").write_text('port = 8080\n\n[engine]\nui_prot = 1\nsynchronous = "sometimes"\n')
    code, err = refusal(serve("serve"))
    assert code == 3
    assert 'caxton.toml:4:1: unknown key "ui_prot"' in err
    assert 'did you mean "ui_port"?' in err
    assert "caxton.toml:5:15:" in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_the_parts_alone_need_a_temporal_service(serve: Serve, command: str) -> None:
    code, err = refusal(serve(command))
    assert code == 3
    assert "--temporal-address HOST:PORT" in err


@pytest.mark.requirement("SRV-1")
def test_api_and_worker_run_apart_against_a_temporal_service(
    serve: Serve, caxton_server: RunningServer, tmp_path: Path
) -> None:
    from caxton.client import Caxton

    with Caxton(caxton_server.url, api_key=caxton_server.api_key) as client:
        address = client.server().engine.address
    assert address
    flags = ("--temporal-address", address, "--json")
    variables = {"CAXTON_TEMPORAL__TASK_QUEUE": f"apart-{os.getpid()}"}
    started: list[subprocess.Popen[str]] = []
    for command in ("worker", "api"):
        process = serve(command, *flags, **variables)
        assert process.stdout is not None
        assert any(json.loads(line)["event"] == "ready" for line in process.stdout)
        started.append(process)
    for process in reversed(started):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
