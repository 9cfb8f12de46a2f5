"""Approvals as questions to the client's user. What the user says is a decision like any other: by the same service, once, and
only of somebody who may."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, cast

from caxton.api.services import Services
from caxton.domain.errors import InvalidInput, InvalidState
from caxton.domain.governance import Approval, ApprovalMode, ApprovalState, Verdict
from caxton.domain.permissions import Permission
from caxton.domain.questions import Question
from caxton.service.approvals import Wanted
from caxton.service.context import Caller

LONGEST_SHOWN: Final = 8_000
"""Characters of what has to be judged that a form shows."""

LONGEST_REASON: Final = 2_000
MOST_DISMISSED: Final = 10_000
APPROVE: Final = "approve"
REJECT: Final = "reject"

_DECISION: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "decision": {"type": "string", "title": "Decision", "enum": [APPROVE, REJECT]},
        "reason": {"type": "string", "title": "Reason", "maxLength": LONGEST_REASON},
    },
    "required": ["decision"],
}

_dismissed: OrderedDict[tuple[str, str], None] = OrderedDict()
"""Approvals, and to whom they were shown, that somebody has put aside without deciding."""


def may_decide(caller: Caller, approval: Approval) -> bool:
    """Whether it makes sense to ask the caller."""
    if not {Permission.APPROVALS_READ, Permission.APPROVALS_DECIDE} <= caller.permissions:
        return False
    if approval.approval_mode is ApprovalMode.FOUNDER and Permission.APPROVALS_DECIDE_FOUNDER not in caller.permissions:
        return False
    if approval.four_eyes and approval.requested_by in (None, caller.principal):
        return False
    return all(vote.approver != caller.principal for vote in approval.votes)


def question(approval: Approval, *, mode: bool = True) -> dict[str, Any]:
    """The parameters of `elicitation/create` that show an approval.

    Args:
        approval: what has to be decided.
        mode: whether the revision knows modes.
    """
    asked = approval.question
    if asked is not None:
        return _passed_on(approval, asked, mode=mode)
    what = f"wants to call {approval.name}" if approval.call else "wants to send a reply"
    where = f"\nThe tool runs outside of the sandbox: {approval.unsandboxed}" if approval.unsandboxed else ""
    shown = approval.content[:LONGEST_SHOWN]
    more = len(approval.content) - len(shown)
    rest = f"\n… ({more:,} characters more; see the approval {approval.id} before you decide)" if more else ""
    message = f"Agent {approval.agent} {what} (risk: {approval.risk_level}).{where}\n\n{shown}{rest}"
    return {**({"mode": "form"} if mode else {}), "message": message, "requestedSchema": _DECISION}


def asking(approval: Approval) -> dict[str, Any]:
    """The request that shows an approval, as results of 2026-07-28 have it."""
    return {"method": "elicitation/create", "params": question(approval)}


def _passed_on(approval: Approval, asked: Question, *, mode: bool) -> dict[str, Any]:
    """The question of a tool's own server, with what deceives the eye shown. A page to visit is shown with a decision."""
    who = f"The server of {approval.name}, which agent {approval.agent} has called, asks:"
    asked = asked.shown()
    where = f"\n\nVisit {asked.url}, and approve when you have done what it asks for." if asked.url else ""
    message = f"{who}\n\n{asked.message}{where}"
    return {**({"mode": "form"} if mode else {}), "message": message, "requestedSchema": asked.form or _DECISION}


async def decide(caller: Caller, services: Services, approval_id: str, answer: object) -> bool:
    """Decides as the user answered.

    Returns:
        Whether it is decided, by whomever; False where the user put it aside.

    Raises:
        InvalidInput: the answer is none.
        NotPermitted: the caller may not decide this.
        NotFound: there is no such approval.
    """
    given = _object(answer)
    asked = (await services.approvals.show(caller, approval_id)).question
    action = given.get("action")
    if action == "cancel" or (action == "decline" and asked is None):
        dismiss(caller, approval_id)
        return False
    said = _object(given.get("content"))
    if asked is not None and action == "decline":
        verdict, wanted = Verdict.REJECT, Wanted()
    elif asked is not None and asked.form is not None and action == "accept":
        verdict, wanted = Verdict.GRANT, Wanted(arguments=dict(said))
    else:
        reason = said.get("reason") or ""
        if action != "accept" or said.get("decision") not in (APPROVE, REJECT) or not _is_reason(reason):
            raise InvalidInput(f'the answer has to say "decision": "{APPROVE}" or "{REJECT}"')
        verdict, wanted = Verdict.GRANT if said["decision"] == APPROVE else Verdict.REJECT, Wanted(reason)
    caller.require(Permission.APPROVALS_DECIDE)
    try:
        await services.approvals.decide(caller, approval_id, verdict, wanted)
    except InvalidState:
        if (await services.approvals.show(caller, approval_id)).state is ApprovalState.PENDING:
            raise  # else it was decided elsewhere, and the first decision stands
    return True


def dismiss(caller: Caller, approval_id: str) -> None:
    """Remembers that the caller's user does not decide this: whoever waits for it need not wait for them."""
    _dismissed[caller.principal, approval_id] = None
    while len(_dismissed) > MOST_DISMISSED:
        _dismissed.popitem(last=False)


def is_dismissed(caller: Caller, approval_id: str) -> bool:
    """Whether :func:`dismiss` was told so, in this process."""
    return (caller.principal, approval_id) in _dismissed


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and len(reason) <= LONGEST_REASON and "\0" not in reason
