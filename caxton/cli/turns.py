"""A turn on the terminal: steps and text while it runs, the reply, the files that came of it."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from caxton.cli.output import columns, complain, harmless, is_terminal, say, style, width
from caxton.cli.tables import packed
from caxton.domain.errors import CaxtonError, ExecutionFailed
from caxton.domain.quantities import format_duration

if TYPE_CHECKING:
    from caxton.cli.markdown import MarkdownStream
    from caxton.client import Caxton
    from caxton.client.sse import StreamEvent
    from caxton.domain.executions import TurnView
    from caxton.domain.messages import Message


@dataclass
class TurnDisplay:
    """Shows one turn while it streams; use it in a `with` statement. In a pipe the reply alone is written, and stderr gets what
    a person has to decide."""

    quiet: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    text: str = ""
    """What has been shown of the reply so far."""
    _since_step: str = ""
    _view: "MarkdownStream | None" = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_live(self) -> bool:
        """Whether a person watches."""
        return is_terminal() and not self.quiet

    def show(self, event: "StreamEvent") -> None:
        """Shows a step or a piece of text, or takes text back."""
        if event.kind == "step":
            self.steps.append(event.data)
            self._since_step = ""
            line = step_line(event.data)
            if line and self.is_live:
                self.line(line)
            elif line and event.data.get("state") == "Pending":
                complain(_to_decide(event.data))
        elif event.kind == "delta":
            piece = str(event.data.get("text", ""))
            self.text += piece
            self._since_step += piece
            if self.is_live:
                self._open().feed(piece)
        elif event.kind == "reset":
            self._begin_anew(event)
        elif event.kind == "retry" and self.is_live:
            self.line(style(retry_line(event.data), "dim"))

    def line(self, text: str) -> None:
        """Shows a line that is not part of the reply."""
        self._open().line(harmless(text))

    def _begin_anew(self, event: "StreamEvent") -> None:
        """What was shown since the last step was said in vain: another model call says it again, or something else."""
        if not self._since_step:
            return
        self.text = self.text[: len(self.text) - len(self._since_step)]
        self._since_step = ""
        if self.is_live:
            self.line(style(f"(the model broke off; attempt {event.data.get('attempt')} starts over)", "dim"))

    def finish(self, reply: str) -> None:
        """Shows of the reply what has not been shown yet.

        What streamed may be less than the reply (pieces get lost, a script does not stream) or another text (the model
        spoke before it called a tool).
        """
        if not self.is_live:
            say(reply.rstrip("\n"))
            return
        shown = self.text
        if reply.startswith(shown):
            self._open().feed(reply[len(shown) :])
        elif not shown.endswith(reply):
            self._open().finish()
            self._open().feed(reply)
        self.close()

    def close(self) -> None:
        """Ends what is shown, so that other lines may follow."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _open(self) -> "MarkdownStream":
        from caxton.cli import acknowledgement
        from caxton.cli.markdown import MarkdownStream

        if self._view is None:
            acknowledgement.settle()
            self._view = MarkdownStream()
            self._view.__enter__()
        return self._view


def retry_line(told: dict[str, Any]) -> str:
    """The line for something that failed and is tried again."""
    what = str(told.get("message") or told.get("code") or "it failed")
    if told.get("what") == "tool":
        what = f"{told.get('name')} failed ({told.get('code')})"
    after = float(told.get("after") or 0.0)
    when = f"retrying in {format_duration(after)}" if after >= 0.1 else "retrying"
    if "retrying in" in what:  # it says so itself
        what = what.partition("; retrying in")[0]
    return f"{what}; {when} … (attempt {told.get('attempt')} of {told.get('of')})"


def step_line(step: dict[str, Any]) -> str | None:
    """The line for a step of a turn; None for those that tell a person nothing."""
    agent = str(step.get("agent") or "")
    kind = step.get("kind")
    depth = int(step.get("depth") or 0)
    if kind == "tool":
        what = f"⚙ {step.get('tool')} {step.get('function') or ''}".rstrip()
    elif kind == "attempt":
        what = f"↻ {step.get('model')} attempt {step.get('attempt')}"
    elif kind == "open" and step.get("by"):
        what = f"→ {agent} ({step.get('capability')})"
        agent = str(step["by"])
        depth = max(0, depth - 1)
    elif kind == "approval":
        return _approval_line(step, agent, depth)
    elif kind == "handover" and not step.get("ok", True):
        what = f"→ {step.get('to')} ({step.get('capability')})"
    else:
        return None
    duration = step.get("duration_ms")
    time = format_duration(duration / 1000) if isinstance(duration, (int, float)) else ""
    failed = "" if step.get("ok", True) else style(f"  {step.get('error_code') or 'failed'}", "red")
    left = f"{'  ' * depth}{style(agent, 'cyan')}  {what} …"
    space = max(2, min(columns(), 72) - width(left) - width(time) - 1)
    return f"{left}{' ' * space}{style(time, 'dim')}{failed}".rstrip()


