"""`caxton trigger list|show|send`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_trigger
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, remark, say, style
from caxton.cli.tables import table
from caxton.domain.quantities import format_duration, format_size

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.views.triggers import TriggerView

app = new_app(help="Webhooks by which other systems ask agents.", no_args_is_help=True)

Wanted = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="AGENT/NAME, or the name alone where one agent has it.", autocompletion=complete_trigger
    ),
]

_WHERE = {
    "github": "GitHub: Settings → Webhooks → Add webhook; content type application/json",
    "stripe": "Stripe: Workbench → Webhooks → Add destination",
    "standard": "whoever sends by Standard Webhooks",
}


@app.command("list")
def list_triggers(
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this agent.", autocompletion=complete_agent)
    ] = None,
) -> None:
    """List triggers, with the URLs that other systems are given."""
    with connect() as caxton:
        found = caxton.triggers(agent)
        base = caxton.connection.url
    if current().json:
        emit({"triggers": [{**each.model_dump(mode="json"), "url": base + each.path} for each in found]})
        return
    if not found:
        say("no agent has a trigger")
        remark("Next: write [[triggers]] into an agent's file, then caxton deploy")
        return
    rows = [[style(f"{each.agent}/{each.name}", "bold"), str(each.scheme), base + each.path] for each in found]
    for line in table(rows, ["trigger", "signed by", "URL"]):
        say(line)


@app.command()
def show(name: Wanted) -> None:
    """Show one trigger, with what to enter in the other system."""
    with connect() as caxton:
        found = chosen(caxton, name)
        base = caxton.connection.url
    if current().json:
        emit({**found.model_dump(mode="json"), "url": base + found.path})
        return
    say(f"{style(f'{found.agent}/{found.name}', 'bold')}  {found.scheme}")
    say(f"  URL     {base}{found.path}")
    say(f"  secret  {', '.join(found.secrets)}")
    asked = found.capability or "its first capability"
    kinds = ", ".join(found.events) if found.events else "all"
    age = "" if found.scheme == "github" else f" · no older than {format_duration(found.tolerance)}"
    say(f"  asks for {asked} · events: {kinds} · up to {format_size(found.max_body)}{age}")
    remark(f"Paste URL and secret into {_WHERE.get(found.scheme, found.scheme)}.")
    remark("From outside, the server's public name stands in place of this machine's.")
    remark(f"Try it: caxton trigger send {found.agent}/{found.name} --body event.json")


@app.command()
def send(
    name: Wanted,
    body: Annotated[
        Path, typer.Option("--body", metavar="FILE", help="JSON that is delivered.", exists=True, dir_okay=False)
    ],
    event: Annotated[str | None, typer.Option(metavar="KIND", help="GitHub: the kind of event, such as push.")] = None,
    delivery: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The delivery's id; a new one if left out.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(metavar="REFERENCE", help="Where the secret is on this machine; as the trigger says if left out."),
    ] = None,
) -> None:
    """Sign a file and deliver it as the other system would, to test a trigger."""
    from caxton.cli.reading import unreadable

    try:
        content = body.read_bytes()
    except OSError as error:
        raise unreadable(str(body), error, "name a file with the body of a delivery") from None
    with connect() as caxton:
        found = chosen(caxton, name)
        headers = _signed(found, content, secret or _of_trigger(found), event, delivery)
        answer = caxton.deliver(found.path, content, headers)
    if current().json:
        emit(answer)
        return
    told = {
        "accepted": "accepted",
        "repeated": "came before, and is not done again",
        "ignored": "the trigger takes no such event, so nothing is done",
    }[answer.state]
    say(f"{style(answer.execution_id, 'bold') + '  ' if answer.execution_id else ''}{told}")
    if answer.execution_id:
        remark(f"Get the reply: caxton execution wait {answer.execution_id}")


def _of_trigger(trigger: "TriggerView") -> str:
    """Where the trigger has its secret, as the server says, which need not be a good one.

    Raises:
        UsageError: it is not where secrets of triggers are.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.triggers import secret_problem

    reference = trigger.secrets[0]
    wrong = secret_problem(reference)
    if wrong is not None:
        raise UsageError(f"the server says that the secret is at {reference}: {wrong}", "give it with --secret")
    return reference


def _signed(
    trigger: "TriggerView", body: bytes, reference: str, event: str | None, delivery: str | None
) -> dict[str, str]:
    """The headers of a delivery.

    Raises:
        SecretMissing: the secret is not on this machine.
        UsageError: it is not a secret for the scheme.
    """
    import time

    from caxton.adapters.secrets import SECRETS
    from caxton.domain.errors import UsageError
    from caxton.domain.hook_signatures import sign_github, sign_standard, sign_stripe
    from caxton.domain.ids import new_id

    secret = SECRETS.get(reference).get_secret_value().strip()
    identity, now = delivery or new_id("msg"), int(time.time())
    try:
        if trigger.scheme == "github":
            return {
                "X-Hub-Signature-256": sign_github(secret, body),
                "X-GitHub-Delivery": identity,
                "X-GitHub-Event": event or "push",
            }
        if trigger.scheme == "stripe":
            return {"Stripe-Signature": sign_stripe(secret, now, body)}
        signature = sign_standard(secret, identity, now, body)
    except ValueError as error:
        raise UsageError(
            f"what {reference} holds is no secret to sign with: {error}",
            "make one: echo whsec_$(openssl rand -base64 24)",
        ) from None
    return {"webhook-id": identity, "webhook-timestamp": str(now), "webhook-signature": signature}


def chosen(caxton: "Caxton", name: str) -> "TriggerView":
    """The trigger that `name` names.

    Raises:
        NotFound: there is none.
        UsageError: several agents have one of that name.
    """
    from caxton.definitions.suggestions import did_you_mean
    from caxton.domain.errors import Hint, NotFound, UsageError

    agent, slash, trigger = name.partition("/")
    if slash:
        return caxton.trigger(agent, trigger)
    all_of_them = caxton.triggers()
    found = [each for each in all_of_them if each.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f'{len(found)} agents have a trigger "{name}"', f"name the agent too: {found[0].agent}/{found[0].name}"
        )
    guess = did_you_mean(name, [each.name for each in all_of_them])
    hints = [Hint(text=guess)] if guess else []
    raise NotFound(
        f'no agent has a trigger "{name}"', *hints, Hint(text="see which there are", command="caxton trigger list")
    )
