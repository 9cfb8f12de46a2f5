"""Finding the server and the key.

What is given explicitly wins over the environment, that over `caxton.toml`, that over what a running server has left in
the data folder; the last resort is the default address.
"""

import json
import os
import re
import tomllib
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from caxton.domain.errors import InvalidSettings, NotAuthenticated
from caxton.domain.ids import DEFAULT_WORKSPACE

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT = "the default"
KEY_VARIABLE = "CAXTON_API_KEY"
SERVER_FILE = "server.json"
_KEY = re.compile(r"[\x21-\x7e]{1,512}")
KEY_FILE = "admin.key"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect to and as whom."""

    url: str
    api_key: str | None
    workspace: str = DEFAULT_WORKSPACE
    url_from: str = DEFAULT
    """For messages: where the URL was found."""
    key_from: str | None = None


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What a server has written into its data folder."""

    url: str
    pid: int
    ui_url: str | None = None
    metrics_url: str | None = None
    started_at: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether a process with its id exists."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True


def running_server(data_dir: Path) -> RunningServer | None:
    """The server that runs, or ran last, on `data_dir`."""
    try:
        found = json.loads((data_dir / SERVER_FILE).read_text())
        return RunningServer(
            found["url"], int(found["pid"]), found.get("ui_url"), found.get("metrics_url"), found.get("started_at")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def admin_key(data_dir: Path) -> str | None:
    """The key that the server made for the user who owns `data_dir`."""
    try:
        return (data_dir / KEY_FILE).read_text().strip() or None
    except OSError:
        return None


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def discover(
    url: str | None = None,
    api_key: str | None = None,
    workspace: str | None = None,
    data_dir: Path | None = None,
    config: Path | None = None,
) -> Connection:
    """Finds what is not given. The admin key of a data folder goes to servers on this machine only.

    Raises:
        InvalidSettings: `caxton.toml` is not valid TOML, or what it says on the connection is of the wrong type.
        NotAuthenticated: what is given as a key cannot be one.
    """
    file = _read_config(config)
    server, server_from = _first((url, "the caller"), (os.environ.get("CAXTON_URL"), "CAXTON_URL"), file.server)
    key, key_from = _first((api_key, "the caller"), (os.environ.get(KEY_VARIABLE), KEY_VARIABLE))
    name, _ = _first((workspace, ""), (os.environ.get("CAXTON_WORKSPACE"), ""), (file.workspace, ""))
    environment_folder = os.environ.get("CAXTON_DATA_DIR")
    folder = data_dir or (Path(environment_folder) if environment_folder else file.data_dir) or _default_data_dir()
    folder = folder.expanduser()
    running = running_server(folder)
    if server is None and running:
        server, server_from = running.url, str(folder / SERVER_FILE)
    elif server is None:
        server, server_from = DEFAULT_URL, DEFAULT
    server = server.rstrip("/")
    if key is not None and not _KEY.fullmatch(key):
        raise NotAuthenticated(
            f"the API key from {key_from} is not a key: it has characters that no key has",
            "copy it again; keys begin with cx_",
        )
    if key is None and is_loopback(server):
        key, key_from = admin_key(folder), str(folder / KEY_FILE)
    return Connection(server, key, name or DEFAULT_WORKSPACE, server_from, key_from if key else None)


@dataclass(frozen=True, slots=True)
class _ConfigFile:
    """What a `caxton.toml` says on the connection."""

    server: tuple[str | None, str] = (None, "")
    workspace: str | None = None
    data_dir: Path | None = None


def _first(*candidates: tuple[str | None, str]) -> tuple[str | None, str]:
    return next((candidate for candidate in candidates if candidate[0]), (None, ""))


def _read_config(config: Path | None) -> _ConfigFile:
    file = _find_config(config)
    if file is None:
        return _ConfigFile()
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{file} cannot be used: {error}") from None
    table: Any = found.get("workspace", {})
    values = {"data_dir": found.get("data_dir")}
    for key in ("server", "name"):
        values[key] = cast("dict[str, Any]", table).get(key) if isinstance(table, dict) else table
    for key, value in values.items():
        if value is not None and not isinstance(value, str):
            raise InvalidSettings(f'{file}: "{key}" must be text')
    folder = file.parent / Path(str(values["data_dir"])).expanduser() if values["data_dir"] else None
    return _ConfigFile((values["server"], str(file)), values["name"], folder)


def _find_config(config: Path | None) -> Path | None:
    """The file that is named, or the nearest `caxton.toml`."""
    named = os.environ.get("CAXTON_CONFIG")
    if config or named:
        return config or Path(str(named)).expanduser()
    here = Path.cwd()
    return next(
        (folder / "caxton.toml" for folder in (here, *here.parents) if (folder / "caxton.toml").is_file()), None
    )


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("caxton")
