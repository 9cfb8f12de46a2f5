"""Progress of a starting server. The command line and the log each show it in their own way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from caxton.domain.errors import CaxtonError


class Reporter(Protocol):
    """Gets news of a server, in the order of these methods; `failed` may come instead of any of the later ones."""

    def starting(self, version: str, data_dir: Path) -> None:
        """The settings are valid and work begins."""
        ...

    def step(self, name: str, detail: str, seconds: float) -> None:
        """A part runs: "workflow engine", "temporal 1.32 (embedded)", and how long it took to start; 0 is not told."""
        ...

    def failed(self, name: str, error: CaxtonError) -> None:
        """A part could not start. The error itself is raised as well; whoever catches it prints it."""
        ...

    def ready(self, seconds: float, urls: Mapping[str, str]) -> None:
        """All parts run, `seconds` after the command began.

        Args:
            seconds: since the process began to work.
            urls: where to find what: any of "api", "docs", "engine" (the page of the workflow engine), "metrics".
        """
        ...

    def notice(self, message: str) -> None:
        """Something that the user should know while the server runs, such as a restart of the engine."""
        ...

    def stopping(self) -> None:
        """The server was asked to stop and finishes what it is doing."""
        ...

    def stopped(self) -> None:
        """Nothing runs now."""
        ...
