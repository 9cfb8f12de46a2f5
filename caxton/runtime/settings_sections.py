"""The sections of `caxton.toml`. Descriptions of fields appear in the reference and in the JSON Schema for editors."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from caxton.adapters.oidc_settings import OidcSettings
from caxton.domain.flow import CustomerFlow, FlowLimit
from caxton.domain.grants import StandingGrant
from caxton.domain.ids import Name
from caxton.domain.mcp_servers import Command
from caxton.domain.messages import CONTENT_LIMIT
from caxton.domain.quantities import LEAST_RATE, ByteSize, Duration
from caxton.domain.secrets import EnvironmentName, SecretReference
from caxton.domain.tools import BASE_LIMITS

Synchronous = Literal["normal", "full"]
"""How SQLite syncs: "normal" survives a killed process, "full" a power cut as well
(https://sqlite.org/pragma.html#pragma_synchronous)."""


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("this must be a number, not true or false")
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


def engine_address(address: str) -> str:
    """`address`, a host with a port.

    Raises:
        ValueError: it is none.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or len(port) > 5 or not 0 < int(port) < 65_536:
        raise ValueError(f'"{address}" is not an address; write host:port, for example "127.0.0.1:7233"')
    return address


def _store_url(url: str) -> str:
    scheme = url.partition("://")[0].partition("+")[0]
    if "://" not in url or scheme not in ("sqlite", "postgresql"):
        raise ValueError(
            "this is not a database that Caxton knows; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    return url


Integer = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=65_535)]
PortOrZero = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=65_535)]
FilePath = Annotated[Path, BeforeValidator(_path)]
EngineAddress = Annotated[str, AfterValidator(engine_address)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
WebAddress = Annotated[str | None, AfterValidator(_web_address)]


class Section(BaseModel):
    """A table of `caxton.toml`: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _host_pattern(host: str) -> str:
    import re

    if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", host):
        raise ValueError(
            f'"{host}" is not a name of a host; write "caxton.example.com", "*.example.com", or "*" for any'
        )
    return host.lower()


def _origin(origin: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(origin.lower())
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or f"{parts.scheme}://{parts.netloc}" != origin.lower()
    ):
        raise ValueError(f'"{origin}" is not the origin of a page; write for example "https://dashboard.example.com"')
    return origin.lower()


def _network(network: str) -> str:
    from ipaddress import ip_network

    return str(ip_network(network))


def _model_name(name: str) -> str:
    provider, _, model = name.partition(":")
    if not provider or not model:
        raise ValueError(f'"{name[:64]}" names no model of a provider; write for example "openai:gpt-5"')
    return name


ModelName = Annotated[str, AfterValidator(_model_name)]
Network = Annotated[str, AfterValidator(_network)]
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
Origin = Annotated[str, AfterValidator(_origin)]


class ServerSettings(Section):
    """`[server]`: who may call the API, by which name, and what accepts requests."""

    hosts: list[HostPattern] = Field(
        default=[],
        max_length=100,
        description="Names of the server in addition to loopback's, as clients send them in the Host header: "
        '"caxton.example.com", "*.example.com", or "*" for any. A server that listens beyond loopback also accepts any IP '
        "address as well.",
    )
    cors_origins: list[Origin] = Field(
        default=[],
        max_length=100,
        description='Sites whose pages may call the API with a key, such as "https://dashboard.example.com".',
    )
    proxies: list[Network] = Field(
        default=[],
        max_length=100,
        description="Addresses or networks of proxies whose headers X-Forwarded-For and X-Forwarded-Proto are "
        'trusted, such as "10.0.0.0/8". By default, no address is trusted.',
    )
    connections: Integer = Field(
        default=4096, ge=16, le=1_000_000, description="Connections that may be open at the same time."
    )
    connections_per_address: Integer = Field(
        default=1024, ge=4, le=1_000_000, description="Open connections from one address that is not a proxy's."
    )
    header_bytes: ByteSize = Field(
        default=32 << 10, ge=4 << 10, le=1 << 20, description='Size of the headers of a request, such as "32KB".'
    )
    header_timeout: Duration = Field(
        default=10.0,
        ge=0.5,
        le=300,
        description='Time that a client may take to connect and send all headers of a request, such as "10s".',
    )
    fast_path: Literal["busy", "always", "never"] = Field(
        default="busy",
        description="When a separate process accepts requests, on SQLite. busy: under load, from a second after it "
        "starts until five quiet minutes have passed. The process takes 90 MB with its writer.",
    )


class LogSettings(Section):
    """`[log]`"""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )
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
    api_key: SecretReference | None = Field(
        default=None, description='Reference to the API key for the Temporal service, such as "env:TEMPORAL_API_KEY".'
    )
    api_key_env: EnvironmentName | None = Field(
        default=None, description="Name of the environment variable that holds the API key for the Temporal service."
    )
    ui_url: WebAddress = Field(default=None, description="Where people find the Temporal UI, for links.")
    task_queue: str = Field(default="caxton", min_length=1, max_length=200, description="Prefix of the task queues.")


