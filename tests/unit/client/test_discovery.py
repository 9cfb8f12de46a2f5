"""Where the client finds the server and the key."""

import json
import os
from pathlib import Path

import pytest

from caxton.client.discovery import DEFAULT_URL, discover, is_loopback, running_server
from caxton.domain.errors import InvalidInput, InvalidSettings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no settings of this machine."""
    for name in [name for name in os.environ if name.startswith("CAXTON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CAXTON_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def announce(folder: Path, url: str, pid: int | None = None) -> None:
    (folder / "data/server.json").write_text(json.dumps({"url": url, "pid": pid or os.getpid()}))
    (folder / "data/admin.key").write_text("cx_local\n")


def test_without_anything_it_is_the_default_address_and_no_key() -> None:
    found = discover()
    assert (found.url, found.api_key, found.workspace) == (DEFAULT_URL, None, "default")


def test_a_server_on_the_data_folder_is_found_with_its_key(folder: Path) -> None:
    announce(folder, "http://127.0.0.1:1234")
    found = discover()
    assert (found.url, found.api_key) == ("http://127.0.0.1:1234", "cx_local")
    assert found.url_from.endswith("server.json")
    assert found.key_from is not None
    assert found.key_from.endswith("admin.key")


def test_explicit_wins_over_environment_over_file_over_data_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(folder, "http://127.0.0.1:1")
    (folder / "here/caxton.toml").write_text('[workspace]\nname = "filed"\nserver = "http://127.0.0.1:2/"\n')
    assert (discover().url, discover().workspace) == ("http://127.0.0.1:2", "filed")
    monkeypatch.setenv("CAXTON_URL", "http://127.0.0.1:3")
    monkeypatch.setenv("CAXTON_WORKSPACE", "environed")
    assert (discover().url, discover().workspace) == ("http://127.0.0.1:3", "environed")
    explicit = discover(url="http://127.0.0.1:4", workspace="said")
    assert (explicit.url, explicit.workspace) == ("http://127.0.0.1:4", "said")


@pytest.mark.requirement("SEC-4")
def test_the_admin_key_of_this_machine_goes_to_no_other_machine(folder: Path) -> None:
    announce(folder, "http://127.0.0.1:1")
    assert discover(url="http://example.com:8080").api_key is None
    assert discover(url="http://127.0.0.1.example.com").api_key is None
    assert discover(url="http://localhost:8080").api_key == "cx_local"
    assert discover(url="http://example.com", api_key="cx_theirs").api_key == "cx_theirs"


@pytest.mark.requirement("SEC-4")
def test_the_admin_key_goes_to_no_address_that_only_a_folder_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "here/caxton.toml"
    announce(folder, "http://127.0.0.1:1234")
    for text in (
        '[workspace]\nserver = "http://127.0.0.1:4321"\n',
        '[workspace]\nserver = "http://localhost:4321"\n',
    ):
        file.write_text(text)
        assert discover().api_key is None, text
        assert discover().is_of_folder
        assert discover(config=file).api_key == "cx_local", "who names the file agrees with it"
    file.write_text('[workspace]\nserver = "http://127.0.0.1:99999"\n')
    with pytest.raises(InvalidInput, match="is not the address of a server"):
        discover()
    named = discover(url="http://127.0.0.1:4321")
    assert (named.api_key, named.is_of_folder) == ("cx_local", False)
    file.write_text('[workspace]\nserver = "http://localhost:1234/"\n')
    assert discover().api_key == "cx_local", "that is where the server of the data folder runs"
    announce(folder, "http://127.0.0.1:1234", pid=2**22 + 1)
    assert discover().api_key is None, "whoever listens there now is another"
    file.write_text("port = 4321\n")
    assert (discover().url, discover().api_key) == ("http://127.0.0.1:4321", None)
    monkeypatch.setenv("CAXTON_PORT", "4321")
    assert discover().api_key == "cx_local"


@pytest.mark.parametrize("text", ["not json", "{}", '{"url": "x"}', '{"url": "x", "pid": "many"}', "[1]"])
def test_a_broken_announcement_is_none(folder: Path, text: str) -> None:
    (folder / "data/server.json").write_text(text)
    assert running_server(folder / "data") is None


def test_the_file_of_a_folder_above_counts_from_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAXTON_DATA_DIR")
    (folder / "caxton.toml").write_text('data_dir = "data"\n')
    announce(folder, "http://127.0.0.1:9")
    assert discover().url == "http://127.0.0.1:9"


@pytest.mark.parametrize("text", ["[workspace", "workspace = 1\n[x]", "[workspace]\nserver = 1", "data_dir = true"])
def test_a_file_that_cannot_be_used_is_an_error_and_not_another_server(folder: Path, text: str) -> None:
    (folder / "here/caxton.toml").write_text(text)
    with pytest.raises(InvalidSettings) as caught:
        discover()
    assert "caxton.toml" in caught.value.message


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
        ("nonsense", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, local: bool) -> None:
    assert is_loopback(url) is local
