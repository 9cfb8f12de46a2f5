"""`caxton chat`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_capability, complete_conversation
from caxton.cli.invocation import connect, current
from caxton.cli.output import complain, is_terminal, say, style

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.conversations import Conversation
    from caxton.domain.executions import TurnView

app = new_app()

_HELP = "/end ends the conversation · /history shows it · /quit or Ctrl-D leaves it open · Ctrl-C cancels a turn"


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
        typer.Option(metavar="ID", help="Go on with this conversation.", autocompletion=complete_conversation),
    ] = None,
    topic: Annotated[str | None, typer.Option(metavar="TEXT", help="What `conversation list` calls it.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where files of replies go; else here.")] = None,
) -> None:
    """Hold a conversation: each line is a message, replies appear as they come.

    /end ends the conversation, /history shows it, /quit or Ctrl-D leaves it open, Ctrl-C cancels the turn that runs. From a
    pipe, every line is a message, and with --json every reply is an object a line.
    """
    with connect() as caxton:
        conversation = _conversation(caxton, capability, agent, resume, topic)
        _greet(conversation)
        _Chat(caxton, conversation, out or Path.cwd()).run()


class _Chat:
    """One sitting at a conversation."""

    def __init__(self, caxton: "Caxton", conversation: "Conversation", folder: Path) -> None:
        self.caxton = caxton
        self.conversation = conversation
        self.folder = folder
        self.running: str | None = None
        """The turn that runs."""
        self.interactive = is_terminal(sys.stdin) and is_terminal() and not current().json

    def run(self) -> None:
        """Takes lines until there are no more."""
        while (text := self._read()) is not None:
            text = text.strip()
            if text in ("/quit", "/exit"):
                break
            if text == "/end":
                self._end()
                return
            if text == "/history":
                self._history()
            elif text in ("/help", "/?"):
                say(style(_HELP, "dim"))
            elif text.startswith("/") and self.interactive and " " not in text:
                complain(f'unknown command "{text}"; {_HELP}')
            elif text:
                self._turn(text)
        if self.interactive:
            say(style(f"The conversation stays open: caxton chat --resume {self.conversation.id}", "dim"))

    def _read(self) -> str | None:
        if not self.interactive:
            return sys.stdin.readline() or None
        try:
            return input(_prompt())
        except EOFError:
            say()
            return None
        except KeyboardInterrupt:
            say()
            say(style("(/quit or Ctrl-D leaves, /end ends the conversation)", "dim"))
            return ""

    def _turn(self, text: str) -> None:
        from caxton.cli.turns import with_trace
        from caxton.domain.errors import CaxtonError, ConversationClosed, NotAuthenticated, ServerUnreachable

        try:
            self._exchange(text)
        except KeyboardInterrupt:
            if not self.interactive:
                raise
            self._cancel()
        except (ConversationClosed, ServerUnreachable, NotAuthenticated):
            raise
        except CaxtonError as error:
            with_trace(error)
            if not self.interactive:
                raise
            from caxton.cli.errors import render

            complain("\n".join(render(error, debug=current().debug)))  # a failed turn does not end the conversation

    def _cancel(self) -> None:
        """Ends the turn that runs; the conversation goes on."""
        from caxton.domain.errors import CaxtonError, ConversationClosed

        if self.running is None:
            complain("The message was not sent.")
            return
        try:
            turn = self.caxton.cancel_turn(self.running)
        except ConversationClosed:
            raise
        except CaxtonError as error:
            complain(f"The turn could not be cancelled: {error.message}")
            return
        complain("(cancelled)" if turn.state == "failed" else f"(the turn is {turn.state})")

    def _exchange(self, text: str) -> None:
        """One message and its reply."""
        from caxton.cli.artifacts import shown
        from caxton.cli.turns import fetch_artifacts

        self.running = None
        turn = self._live(text) if self.interactive else self._plain(text)
        if turn.reply:
            for file in fetch_artifacts(self.caxton, turn.reply, self.folder, force=False):
                if not current().json:
                    say(f"{'chart' if file.suffix == '.svg' else 'file'}: {shown(file)}")

    def _plain(self, text: str) -> "TurnView":
        import json

        from caxton.cli.turns import TurnDisplay, follow

        turn = self.caxton.send(self.conversation.id, text, wait=True)
        turn = follow(self.caxton, turn, TurnDisplay(quiet=True))
        reply = self.caxton.text(turn.reply.content) if turn.reply else ""
        say(
            json.dumps({**turn.model_dump(mode="json"), "text": reply}, ensure_ascii=False) if current().json else reply
        )
        return turn

    def _live(self, text: str) -> "TurnView":
        """A turn in the middle of a person's screen."""
        from caxton.cli.markdown import MarkdownStream
        from caxton.cli.turns import failure, is_scripted, step_line

        turn = self.caxton.send(self.conversation.id, text, wait=False)
        self.running = turn.execution_id
        steps: list[dict[str, object]] = []
        streamed = ""
        with MarkdownStream() as view:
            for event in self.caxton.stream(turn.execution_id):
                if event.kind == "step":
                    steps.append(event.data)
                    line = step_line(event.data)
                    if line:
                        view.line(line)
                elif event.kind == "delta":
                    piece = str(event.data.get("text", ""))
                    streamed += piece
                    view.feed(piece)
                elif event.kind == "error":
                    raise event.error()
                elif event.kind == "reply":
                    turn = event.turn()
            if turn.state == "failed":
                raise failure(turn)
            reply = self.caxton.text(turn.reply.content) if turn.reply else ""
            if reply.startswith(streamed):
                view.feed(reply[len(streamed) :])
            elif not streamed.endswith(reply):
                view.finish()
                view.feed(reply)
        if is_scripted(turn, steps):
            say(style(f"({turn.agent} · scripted model)", "dim"))
        return turn

    def _end(self) -> None:
        ended = self.caxton.end_conversation(self.conversation.id)
        if not current().json:
            say(style(f"The conversation is {ended.state}: caxton conversation show {ended.id}", "dim"))

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
            raise ConversationClosed(f"the conversation {resume} is {found.state}", hint)
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


def _greet(conversation: "Conversation") -> None:
    if is_terminal(sys.stdin) and is_terminal() and not current().json:
        whom = conversation.agent or conversation.capability or ", ".join(conversation.participants)
        say(f"{style(whom, 'bold')} · conversation {conversation.id}")
        say(style(_HELP, "dim"))


def _prompt() -> str:
    """The prompt. Importing `readline`, where there is one, gives `input` a history; it must know what takes no room."""
    from contextlib import suppress
    from importlib import import_module

    from caxton.cli.output import has_colour

    with suppress(ImportError):
        import_module("readline")
    return "\x01\x1b[1m\x02you ›\x01\x1b[0m\x02 " if has_colour() else "you › "
