"""What clients of OpenAI's API send, as far as an agent can do something with it."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caxton.api.targets import target_named
from caxton.domain.errors import HttpVersionNotSupported, InvalidInput
from caxton.domain.executions import Target
from caxton.domain.validation_words import first_problem

MOST_MESSAGES = 2_000
"""Messages, or items, of one request."""

LONGEST_STOP = 1_000
"""Characters of a text before which a reply ends: each piece of the reply is looked through for it."""

LONGEST_ID = 200
"""Characters of the id of a call, and of the name of a function that was called."""

MOST_TEXTS = 256
"""Texts of one request for embeddings."""

BodyT = TypeVar("BodyT", bound=BaseModel)


class _Body(BaseModel):
    """Fields that are not named here are passed over: clients send many, and the agent's file decides on most of them."""

    model_config = ConfigDict(extra="ignore")


class Part(BaseModel):
    """A part of a message. What a file is made of is read by :mod:`caxton.api.openai_face.files`."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str = ""


Text = str | list[Part] | None

JsonObject = dict[str, Any]


class CalledFunction(_Body):
    """The function of a call, and its arguments as JSON."""

    name: str = Field(min_length=1, max_length=LONGEST_ID)
    arguments: str = ""


class GivenCall(_Body):
    """A call in a message of the assistant."""

    id: str = Field(min_length=1, max_length=LONGEST_ID)
    type: str = "function"
    function: CalledFunction | None = None


class ChatMessage(_Body):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text = None
    tool_calls: list[GivenCall] | None = None
    tool_call_id: str | None = Field(default=None, max_length=LONGEST_ID)


class JsonSchemaFormat(_Body):
    """The schema of an answer."""

    name: str = ""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(_Body):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
    name: str = ""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """Where the Responses API has it."""

    def output(self, param: str) -> dict[str, Any] | None:
        """The schema that the reply has to fit."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return {"type": "object"}
        schema = self.schema_ if self.json_schema is None else self.json_schema.schema_
        if schema is None:
            raise wrong(f"{param} has no schema", param)
        if schema.get("type") != "object":
            raise wrong(f'the "type" of the schema in {param} is not "object"', param)
        return schema


class StreamOptions(_Body):
    """What a stream has besides text."""

    include_usage: bool = False


Stop = Annotated[str, Field(max_length=LONGEST_STOP)]


class ChatBody(_Body):
    """`POST /chat/completions`."""

    model: str = Field(min_length=1, max_length=300)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[JsonObject] | None = None
    functions: list[Any] | None = None
    tool_choice: str | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None

    @property
    def stops(self) -> list[str]:
        """Texts before which the reply ends."""
        return [self.stop] if isinstance(self.stop, str) else [text for text in self.stop or [] if text]


class TextConfig(_Body):
    """The form of a response's text."""

    format: ResponseFormat | None = None


class ResponsesBody(_Body):
    """`POST /responses`."""

    model: str = Field(min_length=1, max_length=300)
    input: str | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_MESSAGES)]
    instructions: str | None = None
    previous_response_id: str | None = Field(default=None, max_length=100)
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    text: TextConfig | None = None
    tools: list[JsonObject] | None = None
    tool_choice: str | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, Any] | None = None


class EmbeddingsBody(_Body):
    """`POST /embeddings`."""

    model: str = Field(min_length=1, max_length=300)
    input: str | Annotated[list[Any], Field(min_length=1, max_length=MOST_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


def read_body(model: type[BodyT], content: bytes) -> BodyT:
    """The body of a request.

    Raises:
        InvalidInput: it is not such a body; `details["param"]` names the field.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        place, told = first_problem(error)
        raise wrong(told[:500], place[:100]) from None


def check_stream(wanted: bool | None, *, streams: bool) -> None:
    """Refuses a stream where none can be told.

    Raises:
        HttpVersionNotSupported: so it is.
    """
    if wanted and not streams:
        raise HttpVersionNotSupported("a stream cannot be told in HTTP/1.0", "use HTTP/1.1")


def target_of(model: str) -> Target:
    """Whom the name of a model stands for: a capability, with a range of versions perhaps, or an agent.

    Raises:
        NotFound: it is no such name.
    """
    hint = 'a model is a capability, such as "analyze-data" or "analyze-data@^1", or "agent:NAME"'
    return target_named(model, "model", hint, param="model")


def wrong(message: str, param: str) -> InvalidInput:
    """What is told of a request that an agent can do nothing with; `param` is the field."""
    return InvalidInput(message, details={"param": param})
