"""To which servers the user's key may go.

A project's `caxton.toml` names the server, and a project may be anybody's: a cloned repository, an unpacked archive. Before a
key of the user's environment goes for the first time to a server that nobody but such a file has named, the user is asked,
at a terminal. Scripts and pipelines are not asked: their environment was set for them.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from caxton.cli.output import complain, harmless, is_terminal, style

if TYPE_CHECKING:
    from caxton.client.discovery import Connection


def is_known(connection: "Connection") -> bool:
    """Whether the user has named the server of `connection`, or agreed to it before."""
    return not connection.is_of_folder or connection.api_key is None or _origin(connection.url) in _agreed()


def may_have_the_key(connection: "Connection") -> bool:
    """Whether the key may go to the server of `connection`; asks where that is not known."""
    if is_known(connection) or not (is_terminal(sys.stderr) and sys.stdin.isatty()):
        return True
    origin = _origin(connection.url)
    complain(
        f"{style('warning:', 'bold', 'yellow')} {connection.url_from} names the server {harmless(origin)}, "
        f"which {connection.key_from} has not been sent to before"
    )
    if not typer.confirm("Send it the key?", default=False, err=True):
        complain("Nothing was sent.")
        return False
    _agree(origin)
    return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2].lower()}"


def _file() -> Path:
    from platformdirs import user_state_path

    return user_state_path("caxton") / "servers.json"


def _agreed() -> list[str]:
    try:
        found: Any = json.loads(_file().read_text())
        return [str(each) for each in found["servers"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _agree(origin: str) -> None:
    """Remembers the user's consent; where that cannot be written they are asked again."""
    file = _file()
    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({"servers": sorted({*_agreed(), origin})}, indent=1))
        unfinished.replace(file)
    except OSError:
        return
