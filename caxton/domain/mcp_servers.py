"""Ordinary MCP servers as tools: reached over HTTP or started as a command, outside of any sandbox."""

import re
import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from caxton.domain.origins import normal_origin
from caxton.domain.quantities import Seconds

MOST_WORDS: Final = 100
LONGEST_COMMAND: Final = 2_000
"""Characters of a command line."""

_REFERENCE = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9-]{0,30}) )?env:(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})")
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"}
    | {"trailer", "expect", "accept", "accept-encoding", "proxy-authorization", "proxy-connection", "last-event-id"}
)


def command_line(words: list[str]) -> str:
    """The one way to write a command with its arguments: as a shell would read it."""
    return shlex.join(words)


def normal_command(text: str) -> str:
    """The command line `text` in its one way of writing.

    Raises:
        ValueError: it cannot be read, is empty or too long.
    """
    if len(text) > LONGEST_COMMAND or any(not character.isprintable() for character in text):
        raise ValueError(f"a command line has at most {LONGEST_COMMAND:,} printable characters")
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("the quotes of this command line do not match") from None
    if not words or not words[0]:
        raise ValueError('a command line names a program; write for example "uvx mcp-server-time"')
    return shlex.join(words)


Command = Annotated[str, Field(max_length=LONGEST_COMMAND), AfterValidator(normal_command)]
"""A program with its arguments, exactly."""


def checked_url(url: str) -> str:
    """`url` if a server can be at it.

    Raises:
        ValueError: it is none.
    """
    from urllib.parse import urlsplit

    if len(url) > 2_000 or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError('this is not a URL; write for example "https://mcp.example.com/mcp"')
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("a URL may not carry a user name or password; write a header that names a variable")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError('this is not the URL of an MCP server; write for example "https://mcp.example.com/mcp"')
    normal_origin(f"{parts.scheme}://{parts.netloc}")
    return url


def _header(value: str) -> str:
    if "env:" in value and not _REFERENCE.fullmatch(value):
        raise ValueError('a header that holds a secret is "env:NAME" or "Bearer env:NAME"')
    return value


HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[\x20-\x7e]+$"), AfterValidator(_header)
]
Word = Annotated[str, StringConstraints(max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]*$")]
FunctionName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]


class McpServer(BaseModel):
    """`[mcp_server]` of a tool.toml: an ordinary MCP server in place of a module. It runs outside of the sandbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(checked_url)] | None = Field(
        default=None, description='Where it answers over Streamable HTTP, such as "https://mcp.example.com/mcp".'
    )
    command: Word | None = Field(
        default=None, min_length=1, description="Or the program that is it, speaking on stdin and stdout."
    )
    args: list[Word] = Field(default=[], max_length=MOST_WORDS, description="Arguments of the program.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        max_length=20,
        description='Headers of requests; a secret as "env:NAME" or "Bearer env:NAME", a variable that has to be granted.',
    )
    functions: list[FunctionName] = Field(
        default=[], max_length=256, description="The functions that agents get; all that it has if left out."
    )
    connect_timeout: Seconds = Field(
        default=10.0, gt=0, le=120, description='Time until it has begun and told its functions, such as "10s".'
    )
    idle_timeout: Seconds | None = Field(
        default=None,
        gt=0,
        le=600,
        description="Time of a call without an answer or a sign of progress; limits.wall_time is the end in any case.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "McpServer":
        if (self.url is None) == (self.command is None):
            raise ValueError('an MCP server has either a "url" or a "command"')
        if self.url is None and self.headers:
            raise ValueError(
                '"headers" are for a server with a "url"; a command gets variables: permissions.environment'
            )
        if self.url is not None and self.args:
            raise ValueError('"args" are for a server with a "command"')
        if len({name.lower() for name in self.headers}) < len(self.headers):
            raise ValueError("a header is named twice")
        own = sorted(
            name for name in self.headers if name.lower() in _OWN_HEADERS or name.lower().startswith(("mcp-", "sec-"))
        )
        if own:
            raise ValueError(f'the header "{own[0]}" is not for a manifest to set')
        if self.command is not None:
            normal_command(self.line)
        return self

    @property
    def line(self) -> str:
        """The command with its arguments; empty for a server with a URL."""
        return command_line([self.command, *self.args]) if self.command is not None else ""

    @property
    def origin(self) -> str | None:
        """Scheme, host and port of its URL."""
        if self.url is None:
            return None
        from urllib.parse import urlsplit

        parts = urlsplit(self.url)
        return normal_origin(f"{parts.scheme}://{parts.netloc}")

    @property
    def variables(self) -> list[str]:
        """Environment variables that its headers hold."""
        return sorted({name for _, _, name in self.header_parts() if name})

    @property
    def place(self) -> str:
        """Where it is, for people: never with a query, which may hold what is not for everybody."""
        return self.line if self.url is None else self.url.partition("?")[0]

    def header_parts(self) -> Iterator[tuple[str, str, str]]:
        """Of each header its name, the text that stands there, and the variable whose value follows that."""
        for name, value in self.headers.items():
            found = _REFERENCE.fullmatch(value)
            if found is None:
                yield name, value, ""
            else:
                yield name, f"{found['scheme']} " if found["scheme"] else "", found["name"]


ChangeKind = Literal["added", "removed", "changed"]


class SurfaceChange(BaseModel):
    """A difference between what a server offered when it was deployed and what it offers now."""

    function: str
    change: ChangeKind
    fields: list[str] = []
    """What is different of a function that has changed: description, inputSchema, outputSchema, annotations."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
