"""Messages of conversations: their order, what they find settled, and how a conversation's silence is measured."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_conversations import HISTORY, say, send, start, wait_for_state
from tests.support.agents import agent, hands_over, replies

SLOW_OR_QUICK = """
[[rules]]
when = { contains = "slow" }
[[rules.steps]]
capability = "sleeper"
[[rules.steps]]
reply = "{{ history | length }} before: {{ request }}"

[[rules]]
[[rules.steps]]
reply = "{{ history | length }} before: {{ request }}"
"""


def mixed() -> dict[str, str | bytes]:
    """An agent that is quick unless it is asked for something slow."""
    return {
        **agent("mixed", rules=SLOW_OR_QUICK, more='delegates = ["sleeper"]\n'),
        **agent("sleeper", rules=replies("slept", delay=0.5)),
    }


def texts(api: httpx.Client, conversation: str, count: int) -> list[str]:
    """What was said, once there are `count` messages."""
    deadline = time.monotonic() + 30
    while True:
        found = api.get(f"/v1/conversations/{conversation}/messages").json()["messages"]
        if len(found) >= count or time.monotonic() > deadline:
            return [message["content"]["text"] for message in found]
        time.sleep(0.05)


@contextmanager
def clients(api: httpx.Client, number: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads that use `api`."""
    with ThreadPoolExecutor(number) as pool:
        yield pool


