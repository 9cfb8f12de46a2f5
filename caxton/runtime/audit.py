"""The sinks of the event log, as settings describe them."""

from pathlib import Path

from caxton.adapters import webhooks
from caxton.adapters.audit.files import FileSink
from caxton.adapters.audit.syslog import SyslogSink
from caxton.adapters.audit.webhook import WebhookSink
from caxton.domain.audit import AuditSink
from caxton.domain.channels import Channel
from caxton.domain.errors import InvalidSettings
from caxton.domain.records import Records
from caxton.runtime.settings_audit import AuditSettings, AuditSinkSettings
from caxton.service.audit_sinks import AuditCarrier, AuditLag, SinkRule


def build_carriers(settings: AuditSettings, records: Records, data_folder: Path) -> list[AuditCarrier]:
    """What carries the log to each sink.

    Raises:
        InvalidSettings: what is sent to one could not be signed.
    """
    return [AuditCarrier(records, name, _sink(name, each, data_folder)) for name, each in settings.sinks.items()]


def build_lag(settings: AuditSettings, records: Records) -> AuditLag:
    """What knows how far the sinks are."""
    rules = {
        name: SinkRule(required=each.required, max_events=each.max_lag_events, max_seconds=each.max_lag)
        for name, each in settings.sinks.items()
    }
    return AuditLag(records, rules)


def _sink(name: str, settings: AuditSinkSettings, data_folder: Path) -> AuditSink:
    if settings.kind == "file":
        folder = Path(settings.folder) if settings.folder else data_folder / "audit" / name
        return FileSink(folder, rotate_bytes=settings.rotate_bytes, keep=settings.keep)
    if settings.kind == "syslog":
        host, _, port = (settings.address or "").rpartition(":")
        return SyslogSink(
            host.strip("[]"), int(port), settings.transport, facility=settings.facility, ca=settings.tls_ca
        )
    channel = Channel(url=settings.url or "", secret=settings.secret)
    problem = webhooks.secret_problem(channel)
    if problem is not None:
        raise InvalidSettings(f"audit.sinks.{name}: {problem}")
    return WebhookSink(channel)
