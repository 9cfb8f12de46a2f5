"""Deliveries of webhooks while the server is killed: each is one execution, and none that was acknowledged is lost."""

import json
import os
import random
import signal
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
        page = api.get("/v1/events", params=params).raise_for_status().json()["events"]
        found += page
        if len(page) < 500:
            return found
        params["after"] = page[-1]["sequence"]


@pytest.mark.requirement("AGT-10")
def test_each_delivery_is_one_execution_whatever_is_killed(tmp_path: Path) -> None:
    dice = random.Random(10)
    port = free_port()
    flags = ("--port", str(port))
    process, server = start_server(tmp_path / "data", *flags, env=HOOK_SECRETS)
    acknowledged: Counter[str] = Counter()
    lock = threading.Lock()
    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "w", triggered("github", delay=0.05))
            path = path_of(api)
        deliveries = [f"d-{number}" for number in range(DELIVERIES)]
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
            for number in range(1, KILLS + 1):
                until(lambda number=number: sum(acknowledged.values()) >= number * len(sendings) // (KILLS + 2), 90)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                process, server = start_server(tmp_path / "data", *flags, env=HOOK_SECRETS)
            for each in sent:
                each.result(120)
        with server.client() as api:
            until(lambda: len(all_events(api, "execution_completed")) >= DELIVERIES, 90)
            told = all_events(api, "delivery_accepted")
            assert Counter(event["payload"]["delivery_id"] for event in told) == Counter(deliveries)
            assert {event["execution_id"] for event in told} == set(acknowledged)
            assert sum(acknowledged.values()) == len(sendings)
            for kind in ("execution_triggered", "execution_completed"):
                counted = Counter(event["execution_id"] for event in all_events(api, kind))
                assert counted == Counter(dict.fromkeys(acknowledged, 1)), kind
    finally:
        stop_server(process)