@pytest.mark.requirement("MSG-3")
def test_conversations_at_once_are_each_answered_in_order(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversations = [start(api, capability="memo") for _ in range(5)]

    def talk(number: int) -> str:
        return str(say(api, conversations[number % 5], f"m{number}").json()["reply"]["content"]["text"])

    with clients(api, 20) as pool:
        answers = list(pool.map(talk, range(50)))
    for place, conversation in enumerate(conversations):
        mine = sorted(answers[place::5], key=lambda text: int(text.split()[0]))
        assert [int(text.split()[0]) for text in mine] == list(range(0, 20, 2))
        # One after another: each request is followed by its own reply.
        said = texts(api, conversation, 20)
        assert said[1::2] == mine
        assert [text.split(": ")[1] for text in said[1::2]] == said[::2]


@pytest.mark.requirement("MSG-3")
def test_quick_messages_do_not_overtake_a_slow_one(api: httpx.Client, deploy: Deploy) -> None:
    deploy(mixed())
    conversation = start(api, capability="mixed")
    sent = ["quick 0", "slow 1", "quick 2", "quick 3", "slow 4", "quick 5"]
    for text in sent:
        send(api, conversation, text).raise_for_status()
    last = say(api, conversation, "quick 6").json()["reply"]["content"]["text"]
    assert last == "12 before: quick 6"
    expected = [said for n, text in enumerate([*sent, "quick 6"]) for said in (text, f"{2 * n} before: {text}")]
    assert texts(api, conversation, 14) == expected
    # And when the slow ones are done, the next is quick again.
    assert say(api, conversation, "quick 7").json()["reply"]["content"]["text"] == "14 before: quick 7"


@pytest.mark.requirement("DEP-5")
def test_a_conversation_stays_on_the_versions_that_it_began_with(api: httpx.Client, deploy: Deploy) -> None:
    def version(number: int) -> dict[str, str | bytes]:
        return {
            **agent("front", rules=hands_over("back"), more='delegates = ["back"]\n', version=f"{number}.0.0"),
            **agent("back", rules=replies(f"back {number}"), version=f"{number}.0.0"),
            **agent("talker", rules=replies(f"talker {number}"), version=f"{number}.0.0"),
        }

    def ask(conversation: str) -> tuple[str, str]:
        reply = say(api, conversation, "x").json()["reply"]
        return reply["content"]["text"], reply["metadata"]["agent_version"]

    deploy(version(1))
    old, silent, handing = (start(api, capability=name) for name in ("talker", "talker", "front"))
    assert ask(old) == ("talker 1", "1.0.0")
    assert ask(handing) == ("back 1", "1.0.0")
    deploy(version(2))
    assert ask(old) == ("talker 1", "1.0.0")
    assert ask(handing) == ("back 1", "1.0.0")
    assert ask(silent) == ("talker 2", "2.0.0")  # its first message came after the deployment
    assert ask(start(api, capability="front")) == ("back 2", "2.0.0")


@pytest.mark.requirement("MSG-5")
def test_a_message_puts_off_the_end_of_a_silent_conversation(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo", idle_timeout=2)
    for _ in range(4):
        time.sleep(0.8)
        assert say(api, conversation, "still here").status_code == 200
    written = time.monotonic()
    found = wait_for_state(api, conversation, "Expired")
    assert time.monotonic() - written > 1.8
    assert found["end_reason"] == "Timeout"
    assert say(api, conversation, "too late").status_code == 409
    assert len(texts(api, conversation, 8)) == 8  # what was refused is not recorded


@pytest.mark.requirement("MSG-5")
def test_a_conversation_ends_after_the_turn_in_hand(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversations = [start(api, capability="memo") for _ in range(8)]
    with clients(api, 24) as pool:
        said = [pool.submit(say, api, conversation, "x") for conversation in conversations for _ in range(3)]
        ends = [pool.submit(api.post, f"/v1/conversations/{each}/end", json={}) for each in conversations]
        assert {end.result().status_code for end in ends} == {200}
        refused = [answer.result().text for answer in said if answer.result().status_code not in (200, 409)]
        assert not refused
    for conversation in conversations:
        types = [
            event["event_type"]
            for event in api.get("/v1/events", params={"conversation": conversation, "limit": 500}).json()["events"]
        ]
        assert "conversation_ended" in types
        # The log shows nothing of a conversation after its end.
        in_order = types if types[0] == "conversation_started" else types[::-1]
        assert in_order[-1] == "conversation_ended", in_order


@pytest.mark.requirement("MSG-5")
def test_so_many_messages_may_wait_in_a_conversation(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("sleeper", rules=replies("slept", delay=60)))
    conversation = start(api, capability="sleeper")
    with clients(api, 8) as pool:
        codes = [sent.status_code for sent in pool.map(lambda n: send(api, conversation, f"m{n}"), range(101))]
    assert sorted(codes) == [202] * 100 + [429]
    refused = send(api, conversation, "one more")
    assert refused.json()["code"] == "overloaded"
    assert refused.headers["Retry-After"] == "1"
    assert api.post(f"/v1/conversations/{conversation}/cancel").json()["end_reason"] == "Cancelled"
    assert len(texts(api, conversation, 100)) == 100


LONG_OR_QUICK = SLOW_OR_QUICK.replace("sleeper", "dreamer")


@pytest.mark.requirement("MSG-5")
def test_a_message_that_was_cancelled_while_it_waited_is_never_answered(api: httpx.Client, deploy: Deploy) -> None:
    """Not even when so many come before it that the conversation continues in another run of its workflow."""
    many = 60
    deploy(
        {
            **agent("mixed", rules=LONG_OR_QUICK, more='delegates = ["dreamer"]\n'),
            **agent("dreamer", rules=replies("dreamt", delay=5)),
        }
    )
    conversation = start(api, capability="mixed")
    send(api, conversation, "slow")
    sent = [send(api, conversation, f"m{number}") for number in range(many)]
    assert {answer.status_code for answer in sent} == {202}
    last = sent[-1].headers["Location"]
    told = api.post(f"{last}/cancel", timeout=60)
    assert told.status_code == 200, told.text
    deadline = time.monotonic() + 60
    while (turn := api.get(last).json())["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert turn["error"]["code"] == "execution_cancelled"
    assert {api.get(answer.headers["Location"]).json()["state"] for answer in sent[:-1]} == {"completed"}


@pytest.mark.requirement("MSG-8")
def test_a_key_is_for_one_message_also_while_that_waits(api: httpx.Client, deploy: Deploy) -> None:
    deploy(mixed())
    conversation = start(api, capability="mixed")
    send(api, conversation, "slow")
    path, headers = f"/v1/conversations/{conversation}/messages", {"Idempotency-Key": "k"}
    first = api.post(path, json={"content": "pay 10"}, headers=headers, params={"wait": "false"})
    assert first.status_code == 202
    for wait in ("false", "true"):
        other = api.post(path, json={"content": "pay 99"}, headers=headers, params={"wait": wait})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    again = api.post(path, json={"content": "pay 10"}, headers=headers)
    assert again.json()["execution_id"] == first.json()["execution_id"]
    assert [text for text in texts(api, conversation, 4) if "pay" in text] == ["pay 10", "2 before: pay 10"]
