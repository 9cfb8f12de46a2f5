"""Events of a user's first steps, which need no server: kept in `.caxton/outbox.ndjson`, handed in with the next deployment."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caxton.client import Caxton

FILE = "outbox.ndjson"
MOST = 100
"""Events that are kept; older ones are forgotten."""


def keep(folder: Path, event_type: str, **payload: Any) -> None:
    """Keeps an event; a folder that cannot be written is no reason to fail."""
    from caxton.cli.state import FOLDER
    from caxton.domain.ids import new_id

    event = {"id": new_id("o"), "type": event_type, "at": datetime.now(UTC).isoformat(), "payload": payload}
    target = folder / FOLDER / FILE
    try:
        if not (folder / "caxton.toml").exists():
            return  # no workspace, so nothing will ever be deployed from here
        target.parent.mkdir(exist_ok=True)
        ignore = target.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        with target.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(event) + "\n")
    except OSError:
        return


def hand_in(caxton: "Caxton", folder: Path) -> None:
    """Sends what was kept, and forgets it when the server has it."""
    from caxton.cli.state import FOLDER
    from caxton.domain.errors import CaxtonError

    target = folder / FOLDER / FILE
    try:
        events = [json.loads(line) for line in target.read_text(encoding="utf-8").split("\n") if line][-MOST:]
        if events:
            caxton.tell_first_steps(events)
        target.unlink()
    except (OSError, ValueError, CaxtonError):
        return  # it is told with the next deployment, or not at all
