"""What clients of the A2A protocol send. Names are taken as JSON has them (`messageId`) and as the protocol's source does."""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from caxton.api.a2a_face.errors import ContentTypeNotSupported, InvalidParams
from caxton.domain.base64_text import decode_base64
from caxton.domain.given import GivenTime
from caxton.domain.ids import Digest
from caxton.domain.placed_files import joined, worth_keeping
from caxton.domain.validation_words import in_plain_words
from caxton.views.a2a import TaskState

MOST_PARTS: Final = 1_000
MOST_PROBLEMS: Final = 20
LONGEST_ID: Final = 200

_OWN_FILE: Final = re.compile(r"/v1/blobs/([0-9a-f]{64})$")
"""The address of a file that the server has, as artifacts have it."""

BodyT = TypeVar("BodyT", bound=BaseModel)

_Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Extra = dict[str, Any]


class _Body(BaseModel):
    """Fields that are not named here are passed over, as the protocol wants it."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Part(_Body):
    """A part of a message: a text, data, bytes or an address."""

    text: str | None = None
    raw: str | None = None
    url: str | None = None
    data: Any = None
    metadata: _Extra | None = None
    filename: str | None = None
    media_type: str | None = None


class Message(_Body):
    """A message to an agent."""

    message_id: _Id
    context_id: str | None = Field(default=None, max_length=LONGEST_ID)
    task_id: str | None = Field(default=None, max_length=LONGEST_ID)
    role: Literal["ROLE_USER"]
    parts: list[Part] = Field(min_length=1, max_length=MOST_PARTS)
    metadata: _Extra | None = None
    extensions: list[str] | None = None
    reference_task_ids: list[str] | None = None


class Authentication(_Body):
    """How a receiver of push notifications knows the sender."""

    scheme: str = Field(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    credentials: str = Field(default="", max_length=4_000, pattern=r"^[\x20-\x7e]*$")


class PushConfig(_Body):
    """Where push notifications of a task go."""

    tenant: str | None = None
    id: str | None = Field(default=None, max_length=100, pattern=r"^[A-Za-z0-9._~-]*$")
    task_id: str | None = Field(default=None, max_length=LONGEST_ID)
    url: str = Field(min_length=1, max_length=2_000)
    token: str | None = Field(default=None, max_length=4_000, pattern=r"^[\x20-\x7e]*$")
    authentication: Authentication | None = None


class Configuration(_Body):
    """How a message is answered."""

    accepted_output_modes: list[str] | None = None
    task_push_notification_config: PushConfig | None = None
    history_length: int | None = Field(default=None, ge=0)
    return_immediately: bool = False


class SendMessage(_Body):
    """`SendMessage`, and `SendStreamingMessage`."""

    tenant: str | None = None
    message: Message
    configuration: Configuration | None = None
    metadata: _Extra | None = None

    @property
    def settings(self) -> Configuration:
        """The configuration, or what holds without one."""
        return self.configuration or Configuration()


class TaskQuery(_Body):
    """What names a task: `GetTask`, `CancelTask`, `SubscribeToTask`."""

    tenant: str | None = None
    id: str = Field(min_length=1, max_length=LONGEST_ID)
    history_length: int | None = Field(default=None, ge=0)


class ListTasks(_Body):
    """`ListTasks`."""

    tenant: str | None = None
    context_id: str | None = Field(default=None, max_length=LONGEST_ID)
    status: TaskState | None = None
    page_size: int = Field(default=50, ge=1, le=100)
    page_token: str = Field(default="", max_length=500)
    history_length: int | None = Field(default=None, ge=0)
    status_timestamp_after: GivenTime | None = None
    include_artifacts: bool = False

    @field_validator("status", mode="before")
    @classmethod
    def _no_filter(cls, value: Any) -> Any:
        return None if value in ("", "TASK_STATE_UNSPECIFIED") else value


class PushQuery(_Body):
    """What names a configuration of push notifications."""

    tenant: str | None = None
    task_id: str = Field(min_length=1, max_length=LONGEST_ID)
    id: str = Field(min_length=1, max_length=100)


class ListPush(_Body):
    """`ListTaskPushNotificationConfigs`."""

    tenant: str | None = None
    task_id: str = Field(min_length=1, max_length=LONGEST_ID)
    page_size: int = Field(default=0, ge=0)
    page_token: str = Field(default="", max_length=500)


class CardQuery(_Body):
    """`GetExtendedAgentCard`."""

    tenant: str | None = None


def read_body(model: type[BodyT], value: Any) -> BodyT:
    """The parameters of an operation.

    Raises:
        InvalidParams: they are not; `details["problems"]` names the fields.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [
            {
                "path": ".".join(str(part) for part in each["loc"][:6])[:200],
                "message": in_plain_words(each["msg"])[:300],
            }
            for each in error.errors(include_url=False)[:MOST_PROBLEMS]
        ]
        first = problems[0]
        raise InvalidParams(
            f"{first['path'] or 'the request'}: {first['message']}", details={"problems": problems}
        ) from None


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file of a message: its bytes, or the digest of one that the server has."""

    name: str
    content: bytes = b""
    digest: Digest | None = None


def content_of(message: Message) -> tuple[str, list[GivenFile], list[int]]:
    """What a message says: its text, its files, and where these stand in the text, if not behind it.

    A single part with an object is what a capability with a schema takes.

    Raises:
        ContentTypeNotSupported: a part is an address elsewhere.
        InvalidParams: a part has nothing, or more than one thing.
    """
    texts: list[str | None] = []
    files: list[GivenFile] = []
    for number, part in enumerate(message.parts):
        kind = _one_of(part, number)
        if kind == "text":
            texts.append(part.text or "")
        elif kind == "data":
            texts.append(json.dumps(part.data, ensure_ascii=False, separators=(",", ":")))
        else:
            files.append(_file(part, number))
            texts.append(None)
    text, places = joined(texts, "\n\n")
    return text, files, worth_keeping(places, text)


def _file(part: Part, number: int) -> GivenFile:
    name = part.filename or ""
    if part.raw is not None:
        try:
            return GivenFile(name, decode_base64(part.raw))
        except ValueError:
            raise InvalidParams(f"message.parts.{number}.raw is no Base64") from None
    found = _OWN_FILE.search(part.url or "")
    if found is not None:
        return GivenFile(name, digest=Digest(found[1]))
    raise ContentTypeNotSupported(
        f"message.parts.{number} is an address elsewhere, and nothing is fetched from there",
        "send the file itself as `raw`, or the address of an artifact of this server",
    )


def _one_of(part: Part, number: int) -> str:
    given = [name for name in ("text", "raw", "url", "data") if name in part.model_fields_set]
    if len(given) != 1 or (given[0] != "data" and getattr(part, given[0]) is None):
        raise InvalidParams(
            f"message.parts.{number} has {len(given)} of text, raw, url and data",
            "a part has one of them",
            details={"problems": [{"path": f"message.parts.{number}", "message": "one of text, raw, url and data"}]},
        )
    return given[0]
