"""Whom a name stands for, where clients of other protocols have one name for capabilities and agents."""

from typing import Final

from pydantic import ValidationError

from caxton.domain.capabilities import CapabilityRequest
from caxton.domain.errors import NotFound
from caxton.domain.executions import Target
from caxton.domain.ids import is_name

AGENT: Final = "agent:"
"""With what the name of an agent begins."""


def target_named(name: str, what: str, hint: str, **details: str) -> Target:
    """A capability, with a range of versions perhaps, or an agent as `agent:NAME`.

    Args:
        name: as a client gave it.
        what: what the client's protocol calls it.
        hint: which names there may be.
        details: more of the error.

    Raises:
        NotFound: it is no such name.
    """
    if name.startswith(AGENT) and is_name(name.removeprefix(AGENT)):
        return Target(agent=name.removeprefix(AGENT))
    try:
        request = CapabilityRequest.parse(name)
    except ValidationError:
        about = {**details, "capability": name[:100]}
        raise NotFound(f'there is no {what} "{name[:100]}"', hint, details=about) from None
    return Target(capability=request.name, version_range=request.version_range)
