"""Capabilities: what agents offer and how others ask for it."""

import json
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from semantic_version import NpmSpec, Version

from caxton.domain.conversations import WhenBusy
from caxton.domain.governance import ApprovalPolicy, ServiceLevel
from caxton.domain.ids import Name, is_name
from caxton.domain.quantities import one_of

FIND_CAPABILITY: Final = "find_capability"
ASK_CAPABILITY: Final = "ask_capability"
RESERVED: Final = frozenset({FIND_CAPABILITY, ASK_CAPABILITY})
"""Names of tools that MCP clients get beside those which capabilities are: no capability may have one of them."""

VERSION_LENGTH: Final = 200
"""Characters of a version or a range of versions. They are read by regular expressions, and kept in memory."""


def check_version(text: str) -> str:
    """`text` if it is a semantic version.

    Raises:
        ValueError: it is too long, or none; with the version that was probably meant.
    """
    _check_length(text)
    try:
        Version(text)
    except ValueError:
        try:
            meant = str(Version.coerce(text))
        except ValueError:
            meant = "1.0.0"
        raise ValueError(f'version "{text}" is not a semantic version; write "{meant}"') from None
    return text


def check_version_range(text: str) -> str:
    """`text` if it is a version range in npm's notation ("^1.2", ">=1 <3", "*").

    Raises:
        ValueError: it is too long, or none.
    """
    _check_length(text)
    try:
        NpmSpec(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a version range; write for example "^1.0.0" or ">=1.2.0"') from None
    return text


def _check_length(text: str) -> None:
    if len(text) > VERSION_LENGTH:
        raise ValueError(f"a version or a range of versions has {VERSION_LENGTH} characters at most, not {len(text):,}")


SemanticVersion = Annotated[str, Field(max_length=VERSION_LENGTH), AfterValidator(check_version)]
VersionRange = Annotated[str, Field(max_length=VERSION_LENGTH), AfterValidator(check_version_range)]


@lru_cache(maxsize=4096)
def version_matches(version: str, version_range: str) -> bool:
    """Whether `version` lies in `version_range` (npm's rules, https://github.com/npm/node-semver#ranges)."""
    return Version(version) in NpmSpec(version_range)


@lru_cache(maxsize=4096)
def version_key(version: str) -> Version:
    """A key that sorts versions by precedence (https://semver.org/#spec-item-11)."""
    return Version(version)


SchemaOrFile = dict[str, Any] | str


class Capability(ApprovalPolicy):
    """One thing that an agent offers to do. In TOML a plain string is the short form. An approval is one of its replies."""

    name: Name = Field(description='What others ask for, such as "analyze-data".')
    version: SemanticVersion = Field(default="1.0.0", description="A semantic version, which requests may narrow.")
    description: str = Field(default="", max_length=2_000, description="One sentence for people and for other agents.")
    when_busy: Annotated[WhenBusy, one_of(WhenBusy)] = Field(
        default=WhenBusy.ENQUEUE,
        description="What happens to a message into a conversation that still works on earlier ones.",
    )
    sla: ServiceLevel | None = Field(default=None, description="The time within which an answer is promised.")
    input: SchemaOrFile | None = Field(
        default=None,
        description="JSON Schema (2020-12) of an object that a request has to be, as a table or as the name of a file beside "
        'this one, such as "order.schema.json".',
    )
    output: SchemaOrFile | None = Field(
        default=None, description="JSON Schema of an object that a reply has to be, likewise."
    )
    output_repairs: int = Field(
        default=1,
        ge=0,
        le=5,
        description="How often the model may mend a reply that does not fit `output`; each attempt is paid for.",
    )

    @property
    def input_schema(self) -> dict[str, Any] | None:
        """What a request has to fit; a file's name is replaced when the agent is read."""
        return self.input if isinstance(self.input, dict) else None

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """What a reply has to fit."""
        return self.output if isinstance(self.output, dict) else None

    @cached_property
    def input_json(self) -> str | None:
        """`input_schema` as the text by which checks know it."""
        return None if self.input_schema is None else json.dumps(self.input_schema, separators=(",", ":"))

    @cached_property
    def output_json(self) -> str | None:
        """`output_schema` likewise."""
        return None if self.output_schema is None else json.dumps(self.output_schema, separators=(",", ":"))

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class CapabilityRequest(BaseModel):
    """What a caller asks for: a capability and the versions that will do. "analyze-data@^1.2" is the short form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description='The capability, such as "analyze-data".')
    version_range: VersionRange = Field(default="*", description='Versions that will do, such as "^1.2".')

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name, _, version_range = value.partition("@")
        return {"name": name, "version_range": version_range or "*"}

    @classmethod
    def parse(cls, text: str) -> Self:
        """The request that "name" or "name@range" stands for."""
        return cls.model_validate(text)

    def __str__(self) -> str:
        return self.name if self.version_range == "*" else f"{self.name}@{self.version_range}"


__all__ = [
    "Capability",
    "CapabilityRequest",
    "SemanticVersion",
    "VersionRange",
    "is_name",
    "version_key",
    "version_matches",
]