class EncryptionSettings(Section):
    """`[engine.encryption]`: encryption of what the workflow engine keeps, embedded or elsewhere."""

    keys: list[SecretReference] = Field(
        default=[],
        max_length=32,
        description="References to keys (`caxton encryption generate`). The first encrypts, all of them decrypt.",
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Start with a Temporal service on another machine although payloads or the connection are not encrypted.",
    )


class EngineSettings(Section):
    """`[engine]`: the Temporal server that `caxton serve` runs itself."""

    encryption: EncryptionSettings = EncryptionSettings()

    binary: FilePath | None = Field(
        default=None,
        description="The `temporal` program. By default the one on PATH, or the one that was installed with Caxton.",
    )
    port: PortOrZero = Field(default=0, description="gRPC port; 0 takes 7233 or the next free one.")
    ui: bool = Field(
        default=True,
        description="Serve Temporal's UI, on this machine and with a key.",
    )
    ui_port: PortOrZero = Field(default=8233, description="Port of the Temporal UI; the next free one if it is taken.")
    synchronous: Synchronous = Field(
        default="normal", description='"normal" survives a killed process, "full" a power cut as well and is slower.'
    )


class StoreSettings(Section):
    """`[store]`: registry, messages and events."""

    url: StoreUrl | None = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL, such as postgresql://caxton@db/caxton; without it SQLite in the data folder.",
    )
    password: SecretReference | None = Field(
        default=None, description='Reference to the password that belongs to the URL, such as "file:/run/secrets/db".'
    )
    synchronous: Synchronous = Field(
        default="normal", description='For SQLite: "normal" survives a killed process, "full" a power cut as well.'
    )
    lock_timeout: Duration = Field(
        default=30.0,
        gt=0,
        le=600,
        description="For SQLite: how long a change waits for another process's write before it is refused (503).",
    )


def _networks(networks: list[str]) -> list[str]:
    import ipaddress

    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ValueError(
                f'"{network}" is neither an address nor a network; write for example "10.0.0.0/8" or "203.0.113.7"'
            ) from None
    return networks


class BaseLimitsSettings(Section):
    """`[tools.limits]`: what a call of any tool may use without a grant, if its manifest asks for it."""

    memory: ByteSize = Field(default=BASE_LIMITS.memory, ge=1 << 20, le=4 << 30, description='Memory, such as "128MB".')
    fuel: Integer = Field(
        default=BASE_LIMITS.fuel, ge=1_000, le=10**15, description="WebAssembly instructions; about 10^9 a second."
    )
    wall_time: Duration = Field(
        default=BASE_LIMITS.wall_time, gt=0, le=600, description='Time on the clock, such as "5s".'
    )
    message_size: ByteSize = Field(
        default=BASE_LIMITS.message_size, ge=1 << 10, le=16 << 20, description="Arguments and result, each."
    )


class ToolLimitsSettings(Section):
    """`[tools.maximum]`: the most that one call of any tool may use, whatever its manifest asks for and who grants it."""

    memory: ByteSize = Field(default=1 << 30, ge=1 << 20, le=4 << 30, description='Memory, such as "1GB".')
    fuel: Integer = Field(
        default=10**12, ge=1_000, le=10**15, description="WebAssembly instructions; about 10^9 a second of CPU."
    )
    wall_time: Duration = Field(default=60.0, gt=0, le=600, description='Time on the clock, such as "60s".')
    message_size: ByteSize = Field(
        default=16 << 20, ge=1 << 10, le=16 << 20, description='Arguments and result, each, such as "16MB".'
    )


