"""A starting server on the terminal, and as JSON lines."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caxton.cli import acknowledgement
from caxton.cli.output import columns, remark, say, style, wrapped
from caxton.domain.errors import CaxtonError
from caxton.domain.quantities import format_duration


class TerminalReporter:
    """A line a step, each as soon as it is known."""

    def __init__(self) -> None:
        """Begin; nothing is shown yet."""
        self._key = ""

    def starting(self, version: str, data_dir: Path) -> None:
        """Completes the line that the acknowledgement began."""
        self._key = short_path(data_dir / "admin.key")
        text = f" in {short_path(data_dir)}"
        if not acknowledgement.complete(text):
            say(f"Caxton {version} · starting{text}")

    def step(self, name: str, detail: str, seconds: float) -> None:
        """One part runs."""
        detail = f"{detail:<{min(36, columns() - 33)}}"
        took = style(format_duration(seconds), "dim") if seconds else ""
        say(f"  {style('✓', 'green')} {name:<19} {detail} {took}".rstrip())

    def failed(self, name: str, error: CaxtonError) -> None:
        """One part could not start; the error follows."""
        say(f"  {style('✗', 'red')} {name:<19} {error.title[:1].lower()}{error.title[1:]}")

    def ready(self, seconds: float, urls: Mapping[str, str]) -> None:
        """All parts run; where to find what."""
        say(f"{style('Ready', 'bold', 'green')} in {format_duration(seconds)}.")
        places = [
            ("API, to try out", urls.get("docs"), ""),
            ("metrics", urls.get("metrics"), ""),
            ("workflow engine", urls.get("engine"), "workflows, for operators"),
            ("conversations", "caxton conversation list" if "api" in urls else None, ""),
        ]
        for name, place, what in places:
            if place:
                say(f"    {name:<19} {place}{style(f'   {what}', 'dim') if what and columns() >= 78 else ''}")
        if "docs" in urls:
            login = f"(in a browser: any user name, and as the password the key in {self._key})"
            for line in wrapped(login, indent="    ", everywhere=True):
                remark(style(line, "dim"))
        remark(f"Next: {style('caxton init my-analyzer', 'bold')}   (Ctrl-C stops; nothing is lost)")

    def notice(self, message: str) -> None:
        """Something to know while the server runs."""
        first, *rest = wrapped(f"  ! {message}", indent="    ")
        say("\n".join([first.replace("!", style("!", "yellow"), 1), *rest]))

    def stopping(self) -> None:
        """The server finishes what it is doing."""
        say("Stopping. Work in progress is kept, and goes on with the next start.")

    def stopped(self) -> None:
        """Nothing runs now."""
        say("Stopped.")


class JsonReporter:
    """One JSON object per line."""

    def starting(self, version: str, data_dir: Path) -> None:
        """The settings are valid and work begins."""
        self._write("starting", version=version, data_dir=str(data_dir))

    def step(self, name: str, detail: str, seconds: float) -> None:
        """One part runs."""
        self._write("step", name=name, detail=detail, seconds=round(seconds, 3))

    def failed(self, name: str, error: CaxtonError) -> None:
        """One part could not start."""
        self._write("failed", name=name, code=error.code, message=error.message)

    def ready(self, seconds: float, urls: Mapping[str, str]) -> None:
        """All parts run; where to find what."""
        self._write("ready", seconds=round(seconds, 3), urls=dict(urls))

    def notice(self, message: str) -> None:
        """Something to know while the server runs."""
        self._write("notice", message=message)

    def stopping(self) -> None:
        """The server finishes what it is doing."""
        self._write("stopping")

    def stopped(self) -> None:
        """Nothing runs now."""
        self._write("stopped")

    def _write(self, event: str, **facts: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, **facts}, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def short_path(path: Path) -> str:
    """`path` with the home folder as ~."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
