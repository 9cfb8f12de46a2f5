"""What an AG-UI client sends: a run of a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from caxton.domain.base64_text import decode_base64
from caxton.domain.caller_context import CallerContext, Said
from caxton.domain.errors import InvalidInput
from caxton.domain.files import FileReference
from caxton.domain.given import GivenText
from caxton.domain.ids import Digest, is_digest
from caxton.domain.placed_files import joined, worth_keeping
from caxton.domain.validation_words import first_problem

MOST_MESSAGES = 2_000
"""Messages of one run's input."""

LONGEST_ID = 200
"""Characters of the ids that clients give threads, runs and messages."""

MOST_ANSWERS = 100
"""Answers to interrupts in one run's input."""

_MEDIA = ("image", "audio", "document")

Identity = Annotated[GivenText, Field(min_length=1, max_length=LONGEST_ID)]


class _Body(BaseModel):
    """Fields that are not named here are passed over, as the protocol wants it."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel)


class Source(_Body):
    """Where the bytes of a part are."""

    type: str
    value: str


class Part(_Body):
    """A part of a message."""

    type: str
    text: str = ""
    source: Source | None = None


class Message(_Body):
    """A message of the thread."""

    id: Identity
    role: Literal["developer", "system", "assistant", "user", "tool", "activity", "reasoning"]
    content: str | list[Part] | dict[str, Any] | None = None


class Context(_Body):
    """Something that the front end knows."""

    description: str
    value: str


class Resume(_Body):
    """The answer to an interrupt."""

    interrupt_id: Identity
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class RunInput(_Body):
    """`RunAgentInput` of AG-UI 1.0."""

    thread_id: Identity
    run_id: Identity
    state: Any = None
    messages: list[Message] = Field(max_length=MOST_MESSAGES)
    context: list[Context] | None = Field(default=None, max_length=100)
    forwarded_props: Any = None
    resume: list[Resume] | None = Field(default=None, max_length=MOST_ANSWERS)


class Answer(BaseModel):
    """What the front end answers to an approval."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    approved: bool
    reason: str = Field(default="", max_length=2_000, pattern=r"^[^\x00]*$")
    edited_args: dict[str, Any] | None = None
    """Arguments to call with, in place of those that were asked for."""


class Inline(BaseModel):
    """A file that comes with a message."""

    content: bytes


GivenFile = Inline | FileReference


def read_input(content: bytes) -> RunInput:
    """The input of a run.

    Raises:
        InvalidInput: it is none; `details["param"]` names the field.
    """
    try:
        return RunInput.model_validate_json(content)
    except ValidationError as error:
        place, told = first_problem(error)
        raise _wrong(told[:500], place[:100]) from None


def read_answer(given: Resume) -> Answer:
    """The answer to an approval. An interrupt that is abandoned is refused.

    Raises:
        InvalidInput: it says neither yes nor no.
    """
    if given.status == "cancelled":
        return Answer(approved=False, reason="the front end gave it up")
    payload: Any = {"approved": given.payload} if isinstance(given.payload, bool) else given.payload
    try:
        return Answer.model_validate(payload)
    except ValidationError:
        raise _wrong(
            'the payload of an answer is {"approved": true}, or false; it may have a reason, and editedArgs', "resume"
        ) from None


@dataclass(frozen=True, slots=True)
class SaidLast:
    """What the user says at last, and what was said before."""

    content: str
    files: Sequence[GivenFile]
    places: Sequence[int]
    """Where the files stand in it."""
    before: Sequence[Said]


def said_in(body: RunInput) -> SaidLast:
    """What the user says at last, and what was said before.

    Raises:
        InvalidInput: the last message is none of the user.
    """
    talk = [each for each in body.messages if each.role in ("user", "assistant")]
    start = len(talk)
    while start and talk[start - 1].role == "user":
        start -= 1
    content, files, places = "", list[GivenFile](), list[int]()
    for message in talk[start:]:
        text, found, within = _content(message)
        whole = "\n\n".join(filter(None, (content, text)))
        places += [len(whole) - len(text) + place for place in within]
        content, files = whole, [*files, *found]
    if start == len(talk) or not (content.strip() or files):
        raise _wrong("the last message is not one of the user, or it is empty, and nothing is resumed", "messages")
    before = [
        Said(role="user" if each.role == "user" else "assistant", text=_content(each)[0]) for each in talk[:start]
    ]
    return SaidLast(content, files, worth_keeping(places, content), [said for said in before if said.text])


def context_of(body: RunInput, before: Sequence[Said], places: Sequence[int]) -> CallerContext:
    """What the front end brings along."""
    told = [f"{each.description}: {each.value}" for each in body.context or ()]
    systems = [_content(each)[0] for each in body.messages if each.role in ("system", "developer")]
    instructions = "\n\n".join(text for text in (*systems, *told) if text)
    return CallerContext(history=list(before), instructions=instructions, places=list(places))


def _content(message: Message) -> tuple[str, list[GivenFile], list[int]]:
    """What a message says, its files, and where these stand in it."""
    content = message.content
    if isinstance(content, str):
        return content, [], []
    texts: list[str | None] = []
    files: list[GivenFile] = []
    for part in content if isinstance(content, list) else ():
        if part.type == "text":
            texts.append(part.text)
        elif part.type in _MEDIA:
            files.append(_file(part))
            texts.append(None)
        else:
            raise _wrong(f'a part of the type "{part.type[:50]}" is not supported', "messages")
    text, places = joined(texts, "\n")
    return text, files, places


def _file(part: Part) -> GivenFile:
    source = part.source
    if source is not None and source.type == "file" and is_digest(source.value):
        return FileReference(digest=Digest(source.value))
    if source is None or source.type != "data":
        raise _wrong(
            "no address is fetched: send the file as data, or upload it (POST /v1/files) and name its digest",
            "messages",
        )
    try:
        return Inline(content=decode_base64(source.value))
    except ValueError:
        raise _wrong("the file is not base64", "messages") from None


def _wrong(message: str, param: str) -> InvalidInput:
    return InvalidInput(message, details={"param": param})
