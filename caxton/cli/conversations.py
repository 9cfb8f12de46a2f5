"""`caxton conversation list|show|end`"""

from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_conversation
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, clock, emit, is_terminal, plain, plural, remark, say, style, table

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.conversations import Conversation
    from caxton.domain.messages import Message

app = new_app(help="List, show and end conversations.", no_args_is_help=True)

ConversationId = Annotated[
    str,
    typer.Argument(metavar="ID", help="As `caxton conversation list` shows it.", autocompletion=complete_conversation),
]


@app.command("list")
def list_conversations(
    active: Annotated[bool, typer.Option("--active", help="Only those that go on.")] = False,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those with this agent.", autocompletion=complete_agent)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List conversations, the most recently active first."""
    with connect() as caxton:
        conversations = caxton.conversations(active=active or None, agent=agent, limit=limit)
    if current().json:
        emit({"conversations": conversations})
        return
    if not conversations:
        say("no conversations")
        remark('Next: caxton chat, or caxton ask CAPABILITY "…"')
        return
    rows = [
        [
            each.id,
            each.state,
            ago(each.last_activity),
            plural(each.message_count, "message"),
            ", ".join(name for name in each.participants if name != "user") or each.agent or each.capability or "",
            each.topic or "",
        ]
        for each in conversations
    ]
    for line in table(rows, ["conversation", "state", "last", "messages", "agents", "topic"]):
        say(line)


@app.command()
def show(
    conversation_id: ConversationId,
    everything: Annotated[bool, typer.Option("--all", help="Also what agents said to one another.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="How many messages at most.")
    ] = 100,
) -> None:
    """Show a conversation with its messages."""
    with connect() as caxton:
        conversation = caxton.conversation(conversation_id)
        messages = caxton.messages(conversation_id, everything=everything, limit=limit)
        if current().json:
            emit({"conversation": conversation, "messages": messages})
            return
        _head(conversation)
        for message in messages:
            show_message(caxton, message)


@app.command()
def end(
    conversation_id: ConversationId,
    cancel: Annotated[bool, typer.Option("--cancel", help="Also stop the turn that runs.")] = False,
) -> None:
    """End a conversation. With --cancel, stop what it is doing as well."""
    with connect() as caxton:
        finish = caxton.cancel_conversation if cancel else caxton.end_conversation
        conversation = finish(conversation_id)
    if current().json:
        emit(conversation)
    else:
        later = "; it ends when the turn in hand is done" if conversation.ended_at is None else ""
        say(f"{conversation.id} is {conversation.state}{later}")


def show_message(caxton: "Caxton", message: "Message") -> None:
    """Shows one message: who to whom, when, the text, the files."""
    colour = "cyan" if message.sender != "user" else "bold"
    scripted = " (scripted)" if message.metadata.get("scripted") else ""
    head = f"{style(message.sender, colour)} → {message.receiver}{scripted}"
    say()
    say(f"{head}  {style(clock(message.created_at), 'dim')}")
    text = caxton.text(message.content).rstrip()
    say(plain(text) if is_terminal() else text)
    for artifact in message.artifacts:
        say(style(f"[{artifact.name}, {artifact.media_type}]", "dim"))


def _head(conversation: "Conversation") -> None:
    reason = conversation.end_reason if conversation.end_reason != conversation.state else None
    state = f"{conversation.state}{f' ({reason})' if reason else ''}"
    say(f"{style(conversation.id, 'bold')}  {state}  began {ago(conversation.started_at)}")
    if conversation.topic:
        say(f"  {conversation.topic}")
    agents = [participant for participant in conversation.participants if participant != "user"]
    if agents:
        say(f"  with {', '.join(agents)}")
