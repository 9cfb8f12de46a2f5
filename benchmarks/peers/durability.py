#!/usr/bin/env python3
"""What each peer has on disk before it replies.

1. kill -9 of the whole process group (server, worker and client) in the middle of a 10x10 run,
   then a fresh start on the same files: is every acknowledged reply in its conversation?
2. strace of one client with a pause after each reply: fsync/fdatasync calls that finish between
   "sent" and "acknowledged", and those that come after the acknowledgement.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib_run import HERE, PEERS, Group, find_uv, last_json, peer_cmd


def kill_test(cmd, d: Path, acks: int) -> dict:
    log = d / "ack.log"
    with open(d / "run.out", "wb") as o:
        g = Group(
            [
                *cmd,
                "--conversations",
                "10",
                "--clients",
                "10",
                "--seconds",
                "120",
                "--warmup",
                "0",
                "--data",
                str(d / "data"),
                "--ack-log",
                str(log),
            ],
            o,
            o,
        )
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not g.exited():
                if log.exists() and log.read_text().count("A ") >= acks:
                    break
                time.sleep(0.05)
        finally:
            g.end(signal.SIGKILL)
    with open(d / "check.out", "wb") as o, open(d / "check.err", "wb") as e:
        g = Group([*cmd, "--conversations", "10", "--check", "--data", str(d / "data"), "--ack-log", str(log)], o, e)
        try:
            g.wait(90)
        finally:
            g.end()
    r = last_json((d / "check.out").read_text()) or {}
    r = {k: r[k] for k in ("acked", "stored", "missing", "conversations_out_of_order") if k in r}
    return r or {"failed": (d / "check.err").read_text()[-500:] or (d / "run.out").read_text()[-500:]}


def sync_test(cmd, d: Path, seconds: float) -> dict:
    log, trace = d / "ack.log", d / "trace"
    with open(d / "run.out", "wb") as o:
        g = Group(
            [
                "strace",
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-y",
                "-s",
                "4",
                "-e",
                "trace=fsync,fdatasync,sync_file_range,write",
                "-e",
                "signal=none",
                "-o",
                str(trace),
                *cmd,
                "--conversations",
                "1",
                "--clients",
                "1",
                "--seconds",
                f"{seconds:g}",
                "--warmup",
                "0",
                "--think-ms",
                "60",
                "--data",
                str(d / "data"),
                "--ack-log",
                str(log),
            ],
            o,
            o,
        )
        try:
            g.wait(seconds + 90)
        finally:
            g.end()
    pend: dict[str, str] = {}
    where, before, after, turns, bare, cur = "start", [], [], 0, 0, []
    for line in open(trace, errors="replace"):
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.startswith("write(") and "ack.log>" in rest:
            m = re.search(r'"(.)', rest)
            if m and m.group(1) == "S":
                where, cur = "before", []
            elif m and m.group(1) == "A":
                turns += 1
                if turns > 3:  # the first turns create tables, caches ...
                    before += cur
                    bare += not cur
                where = "after"
            continue
        m = re.match(r"(fsync|fdatasync|sync_file_range)\(\d+<(.*?)>(.*)", rest)
        if m:
            if "unfinished" in m.group(3):
                pend[pid] = m.group(2)
                continue
            path = m.group(2)
        elif re.match(r"<\.\.\. (fsync|fdatasync|sync_file_range) resumed>", rest):
            path = pend.pop(pid, "?")
        else:
            continue
        if not path.startswith(str(d)):
            continue
        if where == "before":
            cur.append(path)
        elif where == "after" and turns > 3:
            after.append(path)
    n = max(1, turns - 3)

    def kinds(paths):
        out: dict[str, float] = {}
        for x in paths:
            k = "(folder)" if x == str(d / "data") else Path(x).name
            out[k] = out.get(k, 0) + 1
        return {k: round(v / n, 2) for k, v in sorted(out.items(), key=lambda kv: -kv[1])}

    modes = {}
    for f in (d / "data").iterdir():
        h = f.read_bytes()[:20] if f.is_file() else b""
        if h.startswith(b"SQLite format 3"):
            modes[f.name] = "WAL" if h[18] == 2 else "rollback journal"
    return {
        "turns": turns - 3,
        "syncs_before_reply_per_turn": kinds(before),
        "turns_with_no_sync_before_reply": bare,
        "syncs_after_reply_per_turn": kinds(after),
        "journal": modes,
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="*", metavar="NAME")
    p.add_argument("--acks", type=int, default=120)
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--out", default=str(HERE / "durability.json"))
    p.add_argument("--uv")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    uv, res = find_uv(a.uv), {}
    (HERE / "data").mkdir(exist_ok=True)
    for n in a.only or list(PEERS):
        cmd = peer_cmd(n, uv)
        res[n] = {}
        for what, fn, arg in (("kill9", kill_test, a.acks), ("sync", sync_test, a.seconds)):
            if what == "sync" and not shutil.which("strace"):
                res[n][what] = {"failed": "no strace here"}
                continue
            d = Path(tempfile.mkdtemp(prefix=f"dur-{what}-", dir=HERE / "data"))
            try:
                res[n][what] = fn(cmd, d, arg)
            except (OSError, subprocess.SubprocessError) as e:
                res[n][what] = {"failed": str(e)}
            finally:
                shutil.rmtree(d, ignore_errors=True)
        print(json.dumps({n: res[n]}), flush=True)
    Path(a.out).write_text(json.dumps(res, indent=1))


if __name__ == "__main__":
    main()
