"""The views that the event models name: agents, capabilities, routing, tools, conversations, messages; and activity by hour.

Histories that an audit asks for are in :mod:`caxton.projections.histories`.
"""

from collections.abc import Sequence

from caxton.domain.events import Event
from caxton.projections.histories import APPROVALS, VERSIONS
from caxton.projections.projection import Document, Projection
from caxton.projections.statistics import observe

RING = 50
"""Messages that a history keeps of each conversation and agent."""

RECENT = 200
"""Messages that the history of the workspace keeps."""


# --- agents ----------------------------------------------------------------------------------------------------------


def _agent_keys(event: Event) -> Sequence[str]:
    match event.event_type:
        case "agent_active" | "agent_stopped" | "agent_state_changed" | "agent_config_updated":
            return (str(event.payload["name"]),)
        case "execution_processing" | "execution_completed" | "deployment_suspended" | "deployment_resumed":
            return (event.agent,) if event.agent else ()
        case "execution_failed":
            return (event.agent,) if event.agent else ()
        case _:
            return ()


def _agent(document: Document | None, event: Event, key: str) -> Document:
    found: Document = dict(document or {"name": key, "state": "Stopped", "messages": {"handled": 0, "failed": 0}})
    payload = event.payload
    match event.event_type:
        case "agent_active":
            found |= {
                "state": "Running",
                "version": payload["version"],
                "digest": payload["digest"],
                "capabilities": payload.get("capabilities", []),
                "tools": payload.get("tools", []),
                "model": payload.get("model", []),
                "deployment_id": event.deployment_id,
                "suspended": None,
                "updated_at": event.timestamp.isoformat(),
            }
        case "agent_stopped":
            found |= {"state": "Stopped", "updated_at": event.timestamp.isoformat()}
        case "agent_state_changed":
            found |= {"state": payload["state"], "updated_at": event.timestamp.isoformat()}
        case "deployment_suspended":
            found["suspended"] = payload["reason"]
        case "deployment_resumed":
            found["suspended"] = None
        case "execution_completed" | "execution_failed":
            handled = event.event_type == "execution_completed"
            messages = dict(found["messages"])
            messages["handled" if handled else "failed"] += 1
            messages["times"] = observe(messages.get("times"), event.latency_ms)
            messages["last"] = event.timestamp.isoformat()
            found["messages"] = messages
        case _:
            pass
    return found


AGENTS = Projection(
    "agents", 1, "Agents with their versions, states and what became of their work.", _agent_keys, _agent
)


# --- capabilities ----------------------------------------------------------------------------------------------------


def _capability_keys(event: Event) -> Sequence[str]:
    if event.event_type == "agent_active":
        return tuple(str(offered["name"]) for offered in event.payload.get("capabilities", []))
    if event.event_type == "skills_available":
        return tuple(event.payload.get("skills_removed", []))
    if event.event_type in ("execution_completed", "execution_failed") and event.skill_id and event.agent:
        return (event.skill_id,)
    return ()


def _capability(document: Document | None, event: Event, key: str) -> Document:
    found: Document = dict(document or {"capability": key, "providers": {}, "requests": 0, "succeeded": 0})
    if event.event_type == "agent_active":
        versions = {offered["name"]: offered.get("version") for offered in event.payload["capabilities"]}
        found["providers"] = {**found["providers"], str(event.payload["name"]): versions[key]}
    elif event.event_type == "skills_available":
        gone = str(event.payload["name"])
        found["providers"] = {name: version for name, version in found["providers"].items() if name != gone}
    else:
        found["requests"] += 1
        found["succeeded"] += event.event_type == "execution_completed"
        found["times"] = observe(found.get("times"), event.latency_ms)
        found["last_used"] = event.timestamp.isoformat()
    return found


CAPABILITIES = Projection(
    "capabilities", 1, "Capabilities with their providers and how requests went.", _capability_keys, _capability
)


# --- routing ---------------------------------------------------------------------------------------------------------


def _routing_keys(event: Event) -> Sequence[str]:
    return ("routing",) if event.event_type in ("request_handled", "routing_failed") else ()


def _routing(document: Document | None, event: Event, _key: str) -> Document:
    found: Document = dict(document or {"requests": 0, "failures": {}, "strategies": {}})
    found["requests"] += 1
    if event.event_type == "routing_failed":
        reason = str(event.payload["reason"])
        found["failures"] = {**found["failures"], reason: found["failures"].get(reason, 0) + 1}
        return found
    strategy = str(event.payload["routing_strategy"])
    found["strategies"] = {**found["strategies"], strategy: found["strategies"].get(strategy, 0) + 1}
    found["times"] = observe(found.get("times"), event.payload.get("routing_time_ms"))
    return found


ROUTING = Projection("routing", 1, "How requests were routed, and why some could not be.", _routing_keys, _routing)


# --- tools -----------------------------------------------------------------------------------------------------------

_CALLS = ("tool_executed", "tool_execution_failed", "tool_called_directly")


def _tool_keys(event: Event) -> Sequence[str]:
    if event.event_type in ("mcp_tool_deployed", "mcp_tool_undeployed"):
        return (str(event.payload["name"]),)
    if event.event_type in _CALLS or event.event_type in ("resource_limit_exceeded", "tool_access_denied"):
        return (str(event.payload["tool"]),)
    return ()


