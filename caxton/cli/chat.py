"""`caxton chat`"""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_capability, complete_conversation
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import complain, is_terminal, plural, prose, say, style
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caxton.cli.prompt import Prompt
    from caxton.client import Caxton
    from caxton.client.sse import StreamEvent
    from caxton.domain.conversations import Conversation
    from caxton.domain.errors import CaxtonError
    from caxton.domain.executions import TurnView
    from caxton.domain.tools import Artifact

app = new_app()

_HELP = (
    "Enter sends · Alt-Enter, or \\ and Enter, begins a line\n"
    "/history shows the conversation · /file PATH sends a file with the next message · /end ends it\n"
    "/quit or Ctrl-D leaves it open · Ctrl-C cancels a turn"
)

_PATIENCE = 2.0
"""Seconds after which a person is told that the server does not answer; then it is tried again for as long as they like."""

_RECALLED = 4
"""Messages that are shown of a conversation that goes on."""


@app.command()
def chat(
    capability: Annotated[
        str | None,
        typer.Argument(metavar="CAPABILITY[@RANGE]", help="What it is about.", autocompletion=complete_capability),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Talk to this agent.", autocompletion=complete_agent)
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Continue this conversation.", autocompletion=complete_conversation),
    ] = None,
    topic: Annotated[str | None, typer.Option(metavar="TEXT", help="What `conversation list` calls it.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where files of replies go; here by default.")
    ] = None,
) -> None:
    """Hold a conversation: Enter sends a message, replies appear as they come.

    Alt-Enter, or a backslash at the end of a line, begins another line of the same message; pasted text is one message.
    /end ends the conversation, /history shows it, /file PATH sends a file with the next message, /quit or Ctrl-D leaves it
    open, Ctrl-C cancels the turn that runs. When the server is away, the message is kept until it is back. From a pipe,
    every line is a message, and with --json every reply is one object per line.
    """
    from caxton.domain.errors import CaxtonError, ConversationClosed

    interactive = is_terminal(sys.stdin) and is_terminal() and not current().json
    with connect(patience=_PATIENCE if interactive else 15.0) as caxton:
        conversation = _conversation(caxton, capability, agent, resume, topic)
        sitting = _Chat(caxton, conversation, out or Path.cwd(), interactive=interactive)
        if interactive:
            sitting.greet(resumed=resume is not None)
        way_back = f"caxton chat --resume {conversation.id}"
        try:
            sitting.run()
        except ConversationClosed:
            raise
        except CaxtonError as error:
            raise error.with_hint("the conversation stays open; go on with it", way_back) from None
        except KeyboardInterrupt as stop:
            stop.add_note(f"The conversation stays open: {way_back}")
            raise


