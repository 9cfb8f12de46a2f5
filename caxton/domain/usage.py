"""Usage of calls."""

from pydantic import BaseModel


class Usage(BaseModel):
    """What model calls used. `cost_usd` is None where the price is not known."""

    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @classmethod
    def of_attempt(cls, used: "Usage | None") -> "Usage":
        """What a call that failed adds: it is a call, whatever is known of it."""
        return cls(model_calls=1).plus(used or cls(), model_calls=0)

    def plus(self, other: "Usage", *, model_calls: int | None = None) -> "Usage":
        """The sum of both; with `model_calls` the other one counts as so many."""
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            model_calls=self.model_calls + (other.model_calls if model_calls is None else model_calls),
            tool_calls=self.tool_calls + other.tool_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=sum(costs) if costs else None,
        )


class ToolUsage(BaseModel):
    """What one call used."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    fuel: int = 0
    memory: int | None = None
    """Peak of linear memory in bytes; None for components, where the runtime does not tell."""
