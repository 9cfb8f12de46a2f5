"""Runs the few tests once more that failed in `make test`, alone on the machine.

Thousands of tests share two cores with the servers, browsers and databases that they start, and some wait for real time: on
a busy machine one of them may meet its limit where the product does nothing wrong. CPython's own test runner does the same
(`--rerun`). What fails twice fails. What passes now is named, to be looked at: it depends on how busy the machine is.
"""

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""Where pytest notes what failed in its last run."""

MOST = 5
"""Tests that are run again; more that fail have a cause of their own."""


def main(arguments: list[str]) -> int:
    """Run pytest with `arguments`, and what failed once more.

    Returns:
        The exit code: 0 if all passed, at the latest when they were alone.
    """
    pytest = [sys.executable, "-m", "pytest"]
    FAILED.unlink(missing_ok=True)
    code = subprocess.run([*pytest, *arguments]).returncode
    if code != 1 or not FAILED.exists():
        return code
    failed = [name for name in json.loads(FAILED.read_text()) if "::" in name]
    if not 0 < len(failed) <= MOST:
        return code
    print(f"\nOnce more, alone: {', '.join(failed)}", flush=True)
    code = subprocess.run([*pytest, "-q", *failed]).returncode
    if code == 0:
        print("Failed beside the others, and passed alone:", *failed, sep="\n  ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