class _Chat:
    """One sitting at a conversation."""

    def __init__(self, caxton: "Caxton", conversation: "Conversation", folder: Path, *, interactive: bool) -> None:
        self.caxton = caxton
        self.conversation = conversation
        self.folder = folder
        self.running: str | None = None
        """The turn that runs."""
        self.interactive = interactive
        self._prompt: Prompt | None = None
        self._unsent = ("", "")
        """A message that may not have arrived, and its idempotency key: sent again, it is taken once."""
        self._files: list[Artifact] = []
        """Files that go with the next message."""

    def greet(self, *, resumed: bool) -> None:
        """Says with whom one talks, and what was said last."""
        conversation = self.conversation
        whom = conversation.agent or conversation.capability or ", ".join(conversation.participants)
        prose(f"{style(whom, 'bold')} · conversation {conversation.id}")
        if resumed:
            self._recall()
        say(style(_HELP, "dim"))

    def run(self) -> None:
        """Takes messages until there are no more."""
        while (text := self._read()) is not None:
            text = text.strip()
            if text in ("/quit", "/exit"):
                break
            if text == "/end":
                if self._tried(self._end):
                    return
            elif text == "/history":
                self._tried(self._history)
            elif text.startswith("/file "):
                self._tried(partial(self._attach, Path(text.removeprefix("/file ").strip()).expanduser()))
            elif text in ("/help", "/?"):
                say(style(_HELP, "dim"))
            elif text.startswith("/") and self.interactive and len(text.split()) == 1:
                complain(f'Unknown command "{text}".\n{_HELP}')
            elif text:
                self._turn(text)
        if self.interactive:
            say(style(f"The conversation stays open: caxton chat --resume {self.conversation.id}", "dim"))

    def _read(self) -> str | None:
        from caxton.cli.given_text import read_line

        if not self.interactive:
            return read_line()
        from caxton.cli import acknowledgement
        from caxton.cli.prompt import Prompt

        acknowledgement.settle()
        self._prompt = self._prompt or Prompt()
        try:
            return self._prompt.read(self._unsent[0])
        except EOFError:
            return None
        except KeyboardInterrupt:
            self._unsent = ("", "")
            say(style("(/quit or Ctrl-D leaves, /end ends the conversation)", "dim"))
            return ""

    def _attach(self, path: Path) -> None:
        """Uploads a file, which goes with the next message."""
        from caxton.cli.contents import tell_files
        from caxton.cli.given_files import check_files, upload_all

        check_files([path], "/file")
        self._files += upload_all(self.caxton, [path])
        if self.interactive:
            tell_files(self._files[-1:])

    def _tried(self, action: "Callable[[], None]") -> bool:
        """Does something that a person asked for; that it fails does not end the sitting."""
        from caxton.domain.errors import CaxtonError

        try:
            action()
        except CaxtonError as error:
            if not self.interactive:
                raise
            self._show_error(error)
            return False
        return True

    def _show_error(self, error: "CaxtonError") -> None:
        from caxton.cli.errors import render

        complain("\n".join(render(error, debug=current().debug)))

    def _turn(self, text: str) -> None:
        from caxton.cli.turns import with_trace
        from caxton.domain.errors import CaxtonError, ConversationClosed, NotAuthenticated

        try:
            self._exchange(text)
        except KeyboardInterrupt:
            if not self.interactive:
                raise
            self._cancel()
        except (ConversationClosed, NotAuthenticated):
            raise
        except CaxtonError as error:
            with_trace(error)
            if not self.interactive:
                raise
            self._show_error(error)  # a failed turn does not end the conversation

    def _cancel(self) -> None:
        """Ends the turn that runs; the conversation goes on."""
        from caxton.domain.errors import CaxtonError, ConversationClosed

        if self.running is None:
            complain("The message may not have arrived; it stands here again. /history shows what has arrived.")
            return
        try:
            turn = self.caxton.cancel_turn(self.running, conversation_id=self.conversation.id)
        except ConversationClosed:
            raise
        except CaxtonError as error:
            complain(f"The turn could not be cancelled: {error.message}")
            complain(f"Get the reply later: caxton execution wait {self.running}")
            return
        complain("(cancelled)" if turn.state == "failed" else f"(the turn is {turn.state})")

    def _exchange(self, text: str) -> None:
        """One message and its reply."""
        from caxton.cli.artifacts import tell_file
        from caxton.cli.turns import fetch_artifacts

        self.running = None
        turn = self._live(text) if self.interactive else self._plain(text)
        if turn.reply:
            for file in fetch_artifacts(self.caxton, turn.reply, self.folder, force=False):
                if not current().json:
                    tell_file(file)

    def _plain(self, text: str) -> "TurnView":
        from caxton.cli.turns import TurnDisplay, follow
        from caxton.domain.json_text import json_line

        turn = self.caxton.send(self.conversation.id, text, wait=True, files=self._files)
        self._files = []
        turn = follow(self.caxton, turn, TurnDisplay(quiet=True))
        reply = self.caxton.text(turn.reply.content) if turn.reply else ""
        say(json_line({**turn.model_dump(mode="json"), "text": reply}) if current().json else reply)
        return turn

    def _live(self, text: str) -> "TurnView":
        """A turn in the middle of a person's screen."""
        from caxton.cli.turns import TurnDisplay, cut_off, failure, is_scripted

        with TurnDisplay() as display:
            turn = self._sent(text, display.line)
            self.running = turn.execution_id
            for event in self._events(turn.execution_id, display.line):
                if event.kind == "error":
                    raise event.error()
                if event.kind == "reply":
                    turn = event.turn()
                else:
                    display.show(event)
            if turn.state == "failed":
                raise failure(turn)
            display.finish(self.caxton.text(turn.reply.content) if turn.reply else "")
        said = [cut_off(turn), "scripted model" if is_scripted(turn, display.steps) else ""]
        if any(said):
            say(style(f"({' · '.join(each for each in [turn.agent or '', *said] if each)})", "dim"))
        return turn

    def _sent(self, text: str, tell: "Callable[[str], None]") -> "TurnView":
        """The turn that a message begins. While the server is away the message is kept, and sent when it is back."""
        from caxton.domain.errors import CaxtonError, ServerUnreachable
        from caxton.domain.ids import new_id

        unsent, key = self._unsent
        self._unsent = (text, key if text == unsent else new_id("i"))
        while True:
            try:
                turn = self.caxton.send(
                    self.conversation.id, text, wait=False, idempotency_key=self._unsent[1], files=self._files
                )
            except ServerUnreachable:
                self._wait_for_server(tell)
            except CaxtonError:
                self._unsent = ("", "")
                raise
            else:
                self._unsent, self._files = ("", ""), []
                return turn

    def _events(self, execution_id: str, tell: "Callable[[str], None]") -> "Iterator[StreamEvent]":
        """A turn as it happens, to its end, also when the server is away meanwhile."""
        from caxton.domain.errors import ServerUnreachable

        last: str | None = None
        while True:
            try:
                for event in self.caxton.stream(execution_id, conversation_id=self.conversation.id, last_event_id=last):
                    last = event.id or last
                    yield event
            except ServerUnreachable:
                self._wait_for_server(tell)
            else:
                return

    def _wait_for_server(self, tell: "Callable[[str], None]") -> None:
        """Returns when the server answers again."""
        import time

        from caxton.domain.errors import ServerUnreachable

        tell(style("The server does not answer. Nothing is lost; trying again … (Ctrl-C stops)", "yellow"))
        while True:
            time.sleep(_PATIENCE / 2)
            try:
                self.caxton.health()
            except ServerUnreachable:
                continue
            tell(style("The server is back.", "green"))
            return

    def _recall(self) -> None:
        """The latest messages, each with its first lines."""
        from caxton.cli.conversations import show_message

        messages = self.caxton.messages(self.conversation.id, limit=_RECALLED)
        earlier = self.conversation.message_count - len(messages)
        if earlier > 0:
            say(style(f"({plural(earlier, 'earlier message')}: /history)", "dim"))
        for message in messages:
            show_message(self.caxton, message, lines=_RECALLED)
        say()

    def _end(self) -> None:
        ended = self.caxton.end_conversation(self.conversation.id)
        if not current().json:
            say(style(f"The conversation is {in_words(ended.state)}: caxton conversation show {ended.id}", "dim"))

    def _history(self) -> None:
        from caxton.cli.conversations import show_message

        for message in self.caxton.messages(self.conversation.id):
            show_message(self.caxton, message)
        say()


