"""Requests with many earlier calls: what one takes besides encoding them hardly grows."""

import cProfile
import pstats

import pytest
from model_requests import PARSE, agent, request

from caxton.adapters import templates
from caxton.adapters.models import Models, ModelsSettings, ProviderSettings
from caxton.domain.ports import FunctionCall, FunctionResult, PromptPart
from tests.support.stand_in import Answer, running

EARLIER = 200
"""Earlier calls of a tool."""

FUNCTION_CALLS = 800
"""Calls of Python functions for each of them, at most. The SDK's own comparison with its types takes 3,400."""


@pytest.mark.requirement("PRF-5")
async def test_earlier_calls_are_not_compared_with_types_again() -> None:
    history = [PromptPart("user", "go on")]
    for number in range(EARLIER):
        call = FunctionCall(f"call_{number}", PARSE.name, "tool", {"text": "a,b"})
        history.append(PromptPart("assistant", calls=[call]))
        history.append(PromptPart("results", results=[FunctionResult(call.id, call.name, "parsed", None)]))
    asked = request(agent("stand-in:m"), functions=[PARSE], history=history)
    with running(Answer(text="done")) as url:
        models = Models(ModelsSettings(providers={"stand-in": ProviderSettings(base_url=f"{url}/v1")}), templates)
        await models.respond(asked)  # loads what is loaded at the first call
        with cProfile.Profile() as profile:
            reply = await models.respond(asked)
        await models.aclose()
    assert reply.text == "done"
    assert pstats.Stats(profile).total_calls < FUNCTION_CALLS * EARLIER  # pyright: ignore[reportAttributeAccessIssue]
