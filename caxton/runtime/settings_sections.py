"""The sections of `caxton.toml`. Descriptions of fields appear in the reference and in the JSON Schema for editors."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from caxton.domain.messages import CONTENT_LIMIT, INLINE_LIMIT
from caxton.domain.quantities import ByteSize, Seconds

Synchronous = Literal["normal", "full"]
"""How SQLite syncs: "normal" survives a killed process, "full" a power cut as well
(https://sqlite.org/pragma.html#pragma_synchronous)."""


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("this must be a number, not true or false")
    return value


def _plain_seconds(value: Any) -> Any:
    """Seconds that come as text, as all values of the environment do."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


def _web_address(url: str | None) -> str | None:
    from urllib.parse import urlsplit

    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{url}" is not a web address; write for example "http://127.0.0.1:8080"')
    return url.rstrip("/")


def _engine_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or len(port) > 5 or not 0 < int(port) < 65_536:
        raise ValueError(f'"{address}" is not an address; write host:port, for example "127.0.0.1:7233"')
    return address


def _store_url(url: str) -> str:
    scheme = url.partition("://")[0].partition("+")[0]
    if "://" not in url or scheme not in ("sqlite", "postgresql"):
        raise ValueError("this is no database that Caxton knows; write sqlite:///FILE or postgresql://USER@HOST/NAME")
    return url


Integer = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=65_535)]
PortOrZero = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=65_535)]
Duration = Annotated[Seconds, BeforeValidator(_plain_seconds)]
FilePath = Annotated[Path, BeforeValidator(_path)]
EngineAddress = Annotated[str, AfterValidator(_engine_address)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
WebAddress = Annotated[str | None, AfterValidator(_web_address)]


class Section(BaseModel):
    """A table of `caxton.toml`: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LogSettings(Section):
    """`[log]`"""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is worth a line.")
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto: readable lines on a terminal, JSON lines in a pipe."
    )


class TemporalSettings(Section):
    """`[temporal]`: the workflow engine, when it runs elsewhere."""

    address: EngineAddress | None = Field(
        default=None,
        description="host:port of a Temporal service; without it `caxton serve` runs one itself.",
    )
    namespace: str = Field(default="default", min_length=1, description="Temporal namespace.")
    tls: bool = Field(default=False, description="Encrypt the connection to the Temporal service.")
    tls_ca: FilePath | None = Field(default=None, description="File with the certificates of the authority to trust.")
    tls_cert: FilePath | None = Field(default=None, description="File with the client's certificate (mTLS).")
    tls_key: FilePath | None = Field(default=None, description="File with the key of the client's certificate.")
    api_key_env: str | None = Field(
        default=None, description="Name of the environment variable that holds the API key for the Temporal service."
    )
    ui_url: WebAddress = Field(default=None, description="Where people find the Temporal UI, for links.")
    task_queue: str = Field(default="caxton", min_length=1, max_length=200, description="Prefix of the task queues.")


class EngineSettings(Section):
    """`[engine]`: the Temporal server that `caxton serve` runs itself."""

    binary: FilePath | None = Field(
        default=None, description="The `temporal` program; without it: on PATH, or the one that was installed along."
    )
    port: PortOrZero = Field(default=0, description="gRPC port; 0 takes 7233 or the next that is free.")
    ui_port: PortOrZero = Field(default=8233, description="Port of the Temporal UI; if taken, the next that is free.")
    synchronous: Synchronous = Field(
        default="normal", description='"normal" survives a killed process, "full" a power cut as well and is slower.'
    )


class StoreSettings(Section):
    """`[store]`: registry, messages and events."""

    url: StoreUrl | None = Field(
        default=None,
        description="SQLAlchemy URL, such as postgresql://caxton@db/caxton; without it SQLite in the data folder.",
    )
    synchronous: Synchronous = Field(
        default="normal", description='For SQLite: "normal" survives a killed process, "full" a power cut as well.'
    )


class ToolsSettings(Section):
    """`[tools]`: the WebAssembly sandboxes."""

    sandboxes: Integer = Field(
        default=4, ge=1, le=256, description="Tool calls that may run at the same time, beside two known to be short."
    )
    allowed_paths: list[FilePath] = Field(
        default=[], description="Folders of this machine that a tool's manifest may ask for; without one, none."
    )
    compile_timeout: Duration = Field(
        default=180.0, gt=0, le=3600, description='Time to compile a module, such as "3m".'
    )


class LimitsSettings(Section):
    """`[limits]`: what one request may bring, and how much work may wait."""

    request_bytes: ByteSize = Field(
        default=4 << 20, ge=1 << 10, le=1 << 30, description='A request\'s body, other than a message, such as "4MB".'
    )
    content_bytes: ByteSize = Field(
        default=CONTENT_LIMIT, ge=1 << 10, le=1 << 30, description='The text of a message, such as "16MB".'
    )
    blob_bytes: ByteSize = Field(
        default=128 << 20, ge=1 << 10, le=4 << 30, description='One file of a deployment, such as "128MB".'
    )
    inline_bytes: ByteSize = Field(
        default=INLINE_LIMIT, ge=1 << 10, le=1 << 20, description="Content up to this size travels inside a message."
    )
    free_disk: ByteSize = Field(
        default=32 << 20,
        ge=0,
        description='New work is refused while less than this is free on the disk, such as "32MB".',
    )
    waiting: Integer = Field(default=10_000, ge=1, description="Requests that may wait; more are refused for a while.")


class EmbedderSettings(Section):
    """`[memory.embedder]`: what turns texts into vectors."""

    kind: Literal["bundled", "openai"] = Field(
        default="bundled",
        description="bundled: the model that comes along; openai: an address that speaks OpenAI's API.",
    )
    model: str | None = Field(default=None, min_length=1, max_length=200, description="Name of the model there.")
    dimensions: Integer | None = Field(default=None, ge=1, le=8192, description="Of its vectors.")
    base_url: WebAddress = Field(default=None, description="Such as http://127.0.0.1:11434/v1; without it OpenAI's.")
    api_key_env: str | None = Field(default=None, description="Name of the environment variable that holds the key.")


class MemorySection(Section):
    """`[memory]`: what agents remember."""

    enabled: bool = Field(default=True, description="Whether the server keeps a memory.")
    backend: str = Field(
        default="lancedb", min_length=1, max_length=64, description="lancedb, qdrant, or an installed one."
    )
    options: dict[str, Any] = Field(default={}, description="What the back end is told, such as its url.")
    embedder: EmbedderSettings = EmbedderSettings()


class ChannelSettings(Section):
    """`[channels.NAME]`: where notices of broken promises go."""

    url: Annotated[str, AfterValidator(_web_address)] = Field(
        description="Takes a POST, signed as standardwebhooks.com describes."
    )
    secret_env: str | None = Field(
        default=None, description="Name of the environment variable that holds the secret to sign with."
    )


class TelemetrySettings(Section):
    """`[telemetry]`: traces and metrics over OTLP."""

    otlp_endpoint: WebAddress = Field(
        default=None, description='Base URL of an OTLP/HTTP collector, such as "http://127.0.0.1:4318"; without it off.'
    )
    service_name: str = Field(default="caxton", min_length=1, description="How traces call this service.")
    sample_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the turns that are traced.")
