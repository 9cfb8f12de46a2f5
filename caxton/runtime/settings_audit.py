"""`[audit]` of the server's settings: where the event log is copied to."""

from typing import Literal, Self

from pydantic import Field, model_validator

from caxton.domain.ids import Name
from caxton.domain.quantities import ByteSize, Duration
from caxton.domain.secrets import SecretReference
from caxton.runtime.settings_sections import FilePath, Integer, Section, WebAddress, engine_address


class AuditSinkSettings(Section):
    """`[audit.sinks.NAME]`: a second place for the event log."""

    kind: Literal["file", "syslog", "webhook"] = Field(description="What it is.")
    folder: FilePath | None = Field(
        default=None,
        description="file: where it writes JSON lines, one file per customer; by default audit in the data folder.",
    )
    rotate_bytes: ByteSize = Field(
        default=100 << 20, ge=1 << 16, description='file: size after which a file is closed, such as "100MB".'
    )
    keep: Integer = Field(default=50, ge=1, le=100_000, description="file: closed files that are kept per customer.")
    address: str | None = Field(default=None, max_length=300, description="syslog: host:port of the server.")
    transport: Literal["udp", "tcp", "tls"] = Field(default="tls", description="syslog: how it gets there.")
    tls_ca: FilePath | None = Field(default=None, description="syslog: certificates of the authority to trust.")
    facility: Integer = Field(default=13, ge=0, le=23, description="syslog: the facility; 13 is log audit.")
    url: WebAddress = Field(
        default=None, description="webhook: takes a POST, signed as standardwebhooks.com describes."
    )
    secret: SecretReference | None = Field(default=None, description="webhook: reference to the secret to sign with.")
    required: bool = Field(
        default=False, description="Refuse changes (503) while the sink lags by more than the limits."
    )
    max_lag_events: Integer = Field(default=10_000, ge=1, description="Events by which it can lag.")
    max_lag: Duration = Field(default=300.0, gt=0, description='Time by which it can lag, such as "5m".')

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        needed = {"file": None, "syslog": "address", "webhook": "url"}[self.kind]
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f'a sink of kind "{self.kind}" needs {needed}')
        if self.address is not None:
            engine_address(self.address)
        return self


class AuditSettings(Section):
    """`[audit]`"""

    sinks: dict[Name, AuditSinkSettings] = Field(
        default={}, max_length=10, description="Where the event log is copied to, by name."
    )
