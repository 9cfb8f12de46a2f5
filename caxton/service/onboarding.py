"""A user's first steps happen without a server: the command line keeps their events and hands them in with a deployment."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caxton.domain.errors import InvalidInput
from caxton.domain.events import CATALOGUE, Event
from caxton.domain.given import GivenTime
from caxton.domain.records import Records
from caxton.recording.journal import note
from caxton.service.context import Caller

ACCEPTED = frozenset(
    {
        "quickstart_initiated",
        "template_selected",
        "agent_initialized",
        "agent_created_from_template",
        "initialization_failed",
    }
)
"""What a client may tell; everything else only the server knows."""


class ClientEvent(BaseModel):
    """Something that happened at the client."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=8, max_length=64, pattern=r"^[\w-]+$", description="The same when it is sent again.")
    type: str = Field(max_length=64)
    at: GivenTime
    payload: dict[str, Any] = Field(max_length=20)


class Onboarding:
    """Use cases of a user's first steps."""

    def __init__(self, records: Records) -> None:
        """Write to `records`."""
        self.records = records

    async def tell(self, caller: Caller, events: Sequence[ClientEvent]) -> int:
        """Takes events of a client into the log, each once. Returns how many were new.

        Raises:
            InvalidInput: one is not of a kind that clients tell, or its payload does not fit.
        """
        found = [self._event(caller, event) for event in events]
        told: list[Event] = await self.records.write(
            lambda transaction: transaction.add_events_once(caller.scope, found)
        )
        return len(told)

    def _event(self, caller: Caller, event: ClientEvent) -> Event:
        if event.type not in ACCEPTED:
            raise InvalidInput(
                f'"{event.type}" is nothing that a client tells', f"it tells {', '.join(sorted(ACCEPTED))}"
            )
        try:
            payload = CATALOGUE[event.type].model_validate(event.payload)
        except ValidationError as error:
            problem = error.errors()[0]
            raise InvalidInput(f"{event.type}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
        return note(
            caller.scope,
            payload,
            event.id,
            actor=caller.actor,
            agent=getattr(payload, "agent_name", None),
            channel_type=caller.channel,
        )
