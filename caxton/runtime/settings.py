"""Settings of the server and of the command line, and where each of them comes from.

Flags win over the environment (`CAXTON_…`, sections joined by `__`), that over `caxton.toml`, that over the defaults.
The file is the one that `--config` or `CAXTON_CONFIG` names, else the `caxton.toml` of the current folder or the
nearest one above.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from caxton.adapters.models.settings import ModelsSettings
from caxton.domain.ids import DEFAULT_CUSTOMER, DEFAULT_WORKSPACE, Name
from caxton.runtime.settings_sections import (
    ChannelSettings,
    EngineSettings,
    FilePath,
    LimitsSettings,
    LogSettings,
    MemorySection,
    Port,
    PortOrZero,
    Section,
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

    data_dir: FilePath = Field(default_factory=default_data_dir, description="Folder for everything that is kept.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address that the API listens on.")
    port: PortOrZero = Field(default=DEFAULT_PORT, description="Port of the API; 0 takes a free one.")
    metrics_host: str = Field(default="127.0.0.1", min_length=1, description="Address that the metrics listen on.")
    metrics_port: PortOrZero | None = Field(
        default=DEFAULT_METRICS_PORT, description="Port of the Prometheus metrics; 0 for none (the API has them too)."
    )
    customer: Name = Field(default=DEFAULT_CUSTOMER, description="Customer that the first key belongs to.")
    log: LogSettings = LogSettings()
    temporal: TemporalSettings = TemporalSettings()
    engine: EngineSettings = EngineSettings()
    store: StoreSettings = StoreSettings()
    models: ModelsSettings = ModelsSettings()
    tools: ToolsSettings = ToolsSettings()
    limits: LimitsSettings = LimitsSettings()
    memory: MemorySection = MemorySection()
    telemetry: TelemetrySettings = TelemetrySettings()
    channels: dict[Name, ChannelSettings] = Field(
        default={}, max_length=50, description="Where notices of broken promises go, by the name that agents use."
    )


class WorkspaceTable(Section):
    """`[workspace]`: what a folder with agents and tools is called, and where it is deployed to."""

    name: Name = Field(default=DEFAULT_WORKSPACE, description="Workspace on the server that the folder is deployed to.")
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


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and for each of them by its dotted name where it comes from."""

    settings: Settings
    origins: dict[str, str]
    """`"default"`, `"caxton.toml:12"`, `"environment CAXTON_PORT"` or `"flag --port"`."""
    file: Path | None
    """The configuration file that was read."""

    def values(self) -> dict[str, Any]:
        """Every value by its dotted name, secrets masked, ready for JSON."""
        from caxton.runtime.settings_sources import flatten, mask

        named = {".".join(path): value for path, value in flatten(self.settings.model_dump(mode="json")).items()}
        return {name: mask(name, value) for name, value in named.items()}


def find_config(start: Path) -> Path | None:
    """The `caxton.toml` of `start` or of the nearest folder above it."""
    return next((folder / CONFIG_FILE for folder in (start, *start.parents) if (folder / CONFIG_FILE).is_file()), None)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    start_folder: Path | None = None,
    *,
    config: Path | None = None,
) -> LoadedSettings:
    """Reads all sources and validates what they say together.

    Args:
        flags: values of command-line flags by dotted name ("temporal.address"); None stands for a flag not given.
        start_folder: where the search for `caxton.toml` begins; the current folder if None.
        config: the file to read instead; it must exist.

    Raises:
        InvalidSettings: something is wrong; `details["problems"]` lists all of it, in the file with line and column.
    """
    from caxton.runtime.settings_sources import load

    named = os.environ.get("CAXTON_CONFIG")
    file = (
        config or (Path(named).expanduser() if named else None) or find_config((start_folder or Path.cwd()).absolute())
    )
    return load(flags or {}, file)


__all__ = ["CONFIG_FILE", "LoadedSettings", "Port", "Settings", "default_data_dir", "find_config", "load_settings"]
