"""Becomes the engine, after asking Linux for what only a process itself can ask: `engine_launcher.py PARENT PROGRAM ARGUMENT…`.

To do that between fork and exec of the server (`preexec_fn`) is not safe: it has threads, whose locks a fork leaves as they are.
"""

import ctypes
import os
import signal
import sys

CANNOT_RUN = 126
"""Exit code when the program cannot be run, as shells have it."""

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29

TIMER_SLACK = 5_000_000
"""Nanoseconds by which the system may let a sleep of the engine last longer.

While it works, Go's runtime looks every 20 µs whether a thread of its own is stuck in a system call, and moves what waits behind
it to another thread. On a virtual machine each of those naps costs more than what it finds. The engine's own timers count
in seconds. What it saves: docs/explanation/performance.md.
"""


def main() -> None:
    """Becomes the program that the arguments name."""
    parent, *command = sys.argv[1:]
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the engine ends when the server does, even when that is killed
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK)
    if os.getppid() != int(parent):
        sys.exit("the server that wanted an engine has ended")  # before it could be told to us
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and what is ignored stays so
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 - there is no shell, and none is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.exit(CANNOT_RUN)


if __name__ == "__main__":
    main()
