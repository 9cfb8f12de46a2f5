"""What a call cost: by configured prices, else by the price list that comes with genai-prices."""

from typing import TYPE_CHECKING

from caxton.adapters.models.settings import ProviderSettings
from caxton.domain.usage import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse


def usage_of(response: "ModelResponse", model_name: str, provider: ProviderSettings) -> Usage:
    """Tokens and cost of one call.

    The price list is used for the providers' own services only: what runs behind another base URL has other prices.
    """
    used = response.usage
    return Usage(
        model_calls=1,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=_cost(response, model_name, provider),
    )


def _cost(response: "ModelResponse", model_name: str, provider: ProviderSettings) -> float | None:
    used = response.usage
    if price := provider.prices.get(model_name):
        return (used.input_tokens * price.input_per_million + used.output_tokens * price.output_per_million) / 1e6
    if provider.base_url is not None or not used.has_values():
        return None
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):  # a model or a usage that the price list does not know
        return None
