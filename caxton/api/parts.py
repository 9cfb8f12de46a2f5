"""Messages in parts: text, files, data."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.api.json_object import JsonObject
from caxton.api.services import Services
from caxton.domain.caller_context import CallerContext
from caxton.domain.files import LONGEST_NAME, FileReference, check_count
from caxton.domain.given import GivenDigest, GivenText
from caxton.domain.json_text import json_line
from caxton.domain.placed_files import joined, worth_keeping
from caxton.domain.tools import Artifact
from caxton.service.context import Caller
from caxton.turns.typed_capabilities import as_content

MOST_PARTS = 100
"""Parts of one message."""

FileName = Annotated[GivenText | None, Field(min_length=1, max_length=LONGEST_NAME, description="What it is called.")]


class TextPart(BaseModel):
    """Text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str = Field(min_length=1)


class FilePart(BaseModel):
    """A file that was uploaded (`POST /v1/files`), or that a tool made: an image, a recording, a document, a text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["file"]
    digest: GivenDigest = Field(description="Its SHA-256, as the upload answered, or as an artifact of a reply has it.")
    name: FileName = None


class DataPart(BaseModel):
    """An object, which goes along as a JSON file."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["data"]
    data: JsonObject
    name: FileName = None


Part = Annotated[TextPart | FilePart | DataPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(max_length=MOST_PARTS)]


def text_of(parts: Sequence[Part]) -> str | None:
    """What the text parts say, paragraph by paragraph; None if there is none."""
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n\n".join(texts) if texts else None


def as_text(content: str | None, given: dict[str, Any] | None, parts: Sequence[Part]) -> str:
    """What a message says, as its text; "" if it has files only."""
    said = content if content is not None else text_of(parts)
    return said if said is not None else as_content(given) if given is not None else ""


def check_said(content: str | None, given: dict[str, Any] | None, parts: Sequence[Part]) -> None:
    """Whether a message says what it says once.

    Raises:
        ValueError: it does not say it, or in two ways.
    """
    said = sum(each is not None for each in (content, given, text_of(parts)))
    if said > 1 or (said == 0 and not parts):
        raise ValueError('give either "content" or "input", or text among the "parts"')


def context_of(content: str | None, given: dict[str, Any] | None, parts: Sequence[Part]) -> CallerContext | None:
    """Where the files of a message stand among its texts; None where they stand behind what it says."""
    if content is not None or given is not None:
        return None
    text, places = joined([part.text if isinstance(part, TextPart) else None for part in parts], "\n\n")
    kept = worth_keeping(places, text)
    return CallerContext(places=kept) if kept else None


async def files_in(services: Services, caller: Caller, parts: Sequence[Part]) -> Sequence[Artifact]:
    """The files that go with a message.

    Raises:
        InvalidInput: there are too many, or one is not there.
        UnsupportedMediaType: one is of no type that is taken.
    """
    wanted = [part for part in parts if not isinstance(part, TextPart)]
    check_count(len(wanted))
    found: list[Artifact] = []
    for number, part in enumerate(wanted, start=1):
        if isinstance(part, DataPart):
            name = part.name or f"data-{number}.json"
            name = name if name.lower().endswith(".json") else f"{name}.json"
            found.append(await services.files.keep(caller, json_line(part.data).encode(), name))
        else:
            found.append(await services.files.find(caller, FileReference(digest=part.digest, name=part.name or "")))
    return found
