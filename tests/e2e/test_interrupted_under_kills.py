"""Interrupted and replaced turns, with a server that is killed in between: each message has one answer.

`python -m tests.e2e.test_interrupted_under_kills --kills 20 --conversations 50` does a thousand.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_when_busy import begin_slow, code_of, workers
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.deploying import deploy_files
from tests.support.waiting import until

WAYS = ("interrupt", "replace")


@pytest.mark.slow
@pytest.mark.requirement("MSG-10")
@pytest.mark.parametrize(("kills", "conversations"), [(4, 1), (2, 6)])
def test_each_message_has_one_answer_when_the_server_is_killed_in_between(
    tmp_path: Path, kills: int, conversations: int
) -> None:
    run(tmp_path, kills, conversations, seed=10)


def run(folder: Path, kills: int, conversations: int, seed: int) -> int:
    """Kills a server so often while messages come before others in so many conversations. Returns how many messages."""
    dice = random.Random(seed)
    process, server = start_server(folder / "data")
    try:
        with server.client() as api:
            deploy_files(api, folder / "w", workers())
        for _ in range(kills):
            with server.client() as api:
                ways = [dice.choice(WAYS) for _ in range(conversations)]
                with ThreadPoolExecutor(8) as pool:
                    talks = list(pool.map(partial(start, api), ways))
            with ThreadPoolExecutor(conversations) as pool:
                sent = [pool.submit(send, server, talk) for talk in talks]
                time.sleep(dice.uniform(0.0, 0.3))
                process.kill()
                process.wait()
                for each in sent:
                    each.result()
            process, server = start_server(folder / "data")
            with server.client() as api:
                with ThreadPoolExecutor(8) as pool:
                    sent_again = list(pool.map(partial(send, server), talks))
                check(api, list(zip(talks, sent_again, strict=True)))
        with server.client() as api:
            assert api.get("/v1/events/verify").json()["ok"]
    finally:
        stop_server(process)
    return kills * conversations


def start(api: httpx.Client, how: str) -> tuple[str, str, str]:
    """A conversation that is at work: how a message is to come before that, its id, and the execution at work."""
    conversation = api.post("/v1/conversations", json={"capability": "mixed"}).raise_for_status().json()["id"]
    return how, conversation, begin_slow(api, conversation)


def send(server: RunningServer, talk: tuple[str, str, str]) -> str | None:
    """Sends the message, the same each time; its execution, or None if the server was killed before it said which."""
    how, conversation, _ = talk
    with server.client() as api:
        try:
            accepted = api.post(
                f"/v1/conversations/{conversation}/messages",
                params={"wait": "false"},
                json={"content": "quick", "when_busy": how},
                headers={"Idempotency-Key": f"once-{conversation}"},
            )
        except httpx.HTTPError:
            return None
    assert accepted.status_code in (200, 202), accepted.text
    return str(accepted.json()["execution_id"])


def check(api: httpx.Client, sent: Sequence[tuple[tuple[str, str, str], str | None]]) -> None:
    for (how, conversation, slow), quick in sent:
        assert quick is not None
        answered = until(lambda quick=quick: ended(api, quick), 120)
        before = 1 if how == "interrupt" else 0
        assert answered["reply"]["content"]["text"] == f"{before} before: quick"
        code = code_of(api, slow)
        assert code == ("execution_interrupted" if before else "execution_replaced"), (how, slow, code)
        for execution, end in ((slow, "execution_failed"), (quick, "execution_completed")):
            assert ends_of(api, execution) == [end]
        history = api.get(f"/v1/conversations/{conversation}/messages").json()["messages"]
        texts = [message["content"].get("text") for message in history]
        assert texts.count("quick") == 1
        assert texts.count(f"{before} before: quick") == 1


def ended(api: httpx.Client, execution: str) -> dict[str, Any] | None:
    turn = api.get(f"/v1/executions/{execution}").json()
    return None if turn["state"] == "running" else turn


def ends_of(api: httpx.Client, execution: str) -> list[str]:
    """How often an execution ended, not counting those of its delegates."""
    events = api.get(f"/v1/executions/{execution}/events").json()["events"]
    ends = ("execution_completed", "execution_failed")
    return [each["event_type"] for each in events if each["execution_id"] == execution and each["event_type"] in ends]


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = run(Path(folder), given.kills, given.conversations, given.seed)
    print(f"{done} messages, each with one answer; {given.kills} kills")


if __name__ == "__main__":
    main()
