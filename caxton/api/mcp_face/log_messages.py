"""Steps of turns as log messages, for clients that ask for them: with `logging/setLevel`, since 2026-07-28 with each request."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError
from caxton.api.mcp_face.wire import Call, notification
from caxton.api.services import Services
from caxton.service.context import Caller

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"
MOST_SESSIONS: Final = 10_000

_levels = OrderedDict[tuple[str, str], str]()
"""What sessions of older revisions have set, by principal. Another replica does not know of it, and sends none: it is the one
thing that a session keeps in a process, for the revision 2026-07-28 names the level in each request."""


async def set_level(caller: Caller, services: Services, call: Call) -> dict[str, Any]:  # noqa: ARG001 - as the others
    """Answers `logging/setLevel`.

    Raises:
        RpcError: there is no such level.
    """
    level = call.text("level", 20)
    if level not in LEVELS:
        raise RpcError(INVALID_PARAMS, f'"level" has to be one of {", ".join(LEVELS)}')
    if call.session is not None:
        _levels[caller.principal, call.session.name] = level
        _levels.move_to_end((caller.principal, call.session.name))
        while len(_levels) > MOST_SESSIONS:
            _levels.popitem(last=False)
    return {}


def level_of(caller: Caller, call: Call) -> str | None:
    """The least level of messages that a request wants; None where it wants none."""
    if call.modern:
        wanted = call.meta.get(LEVEL_KEY)
        return wanted if isinstance(wanted, str) and wanted in LEVELS else None
    return _levels.get((caller.principal, call.session.name)) if call.session is not None else None


def log_message(step: Mapping[str, Any], least: str) -> dict[str, Any] | None:
    """The message that tells a step; None where it is of less than the level `least`."""
    level = "info" if step.get("ok", True) else "warning"
    if step.get("kind") == "approval":
        level = "notice"
    if LEVELS.index(level) < LEVELS.index(least):
        return None
    params = {"level": level, "logger": str(step.get("agent") or "caxton"), "data": dict(step)}
    return notification("notifications/message", params)
