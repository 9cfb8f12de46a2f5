#!/usr/bin/env python3
"""Measure the peers one after another (never at once), in interleaved rounds; medians reported.

run_peers.py                                   all peers, 10x10 and 100x100, 2 rounds
run_peers.py --only langgraph dbos             some of them
run_peers.py --model URL --stagger 2 --warmup 5 --cases 200x200
                                               turns whose model is a service at that address
run_peers.py --extra "mine=python bench.py"    also another system: run as
      python bench.py --conversations N --clients M --seconds S
   its last line of standard output is a JSON object with turns_per_s, p50_ms, p95_ms, p99_ms
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib_run import HERE, MODEL_BACKED, OURS, PEERS, Group, busy_pct, find_uv, fsync_ms, last_json, peer_cmd

NUM = ("turns_per_s", "p50_ms", "p95_ms", "p99_ms")
ALSO = ("cpu_ms", "cpu_with_client_ms")  # where a system tells them


def run_one(cmd, timeout, cwd, model) -> dict:
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryDirectory(prefix="round-", dir=HERE / "data", ignore_cleanup_errors=True) as d,
    ):
        g = Group(cmd, out, err, cwd, {**os.environ, "PEERS_RUN_DIR": d, "PEERS_MODEL": model})
        try:
            in_time = g.wait(timeout)
        finally:
            rc = g.end()
        out.seek(0), err.seek(0)
        o, e = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    res = last_json(o)
    if not in_time:
        return {"failed": f"still running after {timeout:.0f} s", "stderr": e[-600:]}
    if rc != 0 or res is None:
        return {"failed": f"exit status {rc}" + ("" if res else ", no JSON line"), "stderr": e[-600:]}
    lacking = [k for k in NUM if not isinstance(res.get(k), (int, float))]
    if lacking:
        return {"failed": f"JSON line without a number for {', '.join(lacking)}", "result": res}
    return res


def median(runs, key):
    v = [r[key] for r in runs if key in r and "failed" not in r]
    return round(statistics.median(v), 2) if v else None


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--only",
        nargs="*",
        metavar="NAME",
        help="peers to run; none after it: only the extras; known: " + ", ".join(PEERS),
    )
    p.add_argument("--extra", action="append", nargs="+", default=[], metavar="NAME=COMMAND")
    p.add_argument("--cases", default="10x10,100x100", help="CONVERSATIONSxCLIENTS,...")
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--out", default=str(HERE / "results.json"))
    p.add_argument("--uv")
    p.add_argument("--python", default=OURS, help="of the venvs; the pins are for 3.11")
    p.add_argument("--grace", type=float, default=120, help="seconds beyond --seconds before a run is ended")
    p.add_argument("--model", default="", help="address of a model service that answers, such as http://HOST:PORT/v1")
    p.add_argument("--stagger", type=float, default=0, help="seconds over which the clients begin")
    p.add_argument("--warmup", type=float, default=3)
    p.add_argument("--install-only", action="store_true")
    a = p.parse_args()
    known = MODEL_BACKED if a.model else tuple(PEERS)
    names = list(known) if a.only is None else a.only
    for n in names:
        if n not in known:
            p.error(f"unknown peer {n!r}; known{' with --model' if a.model else ''}: {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    uv = find_uv(a.uv) if names else None
    todo: dict[str, list[str]] = {}
    broken: dict[str, str] = {}
    for n in names:
        try:
            todo[n] = peer_cmd(n, uv, a.python)
        except (subprocess.CalledProcessError, OSError) as e:
            broken[n] = f"no venv: {e}"
    extras = set()
    for e in [x for xs in a.extra for x in xs]:
        n, eq, c = e.partition("=")
        if not eq or not n or not c.strip() or n in todo or n in PEERS:
            p.error(f"--extra {e!r}: want NAME=COMMAND with a name of its own")
        todo[n] = shlex.split(c)
        extras.add(n)
    if a.install_only:
        print("ready:", ", ".join(todo), "" if not broken else f"failed: {broken}")
        return bool(broken)
    cases = [tuple(int(x) for x in c.split("x")) for c in a.cases.split(",")]
    (HERE / "data").mkdir(exist_ok=True)
    runs: dict[tuple[str, str], list[dict]] = {}
    began = time.time()
    try:
        for rnd in range(a.rounds):
            order = list(todo) if rnd % 2 == 0 else list(reversed(todo))
            for conv, cl in cases:
                for n in order:
                    env = {
                        "round": rnd + 1,
                        "busy_before_pct": busy_pct(),
                        "fsync_ms_before": fsync_ms(HERE / "data"),
                        "load1": round(os.getloadavg()[0], 2),
                    }
                    cmd = [*todo[n], "--conversations", str(conv), "--clients", str(cl), "--seconds", f"{a.seconds:g}"]
                    if n not in extras:
                        cmd += ["--stagger", f"{a.stagger:g}", "--warmup", f"{a.warmup:g}"]
                    t = time.time()
                    r = run_one(cmd, a.seconds + a.grace, os.getcwd() if n in extras else str(HERE), a.model)
                    r.update(env, wall_s=round(time.time() - t, 1))
                    runs.setdefault((n, f"{conv}x{cl}"), []).append(r)
                    say = r.get("failed") or (
                        f"{r['turns_per_s']:>8} turns/s  p50 {r['p50_ms']}  p95 {r['p95_ms']}  "
                        f"p99 {r['p99_ms']} ms  errors {r.get('errors', '-')} bad {r.get('bad', '-')}"
                    )
                    print(
                        f"# round {rnd + 1} {conv}x{cl} {n:<24} {say}  [busy {env['busy_before_pct']}% "
                        f"fsync {env['fsync_ms_before']} ms]",
                        file=sys.stderr,
                        flush=True,
                    )
    except KeyboardInterrupt:
        print("# interrupted; what was measured so far follows", file=sys.stderr)
    rows = []
    for (n, case), rs in runs.items():
        ok = [r for r in rs if "failed" not in r]
        v = [r["turns_per_s"] for r in ok]
        rows.append(
            {
                "name": n,
                "case": case,
                **{k: median(rs, k) for k in (*NUM, *ALSO)},
                "spread": [min(v), max(v)] if v else None,
                "thin": any(isinstance(r.get("turns"), int) and r["turns"] < 5 * int(case.split("x")[1]) for r in ok),
                "runs_ok": len(ok),
                "runs": len(rs),
                "errors": sum(r.get("errors") or 0 for r in ok),
                "bad": sum(r.get("bad") or 0 for r in ok),
                "failed": next((r["failed"] for r in rs if "failed" in r), None),
                "versions": next((r["versions"] for r in ok if "versions" in r), None),
            }
        )
    rows.sort(key=lambda r: (cases.index(tuple(int(x) for x in r["case"].split("x"))), -(r["turns_per_s"] or -1)))
    print(f"\nmedian of {a.rounds} interleaved rounds, {a.seconds:g} s each\n")
    head = ("case", "system", "turns/s", "(low-high)", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "errors", "ok/runs")
    table = [head] + [
        (
            r["case"],
            r["name"],
            str(r["turns_per_s"]) + ("*" if r["thin"] else ""),
            f"({r['spread'][0]}-{r['spread'][1]})" if r["spread"] else r["failed"] or "",
            str(r["p50_ms"]),
            str(r["p95_ms"]),
            str(r["p99_ms"]),
            str(r["cpu_ms"]),
            str(r["errors"] + r["bad"]),
            f"{r['runs_ok']}/{r['runs']}",
        )
        for r in rows
    ]
    w = [max(len(t[i]) for t in table) for i in range(len(head))]
    for t in table:
        print("  ".join(c.ljust(w[i]) if i < 2 else c.rjust(w[i]) for i, c in enumerate(t)))
    if any(r["thin"] for r in rows):
        print("* fewer than 5 turns a client in a round: too few for p95 and p99; use a larger --seconds")
    for n, why in broken.items():
        print(f"not run: {n}: {why}")
    summary = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "seconds": a.seconds,
        "rounds": a.rounds,
        "rows": rows,
        "not_run": broken,
        "all_runs": [{"name": n, "case": c, **r} for (n, c), rs in runs.items() for r in rs],
    }
    Path(a.out).write_text(json.dumps(summary, indent=1))
    print(f"\nwritten: {a.out}")
    print(json.dumps({k: summary[k] for k in ("when", "cores", "seconds", "rounds", "rows", "not_run")}))
    return bool(broken) or any(r["failed"] for r in rows)


if __name__ == "__main__":
    sys.exit(main())
