"""Whom a name stands for, where clients of other protocols have one name for capabilities and agents."""

from typing import Final

from pydantic import ValidationError

from caxton.domain.capabilities import CapabilityRequest
from caxton.domain.executions import Target
from caxton.domain.ids import is_name

AGENT: Final = "agent:"
"""With what the name of an agent begins."""


def target_named(name: str) -> Target | None:
    """A capability, with a range of versions perhaps, or an agent as `agent:NAME`; None if it is no such name."""
    if name.startswith(AGENT) and is_name(name.removeprefix(AGENT)):
        return Target(agent=name.removeprefix(AGENT))
    try:
        request = CapabilityRequest.parse(name)
    except ValidationError:
        return None
    return Target(capability=request.name, version_range=request.version_range)
