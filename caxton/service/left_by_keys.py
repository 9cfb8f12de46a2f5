"""What a key leaves behind when it is revoked: approvals that are remembered, and grants to tools."""

from datetime import datetime

from caxton.domain.events.governance import RememberedGrantRevoked
from caxton.domain.events.tools import ToolGrantRevoked
from caxton.domain.records import Transaction
from caxton.recording.journal import note
from caxton.service.context import Caller


def end_remembered(transaction: Transaction, caller: Caller, key_id: str, now: datetime) -> int:
    """Ends the approvals that a key let be remembered, in all workspaces. Returns how many held."""
    found = transaction.remembered_by_key(caller.scope.customer, key_id, now)
    for scope, grant in found:
        transaction.revoke_remembered(scope, grant.id)
        told = RememberedGrantRevoked(
            approval_id=grant.approval_id, action_type="tool", name=grant.name, grant_id=grant.id, key_id=key_id
        )
        event = note(scope, told, grant.id, "revoked", actor=caller.actor, agent=grant.agent)
        transaction.add_events(scope, [event])
    return len(found)


def end_tool_grants(transaction: Transaction, caller: Caller, key_id: str) -> int:
    """Takes back what a key has granted to tools, in all workspaces. Returns how many grants that were."""
    found = transaction.tool_grants_by_key(caller.scope.customer, key_id)
    for scope, grant in found:
        transaction.revoke_tool_grant(scope, grant.id, caller.actor)
        told = ToolGrantRevoked(grant_id=grant.id, tool=grant.tool, rights=grant.told())
        event = note(scope, told, grant.id, actor=caller.actor, agent=grant.agent)
        transaction.add_events(scope, [event])
    for scope in {scope for scope, _ in found}:
        transaction.bump_generation(scope)
    return len(found)
