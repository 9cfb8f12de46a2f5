"""What providers say of their limits is kept ahead of a refusal; silence has limits of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from model_requests import agent, request

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.adapters.models.governor import Governor, duration, retry_after
from caxton.domain.errors import ModelRateLimited, ModelSilent, ModelStalled, ModelTimeout
from tests.support.stand_in import Answer, StandIn


@pytest.fixture
async def stand_in() -> AsyncIterator[tuple[StandIn, Models]]:
    service = StandIn()
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    providers = {"stand-in": ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1")}
    models = Models(ModelsSettings(providers=providers, rate_limit_wait=5.0), templates)
    yield service, models
    await models.aclose()
    server.should_exit = True
    await serving


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize(
    "headers",
    [
        {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1s500ms",
        },
        {"x-ratelimit-limit-tokens": "10000", "x-ratelimit-remaining-tokens": "20", "x-ratelimit-reset-tokens": "1.5"},
        {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "{later}"},
    ],
)
async def test_a_call_waits_until_there_is_room(stand_in: tuple[StandIn, Models], headers: dict[str, str]) -> None:
    service, models = stand_in
    later = (datetime.now(UTC) + timedelta(seconds=2.5)).isoformat().replace("+00:00", "Z")
    told = {name: value.format(later=later) for name, value in headers.items()}
    service.answers["m"] = [Answer(headers=told), Answer()]
    first = await models.respond(request(agent("stand-in:m")))
    began = time.monotonic()
    second = await models.respond(request(agent("stand-in:m")))
    assert first.waited < 0.5
    assert 0.9 < second.waited < 4
    assert time.monotonic() - began >= second.waited
    other = await models.respond(request(agent("stand-in:other")))
    assert other.waited < 0.5


@pytest.mark.requirement("FAC-4")
async def test_a_refusal_holds_for_all_calls_and_a_long_wait_is_told(stand_in: tuple[StandIn, Models]) -> None:
    service, models = stand_in
    service.answers["m"] = [Answer(status=429, headers={"retry-after-ms": "1500"}), Answer()]
    with pytest.raises(ModelRateLimited):
        await models.respond(request(agent("stand-in:m")))
    replies = await asyncio.gather(*(models.respond(request(agent("stand-in:m"))) for _ in range(5)))
    assert all(reply.waited > 0.9 for reply in replies)
    service.answers["m"] = [Answer(status=429, headers={"retry-after": "60"}), Answer()]
    with pytest.raises(ModelRateLimited):
        await models.respond(request(agent("stand-in:m")))
    calls = service.stats["calls"]
    with pytest.raises(ModelRateLimited) as caught:
        await models.respond(request(agent("stand-in:m")))
    assert service.stats["calls"] == calls  # nobody was asked in vain
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 60
    assert "rate_limit_wait" in caught.value.hints[0].text


async def test_no_more_begin_than_there_is_room_for() -> None:
    now = 0.0
    begun: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    governor = Governor("a:b", 60.0, lambda: now, sleep)
    number, _ = await governor.admit()
    told = {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "10"}
    governor.heard(number, 200, told, None)
    for _ in range(7):
        await governor.admit()
        begun.append(now)
    assert begun[:3] == [0.0] * 3
    assert all(moment >= 10 for moment in begun[3:])


@pytest.mark.requirement("FAC-4")
@pytest.mark.parametrize(
    ("answer", "settings", "kind", "limit"),
    [
        (Answer(delay=60), {"first_token_timeout": 0.4}, ModelSilent, "first_token_timeout"),
        (Answer(stall_after=3), {"chunk_timeout": 0.4}, ModelStalled, "chunk_timeout"),
        (Answer(stall_after=3), {"timeout": 0.6}, ModelTimeout, "timeout"),
    ],
)
async def test_silence_ends_a_streamed_call(
    stand_in: tuple[StandIn, Models],
    answer: Answer,
    settings: dict[str, float],
    kind: type[ModelTimeout],
    limit: str,
) -> None:
    service, models = stand_in
    await models.respond(request(agent("stand-in:m")))  # what it imports does not count
    service.answers["m"] = [answer]
    began = time.monotonic()
    with pytest.raises(ModelTimeout) as caught:
        await models.respond(request(agent("stand-in:m"), **settings), print)
    assert type(caught.value) is kind
    assert limit in caught.value.hints[0].text
    assert time.monotonic() - began < 30


@given(st.text() | st.from_regex(r"[0-9.]+(ms|s|m|h)?", fullmatch=True))
def test_any_header_is_understood_or_passed_over(text: str) -> None:
    for found in (duration(text), retry_after({"retry-after": text}), retry_after({"retry-after-ms": text})):
        assert found is None or 0 <= found <= 3600


@pytest.mark.parametrize(
    ("text", "seconds"), [("6m0s", 360), ("20ms", 0.02), ("1.5", 1.5), ("1h2m3.5s", 3723.5), ("0", 0), ("", None)]
)
def test_durations(text: str, seconds: float | None) -> None:
    found = duration(text)
    assert found == (None if seconds is None or seconds > 3600 else seconds)