def _conversation(
    caxton: "Caxton", capability: str | None, agent: str | None, resume: str | None, topic: str | None
) -> "Conversation":
    """The conversation to hold: the one that goes on, or a new one.

    Raises:
        UsageError: it is not said with whom.
    """
    from caxton.cli.ask import target
    from caxton.domain.errors import ConversationClosed, Hint, UsageError

    if resume is not None:
        found = caxton.conversation(resume)
        if found.ended_at is not None:
            hint = Hint(text="read it", command=f"caxton conversation show {resume}")
            raise ConversationClosed(f"the conversation {resume} is {in_words(found.state)}", hint)
        return found
    if agent is not None and capability is not None:
        raise UsageError("name a capability or an agent, not both")
    if agent is not None:
        return caxton.start_conversation(agent=agent, topic=topic)
    return caxton.start_conversation(**target(capability or _choose(caxton)), topic=topic)


def _choose(caxton: "Caxton") -> str:
    """The only capability there is, or the one that the user picks.

    Raises:
        NoCapableAgent: there is none.
        UsageError: there are several and nobody to ask.
    """
    from caxton.domain.errors import NoCapableAgent, UsageError

    names = [capability.name for capability in caxton.capabilities()]
    if not names:
        raise NoCapableAgent("no agent offers anything yet", "make one with `caxton init`, then run `caxton deploy`")
    if len(names) == 1:
        return names[0]
    if not (is_terminal(sys.stdin) and is_terminal()):
        raise UsageError("what should the conversation be about?", f"name a capability: {', '.join(names)}")
    import questionary

    from caxton.cli import acknowledgement

    acknowledgement.settle()
    return str(questionary.select("What about?", choices=names).unsafe_ask())
