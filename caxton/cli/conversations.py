"""`caxton conversation list|show|end|delete`"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_conversation
from caxton.cli.connection import connect
from caxton.cli.contents import tell_files
from caxton.cli.invocation import current
from caxton.cli.output import (
    ago,
    clock,
    columns,
    cut,
    emit,
    is_terminal,
    plain,
    plural,
    prose,
    remark,
    say,
    style,
    wrapped,
)
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.conversations import Conversation
    from caxton.domain.messages import Message
    from caxton.views.deletion import Deletion

app = new_app(help="List, show, end and delete conversations.", no_args_is_help=True)

ConversationId = Annotated[
    str,
    typer.Argument(metavar="ID", help="As `caxton conversation list` shows it.", autocompletion=complete_conversation),
]


@app.command("list")
def list_conversations(
    active: Annotated[bool, typer.Option("--active", help="Only active ones.")] = False,
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
        prose("no conversations")
        remark('Next: caxton chat, or caxton ask CAPABILITY "…"')
        return
    rows = [
        [each.id, in_words(each.state), ago(each.last_activity), plural(each.message_count, "message")]
        for each in conversations
    ]
    if not is_terminal():
        for row, each in zip(rows, conversations, strict=True):
            row.extend([_with(each), each.topic or ""])
        for line in table(rows):
            say(line)
        return
    for line, each in zip(table(rows), conversations, strict=True):
        say(line)
        about = f" · {plain(each.topic)}" if each.topic else ""
        say(cut(f"  {style(_with(each), 'cyan')}{about}", columns()))
    _what_next(conversations)


def _with(conversation: "Conversation") -> str:
    """The agents that have a part in it, or whom or what it is for."""
    agents = ", ".join(name for name in conversation.participants if name != "user")
    return agents or conversation.agent or conversation.capability or ""


def _what_next(conversations: "list[Conversation]") -> None:
    """How to read the latest conversation, and how to go on with one."""
    say()
    remark(style(f"Read one: caxton conversation show {conversations[0].id}", "dim"))
    going_on = next((each for each in conversations if each.ended_at is None), None)
    if going_on is not None:
        remark(style(f"Go on:    caxton chat --resume {going_on.id}", "dim"))


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
        if conversation.ended_at is None:
            remark(style(f"\nGo on: caxton chat --resume {conversation.id}", "dim"))
        elif messages:
            remark(style(f"\nStep by step: caxton trace {messages[-1].execution_id}", "dim"))


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
        later = "; it ends when the turn in progress is done" if conversation.ended_at is None else ""
        prose(f"{conversation.id} is {in_words(conversation.state)}{later}")


@app.command()
def delete(
    conversation_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID…", help="As `caxton conversation list` shows them.", autocompletion=complete_conversation
        ),
    ],
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End an active conversation first, with its turn in progress.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete conversations permanently: messages, steps, memories made from them, files that nothing else refers to."""
    with connect() as caxton:
        found = [caxton.conversation(each) for each in dict.fromkeys(conversation_ids)]
        if not yes:
            _ask(found, cancel=cancel)
        deleted: list[Deletion] = []
        for each in found:
            done = caxton.delete_conversation(each.id, cancel=cancel)
            deleted.append(done)
            if not current().json:
                prose(f"{done.conversation_id} deleted: {plural(done.messages, 'message')}")
    if current().json:
        emit({"deleted": deleted})
    elif not all(done.complete for done in deleted):
        remark("What is left in memory, files and the engine goes within minutes, by itself.")


def _ask(found: "list[Conversation]", *, cancel: bool) -> None:
    """Asks whether they are to be deleted.

    Raises:
        UsageError: nobody can be asked.
        Exit: the answer was no.
    """
    from caxton.domain.errors import UsageError

    if current().json or not (is_terminal() and sys.stdin.isatty()):
        raise UsageError("a deleted conversation cannot be brought back, and nobody can be asked here", "add --yes")
    for each in found:
        ends = "; it goes on, and is ended" if cancel and each.ended_at is None else ""
        prose(f"{each.id}  {_with(each)}, {plural(each.message_count, 'message')}, {ago(each.last_activity)}{ends}")
    what = "this conversation" if len(found) == 1 else f"these {len(found)} conversations"
    if not typer.confirm(f"Delete {what} for good?", default=False):
        prose("Nothing was deleted.")
        raise typer.Exit(1)


def show_message(caxton: "Caxton", message: "Message", *, lines: int | None = None) -> None:
    """Shows one message: who to whom, when, the text (its first `lines`), the files."""
    colour = "cyan" if message.sender != "user" else "bold"
    scripted = " (scripted)" if message.metadata.get("scripted") else ""
    head = f"{style(message.sender, colour)} → {message.receiver}{scripted}"
    say()
    prose(f"{head}  {style(clock(message.created_at), 'dim')}")
    text = caxton.text(message.content).rstrip()
    if lines is not None and len(all_lines := text.splitlines()) > lines:
        text = "\n".join([*all_lines[:lines], "…"])
    for line in wrapped(plain(text)) if is_terminal() else [text]:
        say(line)
    tell_files(message.artifacts)


def _head(conversation: "Conversation") -> None:
    reason = conversation.end_reason if conversation.end_reason != conversation.state else None
    state = f"{in_words(conversation.state)}{f' ({reason})' if reason else ''}"
    prose(f"{style(conversation.id, 'bold')}  {state}  began {ago(conversation.started_at)}")
    if conversation.topic:
        prose(f"  {conversation.topic}")
    agents = [participant for participant in conversation.participants if participant != "user"]
    if agents:
        prose(f"  with {', '.join(agents)}")
