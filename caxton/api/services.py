"""What routes call, and how a route gets at it."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, Request

from caxton.domain.fair_lock import FairLock
from caxton.domain.ports import BlobStore
from caxton.service.agents import Agents
from caxton.service.approvals import Approvals
from caxton.service.audit_sinks import AuditLag
from caxton.service.authentication import Authentication
from caxton.service.breakers import Breakers
from caxton.service.budgets import Budgets
from caxton.service.codec import Codec
from caxton.service.context import Caller
from caxton.service.conversations import Conversations
from caxton.service.deployments import Deployments
from caxton.service.drains import Drains
from caxton.service.event_log import EventLog
from caxton.service.files import Files
from caxton.service.forks import Forks
from caxton.service.hooks import Hooks
from caxton.service.keys import Keys
from caxton.service.listening import Listening
from caxton.service.memory import MemoryAdministration
from caxton.service.onboarding import Onboarding
from caxton.service.projections import Projections
from caxton.service.push import PushConfigs
from caxton.service.queues import Queues
from caxton.service.rates import Rates
from caxton.service.retention import Retention
from caxton.service.rollouts import Rollouts
from caxton.service.schedules import Schedules
from caxton.service.seals import Seals
from caxton.service.storage import Storage
from caxton.service.system import HealthChecks
from caxton.service.tallies import Tallies
from caxton.service.tasks import Tasks
from caxton.service.tool_grants import ToolGrants
from caxton.service.tool_surfaces import ToolSurfaces
from caxton.service.tools import Tools
from caxton.service.triggers import Triggers
from caxton.service.turns import Turns

REST = 0.02
"""Seconds between two pieces of work that take the interpreter a tenth of a second: others have theirs."""


@dataclass(frozen=True)
class ApiLimits:
    """What a request may bring, in bytes, and how many there may be."""

    request_bytes: int = 4 << 20
    content_bytes: int = 16 << 20
    blob_bytes: int = 128 << 20
    bodies_bytes: int = 48 << 20
    """Bytes in memory at the same time, in all; half of them for one customer."""
    requests: int = 4096
    """Requests in progress, in all: as many as connections may be open."""


class CardSigning(Protocol):
    """Signs agent cards."""

    @property
    def key_id(self) -> str:
        """What clients know the key by."""
        ...

    @property
    def public_key(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        ...

    def sign(self, card: dict[str, Any], keys_url: str) -> dict[str, str]:
        """The signature of a card; `keys_url` says where the public key is."""
        ...


@dataclass(frozen=True)
class Services:
    """All use cases of one server."""

    turns: Turns
    forks: Forks
    seals: Seals
    listening: Listening
    conversations: Conversations
    files: Files
    tasks: Tasks
    push: PushConfigs
    agents: Agents
    schedules: Schedules
    triggers: Triggers
    hooks: Hooks
    deployments: Deployments
    drains: Drains
    rollouts: Rollouts
    tools: Tools
    tool_surfaces: ToolSurfaces
    tool_grants: ToolGrants
    approvals: Approvals
    budgets: Budgets
    breakers: Breakers
    memory: MemoryAdministration
    event_log: EventLog
    projections: Projections
    onboarding: Onboarding
    keys: Keys
    authentication: Authentication
    retention: Retention
    storage: Storage
    rates: Rates
    queues: Queues
    tallies: Tallies
    codec: Codec
    audit_lag: AuditLag
    health: HealthChecks
    blobs: BlobStore
    facts: dict[str, object]
    """What `GET /v1/server` tells besides the caller: version, engine, store, URLs."""
    limits: ApiLimits = ApiLimits()
    card_signer: CardSigning | None = None
    """Signs agent cards; None where nobody has given a key."""
    long_answers: FairLock = field(default_factory=lambda: FairLock(REST))
    """Whose turn it is to have a long list made (:mod:`caxton.api.in_turn`)."""
    long_bodies: FairLock = field(default_factory=lambda: FairLock(REST))
    """Whose turn it is to have a long body read."""


def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


def _caller(request: Request) -> Caller:
    return cast("Caller", request.state.caller)


UseCases = Annotated[Services, Depends(_services)]
CurrentCaller = Annotated[Caller, Depends(_caller)]
