"""A starting server on the terminal, and as JSON lines."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caxton.cli import acknowledgement
from caxton.cli.output import remark, say, style
from caxton.domain.errors import CaxtonError
from caxton.domain.quantities import format_duration


class TerminalReporter:
    """A line a step, each as soon as it is known."""

    def starting(self, version: str, data_dir: Path) -> None:
        """Completes the line that the acknowledgement began."""
        text = f" in {short_path(data_dir)}"
        if not acknowledgement.complete(text):
            say(f"Caxton {version} · starting{text}")

    def step(self, name: str, detail: str, seconds: float) -> None:
        """One part runs."""
        say(f"  {style('✓', 'green')} {name:<19} {detail:<36} {style(format_duration(seconds), 'dim')}")

    def failed(self, name: str, error: CaxtonError) -> None:
        """One part could not start; the error follows."""
        say(f"  {style('✗', 'red')} {name:<19} {error.title[:1].lower()}{error.title[1:]}")

    def ready(self, seconds: float, urls: Mapping[str, str]) -> None:
        """All parts run; where to find what."""
        places: list[str] = []
        if "conversations" in urls:
            places.append(f"Conversations: {urls['conversations']}")
        if "metrics" in urls:
            places.append(f"metrics {short_address(urls['metrics'])}")
        if "docs" in urls:
            places.append(f"docs {urls['docs']}")
        say(f"{style('Ready', 'bold', 'green')} in {format_duration(seconds)}. {' · '.join(places)}".rstrip())
        remark(f"Next: {style('caxton init my-analyzer', 'bold')}          (Ctrl-C stops; nothing is lost)")

    def notice(self, message: str) -> None:
        """Something to know while the server runs."""
        say(f"  {style('!', 'yellow')} {message}")

    def stopping(self) -> None:
        """The server finishes what it is doing."""
        say("Stopping: what runs is kept, and goes on with the next start …")

    def stopped(self) -> None:
        """Nothing runs any more."""
        say("Stopped.")


class JsonReporter:
    """A JSON object a line."""

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
        """Nothing runs any more."""
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


def short_address(url: str) -> str:
    """ ":9090" for a URL on this machine."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f":{parts.port}" if parts.hostname in ("127.0.0.1", "localhost") and parts.port else url
