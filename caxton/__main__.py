"""`caxton`, from the first instruction: what can be said at once is said before anything slow is imported."""

import os
import sys
from typing import TextIO

HELP = ("--help", "-h", "help")
VERSION = ("--version", "-V")
BROKEN_PIPE = 141
UNAVAILABLE = 5
INTERRUPTED = 130


def main() -> None:
    """Runs the command of `sys.argv` and ends the process with its exit code."""
    code = 0
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        code = BROKEN_PIPE
    except OSError as error:
        _drop_output()
        if not code:  # else the command has said so
            sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
            code = UNAVAILABLE
    sys.exit(code)


def _drop_output() -> None:
    """What is left in the buffer of stdout goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _nowhere() -> TextIO:
    """In place of a stream that whoever started us has closed."""
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _run(arguments: list[str]) -> int:
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")  # a terminal that has no ✓ shows a question mark
    if "_CAXTON_COMPLETE" not in os.environ:
        from caxton.cli import acknowledgement

        if not arguments or (len(arguments) == 1 and arguments[0] in HELP):
            from caxton.cli.commands import overview

            sys.stdout.write(overview())
            return 0
        if len(arguments) == 1 and arguments[0] in VERSION:
            from caxton import __version__

            sys.stdout.write(f"caxton {__version__}\n")
            return 0
        acknowledgement.begin(arguments)
    from caxton.cli.app import run

    return run(arguments)


if __name__ == "__main__":
    main()
