"""Settings of the server and of the command line, and where each of them comes from.

Flags win over the environment (`CAXTON_…`, sections joined by `__`), that over `caxton.toml`, that over the defaults.
The file is the one that `--config` or `CAXTON_CONFIG` names, else the `caxton.toml` of the current folder or the
nearest one above.
"""

from pathlib import Path

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from caxton.adapters.models.settings import ModelsSettings
from caxton.domain.breakers import ProviderBreakerSettings
from caxton.domain.ids import DEFAULT_CUSTOMER, DEFAULT_WORKSPACE, Name
from caxton.domain.secrets import SecretReference
from caxton.runtime.settings_a2a import A2ASettings
from caxton.runtime.settings_audit import AuditSettings
from caxton.runtime.settings_healing import AlertsSettings, DeploymentsSettings, HealthSettings
from caxton.runtime.settings_retention import RetentionSettings
from caxton.runtime.settings_sections import (
    AuthSettings,
    ChannelSettings,
    EngineSettings,
    FilePath,
    FlowSettings,
    LimitsSettings,
    LogSettings,
    MemorySection,
    Port,
    PortOrZero,
    Section,
    ServerSettings,
    StoreSettings,
    TelemetrySettings,
    TemporalSettings,
    ToolsSettings,
    WebAddress,
)

CONFIG_FILE = "caxton.toml"
DEFAULT_PORT = 8080
DEFAULT_METRICS_PORT = 9090


def default_data_dir() -> Path:
    """Where data goes unless settings say otherwise: the platform's folder for a user's data."""
    return user_data_path("caxton")


class _Shared(BaseModel):
    """What can be set in the file as well as elsewhere."""

    data_dir: FilePath = Field(default_factory=default_data_dir, description="Folder for all data.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address that the API listens on.")
    port: PortOrZero = Field(default=DEFAULT_PORT, description="Port of the API; 0 takes a free one.")
    metrics_host: str = Field(default="127.0.0.1", min_length=1, description="Address that the metrics listen on.")
    metrics_port: PortOrZero | None = Field(
        default=DEFAULT_METRICS_PORT, description="Port of the Prometheus metrics; 0 for none (the API has them too)."
    )
    metrics_key: SecretReference | None = Field(
        default=None,
        description='Reference to the key that scrapers of the metrics port send, such as "file:/run/secrets/scrape"; without it '
        "the one in metrics.key of the data folder.",
    )
    metrics_open: bool = Field(default=False, description="Serve the metrics port without a key; on loopback only.")
    customer: Name = Field(default=DEFAULT_CUSTOMER, description="Customer that the first key belongs to.")
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    temporal: TemporalSettings = TemporalSettings()
    engine: EngineSettings = EngineSettings()
    store: StoreSettings = StoreSettings()
    models: ModelsSettings = ModelsSettings()
    tools: ToolsSettings = ToolsSettings()
    limits: LimitsSettings = LimitsSettings()
    flow: FlowSettings = FlowSettings()
    breaker: ProviderBreakerSettings = ProviderBreakerSettings()
    alerts: AlertsSettings = AlertsSettings()
    health: HealthSettings = HealthSettings()
    deployments: DeploymentsSettings = DeploymentsSettings()
    auth: AuthSettings = AuthSettings()
    memory: MemorySection = MemorySection()
    retention: RetentionSettings = RetentionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    audit: AuditSettings = AuditSettings()
    a2a: A2ASettings = A2ASettings()
    channels: dict[Name, ChannelSettings] = Field(
        default={}, max_length=50, description="Where notices of SLA breaches go, by the name that agents use."
    )


class WorkspaceTable(Section):
    """`[workspace]`: what a folder with agents and tools is called, and where it is deployed to."""

    name: Name = Field(default=DEFAULT_WORKSPACE, description="Workspace on the server that the folder is deployed to.")
    id: Name | None = Field(
        default=None,
        description="Tells this folder and its copies from other folders that deploy to the same workspace.",
    )
    server: WebAddress = Field(default=None, description='URL of the server, such as "http://127.0.0.1:8080".')


class ConfigFile(_Shared):
    """A `caxton.toml`."""

    model_config = ConfigDict(extra="forbid", title="caxton.toml")

    workspace: WorkspaceTable = WorkspaceTable()


class Settings(_Shared, BaseSettings):
    """All settings. Build it with :func:`load_settings`; constructing it directly takes only what it is given."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="CAXTON_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        validate_default=False,
    )

    workspace: Name = Field(
        default=DEFAULT_WORKSPACE, description="Workspace that commands work in; in the file: name in [workspace]."
    )
    url: WebAddress = Field(
        default=None,
        description="URL of the server that commands talk to; in the file: server in [workspace]. "
        "Without it the server that runs on the data folder.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="API key that commands use; from the environment only. Without it the data folder's admin key.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load_settings` reads the other sources itself, for it remembers which value came from where."""
        return (init_settings,)


__all__ = ["CONFIG_FILE", "Port", "Settings", "default_data_dir"]
