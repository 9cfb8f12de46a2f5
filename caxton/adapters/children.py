"""Processes of our own that help this one, each at the other end of a socket."""

import socket
import subprocess
from collections.abc import Mapping, Sequence


def start_child(
    command: Sequence[str], *, answers_on_stdout: bool = False, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a process that reads from a socket as its standard input, and ends when that is closed.

    Args:
        command: what to run.
        answers_on_stdout: whether its standard output is the same socket; else it is ours.
        environment: its variables; ours if None.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno() if answers_on_stdout else None,
            env=environment,
            start_new_session=True,  # a Ctrl-C on the terminal is for the server
        )
    return process, ours


def end_child(process: "subprocess.Popen[bytes]", patience: float) -> None:
    """Waits so many seconds for a process whose socket is closed to end; then ends it."""
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
