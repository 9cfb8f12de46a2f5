"""What a caller brings along with a request, beside its content: an earlier exchange, instructions, the form of the answer."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

KEY = "context"
"""In the metadata of the request: it is kept with it, so that the turn can be gone on with after any crash."""


class Said(BaseModel):
    """One entry of an earlier exchange."""

    model_config = ConfigDict(frozen=True)

    role: Literal["user", "assistant"]
    text: str


class CallerContext(BaseModel):
    """What goes with one request."""

    model_config = ConfigDict(frozen=True)

    history: list[Said] = []
    """Oldest first. The model sees as much of it as the agent's `history` limit allows."""
    instructions: str = ""
    """Goes behind the agent's system prompt."""
    output: dict[str, Any] | None = None
    """JSON Schema of an object that the reply has to be; for capabilities that have none of their own."""
    stop: list[str] = []
    """Texts before which the model stops."""
