"""Shared by run_peers.py and durability.py: the peers, their venvs, and processes started and
ended in a group of their own. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# name -> (venv, pinned requirements, script)
PEERS = {
    "caxton": ("", "peer_caxton.py"),
    "caxton-full": ("", "peer_caxton.py"),
    "pydantic-ai-temporal": ("temporal", "peer_pydantic_temporal.py"),
    "langgraph": ("langgraph", "peer_langgraph.py"),
    "dbos": ("dbos", "peer_dbos.py"),
    "openai-agents-temporal": ("oai", "peer_openai_temporal.py"),
    "agno": ("agno", "peer_agno.py"),
}

MODEL_BACKED = ("caxton", "caxton-full", "pydantic-ai-temporal", "langgraph")
"""Those that can ask a model service."""


def find_uv(given: str | None) -> str:
    for c in (given, shutil.which("uv")):
        if c and os.access(c, os.X_OK):
            return c
    sys.exit("no uv found: pass --uv PATH")


OURS = getattr(sys, "_base_executable", sys.executable)
"""The interpreter that Caxton runs with: how one was built makes a fifth of difference, so all get the same."""


def ensure_venv(name: str, uv: str, python: str = OURS) -> Path:
    """The venv's python; made from reqs/<venv>.txt (every version pinned) when missing or stale."""
    venv, _ = PEERS[name]
    reqs = HERE / "reqs" / f"{venv}.txt"
    root = HERE / "venvs" / venv
    mark = root / ".pinned"
    want = hashlib.sha256(reqs.read_bytes() + python.encode()).hexdigest()
    py = root / "bin" / "python"
    if py.exists() and mark.exists() and mark.read_text() == want:
        return py
    print(f"# making venvs/{venv} from {reqs.relative_to(HERE)}", file=sys.stderr, flush=True)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run([uv, "venv", "-q", "--python", python, str(root)], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--no-deps", "--python", str(py), "-r", str(reqs)], check=True)
    mark.write_text(want)
    return py


def peer_cmd(name: str, uv: str, python: str = OURS) -> list[str]:
    if not PEERS[name][0]:  # this project itself, in the environment that runs the benchmark
        full = ["env", "PEERS_CAXTON_SYNC=full"] if name.endswith("-full") else []
        return [*full, sys.executable, str(HERE / PEERS[name][1])]
    return [str(ensure_venv(name, uv, python)), str(HERE / PEERS[name][1])]


class Group:
    """A process and all that it starts, in a session of its own. Nothing else is ever signalled."""

    def __init__(self, cmd, stdout, stderr, cwd=None, env=None):
        self.p = subprocess.Popen(
            cmd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=cwd, env=env, start_new_session=True
        )
        self.reaped = False

    def exited(self) -> bool:
        """Without reaping: the leader stays a zombie, so its group id cannot be taken by another."""
        if self.reaped:
            return True
        return os.waitid(os.P_PID, self.p.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not self.exited():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def end(self, sig=signal.SIGTERM, grace: float = 8.0) -> int:
        """End what is left of the group, then reap the leader."""
        if not self.reaped:
            if sig != signal.SIGKILL and not self.exited():
                self._signal(sig)
                self.wait(grace)
            self._signal(signal.SIGKILL)
            self.p.wait()
            self.reaped = True
        return self.p.returncode

    def _signal(self, sig):
        try:
            os.killpg(self.p.pid, sig)
        except ProcessLookupError:
            pass


def last_json(text: str) -> dict | None:
    for line in reversed(text.strip().splitlines()):
        try:
            v = json.loads(line)
        except ValueError:
            continue
        if isinstance(v, dict):
            return v
    return None


def fsync_ms(folder: Path, n: int = 40) -> float:
    """Median latency of append 4 KiB + fdatasync in the folder that the peers write to."""
    f = folder / f".fsync-{os.getpid()}"
    fd = os.open(f, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        ms = []
        for i in range(n):
            os.pwrite(fd, b"x" * 4096, 4096 * i)
            t = time.perf_counter()
            os.fdatasync(fd)
            ms.append((time.perf_counter() - t) * 1e3)
            time.sleep(0.005)
        return round(statistics.median(ms), 3)
    finally:
        os.close(fd)
        f.unlink()


def busy_pct(seconds: float = 0.5) -> float | None:
    """Share of all cores in use right now, by others (called while nothing of ours runs)."""

    def read():
        v = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        return sum(v), v[3] + v[4]

    try:
        a, ai = read()
        time.sleep(seconds)
        b, bi = read()
        return round(100 * (1 - (bi - ai) / max(1, b - a)), 1)
    except OSError:
        return None
