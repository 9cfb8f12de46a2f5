"""Bodies that `/docs` offers in "Try it out": each is one that the route takes. Made up from types they would not be."""

from collections.abc import Mapping
from typing import Any

EXAMPLES: Mapping[str, Any] = {
    "post /v1/messages": {"capability": "fetch-data", "content": "How did sales develop?"},
    "post /v1/conversations": {"capability": "fetch-data", "topic": "Sales"},
    "post /v1/conversations/{conversation_id}/messages": {"content": "How did sales develop?"},
    "post /v1/conversations/{conversation_id}/end": {"reason": "Completed"},
    "post /v1/deployments/plan": {"bundles": []},
    "post /v1/deployments": {"bundles": [], "message": "Nothing new"},
    "post /v1/agents/{name}/stop": {"grace": 10},
    "post /v1/agents/{name}/restart": {"grace": 10},
    "post /v1/agents/{name}/resume": {"reason": "The provider works again"},
    "post /v1/schedules/{agent}/{name}/pause": {"reason": "The source of the figures is being moved"},
    "post /v1/schedules/{agent}/{name}/resume": {"reason": "The figures are back"},
    "post /v1/schedules/{agent}/{name}/backfill": {"start": "2026-01-05T00:00:00Z", "end": "2026-01-09T00:00:00Z"},
    "post /v1/tools/{name}/call": {"function": "read_csv", "arguments": {"path": "/data/sales.csv"}},
    "post /v1/tool-grants": {
        "tool": "http-client",
        "network": ["https://example.com"],
        "expires_in": 86_400,
        "reason": "Reports of the day",
    },
    "post /v1/onboarding": {"events": []},
    "put /v1/metrics/{name}": {"count": {"type": "tool_executed"}, "by": "tool", "description": "Tool calls"},
    "post /v1/approvals/{approval_id}/grant": {"reason": "Agreed"},
    "post /v1/approvals/{approval_id}/reject": {"reason": "Not to this customer"},
    "put /v1/budgets": {"resource": "tokens", "period": "day", "limit": 1_000_000},
    "post /v1/memory": {"text": "The fiscal year begins in April."},
    "post /v1/memory/search": {"text": "When does the fiscal year begin?", "limit": 5},
    "post /v1/memory/relations": {"source": "m_first", "type": "belongs_to", "target": "m_second"},
    "post /v1/memory/purge": {"scope": "workspace", "before": "2026-01-01T00:00:00Z", "dry_run": True},
    "post /v1/memory/edit": {"scope": "workspace", "changes": {"set": {"checked": True}}, "dry_run": True},
    "post /v1/memory/undo": {"dry_run": True},
    "put /v1/memory/retention": {"max_age": 31_536_000},
    "put /v1/retention/events": {"period": 31_536_000},
    "put /v1/retention": {"steps": 7_776_000, "messages": "forever"},
    "patch /v1/memory/{memory_id}": {"observations": ["The fiscal year begins in April."]},
    "post /codec/decode": {"payloads": []},
    "post /codec/encode": {"payloads": []},
    "post /v1/keys": {"name": "dashboard", "role": "viewer"},
    "post /v1/keys/{key_id}/rotate": {"overlap": 3600},
    "put /v1/roles/{name}": {
        "permissions": ["messages:send", "messages:read"],
        "description": "Asks, and reads replies",
    },
}
"""By method and path."""
