"""What clients of OpenAI's API send, as far as an agent can do something with it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caxton.api.openai_face.files import KINDS, GivenFile, read_file
from caxton.api.targets import target_named
from caxton.domain.caller_context import CallerContext, Said
from caxton.domain.errors import HttpVersionNotSupported, InvalidInput, NotFound
from caxton.domain.executions import Target

MOST_MESSAGES = 2_000
"""Messages, or items, of one request."""

LONGEST_STOP = 1_000
"""Characters of a text before which a reply ends: each piece of the reply is looked through for it."""

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


class ChatMessage(_Body):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text = None
    tool_calls: list[Any] | None = None


class JsonSchemaFormat(_Body):
    """The schema of an answer."""

    name: str = ""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(_Body):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
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
            raise _wrong(f"{param} has no schema", param)
        if schema.get("type") != "object":
            raise _wrong(f'the "type" of the schema in {param} is not "object"', param)
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
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    tool_choice: Any = None
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
    tools: list[Any] | None = None
    tool_choice: Any = None
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
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][:4]) or "body"
        raise _wrong(f"{place}: {first['msg']}"[:500], place[:100]) from None


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
    found = target_named(model)
    if found is None:
        raise NotFound(
            f'there is no model "{model[:100]}"',
            'a model is a capability, such as "analyze-data" or "analyze-data@^1", or "agent:NAME"',
            details={"param": "model", "capability": model[:100]},
        )
    return found


Asked = tuple[str, CallerContext, Sequence[GivenFile]]
"""What is asked, what its caller brings along, and the files that go with it."""


def chat_request(body: ChatBody, *, keeps_history: bool) -> Asked:
    """What is asked, and what its caller brings along. Files of earlier messages go with the last one.

    Args:
        body: the request.
        keeps_history: whether the server has the earlier messages, so that those of the body do not count.

    Raises:
        InvalidInput: the body wants what an agent cannot do.
    """
    if body.n not in (None, 1):
        raise _wrong("an agent gives one answer: n is 1", "n")
    if body.logprobs:
        raise _wrong("agents tell no probabilities of words", "logprobs")
    if body.modalities not in (None, ["text"]):
        raise _wrong("agents answer with text", "modalities")
    _no_tools("tools", body.tools, body.tool_choice)
    _no_tools("functions", body.functions, None)
    said: list[Said] = []
    files: Files = []
    instructions: list[str] = []
    for number, message in enumerate(body.messages):
        place = f"messages.{number}"
        if message.role in ("tool", "function") or message.tool_calls:
            raise _wrong("calls of the caller's own tools are not supported: agents have tools of their own", place)
        _take(message, place, said, files, instructions)
    content, before = _last(said, bool(files), "messages")
    output = body.response_format.output("response_format") if body.response_format else None
    context = _context([] if keeps_history else before, instructions, output, body.stops)
    return content, context, _sent(files, len(before) if keeps_history else 0)


def responses_request(body: ResponsesBody) -> Asked:
    """The same of a request for a response."""
    _no_tools("tools", body.tools, body.tool_choice)
    said: list[Said] = []
    files: Files = []
    instructions = [body.instructions] if body.instructions else []
    if isinstance(body.input, str):
        said.append(Said(role="user", text=body.input))
    else:
        for number, item in enumerate(body.input):
            place = f"input.{number}"
            if item.get("type", "message") != "message":
                raise _wrong(f'items of the type "{str(item.get("type"))[:50]}" are not supported', place)
            message = read_item(item, place)
            _take(message, place, said, files, instructions)
    content, before = _last(said, bool(files), "input")
    wanted = body.text.format if body.text else None
    context = _context(before, instructions, wanted.output("text.format") if wanted else None, [])
    return content, context, _sent(files, 0)


Files = list[tuple[int, GivenFile]]
"""Files, each with the position of its message."""


def _take(message: ChatMessage, place: str, said: list[Said], files: Files, instructions: list[str]) -> None:
    """Takes a message: what it says, and its files."""
    text, found = _content(message.content, f"{place}.content")
    if found and message.role != "user":
        raise _wrong("files are sent by users", f"{place}.content")
    if message.role in ("system", "developer"):
        instructions.append(text)
        return
    files += [(len(said), file) for file in found]
    said.append(Said(role="user" if message.role == "user" else "assistant", text=text))


def _sent(files: Files, since: int) -> Sequence[GivenFile]:
    """The files of the messages from a position on."""
    return [file for position, file in files if position >= since]


def read_item(item: dict[str, Any], place: str) -> ChatMessage:
    """A message among the items of a request."""
    try:
        return ChatMessage.model_validate(item)
    except ValidationError as error:
        raise _wrong(f"{place}: {error.errors(include_url=False)[0]['msg']}"[:500], place) from None


def _context(
    history: Sequence[Said], instructions: Sequence[str], output: dict[str, Any] | None, stop: Sequence[str]
) -> CallerContext:
    text = "\n\n".join(text for text in instructions if text)
    return CallerContext(history=list(history), instructions=text, output=output, stop=list(stop))


def _last(said: Sequence[Said], has_files: bool, param: str) -> tuple[str, Sequence[Said]]:
    """What the user says at last, and all before it. A message may consist of files alone."""
    start = len(said)
    while start and said[start - 1].role == "user":
        start -= 1
    content = "\n\n".join(each.text for each in said[start:])
    if start == len(said) or not (content.strip() or has_files):
        raise _wrong("the last message is not one of the user, or it is empty", param)
    return content, said[:start]


def _content(content: Text, place: str) -> tuple[str, list[GivenFile]]:
    """What a message says, and its files."""
    if content is None or isinstance(content, str):
        return content or "", []
    files: list[GivenFile] = []
    texts: list[str] = []
    for part in content:
        if part.type in KINDS:
            files.append(read_file(part.type, part.model_extra or {}, place))
        elif part.type in ("text", "input_text", "output_text", "refusal"):
            texts.append(part.text)
        else:
            raise _wrong(f'a part of the type "{part.type[:50]}" is not supported', place)
    return "\n".join(texts), files


def _no_tools(param: str, tools: Sequence[Any] | None, choice: Any) -> None:
    if tools and choice != "none":
        raise _wrong("an agent calls its own tools, and none of the caller's: leave them out", param)


def _wrong(message: str, param: str) -> InvalidInput:
    return InvalidInput(message, details={"param": param})
