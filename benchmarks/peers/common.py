"""Shared driver of the peer benchmarks. Standard library and psutil only; imported in every peer's venv.

Every peer script has the command line  --conversations N --clients M --seconds S  and
prints one JSON line as the last line of its standard output.

Where the environment holds PEERS_MODEL, the address of an OpenAI-compatible model service, peers
ask that one instead of the scripted model.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
WINDOW = 20  # messages of the conversation that the model is given (10 turns)
USER_BYTES = 120  # size of a user message
REPLY_BYTES = 200  # size of a reply
MODEL = os.environ.get("PEERS_MODEL", "")  # address of the model service, such as http://127.0.0.1:8000/v1
SYSTEM_PROMPT = "You answer."  # what the model service is given before the messages


def user_text(conv: int, k: int) -> str:
    return f"msg id={uuid.uuid4().hex[:12]} c={conv} k={k} ".ljust(USER_BYTES, ".")


def scripted(user: str, prior: int) -> str:
    """The zero-latency model. prior = number of earlier messages that it was given."""
    m = re.search(r"id=(\w+)", user)
    return f"reply id={m.group(1) if m else '?'} h={prior} ".ljust(REPLY_BYTES, "-")


def msg_id(text: str) -> str:
    m = re.search(r"id=(\w+)", text)
    return m.group(1) if m else "?"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port: int, proc: subprocess.Popen | None = None, timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if proc is not None and proc.poll() is not None:
            raise RuntimeError(f"child exited with {proc.returncode} before it listened on {port}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port} after {timeout} s")


class Peer:
    """What a peer implements."""

    name = "?"
    #: True where the framework does not itself serialise turns of one conversation and the
    #: driver has to (only matters when clients > conversations).
    serialise = True
    #: True where the driver's process is also the one that does the work.
    in_process = False
    #: distributions whose versions are reported
    dists: tuple[str, ...] = ()
    notes = ""

    def __init__(self, data: Path):
        self.data = data
        self.children: list[subprocess.Popen] = []

    async def start(self, conversations: int, fresh: bool) -> None: ...
    async def turn(self, conv: int, text: str) -> str:
        raise NotImplementedError

    async def replies(self, conv: int) -> list[str]:
        raise NotImplementedError

    async def stop(self) -> None: ...

    # -- children: started by handle, ended by handle
    def spawn(self, cmd: list[str], log: str, **kw) -> subprocess.Popen:
        with open(self.data / log, "ab") as f:
            p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, **kw)
        self.children.append(p)
        return p

    def end_children(self) -> None:
        for p in reversed(self.children):
            if p.poll() is None:
                p.terminate()
                try:
                    p.wait(8)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()


def cpu_seconds(pid: int, children: bool) -> float:
    """CPU of a process, or of all that it started, so far."""
    process = psutil.Process(pid)
    used = 0.0
    for each in process.children(recursive=True) if children else [process]:
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            used += times.user + times.system
    return used


async def cpu_between(peer: Peer, begin: float, end: float) -> tuple[float, float]:
    """Seconds of CPU from one moment to the other: of the system, and of the system with its client."""

    def now() -> tuple[float, float]:
        client, started = cpu_seconds(os.getpid(), False), cpu_seconds(os.getpid(), True)
        return client + started if peer.in_process else started, client + started

    await asyncio.sleep(begin - time.perf_counter())
    before = now()
    await asyncio.sleep(end - time.perf_counter())
    return tuple(b - a for a, b in zip(before, now(), strict=True))


def pct(sorted_ms: list[float], q: float) -> float | None:
    if not sorted_ms:
        return None
    import math

    return round(sorted_ms[min(len(sorted_ms) - 1, max(0, math.ceil(q * len(sorted_ms)) - 1))], 2)


async def drive(peer: Peer, a: argparse.Namespace) -> dict:
    n, m = a.conversations, a.clients
    locks = [asyncio.Lock() for _ in range(n)]
    counts = [0] * n  # turns finished, per conversation
    dirty = [False] * n  # an error happened: do not check the history length any more
    done: list[tuple[float, float]] = []
    errors: list[str] = []
    bad: list[str] = []
    stop_at = float("inf")
    ack = os.open(a.ack_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if a.ack_log else None

    async def one(conv: int) -> None:
        text = user_text(conv, counts[conv])
        t = time.perf_counter()
        if ack is not None:
            os.write(ack, f"S {msg_id(text)} {conv}\n".encode())
        try:
            if peer.serialise and m > n:
                async with locks[conv]:
                    r = await peer.turn(conv, text)
            else:
                r = await peer.turn(conv, text)
        except asyncio.CancelledError:
            raise
        except Exception as e:
            errors.append(f"{type(e).__name__}: {e}"[:300])
            dirty[conv] = True
            await asyncio.sleep(0.05)
            return
        end = time.perf_counter()
        if ack is not None:
            os.write(ack, f"A {msg_id(text)} {conv}\n".encode())
        if msg_id(r) != msg_id(text):
            bad.append(f"conversation {conv}: reply to another message: {r[:60]!r}")
        elif m <= n and not dirty[conv]:
            want = min(WINDOW, 2 * counts[conv])
            if f" h={want} " not in r:
                bad.append(f"conversation {conv} turn {counts[conv]}: wanted h={want}, got {r[:60]!r}")
        counts[conv] += 1
        done.append((end, (end - t) * 1e3))
        if a.think_ms:
            await asyncio.sleep(a.think_ms / 1e3)

    async def client(i: int) -> None:
        # clients >= conversations: client i stays on conversation i mod N;
        # otherwise it goes round the conversations i, i+M, i+2M ...
        await asyncio.sleep(a.stagger * i / m)
        mine = [i % n] if m >= n else list(range(i, n, m))
        j = 0
        while time.perf_counter() < stop_at:
            await one(mine[j % len(mine)])
            j += 1

    t0 = time.perf_counter()
    begin, stop_at = t0 + a.warmup, t0 + a.warmup + a.seconds
    cpu = asyncio.create_task(cpu_between(peer, begin, stop_at))
    tasks = [asyncio.create_task(client(i)) for i in range(m)]
    _, late = await asyncio.wait(tasks, timeout=a.warmup + a.seconds + 20)
    for t in late:
        t.cancel()
    for t in tasks:
        if t not in late and t.exception():
            raise t.exception()
    lat = sorted(ms for end, ms in done if begin <= end <= stop_at)
    used, used_with_client = (round(1000 * s / max(1, len(lat)), 2) for s in await cpu)
    return {
        "conversations": n,
        "clients": m,
        "seconds": a.seconds,
        "warmup": a.warmup,
        "turns": len(lat),
        "turns_per_s": round(len(lat) / a.seconds, 2),
        "p50_ms": pct(lat, 0.50),
        "p95_ms": pct(lat, 0.95),
        "p99_ms": pct(lat, 0.99),
        "max_ms": round(lat[-1], 2) if lat else None,
        "cpu_ms": used,
        "cpu_with_client_ms": used_with_client,
        "turns_total": len(done),
        "errors": len(errors),
        "bad": len(bad),
        "first_error": (errors + bad + [None])[0],
        "unfinished": len(late),
    }


def versions(dists: tuple[str, ...]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    out = {"python": sys.version.split()[0]}
    for d in dists:
        try:
            out[d] = version(d)
        except PackageNotFoundError:
            out[d] = "missing"
    return out


async def check(peer: Peer, a: argparse.Namespace) -> dict:
    """After a kill -9: is every acknowledged reply still in its conversation?"""
    acked: dict[int, list[str]] = {}
    for line in Path(a.ack_log).read_text().splitlines():
        f = line.split()
        if len(f) == 3 and f[0] == "A":
            acked.setdefault(int(f[2]), []).append(f[1])
    missing = total = stored = order = 0
    for conv, ids in acked.items():
        have = [msg_id(r) for r in await peer.replies(conv)]
        stored += len(have)
        total += len(ids)
        missing += len(set(ids) - set(have))
        if [i for i in have if i in set(ids)] != ids:
            order += 1
    return {"acked": total, "stored": stored, "missing": missing, "conversations_out_of_order": order}


def main(make, extra_args=None) -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--conversations", type=int, default=10)
    p.add_argument("--clients", type=int, default=10)
    p.add_argument("--seconds", type=float, default=10.0)
    p.add_argument("--warmup", type=float, default=3.0)
    p.add_argument("--data", help="data folder (default: a new one under ./data, removed at the end)")
    p.add_argument("--ack-log", help="append S/A lines (sent, acknowledged) here")
    p.add_argument("--think-ms", type=float, default=0.0, help="pause of a client after each reply")
    p.add_argument("--stagger", type=float, default=0.0, help="seconds over which the clients begin")
    p.add_argument("--check", action="store_true", help="reopen --data and look for the replies of --ack-log")
    if extra_args:
        extra_args(p)
    a = p.parse_args()
    keep = a.data is not None
    if keep:
        data = Path(a.data).resolve()
        data.mkdir(parents=True, exist_ok=True)
    else:
        (HERE / "data").mkdir(exist_ok=True)
        data = Path(tempfile.mkdtemp(prefix="run-", dir=os.environ.get("PEERS_RUN_DIR") or HERE / "data"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peer: Peer = make(data, a)

    async def go() -> dict:
        await peer.start(a.conversations, fresh=not a.check)
        try:
            return await (check if a.check else drive)(peer, a)
        finally:
            try:
                await asyncio.wait_for(peer.stop(), 15)
            except Exception as e:  # a slow shutdown is not a measurement
                print(f"stop: {type(e).__name__}: {e}", file=sys.stderr)

    try:
        res = asyncio.run(go())
    finally:
        peer.end_children()
        if not keep:
            shutil.rmtree(data, ignore_errors=True)
    print(json.dumps({"peer": peer.name, **res, "versions": versions(peer.dists), "notes": peer.notes}), flush=True)
    os._exit(0)
