"""A normal stop with open streams is quiet: they end, and nobody is told of errors. And the data folder may have any name."""

import threading
from pathlib import Path

import httpx
import pytest

from tests.conftest import start_server, stop_server


@pytest.mark.slow
def test_open_streams_end_quietly_with_the_server(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data")
    ends: list[str] = []
    begun = threading.Barrier(4)

    def listen() -> None:
        with server.client() as client, client.stream("GET", "/v1/events/tail") as stream:
            begun.wait(30)
            try:
                for _ in stream.iter_raw():
                    pass
                ends.append("whole")
            except httpx.HTTPError as error:
                ends.append(type(error).__name__)

    listeners = [threading.Thread(target=listen) for _ in range(3)]
    for listener in listeners:
        listener.start()
    begun.wait(30)
    assert stop_server(process) == 0
    for listener in listeners:
        listener.join(30)
    log = (server.data_dir / "serve.log").read_text()
    assert ends == ["whole"] * 3
    assert "Traceback" not in log
    assert '"level": "error"' not in log.replace('":"', '": "')


@pytest.mark.slow
def test_a_data_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a#b?c%20d é&;" / "data"
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.chdir(outside)
    for start in range(2):
        process, server = start_server(folder)
        try:
            with server.client() as client:
                if start == 0:
                    client.post("/v1/memory", json={"name": "a", "text": "tea"}).raise_for_status()
                assert [each["observations"] for each in client.get("/v1/memory").json()["memories"]] == [["tea"]]
        finally:
            assert stop_server(process) == 0
    databases = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.db")}
    assert {Path(name).parent.as_posix() for name in databases if name.endswith(("temporal.db", "caxton.db"))} == {
        folder.relative_to(tmp_path).as_posix()
    }
