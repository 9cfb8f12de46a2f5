"""What routes call, and how a route gets at it."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from caxton.domain.ports import BlobStore
from caxton.service.agents import Agents
from caxton.service.approvals import Approvals
from caxton.service.budgets import Budgets
from caxton.service.context import Caller
from caxton.service.conversations import Conversations
from caxton.service.deployments import Deployments
from caxton.service.event_log import EventLog
from caxton.service.keys import Keys
from caxton.service.memory import MemoryAdministration
from caxton.service.onboarding import Onboarding
from caxton.service.projections import Projections
from caxton.service.system import Health
from caxton.service.tools import Tools
from caxton.service.turns import Turns


@dataclass(frozen=True)
class ApiLimits:
    """What a request may bring, in bytes."""

    request_bytes: int = 4 << 20
    content_bytes: int = 16 << 20
    blob_bytes: int = 128 << 20


@dataclass(frozen=True)
class Services:
    """All use cases of one server."""

    turns: Turns
    conversations: Conversations
    agents: Agents
    deployments: Deployments
    tools: Tools
    approvals: Approvals
    budgets: Budgets
    memory: MemoryAdministration
    event_log: EventLog
    projections: Projections
    onboarding: Onboarding
    keys: Keys
    health: Health
    blobs: BlobStore
    facts: dict[str, object]
    """What `GET /v1/server` tells besides the caller: version, engine, store, URLs."""
    limits: ApiLimits = ApiLimits()


def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


def _caller(request: Request) -> Caller:
    return cast("Caller", request.state.caller)


UseCases = Annotated[Services, Depends(_services)]
CurrentCaller = Annotated[Caller, Depends(_caller)]
