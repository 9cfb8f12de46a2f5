"""The cached state of the server, in `.caxton/state.json` of a workspace.

`caxton status` compares with it when the server is off, and the shell completes names from it.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = ".caxton"
FILE = "state.json"
FORMAT = 1


@dataclass
class ServerState:
    """What a workspace on the server had, when it was last asked."""

    workspace: str
    url: str
    fetched_at: str = ""
    components: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Each with kind, name, version, digest, deployed_at (ISO 8601)."""
    capabilities: list[str] = field(default_factory=list[str])
    deployed: dict[str, str] = field(default_factory=dict[str, str])
    """The deployment by which this folder last made each component live, or found it live as it is here, by "kind/name"."""
    format: int = FORMAT

    @property
    def when(self) -> datetime:
        """When the server was asked."""
        return datetime.fromisoformat(self.fetched_at)


def save(folder: Path, state: ServerState) -> None:
    """Remembers `state` in the workspace `folder`; a folder that cannot be written is no reason to fail."""
    state.fetched_at = datetime.now(UTC).isoformat(timespec="seconds")
    target = folder / FOLDER / FILE
    try:
        target.parent.mkdir(exist_ok=True)
        ignore = target.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        unfinished = target.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(asdict(state), indent=1))
        unfinished.replace(target)
    except OSError:
        return


def recall(folder: Path, workspace: str, url: str) -> ServerState | None:
    """What was remembered in the workspace `folder`, if it is of `workspace` at the server `url` and can be read."""
    try:
        found = json.loads((folder / FOLDER / FILE).read_text())
        state = ServerState(**found)
        datetime.fromisoformat(state.fetched_at)
    except (OSError, ValueError, TypeError):
        return None
    return state if (state.format, state.workspace, state.url) == (FORMAT, workspace, url) else None
