"""Fuzzes a server of its own for as long as you like: `python -m tests.fuzz --minutes 10 --seed 7`."""

import argparse
import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import start_server, stop_server
from tests.fuzz.run import LOOPBACK, NOBODY, PHASES, ROLES, STATEFUL, customer, fuzz, key_of, links_followed, prepare


def parts_of(phases: Sequence[str], role: str) -> list[list[str]]:
    """Phases that have a time of their own each: fuzzing would leave none to what follows. Nobody gets anywhere to go on from."""
    others, stateful = [each for each in phases if each != STATEFUL], [each for each in phases if each == STATEFUL]
    return [part for part in (others, [] if role == NOBODY else stateful) if part]


def main() -> int:
    """Runs all roles, and no key at all, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all of it")
    parser.add_argument("--examples", type=int, default=200, help="inputs an operation, and role")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--role", choices=ROLES, action="append", help="only these")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--store", help="URL of a PostgreSQL database; SQLite without it")
    options = parser.parse_args()
    roles = options.role or ROLES
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        # Each run has an address of its own: all of them together send more wrong keys than one address may.
        env = {"CAXTON_SERVER__PROXIES": LOOPBACK} | ({"CAXTON_STORE__URL": options.store} if options.store else {})
        process, server = start_server(Path(folder, "data"), env=env)
        try:
            for number, role in enumerate(roles):
                with server.client() as admin:
                    boss = customer(admin)
                with server.client(f"fuzz-{role}", key=boss) as api:
                    known = prepare(api, Path(folder, role))
                    description = Path(folder, role, "openapi.json")
                    description.write_text(json.dumps(api.get("/openapi.json").json()))
                    key = key_of(api, role)
                parts = parts_of(options.phases.split(","), role)
                for part, phases in enumerate(parts):
                    done = fuzz(
                        server.url,
                        description,
                        key=key,
                        workspace=f"fuzz-{role}",
                        known=known,
                        phases=phases,
                        examples=options.examples,
                        tries_keys=True,
                        address=f"198.51.100.{len(PHASES) * number + part + 1}",
                        seed=options.seed,
                        seconds=max(1, int(options.minutes * 60 / len(roles) / len(parts))),
                        # What is refused is followed by nothing; the other phases send enough of it.
                        mode="positive" if STATEFUL in phases else "all",
                    )
                    print(f"--- {role}, seed {options.seed}\n{done.stdout}{done.stderr}", flush=True)
                    failed += done.returncode != 0
                    if STATEFUL in phases and not links_followed(done):
                        print(
                            "no link was followed: the stateful phase had too little time, or nothing succeeds",
                            flush=True,
                        )
                        failed += 1
        finally:
            stop_server(process)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
