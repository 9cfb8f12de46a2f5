"""What every change of what is deployed needs: a transaction, and who makes it from where."""

from dataclasses import dataclass, field
from datetime import datetime

from caxton.domain.events import SYSTEM, Payload
from caxton.domain.ids import DeploymentId, Scope, new_id
from caxton.domain.origin import Origin
from caxton.domain.records import Transaction
from caxton.recording import journal


@dataclass
class Changes:
    """Changes of a workspace within one transaction, at one moment, with their events."""

    transaction: Transaction
    scope: Scope
    actor: str = SYSTEM
    """On whose behalf."""
    origin: Origin | None = None
    now: datetime = field(default_factory=journal.now, init=False)

    def note(self, payload: Payload, about: str, *, agent: str | None, deployment_id: DeploymentId | None) -> None:
        """Adds an event about a rollout, a deployment or a version."""
        event = journal.note(
            self.scope,
            payload,
            about,
            new_id("e"),
            actor=self.actor,
            origin=self.origin,
            agent=agent,
            deployment_id=deployment_id,
        )
        self.transaction.add_events(self.scope, [event])
