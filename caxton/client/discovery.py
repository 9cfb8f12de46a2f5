"""Finding the server and the key.

What is given explicitly wins over the environment, that over `caxton.toml`, that over what a running server has left in
the data folder; the last resort is the default address.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from caxton.domain import surroundings
from caxton.domain.errors import InvalidInput, InvalidSettings, NotAuthenticated
from caxton.domain.ids import DEFAULT_WORKSPACE
from caxton.domain.pasted import clean_key, odd_character

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
    is_of_folder: bool = False
    """Nobody has named the URL but a `caxton.toml` that was found in the current folder or above, which may be anybody's."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The server's own record in its data folder."""

    url: str
    pid: int
    ui_url: str | None = None
    metrics_url: str | None = None
    started_at: str | None = None

    @property
    def is_alive(self) -> bool:
        """True if a process with its id exists."""
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
    """True if `url` names this machine."""
    return surroundings.is_loopback(urlsplit(url).hostname or "")


def discover(
    url: str | None = None,
    api_key: str | None = None,
    workspace: str | None = None,
    data_dir: Path | None = None,
    config: Path | None = None,
) -> Connection:
    """Finds what is not given.

    The admin key of a data folder goes to servers on this machine only, and to the address that a folder's `caxton.toml`
    names only if that is where the server of the data folder runs: such a file may have come with a cloned repository.

    Raises:
        InvalidSettings: `caxton.toml` is not valid TOML, or what it says on the connection is of the wrong type.
        InvalidInput: what is given as an address cannot be one.
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
    if server is None:
        configured = _configured_url(file)
        if running and (running.is_alive or configured is None):
            server, server_from = running.url, str(folder / SERVER_FILE)
        else:
            server, server_from = configured or (DEFAULT_URL, DEFAULT)
    server = server.rstrip("/")
    try:
        _ = urlsplit(server).port
    except ValueError:
        raise InvalidInput(
            f'"{server}" is not the address of a server', "write it as a browser has it: http://127.0.0.1:8080"
        ) from None
    key = clean_key(key) if key is not None else None
    if key is not None and not _KEY.fullmatch(key):
        odd = odd_character(key)
        why = f"it has a character that no key has, {odd}" if odd else "it is empty or far too long"
        raise NotAuthenticated(
            f"the API key from {key_from} is not a key: {why}",
            "copy it again; keys begin with cx_",
        )
    is_of_folder = file.is_found and server_from == file.path and not _same_place(server, running)
    if key is None and is_loopback(server) and not is_of_folder:
        key, key_from = admin_key(folder), str(folder / KEY_FILE)
    return Connection(server, key, name or DEFAULT_WORKSPACE, server_from, key_from if key else None, is_of_folder)


def _same_place(url: str, running: RunningServer | None) -> bool:
    """True if the server of the data folder runs at `url`, by any name of this machine."""
    if running is None or not running.is_alive or not is_loopback(url) or not is_loopback(running.url):
        return False
    try:
        return urlsplit(url).port == urlsplit(running.url).port
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _ConfigFile:
    """The connection settings of a `caxton.toml`."""

    server: tuple[str | None, str] = (None, "")
    workspace: str | None = None
    data_dir: Path | None = None
    host: str | None = None
    port: int | None = None
    path: str = ""
    is_found: bool = False
    """It lies in the current folder or above; nobody has named it."""


def _configured_url(file: _ConfigFile) -> tuple[str, str] | None:
    """Where a server would listen by the settings that name its port, and which of them does; None if none does.

    Raises:
        InvalidSettings: what is given as the port is none.
    """
    given = os.environ.get("CAXTON_PORT")
    if given and not (given.isdecimal() and int(given) < 65_536):
        raise InvalidSettings(f'CAXTON_PORT is "{given[:40]}", which is not a port', "set it to a number up to 65535")
    port, port_from = (int(given), "CAXTON_PORT") if given else (file.port, file.path)
    if not port:
        return None
    host = os.environ.get("CAXTON_HOST") or file.host or "127.0.0.1"
    if host in ("0.0.0.0", "::"):  # noqa: S104 - a server that listens everywhere listens here, too
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}", port_from


def _first(*candidates: tuple[str | None, str]) -> tuple[str | None, str]:
    return next((candidate for candidate in candidates if candidate[0]), (None, ""))


def _read_config(config: Path | None) -> _ConfigFile:
    file = _find_config(config)
    if file is None:
        return _ConfigFile()
    found = _read_toml(file)
    table: Any = found.get("workspace", {})
    values = {"data_dir": found.get("data_dir")}
    for key in ("server", "name"):
        values[key] = cast("dict[str, Any]", table).get(key) if isinstance(table, dict) else table
    for key, value in values.items():
        if value is not None and not isinstance(value, str):
            raise InvalidSettings(f'{file}: "{key}" must be text')
    folder = file.parent / Path(str(values["data_dir"])).expanduser() if values["data_dir"] else None
    port, host = found.get("port"), found.get("host")
    return _ConfigFile(
        (values["server"], str(file)),
        values["name"],
        folder,
        host if isinstance(host, str) else None,
        port if isinstance(port, int) else None,
        str(file),
        is_found=not (config or os.environ.get("CAXTON_CONFIG")),
    )


def _read_toml(file: Path) -> dict[str, Any]:
    """The settings file, read with the same errors as by the server."""
    from caxton.definitions.toml_source import decode_toml, read_toml
    from caxton.domain.problems import Problem

    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be used: {error.strerror or error}") from None
    text = decode_toml(str(file), content)
    source = text if isinstance(text, Problem) else read_toml(str(file), text)
    if isinstance(source, Problem):
        place = f"{source.file}:{source.line}:{source.column}"
        raise InvalidSettings(f"{place}: {source.message}", *([source.hint] if source.hint else []))
    return source.data


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
