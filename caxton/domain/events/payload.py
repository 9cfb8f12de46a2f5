"""What all payloads have in common, and the catalogue that they enter by being defined."""

import re
from typing import Any, ClassVar, Final, Literal, cast

from pydantic import BaseModel, ConfigDict

from caxton.domain.json_text import compact_encoder
from caxton.domain.origin import Origin
from caxton.domain.plurals import plural

Category = Literal[
    "execution",
    "action",
    "approval",
    "governance",
    "deployment",
    "onboarding",
    "system",
    "agent",
    "routing",
    "tool",
    "trigger",
    "message",
    "memory",
    "retention",
    "schedule",
    "security",
]

CATALOGUE: Final[dict[str, "type[Payload]"]] = {}
"""Every event type and the model of its payload."""

payload_text = compact_encoder(sort_keys=True)
"""A payload's data as the log keeps it."""

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class Payload(BaseModel):
    """What one type of event tells. The type's name is the class's, in lower case with underscores.

    Classes named `…Event` only gather what several types share.

    A later version of a payload may add optional fields; whatever else changes needs a new `schema_version`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True, populate_by_name=True)

    event_type: ClassVar[str]
    category: ClassVar[Category]
    schema_version: ClassVar[int] = 1
    sentence: ClassVar[str] = ""
    """What a person reads; names of fields (and of the envelope's) stand in braces, a count with its noun: `{count:event}`."""
    reserved: ClassVar[str] = ""
    """Which part of Caxton will emit it, when none does yet."""

    origin: Origin | None = None
    """From where it was asked for, where a request did: peer, channel, key and request id."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        """Enters the catalogue."""
        if not cls.__name__.endswith("Event"):
            cls.event_type = _WORD.sub("_", cls.__name__).lower()
            CATALOGUE[cls.event_type] = cls

    def as_data(self) -> dict[str, Any]:
        """The payload as it is stored: without what is empty."""
        # What `model_dump` does, without its checks: a turn tells ten events.
        return self.__pydantic_serializer__.to_python(self, mode="json", by_alias=True, exclude_none=True)

    def as_text(self) -> str:
        """:meth:`as_data` as the log keeps it: JSON with sorted keys, ASCII only."""
        return payload_text(self.as_data())

    def tell(self, envelope: dict[str, Any]) -> str:
        """The sentence for people; `envelope` gives what the payload does not repeat."""
        if not self.sentence:
            return self.event_type.replace("_", " ")
        return " ".join(self.sentence.format_map(_Words({**envelope, **self.model_dump()})).split())


class _Words(dict[str, Any]):
    """Values of a sentence as people read them: `{rights}` is a list with commas, `{count:event}` "1 event" or "2 events"."""

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, "?")
        if isinstance(value, str):
            return value
        return _Count(value) if isinstance(value, int) and not isinstance(value, bool) else _in_words(value)


class _Count(int):
    def __format__(self, noun: str) -> str:
        return plural(self, noun) if noun else str(int(self))


def _in_words(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
        case list():
            return ", ".join(_in_words(each) for each in cast("list[Any]", value))
        case dict():
            found = cast("dict[str, Any]", value)
            return str(found.get("what") or ", ".join(f"{name} {_in_words(each)}" for name, each in found.items()))
        case _:
            return str(value)
