"""Live text between processes on one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import make_url

from caxton.adapters.streams import PostgresStream
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent
from tests.support.postgres import Postgres

TURN = ExecutionId("x_1")

Pair = tuple[PostgresStream, PostgresStream]


@pytest.fixture
async def pair(postgres: Postgres) -> AsyncIterator[Pair]:
    """The streams of an API and of a worker."""
    url = make_url(postgres.new_database())
    api, worker = PostgresStream(url), PostgresStream(url)
    await asyncio.gather(api.start(), worker.start())
    yield api, worker
    await asyncio.gather(api.aclose(), worker.aclose())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def heard_by(stream: PostgresStream, *, only_end: bool = False) -> list[StreamEvent]:
    heard: list[StreamEvent] = []
    stream.subscribe(TURN, heard.append, only_end=only_end)
    return heard


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.kind == "delta")


@pytest.mark.requirement("MSG-7")
async def test_text_reaches_listeners_elsewhere_once_and_in_order(pair: Pair) -> None:
    api, worker = pair
    heard = heard_by(api)
    await until(lambda: worker.has_listeners(TURN))
    long = "".join(f"word{number} \u00e9\u0000\U0001f600 " for number in range(3_000))
    worker.publish(TURN, "delta", {"text": "Hello ", "agent": "a", "step": 1, "attempt": 1})
    worker.publish(TURN, "delta", {"text": long, "agent": "a", "step": 1, "attempt": 1})
    worker.publish(TURN, "step", {})
    worker.publish(TURN, "end", {})
    await until(lambda: bool(heard) and heard[-1].kind == "end")
    assert text_of(heard) == "Hello " + long
    assert [event.kind for event in heard if event.kind != "delta"] == ["step", "end"]
    ends = [int(event.id) for event in heard if event.kind == "delta"]
    assert ends == sorted(set(ends))


@pytest.mark.requirement("MSG-7")
async def test_who_comes_late_gets_what_was_said(pair: Pair) -> None:
    api, worker = pair
    worker.expect(TURN)
    worker.publish(TURN, "delta", {"text": "one two ", "step": 1, "attempt": 1})
    heard = heard_by(api)
    await until(lambda: text_of(heard) == "one two ")
    again = heard_by(api)
    worker.publish(TURN, "delta", {"text": "three", "step": 1, "attempt": 1})
    await until(lambda: text_of(again) == "one two three" == text_of(heard))
    worker.publish(TURN, "begin", {"step": 1, "attempt": 2})
    worker.publish(TURN, "delta", {"text": "anew", "step": 1, "attempt": 2})
    await until(lambda: bool(heard) and heard[-1].data.get("text") == "anew")
    assert [event.kind for event in heard][-2:] == ["reset", "delta"]
    assert heard[-1].id == "4"


@pytest.mark.requirement("MSG-7")
async def test_another_text_is_not_taken_for_the_end_of_the_first(pair: Pair) -> None:
    """As when a worker was killed while a model spoke, and another one does the step again."""
    api, worker = pair
    heard = heard_by(api)
    await until(lambda: worker.has_listeners(TURN))
    first, other = {"step": 1, "attempt": 1, "text_id": "a"}, {"step": 1, "attempt": 1, "text_id": "b"}
    worker.publish(TURN, "delta", {"text": "one two three", **first})
    await until(lambda: text_of(heard) == "one two three")
    worker.publish(TURN, "delta", {"text": "four", **other})
    worker.publish(TURN, "delta", {"text": " five", **other})
    await until(lambda: text_of(heard) == "one two threefour five")
    assert [(event.id, event.data["text_id"]) for event in heard][-2:] == [("4", "b"), ("9", "b")]


async def test_an_end_wakes_who_waits_and_others_hear_nothing(pair: Pair) -> None:
    api, worker = pair
    waiting = heard_by(api, only_end=True)
    worker.publish(TURN, "delta", {"text": "for nobody", "step": 1, "attempt": 1})
    worker.publish(TURN, "step", {})
    worker.publish(TURN, "end", {})
    await until(lambda: bool(waiting))
    assert [event.kind for event in waiting] == ["end"]
    assert not worker.has_listeners(TURN)


async def test_a_worker_that_comes_later_hears_who_listens(pair: Pair, postgres: Postgres) -> None:
    api, worker = pair
    leave = api.subscribe(TURN, lambda _event: None)
    await until(lambda: worker.has_listeners(TURN))
    late = PostgresStream(worker.url)
    await late.start()
    await until(lambda: late.has_listeners(TURN))
    leave()
    await until(lambda: not late.has_listeners(TURN) and not worker.has_listeners(TURN))
    await late.aclose()
