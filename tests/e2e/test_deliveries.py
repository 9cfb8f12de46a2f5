"""Deliveries of webhooks while the server is killed: each is one execution, and none that was acknowledged is lost.

`python -m tests.e2e.test_deliveries --deliveries 1000 --kills 10` sends as many as you like.
"""

import argparse
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_triggers import github, path_of, triggered
from tests.conftest import HOOK_SECRETS, start_server, stop_server
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.waiting import until

DELIVERIES = 200
DOUBLED = 0.3
KILLS = 3


def all_events(api: httpx.Client, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"type": kind, "limit": 500, "order": "oldest"}
    while True:
        page = api.get("/v1/events", params=params).raise_for_status().json()
        found += page["events"]
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]


@pytest.mark.requirement("AGT-10")
def test_each_delivery_is_one_execution_whatever_is_killed(tmp_path: Path) -> None:
    run(tmp_path, DELIVERIES, KILLS, seed=10)


def run(folder: Path, count: int, kills: int, seed: int) -> int:
    """Sends `count` deliveries, many of them twice, to a server that is killed so often. Returns how many came in all."""
    dice = random.Random(seed)
    port = free_port()
    flags = ("--port", str(port))
    process, server = start_server(folder / "data", *flags, env=HOOK_SECRETS)
    acknowledged: Counter[str] = Counter()
    lock = threading.Lock()
    try:
        with server.client() as api:
            deploy_files(api, folder / "w", triggered("github", delay=0.05))
            path = path_of(api)
        deliveries = [f"d-{number}" for number in range(count)]
        doubled = [each for each in deliveries if dice.random() < DOUBLED]
        sendings = deliveries + doubled
        dice.shuffle(sendings)

        def send(delivery: str) -> None:
            """As a sender that does not give up: again until it is acknowledged."""
            body = json.dumps({"order": {"number": int(delivery[2:])}}).encode()
            headers = {"Content-Type": "application/json", **github(body, delivery)}
            time.sleep(dice.uniform(0, 0.1))
            while True:
                try:
                    answer = httpx.post(
                        f"http://127.0.0.1:{port}{path}", content=body, headers=headers, timeout=20, trust_env=False
                    )
                except httpx.HTTPError:
                    time.sleep(0.2)
                    continue
                if answer.status_code == 202:
                    with lock:
                        acknowledged[answer.json()["execution_id"]] += 1
                    return
                assert answer.status_code in (429, 503), answer.text
                time.sleep(0.2)

        with ThreadPoolExecutor(4) as pool:
            sent = [pool.submit(send, each) for each in sendings]
            for number in range(1, kills + 1):
                until(
                    lambda number=number: sum(acknowledged.values()) >= number * len(sendings) // (kills + 2),
                    90 + count,
                )
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                process, server = start_server(folder / "data", *flags, env=HOOK_SECRETS)
            for each in sent:
                each.result(120 + count)
        with server.client() as api:
            until(lambda: len(all_events(api, "execution_completed")) >= count, 90 + count)
            told = all_events(api, "delivery_accepted")
            assert Counter(event["payload"]["delivery_id"] for event in told) == Counter(deliveries)
            assert {event["execution_id"] for event in told} == set(acknowledged)
            assert sum(acknowledged.values()) == len(sendings)
            for kind in ("execution_triggered", "execution_completed"):
                counted = Counter(event["execution_id"] for event in all_events(api, kind))
                assert counted == Counter(dict.fromkeys(acknowledged, 1)), kind
    finally:
        stop_server(process)
    return len(sendings)


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--deliveries", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        came = run(Path(folder), given.deliveries, given.kills, given.seed)
    print(f"{given.deliveries} deliveries, {came} sent, {given.kills} kills: one execution each")


if __name__ == "__main__":
    main()