def _tool(document: Document | None, event: Event, key: str) -> Document:
    found: Document = dict(
        document or {"name": key, "status": "Unavailable", "calls": 0, "succeeded": 0, "by_agent": {}, "violations": {}}
    )
    payload, kind = event.payload, event.event_type
    if kind == "mcp_tool_deployed":
        found |= {
            "status": "Available",
            "version": payload["version"],
            "functions": payload.get("capabilities", []),
            "limits": {
                name: payload[name] for name in ("max_memory_mb", "max_fuel", "max_execution_time_s") if name in payload
            },
        }
    elif kind == "mcp_tool_undeployed":
        found["status"] = "Unavailable"
    elif kind == "resource_limit_exceeded":
        limit = str(payload["limit_type"])
        found["violations"] = {**found["violations"], limit: found["violations"].get(limit, 0) + 1}
    elif kind == "tool_access_denied":
        found["denied"] = found.get("denied", 0) + 1
    else:
        ok = not payload.get("is_error") if kind == "tool_executed" else bool(payload.get("ok"))
        found["calls"] += 1
        found["succeeded"] += ok
        who = event.agent or "by hand"
        before = found["by_agent"].get(who, {"calls": 0, "succeeded": 0})
        after = {"calls": before["calls"] + 1, "succeeded": before["succeeded"] + ok}
        found["by_agent"] = {**found["by_agent"], who: after}
        found["times"] = observe(found.get("times"), event.latency_ms)
        found["cpu_ms"] = round(found.get("cpu_ms", 0.0) + (payload.get("cpu_ms") or 0.0), 3)
        found["peak_memory_mb"] = max(found.get("peak_memory_mb") or 0.0, payload.get("memory_mb") or 0.0)
        found["last_used"] = event.timestamp.isoformat()
    return found


TOOLS = Projection("tools", 1, "Tools with their limits, and how calls of them went.", _tool_keys, _tool)


# --- conversations and messages --------------------------------------------------------------------------------------


def _conversation_keys(event: Event) -> Sequence[str]:
    if event.event_type in ("conversation_started", "conversation_ended", "message_sent") and event.conversation_id:
        return (event.conversation_id,)
    return ()


def _conversation(document: Document | None, event: Event, key: str) -> Document | None:
    if event.event_type == "conversation_ended":
        return None
    if event.event_type == "conversation_started":
        return {
            "conversation_id": key,
            "participants": event.payload.get("participants", []),
            "messages": 0,
            "started_at": event.timestamp.isoformat(),
            "last_activity": event.timestamp.isoformat(),
        }
    if document is None:  # a one-shot request is not a conversation
        return None
    participants: list[str] = document["participants"]
    joining = [event.payload[side] for side in ("from", "to") if event.payload[side] not in participants]
    return {
        **document,
        "participants": participants + joining,
        "messages": document["messages"] + 1,
        "last_activity": event.timestamp.isoformat(),
    }


CONVERSATIONS = Projection(
    "active-conversations",
    1,
    "Active conversations with their participants, without one-shot requests.",
    _conversation_keys,
    _conversation,
)


def _message_keys(event: Event) -> Sequence[str]:
    if event.event_type != "message_sent":
        return ()
    keys = ["recent"]
    if event.conversation_id:
        keys.append(f"conversation {event.conversation_id}")
    keys += [f"agent {event.payload[side]}" for side in ("from", "to") if event.payload[side] != "user"]
    return tuple(dict.fromkeys(keys))


def _messages(document: Document | None, event: Event, key: str) -> Document:
    payload = event.payload
    entry = {
        "message_id": payload["message_id"],
        "conversation_id": event.conversation_id,
        "from": payload["from"],
        "to": payload["to"],
        "performative": payload.get("performative"),
        "size_bytes": payload.get("size_bytes"),
        "at": event.timestamp.isoformat(),
    }
    earlier: list[Document] = document["messages"] if document else []
    return {"messages": [*earlier, entry][-(RECENT if key == "recent" else RING) :]}


MESSAGES = Projection(
    "messages", 1, "The latest messages, of all, of each conversation and of each agent.", _message_keys, _messages
)


# --- activity --------------------------------------------------------------------------------------------------------

DIMENSIONS: tuple[str, ...] = ("type", "agent", "capability", "action_type", "tool", "error_code")
"""What activity is counted by, hour by hour: what metrics can select and group."""


def cell(event: Event) -> str:
    """The key under which an event is counted within its hour."""
    payload = event.payload
    values = (
        event.event_type,
        event.agent,
        event.skill_id,
        payload.get("action_type"),
        payload.get("tool"),
        event.error_code,
    )
    return "\x1f".join(str(value) if value is not None else "" for value in values)


def _hour(event: Event) -> Sequence[str]:
    return (event.timestamp.strftime("%Y-%m-%dT%H"),)


def _activity(document: Document | None, event: Event, _key: str) -> Document:
    counts: dict[str, int] = dict(document["counts"]) if document else {}
    key = cell(event)
    counts[key] = counts.get(key, 0) + 1
    return {"counts": counts}


ACTIVITY = Projection("activity", 1, "How many events of each kind there were, by hour.", _hour, _activity)

PROJECTIONS = {
    projection.name: projection
    for projection in (AGENTS, CAPABILITIES, ROUTING, TOOLS, CONVERSATIONS, MESSAGES, ACTIVITY, APPROVALS, VERSIONS)
}
