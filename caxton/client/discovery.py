"""Finding the server and the key.

What is given explicitly wins over the environment, that over `caxton.toml`, that over what a running server has left in
the data folder; the last resort is the default address.
"""

import json
import os
import tomllib
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from caxton.domain.ids import DEFAULT_WORKSPACE

DEFAULT_URL = "http://127.0.0.1:8080"
SERVER_FILE = "server.json"
KEY_FILE = "admin.key"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect to and as whom."""

    url: str
    api_key: str | None
    workspace: str = DEFAULT_WORKSPACE
    url_from: str = "the default"
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
) -> Connection:
    """Finds what is not given. The admin key of a data folder goes to servers on this machine only."""
    file = _config()
    table = cast("dict[str, Any]", file.get("workspace") or {})
    folder = data_dir or Path(os.environ.get("CAXTON_DATA_DIR") or file.get("data_dir") or _default_data_dir())
    return locate(
        folder.expanduser(),
        url or os.environ.get("CAXTON_URL") or table.get("server"),
        api_key or os.environ.get("CAXTON_API_KEY"),
        workspace or os.environ.get("CAXTON_WORKSPACE") or table.get("name") or DEFAULT_WORKSPACE,
    )


def locate(
    data_dir: Path,
    url: str | None,
    api_key: str | None,
    workspace: str,
    *,
    url_from: str = "settings",
    key_from: str = "CAXTON_API_KEY",
) -> Connection:
    """The connection, with what the data folder tells where `url` or `api_key` is None."""
    running = running_server(data_dir)
    if url is None and running:
        url, url_from = running.url, str(data_dir / SERVER_FILE)
    elif url is None:
        url, url_from = DEFAULT_URL, "the default"
    url = url.rstrip("/")
    if api_key is None and is_loopback(url):
        api_key, key_from = admin_key(data_dir), str(data_dir / KEY_FILE)
    return Connection(url, api_key, workspace, url_from, key_from if api_key else None)


def _config() -> dict[str, Any]:
    """The nearest `caxton.toml`, its paths made absolute; empty if there is none or it is broken."""
    named = os.environ.get("CAXTON_CONFIG")
    here = Path.cwd()
    candidates = [Path(named)] if named else [folder / "caxton.toml" for folder in (here, *here.parents)]
    for file in candidates:
        try:
            found = tomllib.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(found.get("data_dir"), str):
            found["data_dir"] = str(file.parent / Path(found["data_dir"]).expanduser())
        return found
    return {}


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("caxton")
