"""`caxton approvals list|show|grant|reject`"""

from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, emit, remark, say, style, table

if TYPE_CHECKING:
    from caxton.domain.governance import Approval

app = new_app(help="Decide on what waits for a person.", no_args_is_help=True)

_COLOURS = {"Pending": "yellow", "Granted": "green", "Rejected": "red", "TimedOut": "red"}
_STATES = ("Pending", "Granted", "Rejected", "TimedOut", "Withdrawn")

ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="As `caxton approvals list` shows it.")]
Reason = Annotated[
    str, typer.Option("--reason", "-m", metavar="TEXT", help="Why: for the log, and for whom it concerns.")
]


@app.command("list")
def list_approvals(
    state: Annotated[str | None, typer.Option(metavar="STATE", help=f"{', '.join(_STATES)}, or all.")] = "Pending",
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=500, help="How many.")] = 50,
) -> None:
    """Show what waits for a decision."""
    from caxton.domain.errors import UsageError

    by_name = {name.lower(): name for name in _STATES}
    wanted = None if (state or "all").lower() == "all" else by_name.get((state or "").lower())
    if wanted is None and (state or "all").lower() != "all":
        raise UsageError(f'"{state}" is no state of an approval', f"states are {', '.join(_STATES)}, or all")
    with connect() as caxton:
        approvals = caxton.approvals(state=wanted, limit=limit)
    if current().json:
        emit({"approvals": approvals})
        return
    if not approvals:
        say("nothing waits for a decision" if wanted == "Pending" else "there are no approvals")
        return
    rows = [
        [
            each.id,
            style(each.state, _COLOURS.get(each.state, "dim")),
            f"{each.action_type} {each.name}".strip(),
            each.agent,
            each.risk_level,
            each.approval_mode,
            _when(each),
        ]
        for each in approvals
    ]
    for line in table(rows, ["approval", "state", "action", "agent", "risk", "for", "when"]):
        say(line)
    if wanted == "Pending":
        remark(style(f"See what it is about: caxton approvals show {approvals[0].id}", "dim"))


@app.command()
def show(approval_id: ApprovalId) -> None:
    """Show one approval with what has to be judged."""
    with connect() as caxton:
        approval = caxton.approval(approval_id)
    if current().json:
        emit(approval)
        return
    head = f"{approval.action_type} {approval.name}".strip()
    say(f"{style(approval.id, 'bold')}  {style(approval.state, _COLOURS.get(approval.state, 'dim'))}  {head}")
    facts = [
        ["agent", approval.agent],
        ["capability", approval.capability or ""],
        ["risk", approval.risk_level],
        ["decision by", approval.approval_mode],
        ["asked", ago(approval.requested_at)],
        ["expires" if approval.state == "Pending" else "decided", _when(approval)],
        ["by", approval.decided_by or ""],
        ["reason", approval.reason],
        ["trace", f"caxton trace {approval.root_id}"],
    ]
    for line in table([fact for fact in facts if fact[1]], indent="  "):
        say(line)
    say()
    say(approval.content)
    if approval.state == "Pending":
        say()
        remark(f"caxton approvals grant {approval.id}")
        remark(f'caxton approvals reject {approval.id} --reason "…"')


@app.command()
def grant(approval_id: ApprovalId, reason: Reason = "") -> None:
    """Let the action go ahead."""
    _decide(approval_id, "grant", reason)


@app.command()
def reject(approval_id: ApprovalId, reason: Reason = "") -> None:
    """Refuse the action. The agent and the user are told why."""
    _decide(approval_id, "reject", reason)


def _decide(approval_id: str, verdict: str, reason: str) -> None:
    with connect() as caxton:
        approval = caxton.decide(approval_id, verdict, reason)
    if current().json:
        emit(approval)
        return
    say(f"{approval.id} is {style(approval.state, _COLOURS.get(approval.state, 'bold'))}")
    remark(style(f"What came of it: caxton trace {approval.root_id}", "dim"))


def _when(approval: "Approval") -> str:
    from datetime import UTC, datetime

    from caxton.domain.quantities import format_duration

    if approval.decided_at is not None:
        return ago(approval.decided_at)
    left = (approval.expires_at - datetime.now(UTC)).total_seconds()
    return f"{format_duration(left)} left" if left > 0 else "expiring"
