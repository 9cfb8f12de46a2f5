"""Packages of npm, for tests with programs that are written in JavaScript."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def node_program() -> str:
    """Node.js; skips the test where there is none."""
    program = shutil.which("node")
    if program is None or shutil.which("npm") is None:
        pytest.skip("no Node.js: `apt-get install nodejs npm` for the tests with clients in JavaScript")
    return program


def with_packages(fixture: str) -> Path:
    """A folder with the files of a fixture and the packages of its lock: fetched once, and kept for other runs.

    Skips the test where the registry cannot be reached.
    """
    node_program()
    source = FIXTURES / fixture
    mark = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(source.iterdir()))).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"caxton-npm-{fixture}-{mark}"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            shutil.copytree(source, folder, dirs_exist_ok=True)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                pytest.skip(f"npm cannot fetch the packages of {fixture}: {done.stderr[-300:]}")
            (folder / ".complete").touch()
    return folder
