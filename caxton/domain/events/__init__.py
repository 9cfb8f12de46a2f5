"""Events: facts about what happened, in one append-only log.

The envelope is the canonical one of the Aximo event model; payloads are typed, one model a type, and named as facts in the
past tense. An event is written in the transaction of the fact that it tells, under an id derived from that fact, so that a
retry writes nothing twice.
"""

from caxton.domain.events import (
    breakers,
    conversations,
    deployments,
    executions,
    governance,
    memory,
    retention,
    rollouts,
    schedules,
    system,
    tools,
    triggers,
)
from caxton.domain.events.envelope import SYSTEM, USER, ActorKind, Event, actor, agent_actor, event_id, trusted_event
from caxton.domain.events.payload import CATALOGUE, Category, Payload

__all__ = [
    "CATALOGUE",
    "SYSTEM",
    "USER",
    "ActorKind",
    "Category",
    "Event",
    "Payload",
    "actor",
    "agent_actor",
    "breakers",
    "conversations",
    "deployments",
    "event_id",
    "executions",
    "governance",
    "memory",
    "retention",
    "rollouts",
    "schedules",
    "system",
    "tools",
    "triggers",
    "trusted_event",
]
