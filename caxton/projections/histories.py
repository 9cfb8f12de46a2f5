"""Histories that an audit asks for: what became of each request for approval, and which versions were live."""

from collections.abc import Sequence
from typing import Any

from caxton.domain.events import Event
from caxton.domain.governance import ApprovalState
from caxton.projections.projection import Document, Projection

LATEST = 200
"""Entries that a history keeps; the log has all."""


# --- approvals -------------------------------------------------------------------------------------------------------

_DECISIONS = {
    "approval_granted": ApprovalState.GRANTED,
    "approval_rejected": ApprovalState.REJECTED,
    "approval_timeout": ApprovalState.TIMED_OUT,
    "approval_withdrawn": ApprovalState.WITHDRAWN,
}


def _approval_keys(event: Event) -> Sequence[str]:
    if event.event_type != "approval_requested" and event.event_type not in _DECISIONS:
        return ()
    return ("recent", f"agent {event.agent}") if event.agent else ("recent",)


def _approvals(document: Document | None, event: Event, _key: str) -> Document:
    payload, known = event.payload, _entries(document, "approvals")
    if event.event_type == "approval_requested":
        asked = {
            "approval_id": payload["approval_id"],
            "execution_id": event.execution_id,
            "agent": event.agent,
            "action_type": payload["action_type"],
            "name": payload.get("name"),
            "risk_level": event.risk_level and event.risk_level.value,
            "state": ApprovalState.PENDING.value,
            "requested_at": event.timestamp.isoformat(),
            "expires_at": payload["expires_at"],
        }
        return {"approvals": [*known, asked][-LATEST:]}
    decided = {
        "state": _DECISIONS[event.event_type].value,
        "decided_at": event.timestamp.isoformat(),
        "decided_by": event.actor,
        "reason": payload.get("reason", ""),
    }
    asked = next((entry for entry in known if entry["approval_id"] == payload["approval_id"]), None)
    if asked is None:  # so many have asked since that the request is not here any more; the decision is
        about = {name: payload.get(name) for name in ("approval_id", "action_type", "name")}
        entry = about | {"execution_id": event.execution_id, "agent": event.agent} | decided
        return {"approvals": [*known, entry][-LATEST:]}
    return {"approvals": [entry | decided if entry is asked else entry for entry in known]}


APPROVALS = Projection(
    "approvals",
    1,
    "The latest requests for approval, of all and of each agent, with who decided what.",
    _approval_keys,
    _approvals,
)


# --- versions --------------------------------------------------------------------------------------------------------

_CHANGES = {
    "version_upgraded": "deployed",
    "version_rolled_back": "rolled back",
    "deployment_terminated": "removed",
}


def _version_keys(event: Event) -> Sequence[str]:
    return (f"{event.payload['kind']} {event.payload['name']}",) if event.event_type in _CHANGES else ()


def _versions(document: Document | None, event: Event, _key: str) -> Document:
    payload = event.payload
    is_removed = event.event_type == "deployment_terminated"
    entry = {
        "change": _CHANGES[event.event_type],
        "version": None if is_removed else payload.get("to"),
        "before": payload.get("version") if is_removed else payload.get("from"),
        "digest": payload.get("digest"),
        "deployment_id": event.deployment_id,
        "at": event.timestamp.isoformat(),
        "by": event.actor,
    }
    return {"versions": [*_entries(document, "versions"), entry][-LATEST:]}


VERSIONS = Projection(
    "versions", 1, "Which versions of each agent and tool were live, since when and by whom.", _version_keys, _versions
)


def _entries(document: Document | None, name: str) -> list[dict[str, Any]]:
    return document[name] if document else []
