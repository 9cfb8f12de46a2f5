"""What a caller brings along with a request, beside its content: an earlier exchange, instructions, functions of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from caxton.domain.errors import InvalidInput
from caxton.domain.ids import ExecutionId, is_own

KEY = "context"
"""In the metadata of the request: it is kept with it, so that the turn can be gone on with after any crash."""

CONTINUED = "continued"
"""The field of that by which a request tells that it goes on with an earlier turn."""

PLACES = "places"
"""The field of that by which a request tells where its files stand in its text."""

CALLS = "calls"
"""In the metadata of a reply: calls of the caller's functions that the agent asks for. The turn has ended; a next one brings
the results."""


class SaidCall(BaseModel):
    """A call of a function of the caller, as a model asked for it."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    arguments: dict[str, Any] = {}


class SaidResult(BaseModel):
    """What such a call brought."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str


class Said(BaseModel):
    """One entry of an earlier exchange."""

    model_config = ConfigDict(frozen=True)

    role: Literal["user", "assistant", "results"]
    text: str = ""
    calls: list[SaidCall] = []
    """Of an assistant."""
    results: list[SaidResult] = []
    """Of the calls of the entry before."""


class CallerFunction(BaseModel):
    """A function that the caller has, which the agent's model may ask for."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    """JSON Schema of its arguments."""


class Continued(BaseModel):
    """The turn that ended with calls of the caller's functions, and what those brought: this one goes on behind it."""

    model_config = ConfigDict(frozen=True)

    execution_id: ExecutionId
    step: int
    """The step that asked for the calls."""
    results: list[SaidResult]


class CallerContext(BaseModel):
    """What goes with one request."""

    model_config = ConfigDict(frozen=True)

    history: list[Said] = []
    """Oldest first. The model sees as much of it as the agent's `history` limit allows."""
    since: list[Said] = []
    """Calls and results behind the request, which no turn here has a record of."""
    instructions: str = ""
    """Goes behind the agent's system prompt."""
    output: dict[str, Any] | None = None
    """JSON Schema of an object that the reply has to be; for capabilities that have none of their own."""
    stop: list[str] = []
    """Texts before which the model stops."""
    functions: list[CallerFunction] = []
    choice: Literal["auto", "required"] | list[str] = "auto"
    """Whether a function has to be called, or one of those that are named."""
    parallel: bool = True
    """Whether the model may ask for several calls of the caller's functions at a time."""
    continued: Continued | None = None
    places: list[int] = []
    """Where each file of the request stands: how many characters of its text before it. Empty where all stand behind it."""


def call_id(execution_id: ExecutionId, step: int, number: int) -> str:
    """The id under which the caller knows a call: at most 40 characters, for some clients take no longer one."""
    return f"call_{execution_id.removeprefix('x_')}_{step}_{number}"


def step_asking(call: str) -> tuple[ExecutionId, int] | None:
    """The execution and step that asked for the call of that id; None if it is of another form."""
    prefix, _, rest = call.partition("_")
    parts = rest.split("_")
    if prefix != "call" or len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        return None
    execution_id = ExecutionId(f"x_{parts[0]}")
    return (execution_id, int(parts[1])) if is_own(execution_id) and len(parts[1]) < 6 else None


def check_answered(asked: Sequence[Mapping[str, Any]], results: Sequence[SaidResult]) -> None:
    """Checks that each call has its result.

    Raises:
        InvalidInput: one is missing, or is that of another call.
    """
    wanted, given = {call["id"]: call["name"] for call in asked}, {found.id for found in results}
    for identity, name in wanted.items():
        if identity not in given:
            raise InvalidInput(
                f'the result of the call "{identity}" of "{name}" is missing',
                "send the results of all calls that the answer asked for in one request",
                details={"param": "tool_call_id", "call": identity},
            )
    if strange := sorted(given - wanted.keys()):
        raise InvalidInput(
            f'"{strange[0][:100]}" is no call that the answer asked for', details={"param": "tool_call_id"}
        )
