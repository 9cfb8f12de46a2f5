"""`caxton mcp install` changes one entry of a client's configuration, and never writes a key."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunCli

KEY = "cx_this-is-the-key"


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, above its project; the key is in the environment."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent / ".config"))
    monkeypatch.setenv("CAXTON_URL", "http://127.0.0.1:18099")
    monkeypatch.setenv("CAXTON_API_KEY", KEY)
    monkeypatch.setenv("CAXTON_WORKSPACE", "shop")
    monkeypatch.setattr("sys.platform", "linux")
    return folder.parent


PLACES = {
    "cursor": (".cursor/mcp.json", "mcpServers", "${env:CAXTON_API_KEY}"),
    "vscode": ("here/.vscode/mcp.json", "servers", "${env:CAXTON_API_KEY}"),
    "claude-code": ("here/.mcp.json", "mcpServers", "${CAXTON_API_KEY}"),
}


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("client", PLACES)
def test_an_entry_refers_to_the_key_of_the_environment(offline_cli: RunCli, home: Path, client: str) -> None:
    place, servers, reference = PLACES[client]
    file = home / place
    file.parent.mkdir(parents=True, exist_ok=True)
    other = {"command": "other", "env": {"TOKEN": "of the other one"}}
    file.write_text(json.dumps({servers: {"other": other}, "setting": 1}, indent=4))
    file.chmod(0o600)
    done = offline_cli("mcp", "install", client, "--yes")
    assert done.code == 0, done.err
    assert "+" in done.out
    assert KEY not in done.out
    found = json.loads(file.read_text())
    assert (found["setting"], found[servers]["other"]) == (1, other)
    entry: dict[str, Any] = found[servers]["caxton"]
    assert entry["args"][-5:] == ["mcp", "--url", "http://127.0.0.1:18099", "--workspace", "shop"]
    assert entry["env"] == {"CAXTON_API_KEY": reference}
    assert Path(entry["command"]).is_absolute()
    assert KEY not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith('{\n    "')
    again = offline_cli("mcp", "install", client, "--yes")
    assert "has it already" in again.out


@pytest.mark.requirement("FAC-1")
def test_claude_gets_a_file_with_the_key(offline_cli: RunCli, home: Path) -> None:
    file = home / ".config/Claude/claude_desktop_config.json"
    refused = offline_cli("mcp", "install", "claude", "--yes")
    assert refused.code != 0
    assert "--key-file FILE" in refused.err
    assert not file.exists()
    (home / "key").write_text(KEY)
    done = offline_cli("mcp", "install", "claude", "--yes", "--key-file", str(home / "key"), "--name", "shop agents")
    assert done.code == 0, done.err
    entry = json.loads(file.read_text())["mcpServers"]["shop agents"]
    assert entry["args"][-2:] == ["--key-file", str(home / "key")]
    assert "env" not in entry
    assert KEY not in file.read_text()


@pytest.mark.requirement("FAC-1")
def test_nothing_is_written_without_consent_or_over_what_is_not_understood(
    offline_cli: RunCli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def no(text: str, **options: Any) -> bool:
        asked.append(text)
        return False

    monkeypatch.setattr("typer.confirm", no)
    assert offline_cli("mcp", "install", "cursor").code == 1
    assert asked == ["Write this?"]
    file = home / ".cursor/mcp.json"
    assert not file.exists()
    file.parent.mkdir()
    commented = '{\n  // mine\n  "mcpServers": {}\n}\n'
    file.write_text(commented)
    refused = offline_cli("mcp", "install", "cursor", "--yes")
    assert refused.code != 0
    assert "is not touched" in refused.err
    assert '"caxton": {' in refused.err
    assert file.read_text() == commented
    unknown = offline_cli("mcp", "install", "emacs")
    assert "claude, claude-code, cursor, vscode" in unknown.err


@pytest.mark.parametrize(
    ("kind", "why"), [("missing", "no such file"), ("folder", "a folder"), ("empty", "empty"), ("binary", "not text")]
)
def test_a_key_file_that_is_none_is_told_in_words(tmp_path: Path, kind: str, why: str) -> None:
    file = tmp_path / "key"
    if kind == "folder":
        file.mkdir()
    elif kind != "missing":
        file.write_bytes(b"" if kind == "empty" else b"\xff\xfe\x00")
    for command in (["mcp"], ["mcp", "install", "claude"]):
        where = command if command[-1] == "claude" else ["mcp"]
        done = subprocess.run(
            [sys.executable, "-m", "caxton", *where, "--key-file", str(file)],
            capture_output=True,
            text=True,
            input="",
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert f"--key-file {file}: " in done.stderr.replace("\n", " ")
        assert why in done.stderr
        assert "admin.key" in done.stderr
        assert "Errno" not in done.stderr
