"""Text that grows, as Markdown on a terminal: finished paragraphs are printed, only the last one is drawn again."""

import re
from types import TracebackType
from typing import TYPE_CHECKING, Self

from caxton.cli.output import plain

if TYPE_CHECKING:
    from rich.markdown import Markdown

_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class MarkdownStream:
    """Shows Markdown while it arrives; use it in a `with` statement."""

    def __init__(self) -> None:
        """Prepare; nothing is shown yet."""
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False, vertical_overflow="crop")
        self._open = ""
        self._is_first = True

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Prints what is still open, and ends."""
        self.finish()
        self._live.stop()

    def feed(self, text: str) -> None:
        """Adds text at the end."""
        finished, self._open = split(self._open + plain(text))
        if finished:
            self._print(finished)
        self._live.update(_markdown(self._open), refresh=True)

    def line(self, text: str) -> None:
        """Prints a line that is not part of the text, such as a step."""
        from rich.text import Text

        self.finish()
        self._console.print(Text.from_ansi(text))

    def finish(self) -> None:
        """Prints what is still open."""
        self._print(self._open)
        self._open = ""

    def _print(self, text: str) -> None:
        """Prints paragraphs for good, with a blank line above them if others came before."""
        self._live.update("", refresh=True)
        if not text.strip():
            return
        if not self._is_first:
            self._console.print()
        self._console.print(_markdown(text))
        self._is_first = False


def _markdown(text: str) -> "Markdown":
    """`text` to be drawn. Its line ends stay: agents answer with addresses, verses and tables in plain text, too."""
    from rich.markdown import Markdown

    drawn = Markdown(text, hyperlinks=False)
    for token in drawn.parsed:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return drawn


def split(text: str) -> tuple[str, str]:
    """`text` as the paragraphs that are finished, and the rest. A blank line ends a paragraph, but not in a code block."""
    end = len(text)
    while (end := text.rfind("\n\n", 0, end)) >= 0:
        if len(_FENCE.findall(text, 0, end + 1)) % 2 == 0:
            return text[: end + 2], text[end + 2 :]
    return "", text
