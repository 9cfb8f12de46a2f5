"""Becomes a program, after asking Linux to end it with the server that wants it: `launch.py PARENT PROGRAM ARGUMENT…`.

To ask for that between fork and exec of the server (`preexec_fn`) is not safe: it has threads, whose locks a fork leaves as
they are.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1

CANNOT_RUN = 126
"""Exit code when the program cannot be run, as shells have it."""


def main() -> None:
    """Becomes the program that the arguments name."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the server that wanted the program has ended")  # before the system could be told
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no secret of its memory in a file
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and what is ignored stays so
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - there is no shell, and none is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.exit(CANNOT_RUN)


if __name__ == "__main__":
    main()