class ToolsSettings(Section):
    """`[tools]`: the WebAssembly sandboxes, and MCP servers outside of them."""

    sandboxes: Integer = Field(
        default=4, ge=1, le=256, description="Tool calls that can run at the same time, in addition to two short ones."
    )
    allowed_paths: list[FilePath] = Field(
        default=[], description="Folders of this machine that a tool's manifest can request. By default none."
    )
    allowed_commands: list[Command] = Field(
        default=[],
        max_length=500,
        description='Command lines of MCP servers that may be granted, such as "uvx mcp-server-time": they run outside of the '
        "sandbox, with all rights of the server's user; without one, none.",
    )
    mcp_idle: Duration = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description='Time after which the connection to an unused MCP server ends, such as "5m".',
    )
    compile_timeout: Duration = Field(
        default=300.0, gt=0, le=3600, description='Time to compile a module, such as "5m".'
    )
    blocked_networks: Annotated[list[str], AfterValidator(_networks)] = Field(
        default=[],
        description='Addresses that no tool can reach, whatever is granted, such as "10.0.0.0/8"; '
        "in addition to Caxton's own and cloud metadata addresses.",
    )
    limits: BaseLimitsSettings = BaseLimitsSettings()
    maximum: ToolLimitsSettings = ToolLimitsSettings()
    grants: list[StandingGrant] = Field(
        default=[],
        max_length=500,
        description="Grants of this machine's operator to tools: [[tools.grants]] with tool, and what is granted: network, "
        "environment, files, commands, limits; for agent, function, arguments, customer, workspace.",
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
    bodies_bytes: ByteSize = Field(
        default=48 << 20,
        ge=1 << 20,
        description="Bodies over 64 KB in memory at the same time, half of them for one customer; others are refused for a "
        'while, such as "48MB".',
    )
    free_disk: ByteSize = Field(
        default=32 << 20,
        ge=0,
        description='Free space on the disk below which new work is refused, such as "32MB".',
    )
    data_size: ByteSize | None = Field(
        default=None,
        ge=64 << 20,
        description='Size of the data folder above which new work is refused, such as "50GB"; the log warns from 80 %.',
    )
    customer_size: ByteSize | None = Field(
        default=None, ge=16 << 20, description='Data of one customer, such as "5GB".'
    )
    requests_per_second: float | None = Field(
        default=None,
        ge=LEAST_RATE,
        le=1e6,
        description="Requests per second of one key to one process. By default unlimited.",
    )
    request_burst: Integer | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Requests that a key can save up. By default the requests of two seconds.",
    )
    scheduled_per_second: float = Field(
        default=20.0,
        ge=LEAST_RATE,
        le=10_000,
        description="How often the schedules of one customer may be due in a second, all together; a deployment with more fails.",
    )
    waiting: Integer = Field(default=10_000, ge=1, description="Requests that can wait; others are refused.")
    calls: Integer = Field(
        default=2_500, ge=1, le=20_000, description="Model and tool calls that one worker can have in flight."
    )


class FlowSettings(Section):
    """`[flow]`: how many calls of models and tools can be in flight, and how many can begin per unit of time. Others wait."""

    providers: dict[Name, FlowLimit] = Field(
        default={}, max_length=200, description="By provider, as agents name it: [flow.providers.openai]."
    )
    models: dict[ModelName, FlowLimit] = Field(
        default={}, max_length=1_000, description='By model: [flow.models."openai:gpt-5"].'
    )
    customers: dict[Name, CustomerFlow] = Field(
        default={}, max_length=10_000, description="By customer: [flow.customers.acme]."
    )
    each_customer: CustomerFlow = Field(
        default=CustomerFlow(), description="For each customer that is not named: [flow.each_customer]."
    )


class AuthSettings(Section):
    """`[auth]`: who may come in besides API keys."""

    oidc: OidcSettings = OidcSettings()


class EmbedderSettings(Section):
    """`[memory.embedder]`: what turns texts into vectors."""

    kind: Literal["bundled", "openai"] = Field(
        default="bundled",
        description="bundled: the model that is installed with Caxton; openai: an OpenAI-compatible service.",
    )
    model: str | None = Field(default=None, min_length=1, max_length=200, description="Name of the model there.")
    dimensions: Integer | None = Field(default=None, ge=1, le=8192, description="Of its vectors.")
    base_url: WebAddress = Field(default=None, description="Such as http://127.0.0.1:11434/v1; without it OpenAI's.")
    api_key: SecretReference | None = Field(
        default=None, description='Reference to its key, such as "env:OPENAI_API_KEY" or "file:/run/secrets/openai".'
    )
    api_key_env: EnvironmentName | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )


class MemorySection(Section):
    """`[memory]`: what agents remember."""

    enabled: bool = Field(default=True, description="Whether the server has a memory.")
    backend: str = Field(
        default="lancedb", min_length=1, max_length=64, description="lancedb, qdrant, or an installed one."
    )
    options: dict[str, Any] = Field(default={}, description="Options of the back end, such as its url.")
    embedder: EmbedderSettings = EmbedderSettings()


class ChannelSettings(Section):
    """`[channels.NAME]`: where notices of SLA breaches go."""

    url: Annotated[str, AfterValidator(_web_address)] = Field(
        description="Takes a POST, signed as standardwebhooks.com describes."
    )
    secret: SecretReference | None = Field(
        default=None, description='Reference to the secret to sign with, such as "env:OPS_SECRET".'
    )
    secret_env: EnvironmentName | None = Field(
        default=None, description="Name of the environment variable that holds the secret to sign with."
    )


class TelemetrySettings(Section):
    """`[telemetry]`: traces and metrics over OTLP."""

    otlp_endpoint: WebAddress = Field(
        default=None, description='Base URL of an OTLP/HTTP collector, such as "http://127.0.0.1:4318"; without it off.'
    )
    service_name: str = Field(default="caxton", min_length=1, description="Name of this service in traces.")
    sample_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the turns that are traced.")
