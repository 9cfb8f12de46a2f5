"""Seals come back unchanged, from the same caller, for the same purpose, or not at all."""

import asyncio
import random
import string
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from caxton.domain.ids import Scope
from caxton.service.context import Caller
from caxton.service.seals import SealBroken, Seals


class OneSecret:
    """Records that keep one secret, as the store does."""

    def __init__(self) -> None:
        self.value: str | None = None

    def server_secret(self, name: str) -> str | None:
        return self.value

    def offer_server_secret(self, name: str, value: str) -> str:
        self.value = self.value or value
        return self.value

    async def read(self, work: Callable[[Any], Any]) -> Any:
        return work(self)

    async def write(self, work: Callable[[Any], Any]) -> Any:
        return work(self)


CALLER = Caller(Scope(customer="acme", workspace="here"), "developer", "k_1", "anna")
FACTS = {"x": "x_1234", "d": "0" * 64, "n": False}


@pytest.fixture
def records() -> Any:
    return OneSecret()


def test_a_seal_is_taken_back_by_any_server_of_the_database(records: Any) -> None:
    seal = asyncio.run(Seals(records).seal("state", CALLER, FACTS))
    assert asyncio.run(Seals(records).open("state", CALLER, seal)) == FACTS
    assert seal == asyncio.run(Seals(records).seal("state", CALLER, FACTS))


@pytest.mark.requirement("FAC-1")
def test_ten_thousand_changed_seals_are_refused(records: Any) -> None:
    seals, chance = Seals(records), random.Random(7)
    letters = string.ascii_letters + string.digits + "-_.=+/ \0é"

    def changed(seal: str) -> str:
        place = chance.randrange(len(seal))
        kind = chance.randrange(5)
        letter = chance.choice(letters)
        if kind == 0:
            return seal[:place] + seal[place + 1 :]
        if kind == 1:
            return seal[:place] + letter + seal[place:]
        if kind == 2:
            return seal[:place]
        if kind == 3:
            other = chance.randrange(len(seal))
            return seal[:place] + seal[other:]
        return seal[:place] + letter + seal[place + 1 :]

    async def run() -> int:
        refused = 0
        seal = await seals.seal("state", CALLER, FACTS, lasts=60)
        while refused < 10_000:
            wrong = changed(seal)
            if wrong == seal:
                continue
            with pytest.raises(SealBroken):
                await seals.open("state", CALLER, wrong)
            refused += 1
        # The last letter of a signature stands for some bits that no byte has.
        for letter in letters:
            if not seal.endswith(letter):
                with pytest.raises(SealBroken):
                    await seals.open("state", CALLER, seal[:-1] + letter)
        return refused

    assert asyncio.run(run()) == 10_000


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize(
    ("purpose", "caller"),
    [
        ("question", CALLER),
        ("state", replace(CALLER, name="berta")),
        ("state", replace(CALLER, scope=Scope(customer="acme", workspace="there"))),
        ("state", replace(CALLER, scope=Scope(customer="other", workspace="here"))),
        ("state", replace(CALLER, key_id="sub_anna")),
    ],
)
def test_a_seal_is_bound_to_its_purpose_and_caller(records: Any, purpose: str, caller: Caller) -> None:
    seals = Seals(records)
    seal = asyncio.run(seals.seal("state", CALLER, FACTS))
    with pytest.raises(SealBroken):
        asyncio.run(seals.open(purpose, caller, seal))


def test_a_seal_ends(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seals = Seals(records)
    seal = asyncio.run(seals.seal("state", CALLER, FACTS, lasts=60))
    assert asyncio.run(seals.open("state", CALLER, seal)) == FACTS
    monkeypatch.setattr("caxton.service.seals.time.time", lambda: 4_000_000_000.0)
    with pytest.raises(SealBroken, match="expired"):
        asyncio.run(seals.open("state", CALLER, seal))
