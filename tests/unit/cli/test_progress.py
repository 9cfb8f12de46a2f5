"""Progress on a terminal."""

import io

import pytest

from caxton.cli import acknowledgement
from caxton.cli.invocation import begin
from caxton.cli.output import complain, say


class Terminal(io.StringIO):
    """What a person reads."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_progress_is_written_over_and_wiped_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin([])
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    acknowledgement.progress("1 of 3")
    acknowledgement.progress("3 of 3")
    say("done")
    acknowledgement.progress("half")
    complain("broken")
    assert terminal.getvalue() == "1 of 3\r\x1b[K3 of 3\r\x1b[Khalf\r\x1b[Kbroken\n"
    assert capsys.readouterr().out == "done\n"


def test_there_is_no_progress_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    acknowledgement.progress("1 of 3")
    assert capsys.readouterr().err == ""
