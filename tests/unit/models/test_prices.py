"""What a call cost, where that is known."""

import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.usage import RequestUsage

from caxton.adapters.models.prices import usage_of
from caxton.adapters.models.settings import ModelPrice, ProviderSettings


def response(model: str) -> ModelResponse:
    used = RequestUsage(input_tokens=1_000, output_tokens=500)
    return ModelResponse(parts=[TextPart("x")], usage=used, model_name=model, provider_name="openai")


def test_the_price_list_knows_well_known_models():
    cost = usage_of(response("gpt-4o"), "gpt-4o", ProviderSettings()).cost_usd
    assert cost is not None
    assert 0 < cost < 1


@pytest.mark.parametrize(
    ("model", "provider"),
    [("unheard-of", ProviderSettings()), ("gpt-4o", ProviderSettings(base_url="http://127.0.0.1/v1"))],
)
def test_an_unknown_price_is_none(model: str, provider: ProviderSettings):
    assert usage_of(response(model), model, provider).cost_usd is None


def test_configured_prices_come_first():
    price = ModelPrice(input_per_million=1.0, output_per_million=10.0)
    usage = usage_of(response("gpt-4o"), "gpt-4o", ProviderSettings(prices={"gpt-4o": price}))
    assert usage.cost_usd == pytest.approx(0.006)
    assert (usage.input_tokens, usage.output_tokens, usage.model_calls) == (1_000, 500, 1)