def _approval_line(step: dict[str, Any], agent: str, depth: int) -> str:
    left = f"{'  ' * depth}{style(agent, 'cyan')}  "
    state = step.get("state")
    if state == "Pending":
        waits = style(f"{step.get('action')} waits for the {step.get('mode')}", "yellow")
        return f"{left}{waits}: caxton approvals show {step.get('approval_id')}"
    colour = "green" if step.get("ok") else "red"
    return f"{left}{step.get('action')} {style(str(state).lower(), colour)} by {step.get('by')}"


def _to_decide(step: dict[str, Any]) -> str:
    """What waits for a person, and how it is decided: for who looks at a command that stands still in a pipe."""
    approval = step.get("approval_id")
    who = f"{step.get('agent')}: {step.get('action')} waits for the {step.get('mode')}"
    return (
        f"{who}\n  see it:  caxton approvals show {approval}\n"
        f"  decide:  caxton approvals grant {approval}   (or reject)"
    )


def follow(caxton: "Caxton", turn: "TurnView", display: TurnDisplay) -> "TurnView":
    """Waits for the end of a turn, and shows on a terminal how it comes about.

    Raises:
        CaxtonError: the turn failed; `details` has execution_id.
    """
    if turn.state == "running" or display.is_live:
        turn = _stream(caxton, turn.execution_id, display)
    if turn.state == "failed":
        raise failure(turn)
    return turn


def with_trace(error: CaxtonError) -> CaxtonError:
    """`error` with the command that shows what happened, if it befell a turn."""
    execution_id = error.details.get("execution_id")
    return error.with_hint("see what happened", f"caxton trace {execution_id}") if execution_id else error


def in_which_workspace(error: CaxtonError, workspace: str) -> CaxtonError:
    """`error` with the workspace's name, if nothing at all is deployed there: it may be mistyped."""
    if error.code != "no_capable_agent" or not any("init" in (hint.command or "") for hint in error.hints):
        return error
    return error.with_hint(
        f'nothing is deployed in the workspace "{workspace}"; another one is named by --workspace, CAXTON_WORKSPACE, or '
        "`name` in [workspace] of caxton.toml"
    )


def _stream(caxton: "Caxton", execution_id: str, display: TurnDisplay) -> "TurnView":
    for event in caxton.stream(execution_id):
        if event.kind == "error":
            error = event.error()
            error.details.setdefault("execution_id", execution_id)
            raise error
        if event.kind == "reply":
            return event.turn()
        display.show(event)
    raise AssertionError("a stream ends with a reply or an error")


def failure(turn: "TurnView") -> CaxtonError:
    """The error of a turn that failed."""
    error = CaxtonError.from_report(turn.error) if turn.error else ExecutionFailed("the turn failed")
    error.details.setdefault("execution_id", turn.execution_id)
    return error


def fetch_artifacts(caxton: "Caxton", message: "Message", folder: Path, *, force: bool) -> list[Path]:
    """Writes the files that came with a reply into `folder` and says where they are."""
    from caxton.cli.artifacts import write

    return [write(folder, each.name, caxton.blob(each.digest), force=force) for each in message.artifacts]


_CUT = {
    "length": "cut off at the model's limit of tokens (max_tokens in [model_settings])",
    "content_filter": "cut off by the provider's content filter",
}


def origin(turn: "TurnView", *, scripted: bool) -> str:
    """The line that says where a reply came from: "(scripted model · conversation c_… · caxton trace x_…)"."""
    metadata = turn.reply.metadata if turn.reply else {}
    model = "scripted model" if scripted else str(metadata.get("model") or "")
    without = "without its memory (see caxton health)" if metadata.get("memory") == "unavailable" else ""
    instead = f"in place of {', '.join(passed)}" if (passed := passed_over(turn)) else ""
    parts = [
        model,
        instead,
        without,
        cut_off(turn),
        f"conversation {turn.conversation_id}",
        f"caxton trace {turn.execution_id}",
    ]
    lines = packed([part for part in parts if part], columns() - 2)
    return "\n".join(
        style(f"{' ' if number else '('}{line}{')' if number == len(lines) - 1 else ''}", "dim", stream=sys.stdout)
        for number, line in enumerate(lines)
    )


def passed_over(turn: "TurnView") -> dict[str, str]:
    """Models that should have answered and did not, each with why."""
    passed: list[dict[str, str]] = (turn.reply.metadata.get("fallback_from") or []) if turn.reply else []
    return {each["model"]: each.get("reason") or each["code"] for each in passed}


def cut_off(turn: "TurnView") -> str:
    """Why the reply is not whole, in words; empty if it is."""
    return _CUT.get(str(turn.reply.metadata.get("cut_by")), "") if turn.reply else ""


def is_scripted(turn: "TurnView", steps: list[dict[str, Any]]) -> bool:
    """Whether a script made the reply, or had a part in it."""
    metadata = turn.reply.metadata if turn.reply else {}
    return bool(metadata.get("scripted")) or any(step.get("scripted") for step in steps)
