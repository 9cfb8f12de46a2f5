"""Histories that an audit asks for: what became of each request for approval, and which versions were live."""

from collections.abc import Sequence
from typing import Any

from caxton.domain.events import Event
from caxton.domain.governance import ApprovalState
from caxton.projections.projection import Document, Projection

LATEST = 200
"""Entries that a history keeps; the log has all."""


# --- approvals -------------------------------------------------------------------------------------------------------

_STATES = {
    "approval_requested": ApprovalState.PENDING,
    "approval_granted": ApprovalState.GRANTED,
    "approval_rejected": ApprovalState.REJECTED,
    "approval_timeout": ApprovalState.TIMED_OUT,
    "approval_withdrawn": ApprovalState.WITHDRAWN,
}


def _approval_keys(event: Event) -> Sequence[str]:
    if event.event_type not in _STATES:
        return ()
    return ("recent", f"agent {event.agent}") if event.agent else ("recent",)


def _approvals(document: Document | None, event: Event, _key: str) -> Document:
    payload, known, at = event.payload, _entries(document, "approvals"), event.timestamp.isoformat()
    news: dict[str, Any] = {"state": _STATES[event.event_type].value}
    if event.event_type == "approval_requested":
        news |= {"requested_at": at, "expires_at": payload["expires_at"]}
    else:
        news |= {"decided_at": at, "decided_by": event.actor, "reason": payload.get("reason", "")}
    earlier = next((entry for entry in known if entry["approval_id"] == payload["approval_id"]), None)
    if earlier is not None:
        return {"approvals": [entry | news if entry is earlier else entry for entry in known]}
    # It is new; or so many have asked since that its request is no longer here, and the decision has to tell what it was.
    about = {
        "approval_id": payload["approval_id"],
        "execution_id": event.execution_id,
        "agent": event.agent,
        "action_type": payload["action_type"],
        "name": payload.get("name"),
        "risk_level": event.risk_level and event.risk_level.value,
    }
    return {"approvals": [*known, about | news][-LATEST:]}


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
