"""`caxton approvals list|show|grant|reject|remembered|forget`"""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import ago, complain, emit, prose, remark, say, style
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

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
        raise UsageError(f'"{state}" is not a state of an approval', f"states are {', '.join(_STATES)}, or all")
    with connect() as caxton:
        approvals = caxton.approvals(state=wanted, limit=limit)
    if current().json:
        emit({"approvals": approvals})
        return
    if not approvals:
        prose("nothing waits for a decision" if wanted == "Pending" else "there are no approvals")
        return
    rows = [
        [
            each.id,
            style(in_words(each.state), _COLOURS.get(each.state, "dim")),
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
    """Show one approval with the action to decide on. Deceptive characters are shown by their code points."""
    from caxton.domain.deceptive import mixed_words, revealed, revealed_json

    with connect() as caxton:
        approval = caxton.approval(approval_id)
    if current().json:
        emit(approval)
        return
    head = f"{approval.action_type} {approval.name}".strip()
    prose(
        f"{style(approval.id, 'bold')}  {style(in_words(approval.state), _COLOURS.get(approval.state, 'dim'))}  {head}"
    )
    facts = [
        ["agent", approval.agent],
        ["capability", approval.capability or ""],
        ["runs", f"outside of the sandbox: {approval.unsandboxed}" if approval.unsandboxed else ""],
        ["risk", approval.risk_level],
        ["decision by", approval.approval_mode],
        ["asked", ago(approval.requested_at)],
        ["expires" if approval.state == "Pending" else "decided", _when(approval)],
        ["by", approval.decided_by or ""],
        ["asked by", approval.requested_by or ""],
        ["agree", ", ".join(vote.actor for vote in approval.votes)],
        ["needed", str(approval.approvals_needed) if approval.approvals_needed > 1 else ""],
        ["remembered", approval.remembered or ""],
        ["reason", approval.reason],
        ["trace", f"caxton trace {approval.root_id}"],
    ]
    for line in table([fact for fact in facts if fact[1]], indent="  "):
        say(line)
    say()
    say(revealed(approval.content))
    if approval.arguments is not None:
        say()
        prose("changed by the approver to:")
        say(revealed_json(json.dumps(approval.arguments, ensure_ascii=False, indent=2)))
    for word in mixed_words(approval.content):
        complain(f"{style('warning:', 'bold', 'yellow')} this word mixes alphabets: {word}")
    if approval.state == "Pending":
        say()
        remark(_grant_command(approval))
        remark(f'caxton approvals reject {approval.id} --reason "…"')


def _grant_command(approval: "Approval") -> str:
    """The command that approves; for a question with an answer, to show how one is given."""
    import shlex

    from caxton.domain.questions import example_of

    question = approval.question
    command = f"caxton approvals grant {approval.id}"
    if question is None or question.form is None:
        return command
    return f"{command} --arguments {shlex.quote(example_of(question))}"


@app.command()
def grant(
    approval_id: ApprovalId,
    reason: Reason = "",
    arguments: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="Call with these arguments, in place of those asked for; or the answer to a question."
        ),
    ] = None,
    remember: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help='Approve similar calls for this long without a decision, such as "1h".'),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATTERN",
            help='With --remember: an argument that may differ: "to=*@example.com", "amount<100". Repeatable.',
        ),
    ] = None,
) -> None:
    """Approve the action."""
    from caxton.domain.errors import UsageError

    if like and not remember:
        raise UsageError("--like goes with --remember", 'say for how long: --remember "1h"')
    wanted = {"for": remember, "like": dict(_pattern(text) for text in like or [])} if remember else None
    _decide(approval_id, "grant", reason, arguments=_json_object(arguments), remember=wanted)


def _json_object(text: str | None) -> dict[str, Any] | None:
    from caxton.domain.errors import UsageError

    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--arguments is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("--arguments is not a JSON object", "write for example: --arguments '{\"amount\": 5}'")
    return cast("dict[str, Any]", found)


def _pattern(text: str) -> tuple[str, Any]:
    """NAME<NUMBER, NAME>NUMBER, or NAME=GLOB."""
    from caxton.domain.errors import UsageError

    found = re.fullmatch(r"([^<>=]+)([<>=])(.+)", text)
    if found is None:
        raise UsageError(f'"{text}" is not a pattern', 'write "to=*@example.com", "amount<100" or "amount>0"')
    name, sign, wanted = found.groups()
    if sign == "=":
        return name, {"like": wanted}
    try:
        return name, {"below" if sign == "<" else "above": float(wanted)}
    except ValueError:
        raise UsageError(f'"{wanted}" is not a number') from None


@app.command()
def remembered() -> None:
    """Show remembered grants: calls that need no decision for a while, because a similar one was approved."""
    with connect() as caxton:
        grants = caxton.remembered_grants()
    if current().json:
        emit({"grants": grants})
        return
    if not grants:
        prose("no grants are remembered")
        return
    rows = [
        [each.id, each.agent, each.name, ", ".join(each.like) or "the same", each.granted_by, _left(each.expires_at)]
        for each in grants
    ]
    for line in table(rows, ["grant", "agent", "call", "may differ", "by", "for"]):
        say(line)


@app.command()
def forget(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="As `caxton approvals remembered` shows it.")],
) -> None:
    """End a remembered grant: calls need a decision again."""
    with connect() as caxton:
        caxton.forget_grant(grant_id)
    if current().json:
        emit({"id": grant_id, "forgotten": True})
    else:
        prose(f"{grant_id} is forgotten")


@app.command()
def reject(approval_id: ApprovalId, reason: Reason = "") -> None:
    """Refuse the action. The agent and the user are told why."""
    _decide(approval_id, "reject", reason)


def _decide(
    approval_id: str,
    verdict: str,
    reason: str,
    *,
    arguments: dict[str, Any] | None = None,
    remember: dict[str, Any] | None = None,
) -> None:
    with connect() as caxton:
        approval = caxton.decide(approval_id, verdict, reason, arguments=arguments, remember=remember)
    if current().json:
        emit(approval)
        return
    if approval.state == "Pending":
        prose(f"{len(approval.votes)} of {approval.approvals_needed} agree with {approval.id}")
        return
    prose(f"{approval.id} is {style(in_words(approval.state), _COLOURS.get(approval.state, 'bold'))}")
    remark(style(f"What came of it: caxton trace {approval.root_id}", "dim"))


def _when(approval: "Approval") -> str:
    return ago(approval.decided_at) if approval.decided_at is not None else _left(approval.expires_at)


def _left(until: datetime) -> str:
    from caxton.domain.quantities import format_duration

    left = (until - datetime.now(UTC)).total_seconds()
    return f"{format_duration(left)} left" if left > 0 else "expiring"
