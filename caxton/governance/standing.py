"""Whether whoever made a decision may still make it: no decision that works on outlives the key that gave it."""

from datetime import datetime

from caxton.domain.governance import ApprovalMode, RememberedGrant
from caxton.domain.ids import Scope
from caxton.domain.permissions import Permission, permissions_in, roles_of
from caxton.domain.records import Transaction

BY_KEY = "key:"
"""Begins the name of whoever decided with an API key; others came with a token of an identity provider."""


def may_decide(
    transaction: Transaction, scope: Scope, approver: str, mode: ApprovalMode, now: datetime, key_id: str | None = None
) -> bool:
    """Whether `approver` may decide on what waits for `mode` in the workspace now.

    Of whoever came with a token only the identity provider knows that, so what they decided lasts as long as it was made for.

    Args:
        transaction: where keys and roles are read.
        scope: the workspace.
        approver: `key:NAME`, or the subject of a token.
        mode: for whom the approval is.
        now: the time at which it counts.
        key_id: the very key; without it any key of that name will do.
    """
    if not approver.startswith(BY_KEY):
        return True
    name = approver.removeprefix(BY_KEY)
    found = [
        key
        for key in transaction.keys(scope.customer)
        if key.is_valid(now) and (key.id == key_id if key_id else key.name == name)
    ]
    if not found:
        return False
    needed = Permission.APPROVALS_DECIDE_FOUNDER if mode is ApprovalMode.FOUNDER else Permission.APPROVALS_DECIDE
    roles = roles_of(transaction.roles(scope.customer))
    return any(needed in permissions_in(scope.workspace, key.grants, roles, at_home=False) for key in found)


def holds(transaction: Transaction, scope: Scope, grant: RememberedGrant, mode: ApprovalMode, now: datetime) -> bool:
    """Whether a remembered grant may decide on a call that waits for `mode` now."""
    if mode is ApprovalMode.FOUNDER and grant.approval_mode is not ApprovalMode.FOUNDER:
        return False  # the policy became stricter since
    return may_decide(transaction, scope, grant.approver, mode, now, grant.key_id)
